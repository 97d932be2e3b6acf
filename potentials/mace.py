"""MACE (arXiv:2206.07697) as models here keep it: weights that run no code, and an ASE calculator.

Upstream's classes are used as they are. Atoms come as model species (`species.SpeciesMap`). mace sets torch's default
precision for the whole process; here it is set while mace works and put back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import all_changes
from pydantic import ValidationError

from ..inputs.yaml_files import first_problem
from .species import SpeciesMap, check_known
from .weight_files import WeightFile, read_weights, write_weights

with warnings.catch_warnings(), redirect_stdout(StringIO()):  # it says what it lacks, amid what a command prints
    # mace has torch load pickles for the whole process (`weight_files` does not), and e3nn, which loads tables of
    # numbers as it is imported, makes torch say so. mace comes before e3nn.
    warnings.filterwarnings("ignore", "Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", UserWarning)
    from mace import modules
    from mace.calculators.mace import MACECalculator
    from mace.tools.scripts_utils import extract_config_mace_model
    from mace.tools.torch_tools import default_dtype

    from e3nn import o3  # isort: skip

KIND = "valenceflow-mace"
VERSION = 1

_IRREPS = ("hidden_irreps", "edge_irreps", "MLP_irreps")
_ARRAYS = ("atomic_energies", "atomic_inter_scale", "atomic_inter_shift")
_CLASSES: dict[str, Mapping[str, Any]] = {
    "interaction_cls": modules.interaction_classes,
    "interaction_cls_first": modules.interaction_classes,
    "readout_cls": modules.readout_classes,
    "gate": modules.gate_dict,
}


@dataclass(frozen=True)
class TrainedMace:
    """A model and what has to be known to use it.

    Attributes
    ----------
    model : ScaleShiftMACE.
    species_map : how charge states are encoded.
    species : model numbers that occurred in training.
    """

    model: modules.ScaleShiftMACE
    species_map: SpeciesMap
    species: tuple[int, ...]


def save_mace(path: Path, trained: TrainedMace) -> None:
    """Write a model by atomic rename; errors as `weight_files.write_weights`."""
    about = {
        "architecture": architecture_of(trained.model),
        "species_map": trained.species_map.model_dump(mode="json"),
        "species": list(trained.species),
    }
    write_weights(path, WeightFile(KIND, VERSION, about, trained.model.state_dict()))


def load_mace(path: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> TrainedMace:
    """Read a model; None: in the precision that it was trained in.

    Raises
    ------
    ValueError
        If the file is no MACE of ours, lacks its species map, or its weights are those of another architecture.
    """
    file = read_weights(path, KIND, VERSION)
    try:
        species_map = SpeciesMap.model_validate(file.about["species_map"])
        model = mace_with(file.about["architecture"], file.tensors, path)
        species = tuple(int(number) for number in file.about["species"])
    except KeyError as err:
        raise ValueError(f"{path}: does not say its {err.args[0]}; a model without it cannot be used") from err
    except ValidationError as err:
        raise ValueError(f"{path}: {first_problem(err)}") from err
    model = model.to(device=device, dtype=dtype or precision_of(model)).eval().requires_grad_(False)
    return TrainedMace(model, species_map, species)


def precision_of(model: torch.nn.Module) -> torch.dtype:
    """Precision of a model's weights."""
    return next(model.parameters()).dtype


def architecture_of(model: modules.ScaleShiftMACE) -> dict[str, Any]:
    """Arguments that make such a model anew, as JSON can say them."""
    found = dict(extract_config_mace_model(model))
    for name in _IRREPS:
        found[name] = None if found[name] is None else str(found[name])
    for name in _ARRAYS:
        found[name] = np.asarray(found[name]).tolist()
    found["atomic_numbers"] = [int(number) for number in found["atomic_numbers"]]
    for name, classes in _CLASSES.items():
        found[name] = next(key for key, value in classes.items() if value is found[name])
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in found.items()}


def mace_with(architecture: Mapping[str, Any], weights: Mapping[str, torch.Tensor], path: Path) -> Any:
    """Build a model and fill it.

    Raises
    ------
    ValueError
        If a tensor is missing, too many, or of another shape.
    """
    arguments = dict(architecture)
    try:
        for name in _IRREPS:
            arguments[name] = None if arguments[name] is None else o3.Irreps(arguments[name])
        for name in _ARRAYS:
            arguments[name] = np.array(arguments[name])
        for name, classes in _CLASSES.items():
            arguments[name] = classes[arguments[name]]
        dtype = next(tensor.dtype for name, tensor in weights.items() if name.endswith("weight"))
        with set_precision(dtype), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The TorchScript type system", UserWarning)  # of e3nn's own modules
            model = modules.ScaleShiftMACE(**arguments)
        model.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError, StopIteration) as err:
        reason = " ".join(str(err).split())[:200]
        raise ValueError(f"{path}: weights and architecture do not agree: {reason}") from err
    return model


@contextmanager
def set_precision(dtype: torch.dtype) -> Iterator[None]:
    """Torch's default precision while mace works; put back also after an error."""
    before = torch.get_default_dtype()
    try:
        with default_dtype(dtype):
            yield
    finally:
        torch.set_default_dtype(before)


class MaceSpeciesCalculator(MACECalculator):
    """MACE's calculator for atoms whose elements are model species, in the precision of the model given.

    Parameters
    ----------
    trained : the model.
    device : cpu or cuda.
    """

    def __init__(self, trained: TrainedMace, device: str = "cpu") -> None:
        self._dtype = precision_of(trained.model)
        with set_precision(self._dtype):
            super().__init__(models=trained.model, device=device, default_dtype=str(self._dtype).rpartition(".")[2])
        self.trained = trained

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute everything at once.

        Raises
        ------
        ValueError
            If a species did not occur in training.
        """
        here = cast(Atoms, atoms if atoms is not None else self.atoms)
        check_known(here.numbers, self.trained.species, self.trained.species_map, here.get_chemical_formula())
        with set_precision(self._dtype):
            super().calculate(here, properties, system_changes)  # type: ignore[no-untyped-call]


def open_mace(path: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> MaceSpeciesCalculator:
    """Calculator of a weights file, in double precision unless told otherwise; errors as `load_mace`."""
    return MaceSpeciesCalculator(load_mace(path, device, dtype or torch.float64), device)
