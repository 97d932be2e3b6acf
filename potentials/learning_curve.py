"""Picture of a training: validation error of every target over the epochs, in physical units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..stores.model_documents import EpochDoc, TargetScore

_SHOWN = {"eV/atom": ("meV/atom", 1000.0), "eV/A": ("meV/Å", 1000.0), "eV/A^3": ("meV/Å³", 1000.0)}


def in_milli(value: float, unit: str) -> tuple[float, str]:
    """A number in the unit that people read: energies, forces and stress in thousandths."""
    shown, factor = _SHOWN.get(unit, (unit, 1.0))
    return value * factor, shown


def draw_learning_curve(
    path: Path, history: Sequence[EpochDoc], best: int, baseline: Mapping[str, TargetScore]
) -> None:
    """Draw the losses and the error of each target.

    Parameters
    ----------
    path : of the picture (its ending says the format).
    history : every epoch.
    best : number of the epoch whose weights were kept.
    baseline : errors of constants, drawn as a level.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    targets = list(history[0].errors)
    figure = Figure(figsize=(3.2 * (len(targets) + 1), 2.8), layout="constrained")
    panels = figure.subplots(1, len(targets) + 1, squeeze=False)[0]
    epochs = [epoch.epoch for epoch in history]
    panels[0].plot(epochs, [epoch.training_loss for epoch in history], color="#888888", label="training")
    panels[0].plot(epochs, [epoch.validation_loss for epoch in history], color="#1f4e79", label="validation")
    panels[0].set_ylabel("loss (the trainer's own)")
    panels[0].legend(frameon=False)
    for panel, target in zip(panels[1:], targets, strict=True):
        shown = [in_milli(epoch.errors[target].mae, epoch.errors[target].unit) for epoch in history]
        panel.plot(epochs, [value for value, _ in shown], color="#1f4e79")
        if target in baseline:
            level = in_milli(baseline[target].mae, baseline[target].unit)[0]
            panel.axhline(level, color="#888888", linewidth=0.8, linestyle="--", label="a constant")
            panel.legend(frameon=False, fontsize=7)
        panel.set_ylabel(f"{target}, MAE ({shown[0][1]})")
    for panel in panels:
        low, high = panel.dataLim.intervaly
        if low > 0 and high / low > 10:  # a logarithmic axis of less than a decade has no round ticks
            panel.set_yscale("log")
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.set_xlabel("epoch")
        panel.axvline(best, color="#c0504d", linewidth=0.8, linestyle=":")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
