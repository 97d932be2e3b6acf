"""SIGKILLs over launcher, workers, VASP and builder of a campaign: is anything lost, doubled, repeated?

    python benchmarks/kills.py [--kills 20] [--seed 1] [--inbox] [--large] [--folder DIR] [--json]

A campaign of 16 configurations (with --large 50, and a `build` that is killed too) on the `springs` stand-in runs with
two workers. At random moments one of its processes is killed; whenever the launcher is gone it is started again, and
failures are retried. In the end every configuration has exactly one latest calculation, as meant; no job has two
documents of the same index, and no step was started again after it had passed its audit. In `--folder` the campaign is
kept: the same command goes on there after it was stopped itself, and `killed.json` says how many were killed so far.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

CAMPAIGN = """\
name: kills
host: olivine-NaFePO4
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: [1/2, 1/4, 3/4], orderings: {all: true}}}
charge: {all: true}
launch: {workers: 2}
"""
LARGE = """\
name: kills
host: olivine-NaFePO4
supercell: [1, 2, 1]
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: 1/2, orderings: {sample: 6, seed: 1}}}
charge: {sample: 8, seed: 1}
launch: {workers: 2}
"""
INBOX = """\
docs_store: &docs
  {{type: SQLiteStore, path: {folder}/kills/store.sqlite, collection: jobs, journal: delete, inbox: true}}
additional_stores: {{data: {{<<: *docs, collection: data, indexes: [job_uuid]}}}}
"""
ENGINE = ["--engine", "rehearsal:springs"]
TARGETS = ("launcher", "worker", "vasp")
BUILDER = "builder"
HARMS = ("lost", "duplicated calculations", "duplicated jobs", "finished steps repeated", "processes left behind")
"""What must be zero."""
GIVE_UP_S = 7200
REFUSED = 2
"""Exit code of a command that cannot be carried out as it was asked for."""
COMPLAINTS = "complaints.txt"
KILLED, KILLED_FILE = "killed: ", "killed.json"
APPEARS_WITHIN_S = 60


def valenceflow(*words: str, **options) -> subprocess.Popen:
    """Start a valenceflow command; its output is thrown away unless asked for."""
    command = [sys.executable, "-m", "valenceflow.cli.main", *words]
    return subprocess.Popen(command, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options})


def start_run(campaign: Path) -> subprocess.Popen:
    """Start the campaign's run; what it complains of is kept beside the campaign."""
    with (campaign.parent / COMPLAINTS).open("wb") as complaints:
        return valenceflow("run", str(campaign), *ENGINE, stderr=complaints)


def check_not_refused(run: subprocess.Popen, campaign: Path) -> None:
    """A run that is refused would be started again for ever: say why it was."""
    if run.returncode == REFUSED:
        raise RuntimeError(f"the run was refused: {(campaign.parent / COMPLAINTS).read_text(encoding='utf-8')}")


def processes(launcher: psutil.Process, target: str) -> list[psutil.Process]:
    """Living processes of one kind."""
    if target == "launcher":
        return [launcher]
    marker = "valenceflow.flows.worker" if target == "worker" else "rehearsal.executable"
    found = []
    for process in launcher.children(recursive=True):
        try:
            if any(marker in word for word in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def kill_one(launcher: int, target: str, campaign: Path, generator: random.Random) -> bool:
    """Kill one process of a kind, waiting for one to appear; whether one was killed before the launcher ended."""
    if target == BUILDER:
        return kill_builder(campaign, generator)
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            victims = processes(psutil.Process(launcher), target)
            if victims:
                time.sleep(generator.uniform(0, 0.2))
                generator.choice(victims).kill()
                return True
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.03)
    return False


def kill_builder(campaign: Path, generator: random.Random) -> bool:
    """Start a `build` beside the run and kill it on its way; whether it was still there."""
    build = valenceflow("build", str(campaign))
    time.sleep(generator.uniform(0.5, 8.0))
    was_alive = build.poll() is None
    build.kill()
    build.wait()
    return was_alive


def kill_at_random(
    campaign: Path, kills: int, generator: random.Random, kinds: Sequence[str] = TARGETS
) -> Counter[str]:
    """Run the campaign, killing as it goes, each kind of process as often; returns how often each was killed.

    What was killed before in the same folder counts.
    """
    record = campaign.parent / KILLED_FILE
    done: Counter[str] = Counter(json.loads(record.read_text(encoding="utf-8")) if record.exists() else {})
    wanted = Counter(kinds[number % len(kinds)] for number in range(kills)) - done
    targets = sorted(wanted.elements())
    generator.shuffle(targets)
    run, begin = None, time.monotonic()
    while targets and time.monotonic() - begin < GIVE_UP_S:
        if run is None or run.poll() is not None:
            if run is not None and run.returncode == 0:
                break  # everything is there
            if run is not None:
                check_not_refused(run, campaign)
            valenceflow("retry", str(campaign), *ENGINE).wait()
            run = start_run(campaign)
            time.sleep(generator.uniform(2.0, 6.0))
        if kill_one(run.pid, targets[-1], campaign, generator):
            done[targets.pop()] += 1
            record.write_text(json.dumps(done), encoding="utf-8")
        time.sleep(generator.uniform(0.1, 2.5))
    if run is not None:
        run.wait(timeout=GIVE_UP_S)
    return done


