"""A trained cPaiNN in one file: weights, architecture, energy scale, species map, species it was trained on, history.

A model without its species map is not read: without it nobody knows what its charge states are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ...inputs.yaml_files import first_problem
from ..species import SpeciesMap
from ..weight_files import WeightFile, read_weights, write_weights
from .model import CPaiNN, EnergyScale
from .settings import ModelSettings

KIND = "valenceflow-cpainn"
VERSION = 1
HEADS = ("magmoms", "charges")
"""Outputs that a training set may have no labels of; untrained ones are random numbers."""


@dataclass(frozen=True)
class TrainedModel:
    """A model and what has to be known to use it.

    Attributes
    ----------
    model : the potential.
    species_map : how charge states are encoded.
    species : model numbers that occurred in training; of others it knows nothing.
    about : what was trained how (settings, data, versions); anything that JSON can say.
    heads : which of `HEADS` were trained.
    """

    model: CPaiNN
    species_map: SpeciesMap
    species: tuple[int, ...]
    about: dict[str, Any] = field(default_factory=dict)
    heads: tuple[str, ...] = HEADS


def save_model(path: Path, trained: TrainedModel) -> None:
    """Write a model by atomic rename; errors as `weight_files.write_weights`."""
    write_weights(path, WeightFile(KIND, VERSION, _described(trained), trained.model.state_dict()))


def _described(trained: TrainedModel) -> dict[str, Any]:
    energies = trained.model.energies
    return {
        "architecture": trained.model.settings.model_dump(),
        "energies": {"scale": energies.scale, "references": {str(k): v for k, v in energies.references.items()}},
        "species_map": trained.species_map.model_dump(mode="json"),
        "species": list(trained.species),
        "heads": list(trained.heads),
        "about": trained.about,
    }


def load_model(path: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> TrainedModel:
    """Read a model.

    Parameters
    ----------
    path : the file.
    dtype : precision to compute in; None: the one it was trained in.
    device : where to compute.

    Raises
    ------
    ValueError
        If the file is no cPaiNN of ours, its species map is missing, or weights and architecture do not agree.
    """
    file = read_weights(path, KIND, VERSION)
    try:
        settings = ModelSettings.model_validate(file.about["architecture"])
        species_map = SpeciesMap.model_validate(file.about["species_map"])
        references = {int(number): float(energy) for number, energy in file.about["energies"]["references"].items()}
        energies = EnergyScale(float(file.about["energies"]["scale"]), references)
        species = tuple(int(number) for number in file.about["species"])
    except KeyError as err:
        raise ValueError(f"{path}: does not say its {err.args[0]}; a model without it cannot be used") from err
    except ValidationError as err:
        raise ValueError(f"{path}: {first_problem(err)}") from err
    model = model_with_weights(settings, energies, file, path)
    model = model.to(device=device, dtype=dtype or model.dtype).eval().requires_grad_(False)
    about = file.about.get("about", {})
    return TrainedModel(model, species_map, species, about, _heads(file.about, about.get("errors")))


def _heads(file: Mapping[str, Any], errors: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Heads that a file names; of older files those whose errors were measured, all where none are told."""
    told = file.get("heads", HEADS if errors is None else list(errors))
    return tuple(head for head in HEADS if head in told)


def model_with_weights(settings: ModelSettings, energies: EnergyScale, file: WeightFile, path: Path) -> CPaiNN:
    """Build a model and fill it with a file's tensors.

    Raises
    ------
    ValueError
        If a tensor is missing, too many, or of another shape.
    """
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        model = CPaiNN(settings)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in file.tensors.items()}
    unlike = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if unlike:
        name = unlike[0]
        raise ValueError(
            f"{path}: {name} has shape {found.get(name, 'none')} where the architecture needs "
            f"{expected.get(name, 'none')} ({len(unlike)} such tensors)"
        )
    model.load_state_dict(file.tensors, assign=True)
    model.set_energies(energies)
    return model
