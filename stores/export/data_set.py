"""A data set for training, made whole or not at all.

    done = export_set(stores, Path("my-set"), ExportOptions(formats=["parquet"]))
    done.manifest["counts"]          # {"train": 812, "valid": 99, "test": 104}

Everything is written into a folder beside the target, read back, checked, and renamed: under the final name there is
never a partial set. The same store and options give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...inputs.species import SpeciesMap
from ..coverage import frames_by_side, untrained
from ..frame_filters import FrameFilters
from ..frames import Collections, Surrogate
from ..leakage import LeakageReport, fingerprints, leakage_report
from ..splits import Split, SplitPolicy, split_frames
from ..thinning import Thinning
from .card import NOT_READ_BACK, card
from .computed_with import computed_with
from .expected import write_expected
from .files import Format, FrameFile, file_name, open_files
from .prepared import prepared_frames
from .read_back import read_parquet_back
from .selection import Selection, select_frames
from .statistics import SetStatistics
from .unfinished import CARD, DOCUMENT, MANIFEST, SPECIES, SPLIT_FILE, SUMS, put_in_place, unfinished_set

EXPECTED = ".expected"
"""Folder with what was meant, while formats are read back."""

_VERSION = 1
_LINKING_ROUNDS = 3

Report = Callable[[str, int, int], None]
"""Called with what is being done, frames done, frames in all."""

ReadBack = Callable[[Path, Sequence[Format], Report], dict[str, str]]
"""Reads formats of a set's folder back and compares them with its `EXPECTED`; returns format -> loader and version."""


@dataclass(frozen=True)
class ExportOptions:
    """What is made.

    Attributes
    ----------
    formats : one or several.
    filters, thinning, surrogate : which frames.
    split : how they are divided.
    species : map from charge states to model species; one without states leaves every atom its element.
    title, licence, citation : for the card.
    """

    formats: Sequence[Format]
    filters: FrameFilters = field(default_factory=FrameFilters)
    thinning: Thinning = field(default_factory=Thinning)
    surrogate: Surrogate = "exclude"
    split: SplitPolicy = field(default_factory=SplitPolicy)
    species: SpeciesMap = field(default_factory=lambda: SpeciesMap.shipped("charge-states"))
    title: str = ""
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class ExportedSet:
    """What was made.

    Attributes
    ----------
    folder : of the set.
    manifest : content of its manifest.json.
    """

    folder: Path
    manifest: dict[str, Any]


def export_set(
    stores: Collections,
    folder: Path,
    options: ExportOptions,
    read_back: ReadBack | None = None,
    report: Report = lambda what, done, total: None,
    replace: bool = False,
) -> ExportedSet:
    """Make a data set.

    Parameters
    ----------
    stores : a campaign's or an ingested set's.
    folder : to be made.
    options : what is made.
    read_back : reads the formats back whose loaders need torch (`potentials.reading_back.read_back`); None leaves that
        out, and the manifest says so. Parquet is read back here in any case.
    report : progress.
    replace : a set that is there already gives way once the new one is whole.

    Raises
    ------
    ValueError
        If the folder is taken, nothing is left to export, engines or protocols are mixed, a charge state is not known
        to the species map, the disk is full, or a loader reads other numbers than were meant.
    """
    if options.species.knows_charge_states and not options.filters.ambiguous:
        raise ValueError("charge states can only be encoded where they are resolved: leave ambiguous frames out, or "
                         "export with --no-charge-states")  # fmt: skip
    with unfinished_set(folder, replace) as unfinished:
        report("choosing frames", 0, 0)
        selection = select_frames(stores, options.filters, options.thinning, options.surrogate)
        split, leakage = clean_split(stores, selection, options.split, report)
        statistics = _write_frames(stores, unfinished, options, selection, split, report)
        checked = _read_everything_back(unfinished, options.formats, read_back, report)
        shutil.rmtree(unfinished / EXPECTED)
        manifest = _manifest(options, selection, split, leakage, statistics, checked)
        manifest["computed_with"] = computed_with(stores, selection)
        _write_papers(unfinished, manifest, selection, split, statistics.species)
        put_in_place(unfinished, folder, replace)
    return ExportedSet(folder, manifest)


def clean_split(
    stores: Collections, selection: Selection, policy: SplitPolicy, report: Report = lambda what, done, total: None
) -> tuple[Split, LeakageReport]:
    """Split; lineages that turn out to hold near-duplicates of each other are put together and it is done again."""
    together: set[tuple[str, str]] = set()
    neighbours = fingerprints(stores)
    for _ in range(_LINKING_ROUNDS):
        split = split_frames(selection.entries, policy, sorted(together))
        leakage = leakage_report(selection.entries, split, neighbours, partial(report, "looking for copies"))
        if leakage.is_clean or leakage.pairs <= together:
            break
        together |= leakage.pairs
    return split, leakage


