"""Open potentials by name: folders of trained models, files of cPaiNN weights, and pretrained CHGNet.

A `ModelChoice` is what travels to worker processes: names and options, opened where they are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import torch
from ase.calculators.calculator import Calculator

from .calculator import ChargeStateCalculator
from .cpainn.calculator import CPaiNNCalculator
from .devices import check_device
from .labelling import StateSource
from .model_folder import open_calculator, read_model
from .species import LARGEST_NUMBER, OXIDATION_STATE, SpeciesMap

PRETRAINED = "pretrained-chgnet"
"""Name of pretrained CHGNet, whose weights come with its package. It knows Fe3+ as Ga: energies compare at one
composition only."""

Folders = Sequence[str | Path]


@dataclass(frozen=True)
class ModelChoice:
    """One potential or an ensemble, by name.

    Attributes
    ----------
    names : folders of models, cPaiNN files, or `pretrained-chgnet`.
    device : where they compute.
    dtype : `float32` or `float64`; None: float64 where the model can (relaxations to 0.01 eV/A need it).
    species_map : map to be used instead of the models' own; pretrained CHGNet as a plain model has `elements`.
    batch_atoms : structures are first relaxed together, so many atoms at once (`batched`, for a GPU); None: one by one.
    """

    names: tuple[str, ...]
    device: str = "cpu"
    dtype: str | None = None
    species_map: str | None = None
    batch_atoms: int | None = None

    @property
    def title(self) -> str:
        """What tables call it."""
        return " + ".join(Path(name).name for name in self.names)

    @property
    def kind(self) -> str:
        """Model chgnet, mace or cpainn; of an ensemble of several all of them."""
        return " + ".join(sorted({_kind(name) for name in self.names}))

    def open(self, states: str | StateSource = OXIDATION_STATE) -> ChargeStateCalculator:
        """The calculator; errors as `open_models`."""
        check_device(self.device)
        models, species_map = open_models(self.names, self.device, self.dtype)
        chosen = species_map if self.species_map is None else SpeciesMap.shipped(self.species_map)
        return ChargeStateCalculator(models, chosen, states)

    @property
    def knows_charge_states(self) -> bool:
        """Whether energies depend on labels; without opening a trained model's folder further than its card."""
        if self.species_map is not None:
            return SpeciesMap.shipped(self.species_map).knows_charge_states
        path = Path(self.names[0])
        if self.names[0] != PRETRAINED and path.is_dir():
            return read_model(path).species_map.knows_charge_states
        return self.open().species_map.knows_charge_states

    def engines(self) -> list[str]:
        """Engines whose numbers the models were trained on, as far as their folders tell."""
        folders = [Path(name) for name in self.names if name != PRETRAINED and Path(name).is_dir()]
        return sorted({read_model(folder).data_set.engine for folder in folders})

    def fingerprint(self) -> str:
        """First 16 hex digits of a hash of weights, precision and map, so that no other results pass for its."""
        about = [_content(name) for name in self.names] + [self.dtype or "", self.species_map or ""]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def charge_state_calculator(
    *names: str | Path | Sequence[str | Path],
    device: str = "cpu",
    dtype: str | None = None,
    states: str | StateSource = OXIDATION_STATE,
) -> ChargeStateCalculator:
    """A potential by name, or several of one species map as an ensemble; parameters and errors as in `ModelChoice`.

    >>> charge_state_calculator("models/a", "models/b")  # doctest: +SKIP
    """
    flat = [one for name in names for one in ([name] if isinstance(name, str | Path) else name)]
    return ModelChoice(tuple(str(name) for name in flat), device, dtype).open(states)


def open_models(names: Folders, device: str = "cpu", dtype: str | None = None) -> tuple[list[Calculator], SpeciesMap]:
    """Open potentials that belong together.

    Returns
    -------
    Their calculators and their species map.

    Raises
    ------
    ValueError
        If a name is no model, or two have different species maps.
    """
    if not names:
        raise ValueError("no model was named; give a model's folder")
    opened = [_open(str(name), device, dtype) for name in names]
    maps = [species_map for _, species_map in opened]
    for name, other in zip(names, maps, strict=True):
        if other.states != maps[0].states:
            raise ValueError(
                f"{name} has species map {other.name!r} and {names[0]} {maps[0].name!r}: an ensemble has one map; "
                "train its members on one data set"
            )
    return [model for model, _ in opened], maps[0]


def _open(name: str, device: str, dtype: str | None) -> tuple[Calculator, SpeciesMap]:
    if name == PRETRAINED:
        return _pretrained_chgnet(device), SpeciesMap.shipped("paper")
    path = Path(name)
    if path.is_dir():
        return open_calculator(path, device, None if dtype is None else getattr(torch, dtype)), read_model(
            path
        ).species_map
    if path.is_file():
        model = CPaiNNCalculator.from_file(path, getattr(torch, dtype or "float64"), device)
        return model, model.trained.species_map
    raise ValueError(f"{path}: no such model; train one with `valenceflow train`, or say {PRETRAINED}")


def _kind(name: str) -> str:
    if name == PRETRAINED:
        return "chgnet"
    return read_model(Path(name)).kind if Path(name).is_dir() else "cpainn"


def _pretrained_chgnet(device: str) -> Calculator:
    try:
        from chgnet.model import CHGNet  # noqa: PLC0415 - optional extra, and slow to import

        from .chgnet import ChgnetSpeciesCalculator, TrainedChgnet  # noqa: PLC0415
    except ImportError as err:
        raise ValueError(f"{PRETRAINED} needs CHGNet: pip install 'valenceflow[potentials]'") from err
    with redirect_stdout(StringIO()):  # it announces itself
        model = CHGNet.load(use_device=device, verbose=False)
    everything = tuple(range(1, LARGEST_NUMBER + 1))
    return ChgnetSpeciesCalculator(TrainedChgnet(model, SpeciesMap.shipped("paper"), everything), device)


def _content(name: str) -> str:
    """What a name stands for: hash of its files, or the name of what comes with a package."""
    path = Path(name)
    if not path.exists():
        return name
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and file.suffix in WEIGHTS:
            digest.update(file.read_bytes())
    return digest.hexdigest()


WEIGHTS = (".pt", ".pth", ".model", ".tar", ".json")
"""Files of a model's folder that decide what it computes."""
