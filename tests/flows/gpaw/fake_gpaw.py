"""Stands in for GPAW's Python: answers the probe and writes what `in_gpaw.run` would, without GPAW. Toy numbers.

FAKE_GPAW says how it ends: well, unfinished, stopped, moved, not converged, missing setup, crash, killed, silent, no
gpaw, no ions, no setups, old, newer.
"""

import json
import os
import signal
import sys
from pathlib import Path

HOW = os.environ.get("FAKE_GPAW", "well")
SETUPS = {"Na": 7, "Fe": 8, "P": 5, "O": 6, "Ga": 13}


def probe(names):
    if HOW == "no gpaw":
        sys.exit("ModuleNotFoundError: No module named 'gpaw'")
    found = {
        "version": {"old": "20.1.0", "newer": "99.1.0"}.get(HOW, "22.8.0"),
        "python": "fake",
        "setup_folders": [] if HOW == "no setups" else ["/fake/setups"],
        "missing": [name for name in names if name.split(".")[0] not in SETUPS],
        "ranks": 1,
    }
    print("a line that some library prints")
    print(json.dumps(found))


def frame(job, step):
    moments = {5.0: 4.37, 4.0: 3.75}
    found = [moments.get(abs(m), 0.1) for m in job["magmoms"]]
    if HOW == "moved" and job["redox"]["n_high"]:
        first, last = job["redox"]["sites"][0], job["redox"]["sites"][-1]
        found[first], found[last] = found[last], found[first]
    force = 0.02 if step else 0.5
    if job["calculation"] == "relax" and HOW == "unfinished":
        force = 0.5
    n = len(job["symbols"])
    return {
        "cell": job["cell"],
        "frac_coords": job["frac_coords"],
        "energy": -150.0 - 0.1 * step,
        "forces": [[force, 0.0, 0.0]] * n,
        "stress": [[0.0] * 3] * 3,
        "magmoms": found,
        "total_magmom": sum(found),
        "scf_converged": True,
        "scf_iterations": 20,
    }


def run(folder):
    job = json.loads((folder / "job.json").read_text())
    if HOW == "crash":
        sys.exit("RuntimeError: something GPAW does not like")
    if HOW == "silent":
        return
    n_frames = 1 if HOW in ("stopped", "killed") or job["calculation"] == "static" else 2
    states = {"stopped": "stopped", "not converged": "not converged", "missing setup": "missing setup"}
    state = states.get(HOW, "done")
    if state in ("done", "stopped"):
        with (folder / "frames.jsonl").open("w") as stream:
            for step in range(n_frames):
                stream.write(json.dumps(frame(job, step)) + "\n")
    if HOW == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    starts = [
        {"start": s, "used": s, "converged": state != "not converged", "iterations": 20, "hops": 2, "energy": -150.0,
         "error": "the charge order changed 9 times" if state == "not converged" else ""}
        for s in job["starts"]
    ]  # fmt: skip
    result = {
        "state": state,
        "message": "no SCF start converged" if state == "not converged" else state,
        "versions": {"gpaw": "22.8.0"},
        "setups": {s: {"name": f"{s}.paw.PBE", "fingerprint": "0" * 8} for s in set(job["symbols"])},
        "starts": starts,
        "chosen": job["starts"][0],
        "notes": ["GPAW 22.8.0 cannot start from ions: its setups changed"] if HOW == "no ions" else [],
        "n_frames": n_frames,
        "ranks": 1,
        "elapsed_s": 1.0,
        "cpu_s": 1.0,
        "max_memory_mb": 1.0,
    }
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    assert sys.argv[1] == "-c"
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & set(os.environ)
    if "in_gpaw.probe" in sys.argv[2]:
        probe(sys.argv[3:])
    else:
        run(Path(sys.argv[3]))