def _write_frames(
    stores: Collections,
    folder: Path,
    options: ExportOptions,
    selection: Selection,
    split: Split,
    report: Report,
) -> SetStatistics:
    statistics, done, total = SetStatistics(), 0, len(selection.entries)
    (folder / EXPECTED).mkdir()
    (folder / SPECIES).write_text(_as_json(options.species.model_dump(mode="json")), encoding="utf-8")
    with_stress = all(entry.has_stress for entry in selection.entries)
    for side in split.counts:
        entries = [entry for entry in selection.entries if split.places[entry.frame_id] == side]
        if not entries:
            continue
        with ExitStack() as stack:
            files: list[FrameFile] = open_files(folder, options.formats, side, with_stress)
            for file in files:
                stack.callback(file.close)
            expected = stack.enter_context((folder / EXPECTED / side).open("wb", buffering=1 << 20))
            for frame in prepared_frames(stores, entries, options.species):
                for file in files:
                    file.write(frame)
                write_expected(expected, frame)
                statistics.add(frame, side)
                done += 1
                if done % 100 == 0 or done == total:
                    report("writing frames", done, total)
    return statistics


def _read_everything_back(
    folder: Path, formats: Sequence[Format], read_back: ReadBack | None, report: Report
) -> dict[str, str]:
    checked = {}
    if "parquet" in formats:
        for expected in sorted((folder / EXPECTED).iterdir()):
            read_parquet_back(folder / "parquet" / file_name("parquet", expected.name), expected)
        checked["parquet"] = f"pyarrow {version('pyarrow')}"
    rest = [name for name in formats if name != "parquet"]
    if rest and read_back is not None:
        checked |= read_back(folder, rest, report)
    return {name: checked.get(name, NOT_READ_BACK) for name in formats}


def _manifest(
    options: ExportOptions,
    selection: Selection,
    split: Split,
    leakage: LeakageReport,
    statistics: SetStatistics,
    checked: dict[str, str],
) -> dict[str, Any]:
    filters = {name: sorted(v) if isinstance(v, frozenset) else v for name, v in asdict(options.filters).items()}
    entries = selection.entries
    by_side = frames_by_side(entries, split, statistics.charge_states)
    return {
        "document": DOCUMENT,
        "version": _VERSION,
        "title": options.title or f"{selection.engine} frames of {', '.join(selection.counts['formula'])}",
        "made_with": f"valenceflow {version('valenceflow')}",
        "engine": selection.engine,
        "engine_versions": list(selection.counts["engine_version"]),
        "protocol": selection.protocol,
        "protocol_hash": selection.protocol_hash,
        "campaigns": sorted({entry.campaign for entry in entries if entry.campaign}),
        "formats": {name: {"read_back_with": checked[name]} for name in options.formats},
        "counts": split.counts,
        "n_frames": len(entries),
        "n_lineages": len({entry.lineage for entry in entries}),
        "n_groups": len(set(split.groups.values())),
        "labels": {
            "stress": sum(entry.has_stress for entry in entries),
            "magmoms": sum(entry.has_magmoms for entry in entries),
            "bader_charges": sum(entry.has_bader for entry in entries),
        },
        "chgnet_targets": "efsm" if all(entry.has_stress for entry in entries) else "efm",
        "excluded": selection.excluded,
        "filters": filters,
        "surrogate_step": options.surrogate,
        "thinning": options.thinning.as_dict(),
        "split": options.split.as_dict(),
        "leakage": leakage.as_dict(),
        "frames_by_side": by_side,
        "untrained": untrained(by_side),
        "frames_by": {name: counts for name, counts in selection.counts.items() if len(counts) < 100},
        "couples": selection.couples,
        "moments": statistics.moments(),
        "charge_states_encoded": options.species.knows_charge_states,
        "species_map": options.species.model_dump(mode="json") | {"hash": options.species.content_hash},
        "reference_energies": statistics.reference_energies(options.species),
        "licence": options.licence,
        "citation": options.citation,
    }


def _write_papers(
    folder: Path, manifest: dict[str, Any], selection: Selection, split: Split, species: set[int]
) -> None:
    """Split, references, manifest with checksums of every file, card, and checksums of those too."""
    (folder / SPLIT_FILE).write_text(split.as_csv(selection.entries), encoding="utf-8")
    fitted = manifest["reference_energies"]["eV_by_model_number"]
    references = {number: energy for number, energy in fitted.items() if int(number) in species}
    for name, file in (("mace", "E0s.json"), ("chgnet", "atom_ref.json")):
        if (folder / name).is_dir():
            (folder / name / file).write_text(_as_json(references), encoding="utf-8")
    manifest["files"] = {
        str(path.relative_to(folder)): {"sha256": _sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / MANIFEST).write_text(_as_json(manifest), encoding="utf-8")
    (folder / CARD).write_text(card(manifest), encoding="utf-8")
    sums = {name: found["sha256"] for name, found in manifest["files"].items()}
    sums |= {name: _sha256(folder / name) for name in (MANIFEST, CARD)}
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
