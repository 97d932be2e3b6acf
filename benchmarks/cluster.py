"""Campaigns through queues, measured: submitting 500 configurations, `status` over 10,000 jobs, overhead of a job.

    python benchmarks/cluster.py submit [--configurations 500]
    python benchmarks/cluster.py overhead [--repetitions 5]     # as root, with slurm-wlm and munge installed
    VALENCEFLOW_MONGO_URI=... python benchmarks/cluster.py status [--jobs 10000]

`submit` plans a campaign and hands it to jobflow-remote's controller over a store in memory, so that no database's
speed is measured. `status` asks a queue in MongoDB. `overhead` runs jobs through a Slurm of one node.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import yaml
from cluster_overhead import overhead
from cluster_project import NAME, make_project

LIMITS = {"submit_s": 60.0, "submit_mb": 500.0, "status_s": 2.0, "overhead_s": 2.0}
CAMPAIGN = """\
name: many
host: olivine-NaFePO4
supercell: [1, 3, 2]
couple: Fe2+/Fe3+
working_ion: {{Na: {{fraction: 2/3, orderings: {{sample: 5, seed: 1}}}}}}
charge: {{sample: {each}, seed: 1}}
end_members: false
store: store.yaml
"""


def submit(configurations: int) -> dict[str, float]:
    """Plan and hand over; seconds, CPU seconds and peak memory of this process."""
    from valenceflow.flows.campaign_file import read_campaign
    from valenceflow.flows.preflight import worker_environment
    from valenceflow.flows.queues.remote import RemoteQueue
    from valenceflow.flows.queues.submission import hand_over
    from valenceflow.flows.runner import make_folder, plan, prepare

    engine = "rehearsal:springs"
    with tempfile.TemporaryDirectory(prefix="valenceflow-submit-") as made:
        folder = Path(made)
        controller = make_project(folder, CAMPAIGN.format(each=configurations // 5))
        begin, cpu = time.perf_counter(), time.process_time()
        described = read_campaign(folder / f"{NAME}.yaml")
        make_folder(described.folder)
        prepared = prepare(described, engine, plan(described, engine))
        planned = time.process_time()
        queue = RemoteQueue(controller, described.file.launch.remote, worker_environment(described, engine))
        handed = sum(bool(each.queue_ids) for each in hand_over(prepared, queue))
        end = time.process_time()
    return {
        "configurations": handed,
        "wall_s": time.perf_counter() - begin,
        "planning_cpu_s": planned - cpu,
        "submitting_cpu_s": end - planned,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def status(jobs: int) -> dict[str, float]:
    """CPU and wall time of `status` over a campaign with so many jobs in a queue, half of them done."""
    import pymongo
    from pymongo.uri_parser import parse_uri
    from start_up import cpu_of, fill
    from valenceflow.flows.queues.launches import Launch, remember_launch
    from valenceflow.stores.connect import STORE_FILE, sqlite_stores

    uri, database = os.environ["VALENCEFLOW_MONGO_URI"], f"valenceflow_benchmark_{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="valenceflow-status-") as made:
        folder = Path(made)
        path = fill(folder, round(0.6 * jobs))  # a third of them are end members, of one job
        stores = sqlite_stores(folder / "many" / STORE_FILE)
        found = _with_uuids_of_their_own(stores.collection("configurations"))
        half = found[: len(found) // 2]
        calculations = stores.collection("calculations")
        for start in range(0, len(half), 50):
            ids = [c["configuration_id"] for c in half[start : start + 50]]
            calculations.remove_docs({"configuration_id": {"$in": ids}})
        stores.close()
        missing = {c["configuration_id"] for c in half}
        documents = []
        for number, each in enumerate(found):
            going = each["configuration_id"] in missing
            for step, (name, uuid) in enumerate(each["job_uuids"].items()):
                state = ("WAITING" if step else "READY") if going else "COMPLETED"
                metadata = {"campaign": "many", "configuration_id": each["configuration_id"]}
                documents.append(
                    {
                        "uuid": uuid,
                        "index": 1,
                        "db_id": f"{number}-{step}",
                        "state": state,
                        "job": {"name": name, "metadata": metadata, "function_args": [{"padding": "x" * 4000}]},
                    }
                )
        client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(uri)
        client[database]["queue"].insert_many(documents)
        client[database]["queue"].create_index("job.metadata.campaign")
        host, port = parse_uri(uri)["nodelist"][0]
        spec = {"type": "MongoStore", "host": host, "port": port, "database": database, "collection_name": "queue"}
        (folder / "project.yaml").write_text(yaml.safe_dump({"queue": {"store": spec}}), encoding="utf-8")
        remember_launch(folder / "many", found[0]["engine"], Launch("remote", "many", folder / "project.yaml"))
        command = [sys.executable, "-m", "valenceflow.cli.main", "status", str(path), "--json"]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["many"]
        (queue,) = told["queues"].values()
        assert queue["states"]["READY"] == len(half), queue
        cpu, wall = cpu_of(command, 5)
        client.drop_database(database)
    return {"jobs": len(documents), "cpu_s": cpu, "wall_s": wall}


def _with_uuids_of_their_own(configurations):
    """Every configuration, after each got other job uuids than those that it was copied from."""
    found = [{k: v for k, v in each.items() if k != "_id"} for each in configurations.query({})]
    for each in found:
        each["job_uuids"] = {step: f"{each['configuration_id']}-{step}" for step in each["job_uuids"]}
    configurations.update(found)
    return found


def main() -> int:
    """Measure one thing; fails where it is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["submit", "status", "overhead"])
    parser.add_argument("--configurations", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")  # jobflow-remote 1.0.1 uses what monty and pydantic deprecate
    if options.what == "submit":
        found = submit(options.configurations)
        good = found["planning_cpu_s"] + found["submitting_cpu_s"] <= LIMITS["submit_s"]
        good = good and found["peak_mb"] <= LIMITS["submit_mb"]
    elif options.what == "overhead":
        found = overhead(options.repetitions)
        good = found["overhead, s"] <= LIMITS["overhead_s"]
    else:
        found = status(options.jobs)
        good = found["cpu_s"] <= LIMITS["status_s"]
    print(json.dumps(found, indent=1))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
