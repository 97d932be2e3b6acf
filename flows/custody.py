"""How custodian watches a VASP run of ours: how often it looks, what it may mend, who reads the outputs."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from atomate2.vasp.run import DEFAULT_HANDLERS
from custodian.custodian import ErrorHandler, Validator
from custodian.vasp.handlers import VaspErrorHandler

POLLING_S = 0.1
"""Custodian looks this often whether VASP has ended (its own default, 10 s, is 5 s lost per job on average)."""

MONITOR_EVERY_S = 60
"""Custodian's monitors (messages, frozen job, wall time) look at a running job this often.

By its own default it is 300 s, which is also how long before the wall time it writes STOPCAR: a look just before that
would leave VASP no time to end.
"""


STOPPED_BEFORE_MIN = 5
"""Minutes before the wall time at which custodian writes STOPCAR."""


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


BREAK_THE_PROTOCOL = ("tet", "tetirr", "dentet", "brmix", "triple_product")
"""Messages that custodian answers with another k-mesh, another smearing or swapped axes: left to fail instead."""

GOOD_RUNS_KILLED = ("symprec_noise", "algo_tet", "elf_ncl", "amin", "subspacematrix")
"""Warnings after which VASP goes on, but custodian would end the run."""

CRASHING = ("nbands_not_sufficient",)
"""Messages on which custodian's own correction raises before the first electronic step was done."""


def protocol_handlers() -> list[ErrorHandler]:
    """Custodian's handlers as atomate2 chooses them, without the corrections that would leave the protocol.

    What is left out surfaces as a failure of the run, or passes where VASP goes on by itself.
    """
    left_out = {*BREAK_THE_PROTOCOL, *GOOD_RUNS_KILLED, *CRASHING}
    caught = [message for message in VaspErrorHandler.error_msgs if message not in left_out]
    others = [deepcopy(handler) for handler in DEFAULT_HANDLERS if not isinstance(handler, VaspErrorHandler)]
    return [VaspErrorHandler(errors_subset_to_catch=caught), *others]


def patient_custodian() -> dict[str, Any]:
    """Run settings: notice VASP's end quickly, look at a running VASP often, keep the protocol."""
    return {
        "custodian_kwargs": {"polling_time_step": POLLING_S, "monitor_freq": round(MONITOR_EVERY_S / POLLING_S)},
        "handlers": protocol_handlers(),
        "validators": [ReadByTheJob()],
    }
