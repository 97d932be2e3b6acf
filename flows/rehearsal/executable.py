"""The command `valenceflow-rehearsal-vasp`: runs in a folder with the four input files of VASP.

The physics is an engine (`springs`, `chgnet`, `chgnet-states`); all else is what readers of VASP expect.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from .command import DEFAULT_ENGINE, ENGINE_VARIABLE, ENGINES
from .fault_requests import FAULT_VARIABLE, fault_list, requested_fault


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stand-in in the working folder and return its exit status.

    Parameters
    ----------
    arguments : the command line without the program; the process's own by default.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.engine not in ENGINES:
        parser.error(f"{ENGINE_VARIABLE}={options.engine!r} is no engine; choose one of {', '.join(ENGINES)}")
    if options.fault == "list":
        print(fault_list())
        return 0
    # Workers already share the cores; set before numpy and torch are loaded.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # Imported here: numpy must be loaded after the thread counts are set.
    from .faults import make_fault  # noqa: PLC0415
    from .run import run  # noqa: PLC0415

    try:
        fault = make_fault(requested_fault(options.fault))
    except ValueError as err:
        parser.error(str(err))
    return run(Path.cwd(), options.engine, fault, options.steps)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="valenceflow-rehearsal-vasp", description=__doc__)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=os.environ.get(ENGINE_VARIABLE, DEFAULT_ENGINE),
        help=f"the physics (default: ${ENGINE_VARIABLE}, else {DEFAULT_ENGINE})",
    )
    parser.add_argument(
        "--fault",
        metavar="NAME[:ARG][@WHERE]",
        help=f"put a fault into the run; `list` names them (default: ${FAULT_VARIABLE})",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="make exactly N ionic steps (for benchmarks)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
