"""What a worker writes into the campaign's log: every line with its time and the configuration it is about.

Two kinds of warnings are left out, each for a reason; all others appear once per worker.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import IO

STUB_POTCAR_WARNINGS = "ignore:POTCAR data with symbol"
"""For PYTHONWARNINGS where POTCARs are stubs: pymatgen rightly does not know them, and says so at every look."""

_FORMAT = "%(asctime)s %(levelname)s %(whose)s: %(message)s"


class WhoseLines(logging.Filter):
    """Names the configuration that the worker runs in every record."""

    def __init__(self) -> None:
        super().__init__()
        self.whose = "worker"

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the name into the record and let it pass."""
        record.whose = self.whose
        return True


class _Once(logging.Filter):
    """Lets a message pass once: Python forgets which warnings it has shown whenever a library changes its filters."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message in self._seen:
            return False
        self._seen.add(message)
        return True


def start_logging(stream: IO[str] | None = None) -> WhoseLines:
    """Send logging and warnings of this process to standard error, which is the campaign's log.

    Parameters
    ----------
    stream : another place to write to.

    Returns
    -------
    What names the configuration; its `whose` is to be set for each.
    """
    handler, whose = logging.StreamHandler(stream or sys.stderr), WhoseLines()
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(whose)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    warnings.formatwarning = _one_line
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addFilter(_Once())
    # jobflow 0.4.0 enters its run folders by monty's `cd`, which monty deprecates: nothing that a user could change.
    warnings.filterwarnings("ignore", "cd is deprecated", FutureWarning, r"jobflow\.managers\.local")
    return whose


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"{category.__name__}: {' '.join(str(message).split())} ({filename}, line {lineno})"
