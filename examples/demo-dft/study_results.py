"""Tables of `make study-dft`: what was meant, what came out, at what cost. Without a word of the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from valenceflow.flows.audit import achieved_ordering
from valenceflow.flows.gpaw.in_gpaw.files import ITERATIONS, JOB, RESULT
from valenceflow.flows.gpaw.outputs import ENGINE, read_frames, read_lines
from valenceflow.flows.start_file import read_start_file

if TYPE_CHECKING:
    from demo_dft import Point
    from study import Run

NOT_RUN = "not run"
KEPT = ("kept", "equivalent")
INTRODUCTION = """\
What decides whether GPAW keeps the intended charge order of Na2Fe4P4O16 (26 atoms)? Made by `make study-dft`;
{done} of {all} calculations are done; {settings}.
Energies in eV per cell (4 formula units). An ordering is written as the charges of its four irons; gallium geometries
are pretrained CHGNet's, ideal ones the host's. "Hops": how often the order changed during the SCF, which is given up
after {hops}."""


def row(run: Run, point: Point, document: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of one calculation; a single point may be the first geometry of a relaxation."""
    known = {**asdict(run), "meant": "".join("3" if high else "2" for high in point.sites.is_high or ())}
    if document is None:
        return known | {"ordering": NOT_RUN}
    folder = Path(document["folder"].partition(":")[2])
    result = json.loads((folder / RESULT).read_text(encoding="utf-8")) if (folder / RESULT).exists() else {}
    start = next(iter(result.get("starts") or []), {})
    known |= {name: start.get(name) for name in ("iterations", "hops", "error")}
    known |= {"scf_cpu_s": start.get("cpu_s"), "cpu_s": result.get("cpu_s"), "memory_mb": result.get("max_memory_mb")}
    frames = _frames(folder, point)
    if not frames:
        return known | {"ordering": document.get("reason", "no frame"), "moments": _last_moments(folder, point)}
    shown = frames[-1] if run.steps else frames[0]
    known |= {name: shown[name] for name in ("ordering", "energy", "moments")}
    if run.steps:
        known |= {"ended": document.get("reason", "as asked"), "frames": frames}
    return known


def _frames(folder: Path, point: Point) -> list[dict[str, Any]]:
    """Energy, largest force, redox moments (host order) and what became of the ordering, of every geometry."""
    series, order = read_frames(folder, "final"), read_start_file(folder)["site_order"]
    if series is None:
        return []
    return [
        {
            "energy": round(energy, 4),
            "max_force": round(float(np.linalg.norm(forces, axis=1).max()), 4),
            "moments": [round(moments[order.index(i)], 3) for i in point.sites.redox_sites],
            "ordering": achieved_ordering(moments, order, point.sites, ENGINE).relation,
        }
        for energy, forces, moments in zip(series.energies, series.forces, series.magmoms, strict=True)
        if moments is not None
    ]


def _last_moments(folder: Path, point: Point) -> list[float] | None:
    """Redox moments (host order) of the last SCF iteration of a run that did not converge."""
    lines, order = read_lines(folder / ITERATIONS), read_start_file(folder)["site_order"]
    if not lines:
        return None
    sites = json.loads((folder / JOB).read_text(encoding="utf-8"))["redox"]["sites"]
    by_parent = dict(zip((order[i] for i in sites), lines[-1]["magmoms"], strict=True))
    return [by_parent[i] for i in point.sites.redox_sites]


