"""How custodian watches a VASP run of ours: how often it looks, and that it leaves reading the outputs to the job."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from custodian.custodian import Validator

POLLING_S = 0.2
"""Custodian looks this often whether VASP has ended (its own default, 10 s, is 5 s lost per job on average)."""

MONITOR_EVERY_S = 300
"""Custodian's monitors (frozen job, wall time) look at a running job this often, as by its default."""


@dataclass(frozen=True)
class ReadByTheJob(Validator):
    """Accept every run: the job reads the outputs itself, once, and says what is missing.

    Custodian's own validators would parse vasprun.xml a second time; and as custodian asks them before it looks at the
    return code, a VASP killed by a signal could not be told from one that stopped with an error.
    """

    def check(self, directory: str = "./") -> bool:
        """No objection."""
        return False


WALL_CLOCK = "CUSTODIAN_WALLTIME_START"
"""Where custodian keeps when wall time began: set once per process, it would make later jobs count from the first."""


def fresh_wall_clock() -> None:
    """Let the wall time of the next run begin now."""
    os.environ.pop(WALL_CLOCK, None)


def patient_custodian() -> dict[str, Any]:
    """Run settings that notice VASP's end quickly and look at a running VASP as rarely as custodian does by default."""
    return {
        "custodian_kwargs": {"polling_time_step": POLLING_S, "monitor_freq": round(MONITOR_EVERY_S / POLLING_S)},
        "validators": [ReadByTheJob()],
    }
