"""Charts of a campaign: energies and hull over composition, orderings ranked, moments with the label windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...inputs.charge_states import RedoxCouple, state_names
from ...stores.relations import ordering_text
from .calculations import Part, Row
from .charts import BLACK, GREY, HATCHES, Chart, layout, line, marker, plain, scatter, series

RELATION_MARKS = {
    "kept": ("circle", "#0072B2"),
    "equivalent": ("square", "#56B4E9"),
    "measured": ("diamond", "#009E73"),
    "moved": ("x", "#D55E00"),
    "delocalised": ("cross", "#CC79A7"),
    "ambiguous": ("triangle-down", "#F0E442"),
    "not read": ("hexagram", "#999999"),
}
"""Symbol and colour of what became of an ordering, as in `analysis.figures`."""

BIN = 0.02  # muB


def note_of(part: Part) -> str:
    """Engine and protocol, a rehearsal's warning first."""
    return f"{part.warning}: " * bool(part.warning) + f"{part.group.engine}, protocol {part.group.protocol}"


def charts_of(part: Part, name: str) -> list[Chart]:
    """Charts of a part; those that would be empty are left out.

    Parameters
    ----------
    part : of a campaign.
    name : begins the charts' ids.
    """
    found = [energies(part, f"{name}-energies"), ranked(part, f"{name}-ranked"), moments(part, f"{name}-moments")]
    return [chart for chart in found if chart is not None]


def height(part: Part, row: Row) -> float | None:
    """What the energy chart shows of a row, meV per formula unit."""
    return row.relative if part.has_hull else row.above_lowest


def energies(part: Part, name: str) -> Chart | None:
    """Energy of every ordering over composition, with the hull where both end members are there."""
    shown = [row for row in part.rows if height(part, row) is not None]
    if not shown:
        return None
    corners = part.hull_line()
    data = [line("hull", [x for x, _ in corners], [e for _, e in corners], colour=GREY)] if corners else []
    for relation, (symbol, colour) in RELATION_MARKS.items():
        for passed in (True, False):
            rows = [r for r in shown if r.member["relation"] == relation and r.member["audit"]["passed"] == passed]
            if rows:
                label = f"{ordering_text(relation)}{'' if passed else ', audit failed (hollow)'} ({len(rows)})"
                data.append(_marks(part, label, rows, marker(symbol, colour, hollow=not passed)))
    what = "relative to the end members" if part.has_hull else "above the lowest of its composition"
    ion = plain(part.working_ion)
    return Chart(
        name,
        "Energy and hull" if part.has_hull else "Energy above the lowest of each composition",
        f"Energy of every ordering {what}, meV per formula unit, over the {part.working_ion} fraction"
        + (" (paper Eq. 1); the line is the lower convex hull of what counts. " if part.has_hull else ". ")
        + "Click a mark to see its structure.",
        data,
        layout(f"{ion} fraction x", f"energy {what}, meV/f.u.", note_of(part), xaxis={"range": [-0.06, 1.06]}),
    )


def _marks(part: Part, label: str, rows: Sequence[Row], style: dict[str, Any]) -> dict[str, Any]:
    x, y = [row.fraction for row in rows], [height(part, row) for row in rows]
    return scatter(label, x, y, style, [hover(row) for row in rows], customdata=[row.identity for row in rows])


def hover(row: Row) -> str:
    """What a mark says of its calculation."""
    lines = [
        f"<b>{plain(row.member['intended_key'])}</b> at x = {row.fraction:.3g}",
        f"outcome: {plain(row.outcome)}" + (f" ({plain(row.member['achieved_key'])})" if row.is_lost else ""),
    ]
    for text, value in (("relative", row.relative), ("above hull", row.above_hull), ("above lowest", row.above_lowest)):
        if value is not None:
            lines.append(f"{text}: {value:z.1f} meV/f.u.")
    if row.moments:
        lines.append("|m|: " + " ".join(f"{m:.2f}" for m in row.moments[:8]) + " ..." * (len(row.moments) > 8))
    return "<br>".join(lines)


