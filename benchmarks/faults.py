"""A campaign of 20 configurations with a random fault in every third one: is every configuration audited or explained?

    python benchmarks/faults.py [--seed 1] [--json]

Each faulty configuration is run by itself with its fault injected into the stand-in, the others together without. Then
the fault is over, everything that failed is retried, and the rest must come out as meant.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CAMPAIGN = """\
name: faults
host: olivine-NaFePO4
supercell: [1, 2, 1]
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: 1/2, orderings: {sample: 6, seed: 4}}}
charge: {sample: 3, seed: 4}
launch: {workers: 2, max_continuations: 2}
"""
FAULTS = (
    "zbrent@once",
    "edddav",
    "brmix",
    "kill:2",
    "exit:3",
    "truncated-vasprun",
    "scf:2",
    "scf:last",
    "wall-time:2",
    "nsw",
    "spin-flip:20",
    "garbage-moments",
    "missing-contcar",
    "empty-contcar",
    "blow-up",
    "message:triple_product",
    "message:zheev",
)
ENGINE = ["--engine", "rehearsal:springs"]


def valenceflow(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "valenceflow.cli.main", *words], capture_output=True, text=True, check=False
    )


def run_with_faults(campaign: Path, keys: Sequence[str], faults: Sequence[str]) -> dict[str, str]:
    """Run every third configuration with a fault and the others without; returns key -> fault."""
    faulty = dict(zip(keys[2::3], faults, strict=False))
    for key, fault in faulty.items():
        valenceflow("run", str(campaign), *ENGINE, "--only", key, "--fault", fault, "--workers", "1")
    valenceflow("run", str(campaign), *ENGINE)
    return faulty


def outcome(calculation: dict[str, Any] | None) -> str:
    """What became of a configuration, in words; empty if it is neither audited nor explained."""
    if calculation is None:
        return ""
    if calculation["state"] == "failed":
        failure = next(s for s in calculation["steps"].values() if s["document"] == "FailureDoc")
        return f"failed: {failure['reason']}" if failure["remedy"] else ""
    if calculation["state"] == "audit failed":
        return "audit failed: " + ", ".join(
            sorted({f["code"] for f in calculation["audit"]["findings"] if f["severity"] == "failure"})
        )
    warnings = sorted({f["code"] for f in calculation["audit"]["findings"] if f["severity"] == "warning"})
    return f"completed, {calculation['relation']}" + (f", flagged: {', '.join(warnings)}" if warnings else "")


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """Run the campaign and look at every configuration, before and after a retry."""
    from valenceflow.stores.connect import STORE_FILE, sqlite_stores

    campaign = folder / "faults.yaml"
    campaign.write_text(CAMPAIGN, encoding="utf-8")
    valenceflow("run", str(campaign), *ENGINE, "--limit", "1")
    stores = sqlite_stores(folder / "faults" / STORE_FILE)
    keys = [c["joint_key"] for c in stores.collection("configurations").query({})]
    generator = random.Random(seed)
    faulty = run_with_faults(campaign, keys, generator.sample(FAULTS, len(keys) // 3))
    found = {c["intended_key"]: c for c in stores.collection("calculations").query({"latest": True})}
    rows = {key: {"fault": fault, "outcome": outcome(found.get(key))} for key, fault in faulty.items()}
    status = valenceflow("status", str(campaign)).stdout
    reasons = {row["outcome"].removeprefix("failed: ") for row in rows.values() if row["outcome"].startswith("failed")}
    valenceflow("retry", str(campaign), *ENGINE)
    valenceflow("run", str(campaign), *ENGINE)
    after = list(stores.collection("calculations").query({"latest": True}, ["state", "relation"]))
    return {
        "configurations": len(keys),
        "neither audited nor explained": sum(not outcome(found.get(key)) for key in keys),
        "reasons that status does not show": sum(reason not in status for reason in reasons),
        "sound configurations disturbed": sum(
            outcome(found.get(key)) != "completed, kept" for key in keys if key not in faulty
        ),
        "not completed after retry": sum(c["state"] != "completed" for c in after),
        "faults": rows,
    }


def main() -> int:
    """Print the table; fails if a configuration is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="valenceflow-faults-") as name:
        table = measure(Path(name), options.seed)
    if options.json:
        print(json.dumps(table, indent=1))
    else:
        for key, row in table["faults"].items():
            print(f"{key:14} {row['fault']:24} {row['outcome'] or 'UNEXPLAINED'}")
        for name, number in table.items():
            if name != "faults":
                print(f"{name:36} {number}")
    return int(table["neither audited nor explained"] or table["reasons that status does not show"])


if __name__ == "__main__":
    raise SystemExit(main())
