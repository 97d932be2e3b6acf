"""CPU time of commands that only look: --help, and status and query of a campaign with 10,000 configurations.

    python benchmarks/start_up.py [--configurations N] [--json]

The calculations are copies, under new ids, of one that a rehearsal really made.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

LIMITS_S = {"--help": 0.3, "status": 1.0}
CAMPAIGN = """\
name: many
host: olivine-NaFePO4
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: 1/2, orderings: {sample: 1}}}
charge: {sample: 1}
"""


def cpu_of(command: list[str], repetitions: int = 7) -> tuple[float, float]:
    """Median CPU and wall time of a command, s."""
    cpu, wall = [], []
    for _ in range(repetitions):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall.append(perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(cpu), statistics.median(wall)


def fill(folder: Path, count: int) -> Path:
    """A campaign whose store holds `count` configurations and calculations; returns its file."""
    from valenceflow.stores.connect import STORE_FILE, sqlite_stores

    campaign = folder / "many.yaml"
    campaign.write_text(CAMPAIGN, encoding="utf-8")
    run = [sys.executable, "-m", "valenceflow.cli.main", "run", str(campaign), "--engine", "rehearsal:springs"]
    subprocess.run(run, stdout=subprocess.DEVNULL, check=False)
    stores = sqlite_stores(folder / "many" / STORE_FILE)
    for name, key in (("configurations", "configuration_id"), ("calculations", "calculation_id")):
        collection = stores.collection(name)
        originals = list(collection.query({}))
        copies = []
        for number in range(count - len(originals)):
            copy = dict(originals[number % len(originals)])
            copy["configuration_id"] = f"{number:020x}"
            if name == "calculations":
                copy[key] = f"{number:020x}-1"
            copies.append(copy)
        for start in range(0, len(copies), 500):
            collection.update(copies[start : start + 500])
    return campaign


def main() -> int:
    """Time the commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configurations", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    valenceflow = [sys.executable, "-m", "valenceflow.cli.main"]
    with tempfile.TemporaryDirectory() as name:
        campaign = str(fill(Path(name), options.configurations))
        commands = {
            "--help": ["--help"],
            "status": ["status", campaign],
            "status --json": ["status", campaign, "--json"],
            "query --limit 20": ["query", campaign, "--limit", "20"],
        }
        figures = {label: cpu_of([*valenceflow, *words]) for label, words in commands.items()}
    if options.json:
        print(json.dumps({label: {"cpu_s": c, "wall_s": w} for label, (c, w) in figures.items()}, indent=1))
        return 0
    for label, (cpu, wall) in figures.items():
        limit = (
            f"at most {LIMITS_S[label]} s: {'met' if cpu <= LIMITS_S[label] else 'MISSED'}" if label in LIMITS_S else ""
        )
        print(f"{label:18} CPU {cpu:6.3f} s  wall {wall:6.3f} s  {limit}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
