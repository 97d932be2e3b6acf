"""Stores of frames with known charge states, and energies that a formula gives, for data sets."""

import subprocess
from functools import partial

import numpy as np
import pytest
from valenceflow.stores.connect import sqlite_stores
from valenceflow.stores.frame_writer import FrameWriter
from valenceflow.stores.frames import RunDoc
from valenceflow.stores.ingest_run import RunFacts, StepFrame, atomic_numbers, parts_of

SYMBOLS = ["Na"] * 2 + ["Fe"] * 4 + ["P"] * 4 + ["O"] * 16
STATES = [3, 2, 3, 2]
N_SITES = len(SYMBOLS)


def label(**changes):
    fields = {
        "verdict": "resolved", "source": "moments", "couples": ["Fe2+/Fe3+"], "redox_elements": ["Fe"],
        "states": STATES, "confidences": [1.0] * 4, "fixed": {"Na": 1, "P": 5, "O": -2}, "charge": 0, "n_high": 2,
        "confidence": 1.0, "as_intended": True, "bader_agrees": None, "transition": False, "labelling_id": "l",
        "reason": "",
    }  # fmt: skip
    return {**fields, **changes}


def relaxation(seed, count=6, step=1e-3, **changes):
    """Frames of a made-up relaxation: a small walk from positions that the seed gives."""
    draw = np.random.default_rng(seed)
    lattice = np.diag([10.3, 6.0, 4.7]) + draw.normal(size=(3, 3)) * 0.05
    scaled = draw.random((N_SITES, 3))
    frames = []
    for number in range(count):
        scaled = scaled + draw.normal(size=scaled.shape) * step
        stress = draw.normal(size=(3, 3)) / 100
        moments = np.concatenate([[0.0, 0.0], [4.3, 3.7, 4.3, -3.7], np.zeros(20)]) + 0.01 * draw.random(N_SITES)
        fields = {
            "lattice": lattice, "scaled_positions": np.round(scaled, 8), "positions": np.round(scaled, 8) @ lattice,
            "energy": -170.0 - 0.1 * seed - 1e-3 * number, "forces": draw.normal(size=(N_SITES, 3)) * 0.1,
            "stress": (stress + stress.T) / 2, "magmoms": moments,
        }  # fmt: skip
        frames.append(StepFrame(**{**fields, **changes}))
    return frames


@pytest.fixture
def stores(tmp_path):
    """Empty stores."""
    opened = sqlite_stores(tmp_path / "store.sqlite")
    yield opened
    opened.close()


def write_run(stores, run_id, frames, marked=None, doc=None, symbols=SYMBOLS, **facts):
    """Put a run of labelled frames into a store; `doc` changes fields of each frame's document."""
    fields = {
        "run_id": run_id, "source": "vasp folder", "lineage": run_id, "numbers": atomic_numbers(symbols),
        "engine": "vasp", "protocol_hash": "p", "step": "relax",
    }  # fmt: skip
    made = RunFacts(**{**fields, **facts})
    parts = list(parts_of(made, frames, {}))
    for part in parts:
        for frame in part.frames:
            frame["label"] = label() if marked is None else marked
            frame.update(doc or {})
    run = RunDoc(run_id=run_id, source="vasp folder", place=f"x:{run_id}", checksum="c", state="taken")
    with FrameWriter(stores) as writer:
        writer.add(run, parts)


@pytest.fixture
def put(stores):
    """Function that puts a run of labelled frames into the store, as `write_run` does."""
    return partial(write_run, stores)


@pytest.fixture
def twelve(stores, put):
    """Twelve runs in six lineages, six frames each."""
    for number in range(12):
        put(f"run{number:02d}", relaxation(number), lineage=f"lineage{number // 2}")
    return stores


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 32 kB in memory."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("mounting a small file system needs rights that are missing here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
