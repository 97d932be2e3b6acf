"""Why a rehearsal stops before or during the run, with the words that VASP would print."""

from __future__ import annotations


class InputError(Exception):
    """An input that VASP would refuse; the message is what it would print."""


class Stopped(Exception):  # noqa: N818 - a fault ends the process as asked; nothing went wrong here
    """The process ends here and leaves its files as they are.

    Parameters
    ----------
    status : exit status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


def bad_item(tag: str, code: int, found: int) -> InputError:
    """Return VASP's complaint about one INCAR tag.

    Parameters
    ----------
    tag : the INCAR tag.
    code : VASP's IERR: 0 for a wrong number of values, 5 for one that cannot be read.
    found : how many values were read.
    """
    return InputError(
        f"Error reading item '{tag}' from file INCAR.\nError code was IERR= {code} ... . Found N={found:5d} data."
    )