def ranked(part: Part, name: str) -> Chart | None:
    """Orderings of each composition by energy; only compositions with several that count."""
    data: list[dict[str, Any]] = []
    for x in sorted({row.fraction for row in part.rows}):
        rows = [r for r in part.rows if r.fraction == x and r.member["counts"] and r.above_lowest is not None]
        if len(rows) > 1:
            rows.sort(key=lambda row: (row.above_lowest or 0.0, row.identity))
            symbol, colour, dash = series(len(data))
            places, heights = list(range(1, len(rows) + 1)), [row.above_lowest for row in rows]
            more = {"mode": "lines+markers", "line": {"color": colour, "dash": dash, "width": 1}}
            texts, ids = [hover(row) for row in rows], [row.identity for row in rows]
            data.append(
                scatter(
                    f"x = {x:.3g} ({len(rows)})",
                    places,
                    heights,
                    marker(symbol, colour, 7),
                    texts,
                    customdata=ids,
                    **more,
                )
            )
    if not data:
        return None
    text = "Orderings that count, by energy above the lowest of the same composition."
    return Chart(name, "Orderings by energy", text, data,
                 layout("rank", "above the lowest of the composition, meV/f.u.", note_of(part)))  # fmt: skip


def moments(part: Part, name: str) -> Chart | None:
    """Histogram of final moments of redox sites by the state that was meant, with the engine's label windows."""
    by_state = _moments_by_state(part)
    every = np.concatenate([np.asarray(values) for values in by_state.values()]) if by_state else np.array([])
    if not len(every):
        return None
    edges = np.arange(np.floor(every.min() / BIN), np.ceil(every.max() / BIN) + 1.5) * BIN
    data = []
    for place, (state, values) in enumerate(sorted(by_state.items())):
        counts = np.histogram(values, bins=edges)[0]
        colour = ("#56B4E9", "#D55E00", "#bbbbbb")[place % 3]
        data.append(
            {
                "type": "bar",
                "name": plain(f"{state} ({len(values)})"),
                "x": [round(float(v), 4) for v in (edges[:-1] + edges[1:]) / 2],
                "y": [int(v) for v in counts],
                "width": BIN,
                "marker": {
                    "color": colour,
                    "line": {"color": BLACK, "width": 0.5},
                    "pattern": {"shape": HATCHES[place], "fillmode": "overlay", "fgcolor": BLACK, "size": 6},
                },
                "hovertemplate": "%{x:.2f} &mu;B: %{y}<extra>" + plain(state) + "</extra>",
            }
        )
    shapes, annotations, said = _window(part)
    text = f"Final moments of the redox sites, absolute, in bins of {BIN} \N{GREEK SMALL LETTER MU}B. {said}"
    return Chart(name, "Moments of the redox sites", text, data,
                 layout("|moment|, &mu;B", "sites", note_of(part), barmode="stack", bargap=0, shapes=shapes,
                        annotations=annotations, height=380))  # fmt: skip


def _moments_by_state(part: Part) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in part.rows:
        final, given = row.member["final"], row.member["magmoms_redox"]
        if final is None or not given or len(row.moments) != len(given):
            continue
        couple = RedoxCouple.model_validate(final["couple"])
        bits = (row.member["configuration"] or {}).get("charge_bits")
        for place, moment in enumerate(row.moments):
            state = "order left free" if bits is None else f"meant as {state_names(couple)[bool(bits[place])]}"
            found.setdefault(state, []).append(moment)
    return found


def _window(part: Part) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Shapes and words for the couple's window of this engine."""
    finals = [row.member["final"] for row in part.rows if row.member["final"] is not None]
    window = RedoxCouple.model_validate(finals[0]["couple"]).window(part.group.engine) if finals else None
    if window is None:
        return [], [], "This engine has no label window for the couple: a gap between two groups of moments decides."
    shapes = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": window.low_max,
            "x1": window.high_min,
            "y0": 0,
            "y1": 1,
            "fillcolor": "#000000",
            "opacity": 0.08,
            "line": {"width": 0},
            "layer": "below",
        }
    ]
    shapes += [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": at,
            "x1": at,
            "y0": 0,
            "y1": 1,
            "line": {"color": BLACK, "width": 1, "dash": "dash"},
        }
        for at in (window.low_max, window.high_min)
    ]
    middle = {"x": (window.low_max + window.high_min) / 2, "y": 0.97, "xref": "x", "yref": "paper", "showarrow": False,
              "text": "not read", "font": {"size": 11, "color": "#444"}}  # fmt: skip
    said = (
        f"Windows of {part.group.engine}: one state up to {window.low_max}, the other from {window.high_min}; between "
        f"them (grey) a site is not read. Source: {window.source}."
    )
    return shapes, [middle], said
