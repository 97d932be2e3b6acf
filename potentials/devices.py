"""Whether torch can compute where it is told to."""

from __future__ import annotations

import torch


def check_device(name: str) -> None:
    """Refuse a device that torch cannot use here.

    Raises
    ------
    ValueError
        If it is unknown, or not in this machine.
    """
    try:
        torch.zeros(1, device=name)
    except (AssertionError, RuntimeError) as err:
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise ValueError(f"device {name!r}: torch cannot use it here ({reason}); take cpu, or cuda with a GPU") from err
