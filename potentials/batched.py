"""Many structures relaxed in one batch: FIRE of torch-sim (https://github.com/TorchSim/torch-sim), for a GPU.

It only brings structures near their minima: each is then finished by `relax.relax_atoms`, whose criterion, guard of the
volume and results are those of every relaxation. What ran away here begins there from its start.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from .calculator import ChargeStateCalculator
from .open_models import ModelChoice
from .relax import Started
from .relaxation import RelaxSettings

FIRE = "FIRE in a batch"

_BETWEEN_LOOKS = 5
"""FIRE steps between looks at who is done."""

Kept = Callable[[int, Started], None]
"""Called with the place of each structure that came nearer to its minimum, and where it is."""


def descend_together(
    structures: Sequence[Atoms],
    choice: ModelChoice,
    settings: RelaxSettings,
    keep: Kept,
    done: Callable[[int], None] = lambda number: None,
) -> None:
    """Relax structures in batches.

    Parameters
    ----------
    structures : labelled as the model needs them; they are left as they are.
    choice : one cPaiNN or one MACE, with the number of atoms in a batch; a larger structure is a batch of its own.
    settings : the same forces and number of steps as for the final relaxation.
    keep : called as batches end.
    done : called with how many structures batches have ended for.

    Raises
    ------
    ValueError
        If torch-sim is missing, the potential is another one or an ensemble, or a batch does not fit into memory.
    """
    calculator = choice.open()
    model = _model(calculator, choice.device)
    encoded = ((place, _as_seen(atoms, calculator)) for place, atoms in enumerate(structures))
    seen = {place: atoms for place, atoms in encoded if atoms is not None}
    places, behind = list(seen), len(structures) - len(seen)
    for batch in batches([len(seen[place]) for place in places], choice.batch_atoms or 1):
        here = [places[number] for number in batch]
        for place, ended in zip(here, _descended([seen[place] for place in here], model, settings), strict=True):
            if ended is not None:
                keep(place, Started(_moved(structures[place], ended), optimiser=FIRE))
        behind += len(batch)
        done(behind)


def batches(sizes: Sequence[int], batch_atoms: int) -> Iterator[list[int]]:
    """Places of structures that go together, those of like size: a batch ends when its last structure does."""
    batch: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda place: (sizes[place], place)):
        if batch and sum(sizes[other] for other in batch) + sizes[place] > batch_atoms:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _model(calculator: ChargeStateCalculator, device: str) -> Any:
    if len(calculator.models) > 1:
        raise ValueError("an ensemble does not relax in one batch; name one model, or leave --batch-atoms out")
    try:
        import torch_sim  # noqa: F401, PLC0415 - optional extra, and slow to import
    except ModuleNotFoundError as err:
        raise ValueError("--batch-atoms needs torch-sim: pip install 'valenceflow[batched]'") from err
    from .batched_models import batched_model  # noqa: PLC0415 - of torch-sim

    return batched_model(calculator.models[0], device)


def _as_seen(atoms: Atoms, calculator: ChargeStateCalculator) -> Atoms | None:
    """Atoms of model species; None for what the potential refuses, which the final relaxation tells with its reason."""
    try:
        return Atoms(calculator.model_numbers(atoms), atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    except ValueError:
        return None


def _descended(seen: Sequence[Atoms], model: Any, settings: RelaxSettings) -> list[Atoms | None]:
    """Where structures ended; None for one that ran away."""
    from torch_sim import frechet_cell_fire, optimize  # noqa: PLC0415 - optional extra
    from torch_sim.optimizers import fire  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimize has reached max steps", UserWarning)  # ASE goes on, and tells
        try:
            ended = optimize(
                list(seen),
                model,
                optimizer=frechet_cell_fire if settings.relax_cell else fire,
                convergence_fn=_is_done(settings),
                max_steps=max(settings.steps, _BETWEEN_LOOKS),
                steps_between_swaps=_BETWEEN_LOOKS,
            )
        except torch.OutOfMemoryError as err:
            raise ValueError(
                f"{sum(map(len, seen))} atoms of {len(seen)} structures do not fit into the memory of {model.device}; "
                "give a smaller --batch-atoms"
            ) from err
    return [
        here if np.isfinite(here.positions).all() and _volume_kept(here, start, settings) else None
        for here, start in zip(ended.to_atoms(), seen, strict=True)
    ]


def _is_done(settings: RelaxSettings) -> Callable[..., torch.Tensor]:
    """What torch-sim asks of a batch: forces below the criterion, or a volume out of its bound, per structure."""
    from torch_sim import generate_force_convergence_fn  # noqa: PLC0415 - optional extra

    converged = generate_force_convergence_fn(settings.fmax, include_cell_forces=settings.relax_cell)

    def done(state: Any, last_energy: torch.Tensor | None = None) -> torch.Tensor:
        found: torch.Tensor = converged(state, last_energy)
        if settings.relax_cell:
            found |= (torch.linalg.det(state.deform_grad()) - 1).abs() > settings.volume_change
        return found

    return done


def _volume_kept(ended: Atoms, start: Atoms, settings: RelaxSettings) -> bool:
    if not settings.relax_cell:
        return True
    return bool(abs(ended.get_volume() / start.get_volume() - 1) <= settings.volume_change)


def _moved(atoms: Atoms, ended: Atoms) -> Atoms:
    """The structure as its owner knows it, where it came to."""
    here: Atoms = atoms.copy()
    here.set_cell(ended.cell.array)
    here.set_positions(ended.positions)
    return here
