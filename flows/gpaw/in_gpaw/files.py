"""Files between a job and GPAW's process: each is whole or not there; streams hold whole lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

JOB = "job.json"
RESULT = "result.json"
FRAMES = "frames.jsonl"
ITERATIONS = "scf.jsonl"
CONTCAR = "CONTCAR"
LOG = "gpaw.txt"


def write_whole(path: Path, text: str) -> None:
    """Write a file by atomic rename."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)


def append_line(path: Path, record: dict[str, Any], sync: bool = False) -> None:
    """Append one JSON line; with `sync` it is on the disk before this returns."""
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(record) + "\n")
        if sync:
            handle.flush()
            os.fsync(handle.fileno())


def contcar_text(symbols: list[str], cell: list[list[float]], frac_coords: list[list[float]]) -> str:
    """A geometry in VASP's format, with the blocks of equal neighbours as they stand."""
    blocks: list[list[Any]] = []
    for symbol in symbols:
        if blocks and blocks[-1][0] == symbol:
            blocks[-1][1] += 1
        else:
            blocks.append([symbol, 1])
    rows = [" ".join(f"{x:22.16f}" for x in row) for row in cell]
    sites = [" ".join(f"{x:20.16f}" for x in row) for row in frac_coords]
    names, numbers = " ".join(b[0] for b in blocks), " ".join(str(b[1]) for b in blocks)
    return "\n".join(["written by valenceflow's GPAW run", "1.0", *rows, names, numbers, "Direct", *sites]) + "\n"
