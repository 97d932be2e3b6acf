"""Charge-ordered DFT campaigns, and potentials that know charge states, for mixed-valence materials."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`__version__`, read from the installed metadata when asked for: start-up does without it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415 - a tenth of a second at every start

    return version("valenceflow")
