"""Frames: one slim document per ionic step, its arrays beside it, and the way to stream both.

Three collections, opened through `stores.connect` (``stores.collection(name)``), SQLite and MongoDB alike:

``runs``
    `RunDoc`: one VASP run (or one file of a data set) that frames came from, or why it gave none. Key `run_id`.
``frames``
    `FrameDoc`: what is filtered, sorted and tabulated, one document of about 1.5 kB per ionic step. Key `frame_id`.
``frame_arrays``
    `stores.frame_arrays.FrameBlock`: positions, forces and the like of some 25 consecutive frames. Key `block_id`.

Reading. `iter_frames` takes any MongoDB filter over `FrameDoc`'s fields (dots go into `label`), and streams `Frame`s in
order of `frame_id` (so the frames of a run come one after the other), memory holding one batch whatever their number::

    for frame in iter_frames(stores, {"engine": "vasp", "step": "relax", "label.verdict": "resolved"}):
        frame.doc["energy"]                # eV per cell; a plain dict with FrameDoc's fields
        frame.arrays.forces                # (n_sites, 3) eV/A; see FrameArrays for every shape and unit
        oxidation_states(frame)            # (n_sites,) int8, measured, or None where a site's state is not known

A frame of the surrogate step holds real Ga where the relabelled one holds Fe3+, on the same geometry and with other
energies and forces (facts of the paper's data, section 2.1). One stream never holds both: ``surrogate="exclude"``
(default) leaves those out, ``"only"`` gives nothing else.

Writing is for `stores.ingest` and `stores.builders_frames`; ids follow from content or from job uuids, so that writing
twice changes nothing. Labels are set by `stores.labels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .collection import Collection
from .frame_arrays import FrameArrays, FrameBlock, IntArray

FrameStep = Literal["surrogate relax", "relax", "static", "MD", "other"]
"""`other`: nudged elastic band, dielectric, phonon and such, and frames of data sets that do not say."""

Source = Literal["campaign", "vasp folder", "task document", "ase set", "calculation"]
"""`calculation` is no source of frames: it notes that all runs of a calculation were looked at."""

Verdict = Literal["resolved", "ambiguous", "delocalised", "unbalanced", "no moments", "no couple"]
LabelSource = Literal["moments", "bader", "stated", "composition", "none"]
Surrogate = Literal["exclude", "only"]

_BATCH = 256


class Collections(Protocol):
    """What frames are read from: `stores.connect.Stores`, or collections by name."""

    @property
    def place(self) -> str:
        """Where the documents are, for messages."""
        ...

    def collection(self, name: str) -> Collection:
        """A collection, connected."""
        ...


@dataclass(frozen=True)
class NamedStores:
    """Collections by name, for builders, which are handed theirs one by one."""

    stores: Mapping[str, Collection]

    @property
    def place(self) -> str:
        """Names of the stores."""
        return ", ".join(str(store.name) for store in self.stores.values())

    def collection(self, name: str) -> Collection:
        """One of them."""
        return self.stores[name]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FrameLabel(_Document):
    """Oxidation states of one frame as measured, and how sure they are."""

    verdict: Verdict = Field(
        description="resolved; ambiguous: a moment lies between the windows; delocalised: no set of sites stands apart "
        "or their count contradicts neutrality; unbalanced: no count of high sites makes the cell neutral; no moments; "
        "no couple: an element whose oxidation state nothing tells"
    )
    source: LabelSource = Field(
        description="what the states were read from; stated: the data set says so and has no moments; composition: no "
        "site had to be read"
    )
    couples: list[str] = Field(default_factory=list, description="redox couples of this cell, e.g. Fe2+/Fe3+")
    redox_elements: list[str] = Field(default_factory=list, description="elements of these couples")
    states: list[int | None] = Field(
        default_factory=list, description="(n_redox,) e, of the redox elements' sites in site order; None: not known"
    )
    confidences: list[float] = Field(
        default_factory=list, description="(n_redox,) 1 at or beyond a window's bound, 0 halfway between the two"
    )
    fixed: dict[str, int] = Field(default_factory=dict, description="oxidation state of every other element, e")
    charge: int | None = Field(default=None, description="sum over all sites, e; None unless every state is known")
    n_high: int | None = Field(default=None, description="sites read as the high state; None unless resolved")
    confidence: float = Field(description="smallest of the sites' confidences; 0 unless resolved")
    as_intended: bool | None = Field(
        default=None, description="every redox site is in the state that was meant; None: none was, or not resolved"
    )
    bader_agrees: bool | None = Field(
        default=None, description="Bader charges put the same sites in the high state; None: there are none"
    )
    transition: bool = Field(
        default=False, description="the ordering changes to the frame before or after, or this is a path's image"
    )
    labelling_id: str = Field(description="windows and charges that were used (collection `labellings`)")
    reason: str = Field(default="", description="one line why the verdict is not `resolved`")


class FrameDoc(_Document):
    """One ionic step: what is asked for in queries. Its arrays are in block `block_id`, row `row`."""

    frame_id: str = Field(description="RUN-NNNNNN: run id and number, deterministic")
    run_id: str = Field(description="the VASP run it is of (collection `runs`)")
    number: int = Field(ge=0, description="place in the run's trajectory")
    block_id: str = Field(description="document of `frame_arrays`")
    row: int = Field(ge=0, description="place in that block")
    content_hash: str = Field(description="of elements, cell, positions, energy and forces; equal = the same frame")

    source: Source
    step: FrameStep
    origin: str = Field(description="final; error.N for what custodian archived; killed for a run gone on from")
    is_last: bool = Field(description="last frame of its run")
    relaxed: bool | None = Field(
        default=None, description="forces of a relaxation's last frame are below EDIFFG; None for any other frame"
    )
    path_image: bool = Field(default=False, description="image of a nudged elastic band")
    has_surrogate: bool = Field(description="holds real surrogate ions (step 1), or an element that serves as one")

    calculation_id: str | None = Field(default=None, description="document of `calculations`; None: ingested")
    configuration_id: str | None = Field(default=None, description="document of `configurations`; None: ingested")
    campaign: str | None = None
    lineage: str = Field(
        description="group that no split may cut: the configuration id with all its steps and attempts; for what was "
        "ingested the run, or the group that was named"
    )
    host: str | None = None
    fraction: float | None = Field(default=None, description="occupied working-ion sites / all of them")
    working_key: str | None = Field(default=None, description="canonical working-ion ordering, a group for splits")
    intended_key: str | None = Field(default=None, description="joint key of the ordering that was meant")
    supercell: str | None = Field(default=None, description="of the host, e.g. 1x3x2: keys are of one supercell each")

    formula: str = Field(description="reduced formula")
    chemsys: str = Field(description="elements in alphabetical order, joined by -")
    composition: dict[str, int] = Field(description="element -> number of atoms in the cell")
    n_sites: int

    energy: float = Field(description="eV per cell, extrapolated to zero smearing")
    energy_per_atom: float = Field(description="eV/atom")
    max_force: float = Field(description="largest force on an atom, eV/A")
    volume: float = Field(description="A^3 per cell")
    has_stress: bool
    has_magmoms: bool
    has_bader: bool

    scf_converged: bool = Field(description="the electronic steps reached EDIFF")
    run_finished: bool = Field(description="False: salvaged from a run that was cut off")
    audit_passed: bool | None = Field(default=None, description="of the run; None: not audited (ingested)")
    drift: list[str] = Field(default_factory=list, description="inputs that differ from the protocol, in words")
    drifted: bool = Field(default=False, description="`drift` is not empty")

    engine: str = Field(description="from the output's own version string; `unstated` where a data set names none")
    engine_version: str | None = None
    protocol: str | None = Field(default=None, description="name of the protocol; None: not one that is known")
    protocol_hash: str = Field(
        description="of everything that changes energies; for other runs, of the tags and POTCARs that they name"
    )

    label: FrameLabel | None = Field(default=None, description="None: not labelled yet (`valenceflow build`)")


class RunDoc(_Document):
    """Where frames came from; written after them, so that a run with this document is whole."""

    run_id: str = Field(description="job uuid and index (campaign), or hash of the files' content (ingested)")
    source: Source
    place: str = Field(description="host:path of the folder or file")
    checksum: str = Field(description="SHA-256 of what was read")
    state: Literal["taken", "salvaged", "skipped"]
    reason: str = Field(default="", description="one of `ingest_reasons.Reason`; empty when taken whole")
    detail: str = Field(default="", description="one line with the value")
    n_frames: int = 0
    left_out: dict[str, int] = Field(default_factory=dict, description="reason -> frames of the run not taken")
    engine: str | None = None
    formula: str | None = None
    options_hash: str = Field(default="", description="of the options that it was read with")
    protocol_hash: str | None = None
    tags: dict[str, Any] = Field(default_factory=dict, description="INCAR tags that `protocol_hash` is of, if any")
    element_settings: dict[str, str] = Field(default_factory=dict, description="element -> U and pseudopotential")
    fixed_states: dict[str, int] = Field(
        default_factory=dict, description="element -> oxidation state that the run's host gives, e"
    )
    couples: list[dict[str, Any]] = Field(
        default_factory=list, description="redox couples that the run was made for, in full; empty: not said"
    )
    calculation_id: str | None = Field(default=None, description="document of `calculations`; None: ingested")
    labelling_id: str | None = Field(default=None, description="labels of all its frames are of this labelling")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with its arrays.

    Attributes
    ----------
    doc : fields of `FrameDoc` (those that were asked for), as stored.
    arrays : its numbers.
    """

    doc: Mapping[str, Any]
    arrays: FrameArrays


