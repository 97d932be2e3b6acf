"""A worker process of the local launcher: reads configurations as JSON lines, runs each flow, answers with JSON lines.

    python -m valenceflow.flows.worker CAMPAIGN.yaml STORE.yaml LAUNCHER_PID

Everything that flows and libraries print goes to standard error (the launcher's log); standard output carries answers
alone. On SIGTERM the worker takes its VASP processes with it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

import psutil
from jobflow import run_locally

from ..stores.connect import stores_from_yaml
from ..stores.documents import ConfigurationDoc
from .campaign import configuration_flow
from .campaign_file import Campaign, read_campaign
from .leash import die_with_parent
from .metal import metal_flow, plan_metal
from .restore import adopt, is_done
from .worker_log import start_logging


def main() -> None:
    """Serve configurations until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _stop)
    die_with_parent(int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's, who asks us to stop
    lines = start_logging()
    campaign = read_campaign(Path(sys.argv[1]))
    stores = stores_from_yaml(Path(sys.argv[2]))
    job_store = stores.job_store()
    job_store.connect()
    answer(answers, {"ready": os.getpid()})
    for line in sys.stdin:
        request = json.loads(line)
        if "metal" in request:
            lines.whose = "metal reference"
            answer(answers, run_metal(campaign, request["metal"], job_store, Path(request["folder"])))
            continue
        document = ConfigurationDoc.model_validate(request["configuration"])
        lines.whose = f"x = {document.fraction:.3f} {document.joint_key}"
        answer(answers, run_configuration(campaign, document, job_store, Path(request["folder"])))


def run_configuration(campaign: Campaign, document: ConfigurationDoc, job_store: Any, folder: Path) -> dict[str, Any]:
    """Run one configuration's flow in its folder; whatever goes wrong is said, never raised."""
    identity = {"configuration_id": document.configuration_id}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        adopt(job_store, campaign.folder, [document])  # a worker before may have been killed with its document in hand
        if is_done(document, job_store.docs_store):
            return identity
        flow = configuration_flow(campaign, document, job_store.docs_store, [folder.parent])
        # raise_immediately off: our jobs return their failures; what still raises must not take the worker down.
        run_locally(
            flow, store=job_store, create_folders=True, root_dir=folder, allow_external_references=True, log=False
        )
        _remove_empty_folders(folder)
    except Exception as error:  # a worker outlives any one configuration; the launcher writes the reason down
        logging.getLogger(__name__).error("%s\n%s", document.joint_key, traceback.format_exc())
        return {**identity, "error": f"{type(error).__name__}: {error}"}
    return identity


def run_metal(campaign: Campaign, wanted: dict[str, Any], job_store: Any, folder: Path) -> dict[str, Any]:
    """Run one attempt at the metal reference in its folder; whatever goes wrong is said, never raised."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flow = metal_flow(campaign, plan_metal(campaign, wanted["engine"]), wanted["attempt"])
        run_locally(flow, store=job_store, create_folders=True, root_dir=folder, log=False)
    except Exception as error:  # the launcher writes the reason down
        logging.getLogger(__name__).error("metal reference\n%s", traceback.format_exc())
        return {"metal": wanted, "error": f"{type(error).__name__}: {error}"}
    return {"metal": wanted}


def _remove_empty_folders(folder: Path) -> None:
    """Jobflow makes a folder for a step that is then skipped, too."""
    for place in folder.glob("job_*"):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def answer(stream: TextIO, content: dict[str, Any]) -> None:
    """One JSON line to the launcher."""
    stream.write(json.dumps(content) + "\n")
    stream.flush()


def _stop(signum: int, frame: Any) -> None:
    """Take every child (VASP runs in sessions of their own) along and leave at once."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(children, timeout=3)
    for child in alive:
        child.kill()
    os._exit(128 + signum)


if __name__ == "__main__":
    main()
