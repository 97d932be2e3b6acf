"""The card of a data set (its README.md): what a reader must know to use it without reading our code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..coverage import untrained_lines
from ..leakage import lines_of
from .computed_with import computed_with_lines
from .statistics import BIN_WIDTH

_QUANTITIES = (
    ("energy", "eV per cell", "extrapolated to zero smearing"),
    ("forces", "eV/A", "minus the gradient of the energy"),
    ("stress", "eV/A^3", "positive = tension: derivative of the energy by strain, over the volume (ASE)"),
    ("moments", "muB", "sign as computed"),
    ("Bader charges", "e", "positive on cations"),
    ("positions, lattice", "A", "rows are cell vectors"),
)

NOT_READ_BACK = "not read back"
"""In place of a loader, in a manifest."""

_LONGEST = 100
"""Rows of a table."""

_REASONS = {
    "another engine": "computed by another engine than this set's; energies of two cannot be compared",
    "another protocol": "computed with other settings than this set's; energies of two cannot be compared",
    "SCF not converged": "the electronic loop of this ionic step ended before its criterion was met",
    "audit not passed": "its run did not pass its campaign's audit (`valenceflow status` says why)",
    "drifted inputs": "its run's inputs differ from the protocol's, or from those of other runs of these settings",
    "run was cut off": "its run did not end by itself",
    "not labelled": "`valenceflow build` has not read its charge states",
    "charge states: ambiguous": "the moment of a site lies between the windows of the two states",
    "charge states: delocalised": "no set of sites stands apart from the others, so a charge is shared among sites",
    "charge states: unbalanced": "no count of high sites makes the cell neutral",
    "charge states: no moments": "its source has no moments to read charge states from",
    "charge states: no couple": "it holds an element whose oxidation state nothing tells",
    "transition state": "the charge ordering changes to the frame before or after, or it is an image of a path",
    "ordering lost": "its charge states are not the ones that were meant",
    "label not sure enough": "the confidence of its charge states is below the one asked for",
    "thinned": "a neighbour in the same run says nearly the same (every n-th frame, or steps of energy or force)",
    "surrogate step": "of the first relaxation, where a surrogate ion (Ga3+ for Fe3+) holds the high state's sites",
    "not of the surrogate step": "the set is of the surrogate step alone",
}
"""What names of reasons mean; others say it themselves."""

_FORMATS = {
    "mace": (
        "`mace/*.xyz`: `REF_energy`, `REF_forces`, `REF_stress` (9 numbers) as above, which are MACE's default keys; "
        "`mace/E0s.json`: reference energies",
        "mace_run_train --train_file mace/train.xyz --valid_file mace/valid.xyz --E0s mace/E0s.json "
        "--compute_stress True --loss stress",
    ),
    "chgnet": (
        "`chgnet/*/`: energies in eV/atom, stresses in kbar with VASP's sign (positive = pressure; CHGNet's loader "
        "makes GPa with tension positive of them), moments absolute; `chgnet/atom_ref.json`: reference energies, eV",
        "from chgnet.data.dataset import StructureJsonData\n"
        "from chgnet.graph import CrystalGraphConverter\n"
        'StructureJsonData("chgnet/train", CrystalGraphConverter(), targets="{targets}")',
    ),
    "cpainn": (
        "`cpainn/*.xyz`: real elements with the column `oxidation_state`, labels as for MACE, moments in `REF_magmoms`",
        "import ase.io\n"
        "from valenceflow.inputs.species import SpeciesMap\n"
        "from valenceflow.potentials.cpainn.frames import frames_from_atoms\n"
        'species_map = SpeciesMap.model_validate_json(open("species.json").read())\n'
        'frames_from_atoms(ase.io.iread("cpainn/train.xyz"), species_map)',
    ),
    "parquet": (
        "`parquet/*.parquet`: one row per frame; units in the schema's metadata",
        'import pyarrow.parquet\npyarrow.parquet.read_table("parquet/train.parquet")',
    ),
    "aselmdb": (
        "`aselmdb/*.aselmdb`: ASE's LMDB rows (fairchem, MACE); stress in Voigt order xx yy zz yz xz xy",
        'from fairchem.core.datasets import AseDBDataset\nAseDBDataset({{"src": ["aselmdb/train.aselmdb"]}})',
    ),
}


def card(manifest: Mapping[str, Any]) -> str:
    """Text of the card.

    Parameters
    ----------
    manifest : as in manifest.json.
    """
    parts = [
        f"# {manifest['title']}",
        *_warning(manifest),
        "## What it is",
        *_what(manifest),
        "## Computed with",
        "\n".join(f"- {line}" for line in computed_with_lines(manifest["computed_with"])),
        "## Units and signs",
        _table(("quantity", "unit", "meaning"), _QUANTITIES),
        *_formats(manifest),
        "## Frames",
        _table(("side", "frames"), manifest["counts"].items()),
        *_by_side(manifest["frames_by_side"], tuple(manifest["counts"])),
        *_counted("Frames by {name}", manifest["frames_by"], ("step", "source", "verdict")),
        "## Left out",
        *_left_out(manifest["excluded"]),
        *_split(manifest),
        "## Charge states",
        *_charge_states(manifest),
        "## Licence and citation",
        f"Licence: {manifest['licence'] or 'not stated; ask who gave you this set'}.",
        manifest["citation"] or "Cite the source of the calculations, and the software named above.",
    ]
    return "\n\n".join(parts) + "\n"


def _warning(manifest: Mapping[str, Any]) -> list[str]:
    lines = []
    if manifest["engine"].startswith("rehearsal"):
        lines.append(f"**REHEARSAL, not DFT**: the numbers are of the stand-in `{manifest['engine']}`.")
    unread = [name for name, found in manifest["formats"].items() if found["read_back_with"] == NOT_READ_BACK]
    if unread:
        lines.append(f"**Not read back** through its own loader: {', '.join(unread)}.")
    if any(manifest["leakage"].values()):
        lines.append("**Training leaks** into the other sides; see the leakage report below.")
    if missing := untrained_lines(manifest):
        lines.append(
            "**Not trained on**, so that a model extrapolates there:\n\n" + "\n".join(f"- {m}" for m in missing)
        )
    return lines


def _what(manifest: Mapping[str, Any]) -> list[str]:
    protocol = manifest["protocol"] or "not named"
    labels = ", ".join(f"{name} ({number} frames)" for name, number in manifest["labels"].items())
    origin = f"Campaigns: {', '.join(manifest['campaigns'])}. " if manifest["campaigns"] else ""
    return [
        f"{manifest['n_frames']} frames in {manifest['n_lineages']} lineages, made with {manifest['made_with']}. "
        f"{origin}Engine: {manifest['engine']} ({', '.join(manifest['engine_versions'])}). Protocol: {protocol}, hash "
        f"`{manifest['protocol_hash']}`: no frame of another engine or protocol is in it.",
        f"Every frame has energy and forces; further labels: {labels}.",
    ]


def _formats(manifest: Mapping[str, Any]) -> list[str]:
    parts = ["## Files", "`splits.csv` names the side and the group of every frame; `manifest.json` has all that "
             "is said here, and `SHA256SUMS` checks every file (`sha256sum -c SHA256SUMS`)."]  # fmt: skip
    for name, found in manifest["formats"].items():
        said, use = _FORMATS[name]
        how = use.format(targets=manifest["chgnet_targets"]).replace("\n", "\n      ")
        loader = found["read_back_with"]
        checked = "Not read back" if loader == NOT_READ_BACK else f"Read back with {loader}"
        parts.append(f"- {said}. {checked}.\n\n      {how}")
    return parts


def _left_out(excluded: Mapping[str, int]) -> list[str]:
    """Counts, and what the names of their reasons mean."""
    if not excluded:
        return ["Nothing."]
    named = [f"- `{reason}`: {_REASONS[reason]}" for reason in excluded if reason in _REASONS]
    return [_table(("reason", "frames"), excluded.items()), *(["\n".join(named)] if named else [])]


def _split(manifest: Mapping[str, Any]) -> list[str]:
    split = manifest["split"]
    held = f" Held out by name: {', '.join(split['held_out'])}." if split["held_out"] else ""
    return [
        "## Split",
        f"By {split['by']}, {' : '.join(map(str, split['fractions']))} for train, valid and test, seed "
        f"{split['seed']}, stratified by {split['stratify']}, {manifest['n_groups']} groups. A lineage (a "
        f"configuration with all its steps and attempts) and symmetry-equivalent orderings are never cut.{held}",
        "Leakage:\n\n" + "\n".join(f"- {line}" for line in lines_of(manifest["leakage"])),
    ]


def _charge_states(manifest: Mapping[str, Any]) -> list[str]:
    species, references = manifest["species_map"], manifest["reference_energies"]
    parts = []
    if manifest["charge_states_encoded"]:
        rows = [
            (f"{element}{state}+", number)
            for element, states in species["states"].items()
            for state, number in states.items()
        ]
        parts.append(
            f"Encoded for MACE, CHGNet and ASE's database by the map `{species['name']}`: a model knows these states "
            "by other atomic numbers. Keep the map with every model; structures keep their real elements elsewhere."
        )
        parts.append(_table(("charge state", "atomic number in the model"), rows))
    else:
        parts.append("Not encoded: every atom goes by its element.")
    if manifest["couples"]:
        parts.append(
            f"Read from moments for {', '.join(manifest['couples'])}. Moments of sites by charge "
            f"state, in bins {BIN_WIDTH:g} muB wide:"
        )
        for state, counts in manifest["moments"].items():
            parts.append(_table((f"{state}: bin from, muB", "sites"), counts.items()))
    energies = ", ".join(f"{number}: {energy:.6f}" for number, energy in references["eV_by_model_number"].items())
    parts.append(
        f"Reference energies (eV per atom, by atomic number in the model, of the species in this set): {energies}. "
        f"Least squares in double precision on {references['fitted_to']}, charge states of an element tied; residual "
        f"{1000 * references['rms_residual_ev_per_atom']:.2f} meV/atom."
    )
    return parts


def _counted(title: str, counts: Mapping[str, Mapping[str, int]], names: tuple[str, ...]) -> list[str]:
    return [_table((title.format(name=name), "frames"), counts[name].items()) for name in names if name in counts]


def _by_side(counts: Mapping[str, Any], sides: tuple[str, ...]) -> list[str]:
    """A table of what the frames hold, side by side; long lists are left to the manifest."""
    return [
        _table((kind, *sides), [(value, *found.values()) for value, found in values.items()])
        for kind, values in counts.items()
        if 0 < len(values) < _LONGEST
    ]


def _table(header: tuple[str, ...], rows: Any) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
