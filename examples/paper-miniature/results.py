"""The last stage: what is true of the models, as a table, good or bad, from the scores, references and calculations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner import RECORD
from valenceflow.analysis.seeds import SeedSummary, over_seeds
from valenceflow.inputs.whole_files import write_whole
from valenceflow.potentials.evaluation.scores import ContinuedReference, read_scores


def write_results(root: Path, told: dict[str, Any]) -> None:
    """Write results.md and results.json into the stage's folder and show the table."""
    summaries = over_seeds([read_scores(path) for path in sorted(root.glob("scores/*/scores.json"))])
    continued = [one for path in sorted(root.glob("references/*/scores.json")) for one in read_scores(path).continued]
    counts = {path.stem: _counts(path) for path in _calculations(root)}
    text = "\n".join(_lines(told, summaries, continued, counts)) + "\n"
    plain = {
        "engine": told["engine"],
        "calculations": counts,
        "models": [asdict(summary) for summary in summaries],
        "references": [one.model_dump() for one in continued],
    }
    write_whole(root / "results" / "results.json", json.dumps(plain, indent=1) + "\n")
    write_whole(root / "results" / "results.md", text)
    print(text)


def _calculations(root: Path) -> list[Path]:
    found = [*sorted(root.glob("calculations/*.json")), *sorted(root.glob("second-calculations-*/*.json"))]
    return [path for path in found if path.name != RECORD and ".before-" not in path.parent.name]


def _counts(path: Path) -> dict[str, int]:
    """How the orderings of a campaign ended; those that count, and then by what became of the ordering."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    relations = Counter(str(row.get("relation")) for row in rows)
    return {"calculations": len(rows), "counting": sum(bool(row.get("counts")) for row in rows), **relations}


def _lines(
    told: dict[str, Any],
    summaries: Sequence[SeedSummary],
    continued: Sequence[ContinuedReference],
    counts: dict[str, dict[str, int]],
) -> Iterator[str]:
    yield f"# Results on {told['engine']}" + ("" if told["engine"] == "vasp" else ": a rehearsal, not DFT")
    yield ""
    for name, found in counts.items():
        yield f"- {name}: " + ", ".join(f"{key} {value}" for key, value in found.items())
    yield from ("", "## Orderings achieved", "")
    yield "| model | start | seeds | achieved | not read | unconverged | told by |"
    yield "|---|---|---|---|---|---|---|"
    for s in summaries:
        yield (
            f"| {_name(s)} | {s.start} | {len(s.models)} | {s.achieved} of {s.told} | {s.undecided} | {s.unconverged} "
            f"| {s.judge or 'nobody'} |"
        )
    yield from _means(summaries)
    yield from ("", "## Rankings of held-out orderings", "")
    yield "Per working-ion ordering, and per composition where several of one are ranked; means over seeds; n per seed."
    yield "A tie finds no lowest and has no correlation."
    yield ""
    yield "| model | start | ordering | n | MAE, centred, meV/f.u. | Spearman | Kendall | not defined | lowest found |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for s in summaries:
        for g in s.groups:
            n, error = ", ".join(map(str, g.n)), _number(g.mae_centred_mev_per_fu, 1)
            yield (
                f"| {_name(s)} | {s.start} | {g.group} | {n} | {error}"
                f" | {_number(g.spearman)} | {_number(g.kendall)} | {g.undefined} | {g.lowest_found} of {len(g.n)} |"
            )
    yield from _references(continued)


def _means(summaries: Sequence[SeedSummary]) -> Iterator[str]:
    """Means over the rankings of all seeds and working-ion orderings."""
    yield from ("", "## Means over working-ion orderings and seeds", "")
    yield "| model | start | rankings | MAE, centred, meV/f.u. | Spearman | Kendall | not defined | lowest found |"
    yield "|---|---|---|---|---|---|---|---|"
    for s in summaries:
        groups = [group for group in s.groups if " " in group.group]  # a composition has no ordering behind its name
        number, undefined = sum(len(group.n) for group in groups), sum(group.undefined for group in groups)
        errors = _mean([(group.mae_centred_mev_per_fu, len(group.n)) for group in groups])
        spearman = _mean([(group.spearman, len(group.n) - group.undefined) for group in groups])
        kendall = _mean([(group.kendall, len(group.n) - group.undefined) for group in groups])
        lowest = sum(group.lowest_found for group in groups)
        yield (
            f"| {_name(s)} | {s.start} | {number} | {_number(errors, 1)} | {_number(spearman)} | {_number(kendall)} "
            f"| {undefined} | {lowest} of {number} |"
        )


def _mean(values: Sequence[tuple[float | None, int]]) -> float | None:
    """Mean of what is there, each with its weight."""
    known = [(value, weight) for value, weight in values if value is not None and weight]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None


def _references(continued: Sequence[ContinuedReference]) -> Iterator[str]:
    yield from ("", "## References", "")
    if not continued:
        yield "Not checked: no potential that could be relaxed on made these energies."
        return
    yield "Relaxed on, by the potential that made them, from a model's minima:"
    yield ""
    for one in continued:
        verdict = {True: "holds", False: "was no minimum", None: "another ordering, or not converged"}
        by = f" ({one.higher_mev_per_fu:+.1f} meV/f.u.)" if one.higher_mev_per_fu is not None else ""
        yield f"- {one.structure}: {verdict[one.reference_is_minimum]}{by}"


def _name(s: SeedSummary) -> str:
    return f"{s.kind} {'with' if s.charge_states else 'without'} charge states"


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:z.{digits}f}"