def finish(campaign: Path) -> int:
    """Run and retry in peace until everything is there; returns the rounds that took."""
    for rounds in range(1, 6):
        words = [sys.executable, "-m", "valenceflow.cli.main"]
        subprocess.run([*words, "retry", str(campaign), *ENGINE], capture_output=True, check=False)
        if subprocess.run([*words, "run", str(campaign), *ENGINE], capture_output=True, check=False).returncode == 0:
            return rounds
    return rounds


def check(campaign: Path) -> dict[str, int]:
    """Count what is lost, doubled or repeated."""
    from valenceflow.stores.connect import STORE_FILE, sqlite_stores

    folder = campaign.parent / "kills"
    stores = sqlite_stores(folder / STORE_FILE)
    latest = list(stores.collection("calculations").query({"latest": True}, {"steps": 0}))
    planned = stores.collection("configurations").count({})
    per_configuration = Counter(c["configuration_id"] for c in latest)
    jobs = Counter((d["uuid"], d["index"]) for d in stores.docs().query({}, ["uuid", "index"]))
    return {
        "configurations": planned,
        "lost": planned - sum(c["state"] == "completed" and c["counts"] for c in latest),
        "duplicated calculations": sum(number - 1 for number in per_configuration.values()),
        "duplicated jobs": sum(number - 1 for number in jobs.values()),
        "finished steps repeated": repeated_steps(folder / "runs"),
        "processes left behind": sum(
            "rehearsal.executable" in " ".join(p.info["cmdline"] or ()) and str(folder) in (p.info["cwd"] or "")
            for p in psutil.process_iter(["cmdline", "cwd"])
        ),
    }


def repeated_steps(runs: Path) -> int:
    """Runs of a step that started after a run of the same step of the same configuration had passed its audit."""
    from valenceflow.flows.start_file import START_FILE
    from valenceflow.flows.step_document import STEP_FILE

    repeated = 0
    for configuration in runs.iterdir():
        passed: dict[str, float] = {}
        starts = sorted(configuration.glob(f"*/*/{START_FILE}"), key=lambda path: path.stat().st_mtime)
        for start in starts:
            step = json.loads(start.read_text())["step"]
            if step in passed and start.stat().st_mtime > passed[step]:
                repeated += 1
            ended = start.parent / STEP_FILE
            if ended.exists():
                document = json.loads(gzip.decompress(ended.read_bytes()))
                if document["document"] == "VaspStepDoc" and document["audit"]["passed"]:
                    passed.setdefault(step, ended.stat().st_mtime)
    return repeated


def kill_table(
    kills: int, seed: int, inbox: bool = False, large: bool = False, folder: Path | None = None
) -> dict[str, int]:
    """Kill, finish, and count.

    Parameters
    ----------
    kills, seed : how many, and which moments.
    inbox : as on network file systems: the launcher alone writes to the store.
    large : 50 configurations, and a builder beside them.
    folder : where the campaign is made and kept, or was begun; default: a temporary one.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="valenceflow-kills-") as name:
            return kill_table(kills, seed, inbox, large, Path(name))
    kinds = (*TARGETS, BUILDER) if large else TARGETS
    folder.mkdir(parents=True, exist_ok=True)
    campaign = folder.resolve() / "kills.yaml"
    campaign.write_text((LARGE if large else CAMPAIGN) + ("store: inbox.yaml\n" if inbox else ""), encoding="utf-8")
    (folder / "inbox.yaml").write_text(INBOX.format(folder=campaign.parent), encoding="utf-8")
    done = kill_at_random(campaign, kills, random.Random(seed), kinds)
    return {
        **{f"{KILLED}{target}": done[target] for target in kinds},
        "rounds to finish": finish(campaign),
        **check(campaign),
    }


def main() -> int:
    """Print the table; fails if anything was lost, doubled, repeated or left behind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inbox", action="store_true", help="as on a network file system")
    parser.add_argument("--large", action="store_true", help="50 configurations, and kills of a builder too")
    parser.add_argument("--folder", type=Path, help="keep the campaign here, or go on with it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = kill_table(options.kills, options.seed, options.inbox, options.large, options.folder)
    if options.json:
        print(json.dumps(table, indent=1))
    else:
        for name, number in table.items():
            print(f"{name:28} {number}")
    return int(any(table[name] for name in HARMS))


if __name__ == "__main__":
    raise SystemExit(main())