def iter_frames(
    stores: Collections,
    criteria: Mapping[str, Any] | None = None,
    *,
    surrogate: Surrogate = "exclude",
    properties: Sequence[str] | None = None,
    batch: int = _BATCH,
) -> Iterator[Frame]:
    """Stream frames in order of `frame_id`, in constant memory.

    Parameters
    ----------
    stores : a campaign's or an ingested set's.
    criteria : MongoDB filter over `FrameDoc`'s fields.
    surrogate : `exclude` frames of the surrogate step, or give `only` those; never both.
    properties : fields of `FrameDoc` that are wanted (default: all).
    batch : frames whose documents are held at once.

    Raises
    ------
    ValueError
        If a frame's block is missing.
    """
    found = iter_frame_docs(stores, criteria, surrogate=surrogate, properties=properties)
    while documents := list(islice(found, batch)):
        yield from with_arrays(stores, documents)


def iter_frame_docs(
    stores: Collections,
    criteria: Mapping[str, Any] | None = None,
    *,
    surrogate: Surrogate = "exclude",
    properties: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Stream frame documents alone, in order of `frame_id`; parameters as in `iter_frames`."""
    wanted = None if properties is None else list(dict.fromkeys([*properties, "frame_id", "block_id", "row"]))
    yield from stores.collection("frames").query(
        frame_criteria(criteria, surrogate), properties=wanted, sort={"frame_id": 1}
    )


def frame_criteria(criteria: Mapping[str, Any] | None, surrogate: Surrogate) -> dict[str, Any]:
    """Add to a filter which side of the surrogate step is meant; every selection of frames goes through here."""
    if surrogate not in ("exclude", "only"):
        raise ValueError(f"surrogate = {surrogate!r}: choose exclude or only; both in one set cannot be had")
    side = {"has_surrogate": surrogate == "only"}
    return {"$and": [dict(criteria), side]} if criteria else side


def with_arrays(stores: Collections, documents: Sequence[Mapping[str, Any]]) -> Iterator[Frame]:
    """Join frame documents with their arrays, in the order given; they hold `block_id` and `row`.

    Raises
    ------
    ValueError
        If a block is missing.
    """
    blocks = read_blocks(stores, dict.fromkeys(document["block_id"] for document in documents))
    for block_id, same in groupby(documents, key=lambda document: document["block_id"]):
        block = blocks.get(block_id)
        if block is None:
            raise _missing(stores, block_id)
        for document in same:
            yield Frame(document, block.frame(document["row"]))


def _missing(stores: Collections, block_id: str) -> ValueError:
    return ValueError(
        f"{stores.place}: frame block {block_id} is missing: `valenceflow build` or `valenceflow ingest` with "
        "--again writes it anew"
    )


def read_block(stores: Collections, block_id: str) -> FrameBlock:
    """One block.

    Raises
    ------
    ValueError
        If it is missing.
    """
    found = read_blocks(stores, [block_id])
    if block_id not in found:
        raise _missing(stores, block_id)
    return found[block_id]


def read_blocks(stores: Collections, block_ids: Iterable[str]) -> dict[str, FrameBlock]:
    """Blocks by id; those that are missing are left out."""
    found = stores.collection("frame_arrays").query({"block_id": {"$in": list(block_ids)}})
    return {document["block_id"]: FrameBlock.from_document(document) for document in found}


def oxidation_states(frame: Frame) -> IntArray | None:
    """Measured oxidation state of every site; None unless the label is resolved.

    Returns
    -------
    (n_sites,) e, neutral in sum.
    """
    label = frame.doc.get("label")
    if label is None or label["verdict"] != "resolved":
        return None
    return site_states(frame.arrays.symbols, label)


def site_states(symbols: Sequence[str], label: Mapping[str, Any]) -> IntArray:
    """Spread a resolved label over the sites.

    Parameters
    ----------
    symbols : (n_sites,) elements.
    label : fields of a `FrameLabel` whose verdict is `resolved`.
    """
    read = iter(label["states"])
    redox, fixed = set(label["redox_elements"]), label["fixed"]
    return np.array([next(read) if symbol in redox else fixed[symbol] for symbol in symbols], dtype=np.int8)


def frame_id(run_id: str, number: int) -> str:
    """Key of a frame; sorts as the numbers do."""
    return f"{run_id}-{number:06d}"