def write_study(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], folder: Path) -> None:
    """Write study.json and study.md."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"settings": settings, "runs": list(rows)}
    (folder / "study.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "study.md").write_text(study_text(rows, settings), encoding="utf-8")
    print(f"results: {folder / 'study.md'}")


def study_text(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """All four parts in Markdown."""
    done = sum(r["ordering"] != NOT_RUN for r in rows)
    said = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "hops")
    parts = [INTRODUCTION.format(done=done, all=len(rows), settings=said, hops=settings["hops"])]
    parts += ["## (a) Ionic against own start", *_starts(rows)]
    parts += ["## (b) Relaxations", *_relaxations(rows)]
    parts += ["## (c) Cutoff and k-points", *_convergence(rows)]
    parts += ["## (d) U on scaled and on unscaled d occupations", *_scaling(rows)]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])


def _of(rows: Sequence[Mapping[str, Any]], part: str) -> list[Mapping[str, Any]]:
    return [r for r in rows if r["part"] == part]


def _moments(one: Mapping[str, Any]) -> str:
    return " ".join(f"{m:.2f}" for m in one["moments"]) if one.get("moments") else "-"


def _number(value: float | None, form: str = ".0f") -> str:
    return "-" if value is None else f"{value:{form}}"


def _energies_of(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[tuple[Any, ...], float]:
    """Lowest energy of each group of rows."""
    found: dict[tuple[Any, ...], float] = {}
    for one in rows:
        if one.get("energy") is not None:
            group = tuple(one[name] for name in names)
            found[group] = min(found.get(group, np.inf), one["energy"])
    return found


def _starts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    mine = _of(rows, "a")
    lowest = _energies_of(mine, "key", "geometry")
    lines = []
    for one in mine:
        above = None if one.get("energy") is None else one["energy"] - lowest[one["key"], one["geometry"]]
        cells = [one["geometry"], one["key"], one["meant"], one["start"], one["ordering"], _moments(one)]
        lines.append(
            [*cells, _number(above, ".3f"), *(_number(one.get(n)) for n in ("iterations", "hops", "scf_cpu_s"))]
        )
    said = []
    for geometry in ("gallium", "ideal"):
        for start in ("ionic d1", "atoms"):
            here = [r for r in mine if (r["geometry"], r["start"]) == (geometry, start) and r["ordering"] != NOT_RUN]
            kept = f"{sum(r['ordering'] in KEPT for r in here)} of {len(here)} kept" if here else "not run"
            said.append(f"{geometry} geometry, `{start}`: {kept}")
    head = ["geometry", "key", "meant", "start", "ordering", "moments (muB)", "above the other", "SCF iterations"]
    return ["; ".join(said) + ".", _table([*head, "hops", "SCF CPU s"], lines)]


def _relaxations(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for one in _of(rows, "b"):
        frames = one.get("frames") or []
        cells = [one["key"], one["geometry"], one["start"], one["ordering"]]
        if frames:
            first, last = frames[0], frames[-1]
            held = sum(f["ordering"] in KEPT for f in frames)
            cells += [f"{held} of {len(frames)}", f"{last['energy'] - first['energy']:.3f}", f"{last['energy']:.3f}"]
            cells += [f"{first['max_force']:.2f} to {last['max_force']:.2f}", _number(one["cpu_s"])]
        else:
            cells += ["-"] * 4 + [_number(one.get("cpu_s"))]
        lines.append(cells)
    head = ["key", "geometry", "start", "ordering at the end", "geometries with the intended order"]
    return [_table([*head, "energy gained", "last energy", "largest force (eV/A)", "CPU s"], lines)]


def _convergence(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The difference of two orderings under each setting, the study's own cutoff first."""
    mine = [*_of(rows, "c")]
    keys = list(dict.fromkeys(r["key"] for r in mine))
    mine = [r for r in _of(rows, "a") if r["key"] in keys and r["geometry"] == "gallium" and r["start"] == "ionic d1"]
    mine += _of(rows, "c")
    lines = []
    for cutoff, mesh in dict.fromkeys((r["cutoff"], tuple(r["mesh"])) for r in mine):
        both = [r for r in mine if (r["cutoff"], tuple(r["mesh"])) == (cutoff, mesh)]
        by_key = {r["key"]: r for r in both}
        energies = [by_key[k].get("energy") for k in keys if k in by_key]
        whole = len(energies) == len(keys) and None not in energies
        cells = [f"{cutoff:g} eV", " ".join(map(str, mesh)), ", ".join(by_key[k]["ordering"] for k in by_key)]
        cells += [_number(e, ".3f") for e in energies]
        lines.append([*cells, _number(energies[1] - energies[0], ".3f") if whole else "-"])
    head = ["plane waves", "k-mesh", "ordering", *(f"E({k})" for k in keys), f"E({keys[1]}) - E({keys[0]})"]
    return [_table(head, lines)] if lines else [NOT_RUN]


def _scaling(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    unscaled = _of(rows, "d")
    scaled = [
        r
        for r in _of(rows, "a")
        if r["geometry"] == "gallium" and r["start"] == "ionic d1" and r["key"] in {u["key"] for u in unscaled}
    ]
    lines = []
    for one in sorted([*scaled, *unscaled], key=lambda r: (r["key"], not r["scale_u"])):
        cells = [one["key"], one["meant"], "yes" if one["scale_u"] else "no", one["ordering"], _moments(one)]
        lines.append([*cells, *(_number(one.get(n)) for n in ("iterations", "hops", "scf_cpu_s"))])
    head = ["key", "meant", "scaled", "ordering", "moments (muB)", "SCF iterations", "hops", "SCF CPU s"]
    return [_table(head, lines)]
