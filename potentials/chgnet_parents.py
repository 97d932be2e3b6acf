"""CHGNets to begin from that are not ours: the pretrained ones, and files of its trainer. Read as weights only."""

from __future__ import annotations

import contextlib
import io
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from .chgnet import TrainedChgnet, architecture_of, chgnet_with
from .model_folder import sha256_of
from .presets import ChgnetArchitecture
from .species import SpeciesMap

PRETRAINED = {
    "0.3.0": "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "r2scan": "pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
}
"""Name -> file within the package `chgnet`. Its 0.2.0 has another architecture than the universal one."""

_USUAL = {"cutoff_coeff": 8, "gMLP_norm": "layer", "readout_norm": "layer", "read_out": "ave"}
"""What every CHGNet of ours has."""


def open_chgnet_checkpoint(name: str) -> tuple[TrainedChgnet, str]:
    """Open a pretrained CHGNet by name, or a file that CHGNet's trainer wrote.

    It knows no charge states of ours: each begins as its element.

    Returns
    -------
    The model, and the checksum of its file.

    Raises
    ------
    ValueError
        If there is none of this name, or the file is no checkpoint, or one that would have to be run.
    """
    path = Path(str(files("chgnet") / PRETRAINED[name])) if name in PRETRAINED else Path(name)
    if not path.is_file():
        raise ValueError(
            f"--from {name}: is neither a folder that `valenceflow train` made, nor a file of CHGNet's trainer, nor a "
            f"pretrained model: {', '.join(PRETRAINED)}"
        )
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # on bytes that mean nothing the loader fails in whatever way they lead it to
        raise ValueError(
            f"--from {path}: cannot be read as weights only; files that hold code are refused: reading one runs it"
        ) from err
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not {"model_args", "state_dict"} <= set(model):
        raise ValueError(f"--from {path}: is no checkpoint of CHGNet's trainer")
    with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
        opened = chgnet_with(model["model_args"], model["state_dict"], path)
    return TrainedChgnet(opened, SpeciesMap.shipped("elements"), ()), sha256_of(path)


def architecture_settings(trained: TrainedChgnet) -> ChgnetArchitecture:
    """Architecture of a model, as settings.

    Raises
    ------
    ValueError
        If it differs in something that the settings do not say.
    """
    theirs = architecture_of(trained.model)
    found = ChgnetArchitecture.model_validate(
        {name: theirs[name] for name in ChgnetArchitecture.model_fields if name in theirs}
    )
    for name, value in _USUAL.items():
        if theirs.get(name, value) != value:
            raise ValueError(f"the model to start from has {name} = {theirs[name]!r}, which cannot be trained here")
    return found
