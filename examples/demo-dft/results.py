"""Table, figure and rank correlations of `make demo-dft`, without a word of the machine that made them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure
from valenceflow.analysis.rankings import Agreement, agreement
from valenceflow.flows.campaign_file import Campaign
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel
from valenceflow.inputs.orderings.energies import ordering_energies
from valenceflow.inputs.protocol import Protocol
from valenceflow.stores.connect import STORE_FILE, sqlite_stores

if TYPE_CHECKING:
    from demo_dft import Point

rcParams["svg.hashsalt"] = "valenceflow"  # the same figure gives the same file

DIELECTRIC = 11.4
"""Matches CHGNet's spread on unrelaxed NaxFePO4 (inputs.orderings.electrostatics); it does not change a ranking."""
NAMES = {
    "chgnet_iron": "CHGNet, iron at the gallium geometry",
    "chgnet_gallium": "CHGNet, gallium (step 1)",
    "chgnet_relaxed": "CHGNet, both steps relaxed",
    "electrostatics": "electrostatics, ideal cell",
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def write_results(
    campaign: Campaign, points: Sequence[Point], done: dict[str, dict[str, Any]], protocol: Protocol, folder: Path
) -> None:
    """Write orderings.json, orderings.md and orderings.svg, the last where three kept their order; says where."""
    rows = [row(campaign, point, done.get(point.uuid(protocol))) for point in points]
    for name, energies in cheap_energies(campaign, points).items():
        for one, energy in zip(rows, energies, strict=True):
            one["energies"][name] = None if energy is None else round(energy, 4)
    kept = [r for r in rows if r["relation"] in ("kept", "equivalent")]
    found = {name: compare(kept, name) for name in NAMES} if len(kept) > 2 else {}
    folder.mkdir(parents=True, exist_ok=True)
    example = next((d for d in done.values() if d["document"] == "VaspStepDoc"), None)
    content = {"settings": settings(protocol, example), "orderings": rows}
    content["agreement"] = {name: _plain(vars(value)) for name, value in found.items()}
    (folder / "orderings.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "orderings.md").write_text(table(rows, found, content["settings"]), encoding="utf-8")
    print(f"\ntable: {folder / 'orderings.md'}, data: {folder / 'orderings.json'}")
    if len(kept) > 2:
        figure(kept, found, content["settings"]).savefig(folder / "orderings.svg", metadata={"Date": None})
        print(f"figure: {folder / 'orderings.svg'}")


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else round(value, 4) for name, value in values.items()}


def row(campaign: Campaign, point: Point, document: dict[str, Any] | None) -> dict[str, Any]:
    """What is known of one ordering; energies in eV per cell."""
    configuration = point.configuration
    known: dict[str, Any] = {
        "key": configuration.joint_key,
        "sodium_order": configuration.working_key,
        "meant": "".join("3" if high else "2" for high in configuration.charge_bits or ()),
        "multiplicity": configuration.multiplicity,
        "relation": "not run",
        "moments": None,
        "energies": {"gpaw": None},
        "starts": [],
    }
    if document is None:
        return known
    if document["document"] == "FailureDoc":
        return known | {"relation": f"failed: {document['reason']}", "starts": document["corrections"]}
    by_parent = dict(zip(document["site_order"], document["magmoms"], strict=True))
    details = document["engine_details"]
    wanted = ("start", "used", "energy", "converged", "iterations", "hops")
    return known | {
        "relation": document["achieved"]["relation"],
        "moments": [round(by_parent[i], 3) for i in document["redox_sites"]],
        "energies": {"gpaw": round(document["energy"], 4)},
        "starts": [{name: start[name] for name in wanted} for start in details["starts"]],
    }


def cheap_energies(campaign: Campaign, points: Sequence[Point]) -> dict[str, list[float | None]]:
    """Energies that cost nothing beside DFT, eV per cell."""
    from valenceflow.flows.rehearsal.chgnet_loading import load_model  # noqa: PLC0415 - torch

    stores = sqlite_stores(campaign.folder / STORE_FILE)
    found = stores.collection("calculations").query({"campaign": campaign.file.name, "latest": True})
    relaxed = {c["configuration_id"]: c["energy"] if c["counts"] else None for c in found}
    model, iron = load_model(), []
    for point in points:
        structure = point.structure.copy()
        structure.replace_species({campaign.couple.surrogate.element: campaign.couple.element})
        iron.append(float(model.predict_structure(structure, task="e")["e"]) * len(structure))
    electrostatic = ElectrostaticModel(campaign.cell, campaign.couple, DIELECTRIC)
    working = np.array([p.configuration.working_bits for p in points])
    charge = np.array([p.configuration.charge_bits for p in points])
    return {
        "chgnet_iron": list(iron),
        "chgnet_gallium": [p.gallium_energy for p in points],
        "chgnet_relaxed": [relaxed[p.configuration.configuration_id] for p in points],
        "electrostatics": ordering_energies(electrostatic, working, charge).tolist(),
    }


def compare(rows: Sequence[dict[str, Any]], name: str) -> Agreement:
    """One cheap energy against GPAW's."""
    groups = [r["sodium_order"] for r in rows]
    return agreement(column(rows, "gpaw"), column(rows, name), groups)


def column(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    """Energies under one name, nan where there is none."""
    return [float("nan") if r["energies"].get(name) is None else r["energies"][name] for r in rows]


def settings(protocol: Protocol, example: dict[str, Any] | None) -> dict[str, Any]:
    """Under which the numbers were made."""
    known: dict[str, Any] = {"protocol": protocol.name, "protocol_hash": protocol.hash}
    if example is not None:
        details = example["engine_details"]
        known |= {"gpaw": example["engine"]["version"], "parameters": details["parameters"]}
        known |= {"setups": example["potcar_titles"], "starts": list(protocol.gpaw.starts) if protocol.gpaw else []}
    return known


def relative(values: Sequence[float]) -> list[float]:
    """Energies above the lowest, eV per cell."""
    array = np.array(values)
    return list(array - np.nanmin(array)) if np.isfinite(array).any() else list(array)


def table(rows: Sequence[dict[str, Any]], found: dict[str, Agreement], known: dict[str, Any]) -> str:
    """Markdown: every ordering with what was meant and found, then the rankings."""
    names = ("gpaw", *NAMES)
    columns = {name: relative(column(rows, name)) for name in names}
    parameters = known.get("parameters", {})
    mesh = " ".join(map(str, parameters.get("k_mesh", ())))
    lines = [
        "Charge orderings of Na2Fe4P4O16, energies in eV per cell (4 formula units) above the lowest of their column.",
        f"GPAW {known.get('gpaw', '?')}, protocol {known['protocol']} ({known['protocol_hash']}), plane waves up to "
        f"{parameters.get('cutoff_ev', 0):g} eV, k-mesh {mesh}, single points at gallium geometries of pretrained "
        "CHGNet.",
        "",
        "| key | meant | moments found (muB) | ordering | GPAW | CHGNet, iron | CHGNet, gallium | CHGNet, relaxed | "
        "electrostatics / 11.4 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for i, one in enumerate(rows):
        moments = " ".join(f"{m:.2f}" for m in one["moments"]) if one["moments"] else "-"
        energies = " | ".join("-" if np.isnan(columns[n][i]) else f"{columns[n][i]:.3f}" for n in names)
        lines.append(f"| {one['key']} | {one['meant']} | {moments} | {one['relation']} | {energies} |")
    if found:
        lines += [
            "",
            "| ranking against GPAW | n | Spearman | Kendall | pairs of one Na order alike | regret (eV) | spread |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
        for name, a in found.items():
            lines.append(
                f"| {NAMES[name]} | {a.n} | {a.spearman:.2f} | {a.kendall:.2f} | {a.same_pairs:.0%} | {a.regret:.3f} | "
                f"{a.spread_ratio:.2f} |"
            )
        lines += [
            "",
            "Regret: how far the ordering that ranks lowest by the cheap energy lies above GPAW's lowest. Spread:",
            "standard deviation of the cheap energies over that of GPAW's. Electrostatics: formal charges on the ideal "
            "cell in a",
            f"dielectric of {DIELECTRIC}, which gives energies CHGNet's spread and changes no ranking.",
        ]
    return "\n".join(lines) + "\n"


def figure(rows: Sequence[dict[str, Any]], found: dict[str, Agreement], known: dict[str, Any]) -> Figure:
    """One panel per cheap energy, GPAW's across; sodium orders told apart."""
    names = ("chgnet_iron", "chgnet_gallium", "electrostatics")
    drawn = Figure(figsize=(9.6, 3.4), layout="constrained")
    panels = drawn.subplots(1, len(names))
    true = np.array(relative(column(rows, "gpaw")))
    orders = sorted({r["sodium_order"] for r in rows})
    for panel, name in zip(panels, names, strict=True):
        cheap = np.array(relative(column(rows, name)))
        for order, colour in zip(orders, COLOURS, strict=False):
            mine = np.array([r["sodium_order"] == order for r in rows])
            panel.scatter(true[mine], cheap[mine], color=colour, s=36, label=f"Na order {order}")
        panel.set_title(f"{NAMES[name]}\nSpearman {found[name].spearman:.2f}", fontsize=8)
        panel.set_xlabel("GPAW PBE+U (eV per cell)", fontsize=8)
        panel.tick_params(labelsize=8)
    panels[0].set_ylabel("cheap energy (eV per cell)", fontsize=8)
    panels[0].legend(frameon=False, fontsize=7)
    drawn.suptitle(f"Na2Fe4P4O16: GPAW {known.get('gpaw')}, protocol {known['protocol']}", fontsize=9)
    return drawn
