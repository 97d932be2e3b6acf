"""Options that every command with a potential shares. Light: potentials are opened by the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import complete_model

if TYPE_CHECKING:
    from ..potentials.open_models import ModelChoice

ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="Folder of a trained model, or pretrained-chgnet; repeat it for an ensemble.",
        autocompletion=complete_model,
        show_default=False,
    ),
]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Processes, one thread each.")]
DeviceOption = Annotated[str, typer.Option(help="Where models compute: cpu, cuda, ...")]
PrecisionOption = Annotated[
    str | None, typer.Option("--dtype", help="float64 or float32; default: float64 where the model can.")
]
ForceOption = Annotated[float, typer.Option("--fmax", min=1e-6, max=1e6, help="Largest force of relaxations, eV/A.")]
BatchOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Relax so many atoms together by FIRE first, on a GPU (torch-sim; cPaiNN and MACE); each structure is "
        "then finished on its own.",
        show_default=False,
    ),
]


def chosen_model(
    names: Sequence[str] | None, device: str, dtype: str | None, batch_atoms: int | None = None
) -> ModelChoice:
    """The model or ensemble that was named.

    Raises
    ------
    ValueError
        If none was, or the precision is unknown.
    """
    from ..potentials.open_models import PRETRAINED, ModelChoice  # noqa: PLC0415 - torch

    if not names:
        raise ValueError(f"say --model: the folder of a trained model, or {PRETRAINED}")
    return ModelChoice(tuple(names), device, checked_precision(dtype), batch_atoms=batch_atoms)


def checked_precision(dtype: str | None) -> str | None:
    """The precision that was asked for.

    Raises
    ------
    ValueError
        If there is no such one.
    """
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"--dtype {dtype!r}: choose float32 or float64")
    return dtype
