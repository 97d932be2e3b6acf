"""Where a training of CHGNet or MACE stands, in a file of weights: groups of named tensors, and what JSON can say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .weight_files import WeightFile, read_weights, write_weights

STATE_FILE = "training.pt"
VERSION = 1


def write_state(
    path: Path,
    kind: str,
    identity: Mapping[str, Any],
    about: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write a state by atomic rename; errors as `weight_files.write_weights`.

    Parameters
    ----------
    path : the file.
    kind : whose state it is.
    identity : what the training is of.
    about : anything that JSON can say.
    groups : name -> name -> tensor.
    """
    tensors = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
    write_weights(path, WeightFile(kind, VERSION, {"identity": dict(identity), **about}, tensors))


def read_state(
    path: Path, kind: str, identity: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read a state.

    Returns
    -------
    What JSON could say, and the groups of tensors.

    Raises
    ------
    ValueError
        If the file is unreadable, of another kind, or of another training (what differs is named).
    """
    file = read_weights(path, kind, VERSION)
    refuse_unlike(file.about.get("identity", {}), identity, path)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    return file.about, groups


def refuse_unlike(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on with another training.

    Raises
    ------
    ValueError
        Naming what differs.
    """
    unlike = sorted(key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key))
    if unlike:
        told = ", ".join(f"{key} ({_short(theirs.get(key))} there, {_short(ours.get(key))} now)" for key in unlike)
        raise ValueError(
            f"{path}: is of another training: {told} differ; give another folder, or remove {path.parent} to start anew"
        )


def _short(value: Any) -> str:
    """A setting in an error; hashes and architectures by their beginning."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser as named tensors: `index/slot`."""
    return {
        f"{index}/{slot}": value
        for index, found in optimizer.state_dict()["state"].items()
        for slot, value in found.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rates: list[float]) -> None:
    """Put the state back.

    Parameters
    ----------
    optimizer : fresh, over the same weights.
    tensors : of `optimizer_tensors`.
    rates : learning rate of each of its groups.
    """
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, slot = name.partition("/")
        slots.setdefault(int(index), {})[slot] = tensor
    groups = optimizer.state_dict()["param_groups"]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
