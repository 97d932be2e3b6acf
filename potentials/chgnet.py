"""CHGNet (10.1038/s42256-023-00716-3) as models here keep it: weights that run no code, and an ASE calculator.

Upstream's classes are used as they are. Atoms come as model species (`species.SpeciesMap`): CHGNet looks at atomic
numbers alone, and its table has 94 of them.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from chgnet import PredTask
from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator
from pydantic import ValidationError

from ..inputs.yaml_files import first_problem
from .species import SpeciesMap, check_known
from .weight_files import WeightFile, read_weights, write_weights

KIND = "valenceflow-chgnet"
VERSION = 1


@dataclass(frozen=True)
class TrainedChgnet:
    """A model and what has to be known to use it.

    Attributes
    ----------
    model : CHGNet.
    species_map : how charge states are encoded.
    species : model numbers that occurred in training.
    magmoms : whether moments were trained; untrained ones are random numbers.
    """

    model: CHGNet
    species_map: SpeciesMap
    species: tuple[int, ...]
    magmoms: bool = True


def save_chgnet(path: Path, trained: TrainedChgnet) -> None:
    """Write a model by atomic rename; errors as `weight_files.write_weights`."""
    about = {
        "architecture": architecture_of(trained.model),
        "species_map": trained.species_map.model_dump(mode="json"),
        "species": list(trained.species),
        "magmoms": trained.magmoms,
    }
    write_weights(path, WeightFile(KIND, VERSION, about, trained.model.state_dict()))


def load_chgnet(path: Path, device: str = "cpu") -> TrainedChgnet:
    """Read a model.

    Raises
    ------
    ValueError
        If the file is no CHGNet of ours, lacks its species map, or its weights are those of another architecture.
    """
    file = read_weights(path, KIND, VERSION)
    try:
        species_map = SpeciesMap.model_validate(file.about["species_map"])
        model = chgnet_with(file.about["architecture"], file.tensors, path)
        species = tuple(int(number) for number in file.about["species"])
        magmoms = bool(file.about.get("magmoms", True))  # files of before say nothing
    except KeyError as err:
        raise ValueError(f"{path}: does not say its {err.args[0]}; a model without it cannot be used") from err
    except ValidationError as err:
        raise ValueError(f"{path}: {first_problem(err)}") from err
    return TrainedChgnet(model.to(device).eval().requires_grad_(False), species_map, species, magmoms)


def architecture_of(model: CHGNet) -> dict[str, Any]:
    """Arguments that make such a model anew, as JSON can say them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in model.model_args.items()}


def chgnet_with(architecture: dict[str, Any], weights: dict[str, torch.Tensor], path: Path) -> CHGNet:
    """Build a model and fill it.

    Raises
    ------
    ValueError
        If a tensor is missing, too many, or of another shape.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
            model = CHGNet(**architecture)
        model.load_state_dict(weights)
    except (TypeError, RuntimeError) as err:
        reason = " ".join(str(err).split())[:200]
        raise ValueError(f"{path}: weights and architecture do not agree: {reason}") from err
    return model


class ChgnetSpeciesCalculator(CHGNetCalculator):
    """CHGNet's calculator for atoms whose elements are model species; plain floats, stress in Voigt order.

    Parameters
    ----------
    trained : the model.
    device : cpu or cuda.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress", "magmoms")

    def __init__(self, trained: TrainedChgnet, device: str = "cpu") -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it announces its device
            super().__init__(trained.model, use_device=device)
        self.trained = trained
        if not trained.magmoms:
            others = tuple(name for name in self.implemented_properties if name != "magmoms")
            self.implemented_properties = cast(Any, others)  # upstream's type is of exactly five

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[Any] | None = None,
        system_changes: list[Any] | None = None,
        task: PredTask = "efsm",
    ) -> None:
        """Compute everything at once.

        Raises
        ------
        ValueError
            If a species did not occur in training, or the atoms are not periodic in all directions.
        """
        here = cast(Atoms, atoms if atoms is not None else self.atoms)
        name = here.get_chemical_formula()
        check_known(here.numbers, self.trained.species, self.trained.species_map, name)
        if not here.pbc.all():
            raise ValueError(f"{name}: CHGNet needs a cell that is periodic in all directions")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True", UserWarning)  # its volumes
            super().calculate(here, properties, system_changes, task)
        found = self.results
        energy = float(found["energy"])
        results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.asarray(found["forces"], dtype=float),
            "stress": full_3x3_to_voigt_6_stress(np.asarray(found["stress"], dtype=float)),
            "magmoms": np.asarray(found["magmoms"], dtype=float),
        }
        self.results = {name: results[name] for name in self.implemented_properties}


def open_chgnet(path: Path, device: str = "cpu") -> ChgnetSpeciesCalculator:
    """Calculator of a weights file; errors as `load_chgnet`."""
    return ChgnetSpeciesCalculator(load_chgnet(path, device), device)
