"""Weights and reference energies that a MACE begins with."""

from __future__ import annotations

from typing import Any

import torch

from .mace import TrainedMace
from .species import SpeciesMap

# `mace` above has imported mace before e3nn, and silenced what torch says about it.
from mace import tools  # isort: skip
from mace.tools.finetuning_utils import load_foundations_elements


def set_references(model: Any, references: dict[int, float]) -> None:
    """Write reference energies (model number -> eV) into a model."""
    energies = model.atomic_energies_fn.atomic_energies
    row = [references[int(number)] for number in model.atomic_numbers]
    energies.copy_(torch.tensor(row, dtype=energies.dtype).view_as(energies))


def adopt_weights(model: Any, start: TrainedMace, species_map: SpeciesMap) -> dict[int, float]:
    """Take over a model's weights; a charge state that is new to it begins as its element was.

    Returns
    -------
    Model number -> its reference energy, eV.

    Raises
    ------
    ValueError
        If the architectures differ, or an element is new.
    """
    parent: Any = start.model
    known = [int(number) for number in parent.atomic_numbers]
    wanted = [int(number) for number in model.atomic_numbers]
    sources = [number if number in known else species_map.parents.get(number, number) for number in wanted]
    strange = [number for number in sources if number not in known]
    if strange:
        raise ValueError(f"the model to start from does not know atomic number {strange[0]}; train from scratch")
    try:
        # mace's own way to take elements over; a new state's rows are copies of its element's.
        load_foundations_elements(
            model,
            parent.to(next(model.parameters()).dtype),
            tools.AtomicNumberTable(sources),
            load_readout=True,
            max_L=int(model.products[0].linear.irreps_out.lmax),
        )
    except (AssertionError, RuntimeError) as err:
        reason = " ".join(str(err).split())[:200]
        raise ValueError(f"the model to start from has another architecture: {reason}") from err
    energies = dict(zip(known, parent.atomic_energies_fn.atomic_energies.flatten().tolist(), strict=True))
    return {number: energies[source] for number, source in zip(wanted, sources, strict=True)}
