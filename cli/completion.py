"""Values that a shell completes: campaigns, crystals, engines, faults, reasons, columns; nothing where there are none.

`valenceflow --install-completion` turns completion on. Bash takes a colon for the end of a word: there the part of an
engine's name behind it is typed, or ends with the next key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

CAMPAIGN_SUFFIXES = (".yaml", ".yml")


def _starting(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _entries(incomplete: str) -> Iterator[Path]:
    """What lies in the folder that is being typed; hidden files only where a dot was typed."""
    folder, _, begun = incomplete.rpartition("/")
    # Path drops a leading "./": what is completed has to begin with what was typed.
    place = Path(f"{folder}/") if "/" in incomplete else Path()
    if not place.is_dir():
        return
    for entry in sorted(place.iterdir()):
        if entry.name.startswith(begun) and (begun.startswith(".") or not entry.name.startswith(".")):
            yield entry


def complete_campaign(incomplete: str) -> list[str]:
    """YAML files that are campaigns, and folders on the way to them."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    found = []
    for entry in _entries(incomplete):
        if entry.is_dir():
            found.append(f"{folder}{entry.name}/")
        elif entry.suffix in CAMPAIGN_SUFFIXES and _is_campaign(entry):
            found.append(f"{folder}{entry.name}")
    return found


def complete_report(incomplete: str) -> list[str]:
    """Campaigns, scores of models, and folders on the way to them."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    scores = [f"{folder}{entry.name}" for entry in _entries(incomplete) if entry.name == "scores.json"]
    return sorted([*complete_campaign(incomplete), *scores])


def _is_campaign(path: Path) -> bool:
    try:
        return "\nworking_ion:" in "\n" + path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def complete_crystal(incomplete: str) -> list[str]:
    """Shipped hosts, CIFs, and folders on the way to them."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    found = _starting(incomplete, _names_in("hosts.yaml"))
    for entry in _entries(incomplete):
        if entry.is_dir():
            found.append(f"{folder}{entry.name}/")
        elif entry.suffix.lower() == ".cif":
            found.append(f"{folder}{entry.name}")
    return found


def complete_model(incomplete: str) -> list[str]:
    """Folders of trained models, folders on the way to them, and pretrained CHGNet."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    found = _starting(incomplete, ["pretrained-chgnet"])
    for entry in _entries(incomplete):
        if entry.is_dir():
            found.append(f"{folder}{entry.name}" + ("" if (entry / "model.json").is_file() else "/"))
    return found


def complete_data_set(incomplete: str) -> list[str]:
    """Folders of exported sets, and folders on the way to them."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    return [
        f"{folder}{entry.name}" + ("" if (entry / "manifest.json").is_file() else "/")
        for entry in _entries(incomplete)
        if entry.is_dir()
    ]


def complete_figure_source(incomplete: str) -> list[str]:
    """Campaigns, files of scores, and folders, which may hold scores or a search."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    scores = [f"{folder}{entry.name}" for entry in _entries(incomplete) if entry.name.endswith("scores.json")]
    return [*complete_campaign(incomplete), *scores, *_starting(incomplete, ["published"])]


FIGURES = (
    "fig1", "fig2a", "fig2b", "fig2c", "fig3", "fig4", "fig5a", "fig5b", "fig5c", "fig5d", "fig6", "fig7", "fig8",
    "fig9", "table1", "table2", "voltages",
)  # fmt: skip
"""Names in `analysis.paper_figures`, which takes seconds to import; a test holds the two against each other."""


def complete_figure(incomplete: str) -> list[str]:
    """Figures and tables of the paper."""
    return _starting(incomplete, FIGURES)


def complete_couple(incomplete: str) -> list[str]:
    """Shipped couples."""
    return _starting(incomplete, _names_in("couples.yaml"))


def _names_in(data: str) -> list[str]:
    """Names in a shipped data file, without importing what reads it in full."""
    from importlib.resources import files  # noqa: PLC0415 - start-up

    import yaml  # noqa: PLC0415 - start-up

    return list(yaml.safe_load((files("valenceflow.inputs.data") / data).read_text(encoding="utf-8")))


def complete_engine(incomplete: str) -> list[str]:
    """Engines; `rehearsal` is short for rehearsal:chgnet."""
    from ..flows.engines import ENGINES  # noqa: PLC0415 - start-up

    return _starting(incomplete, sorted({*ENGINES, "rehearsal"}))


def complete_launch(incomplete: str) -> list[str]:
    """The machine itself, or a queue manager."""
    from ..flows.queues.launches import QUEUES  # noqa: PLC0415 - start-up

    return _starting(incomplete, ["local", *QUEUES])


def complete_fault(incomplete: str) -> list[tuple[str, str]]:
    """Faults of the rehearsal, each with what it does."""
    from ..flows.rehearsal.fault_requests import fault_names  # noqa: PLC0415 - start-up

    return [(name, text) for name, text in fault_names().items() if name.startswith(incomplete)]


def complete_reason(incomplete: str) -> list[str]:
    """What can be tried again."""
    from ..flows.retry import RETRY_REASONS  # noqa: PLC0415 - pymatgen

    return _starting(incomplete, RETRY_REASONS)


def complete_columns(incomplete: str) -> list[str]:
    """Fields of a calculation, the last of several after commas."""
    before = incomplete[: incomplete.rfind(",") + 1]
    return [before + name for name in _starting(incomplete[len(before) :], _fields())]


def complete_sort(incomplete: str) -> list[str]:
    """A field of a calculation, after a minus sign where one was typed."""
    sign = "-" if incomplete.startswith("-") else ""
    return [sign + name for name in _starting(incomplete.removeprefix("-"), _fields())]


def _fields() -> list[str]:
    from ..stores.documents import ChargeOrderedCalculationDoc  # noqa: PLC0415 - pymatgen
    from .wording import SHORT_NAMES  # noqa: PLC0415 - start-up

    return [*SHORT_NAMES, *ChargeOrderedCalculationDoc.model_fields]


def complete_ordering(incomplete: str) -> list[str]:
    """What can become of an ordering."""
    from .query import ORDERINGS  # noqa: PLC0415 - imports this module

    return _starting(incomplete, ORDERINGS)


def complete_state(incomplete: str) -> list[str]:
    """States of a calculation."""
    from .query import STATES  # noqa: PLC0415 - imports this module

    return _starting(incomplete, STATES)


def complete_model_kind(incomplete: str) -> list[str]:
    """Models that can be trained."""
    from ..potentials.presets import PRESETS  # noqa: PLC0415 - pydantic

    return _starting(incomplete, PRESETS)


def complete_preset(ctx: typer.Context, incomplete: str) -> list[str]:
    """Presets of the model that was typed, or of all."""
    from ..potentials.presets import PRESETS  # noqa: PLC0415 - pydantic

    kind = ctx.params.get("kind")
    return _starting(
        incomplete, sorted({name for known in PRESETS if kind in (None, known) for name in PRESETS[known]})
    )
