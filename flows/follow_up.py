"""What comes after a VASP run that is not the last word: going on from CONTCAR, or another try at a lost ordering.

Each follow-up is a job of its own under the same uuid (jobflow's `replace`), with a document of its own. Decisions are
made from documents alone, so that a resumed campaign decides as the running job would have. The ladder against lost
orderings is in `rescue`.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow import Job
from pydantic import BaseModel, ConfigDict, Field
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar
from pymatgen.io.vasp.inputs import BadPoscarWarning

from ..stores.documents import RunHistory, StructureField, VaspStepDoc
from ..stores.relations import LOST
from .audit import OnLostOrdering
from .harvest import frames_left
from .rescue import LADDER, has_wavecar, on_rung, relax_from_wavecar, rescue_static, rescued, without_wavecar
from .step_document import StepContext

if TYPE_CHECKING:
    from .vasp_job import ChargeOrderedVaspMaker

UNFINISHED = {"forces", "stopped"}
"""Audit failures that more ionic steps mend."""

ON_THE_WAY = UNFINISHED | {"volume", "axes"}
"""Audit failures that an unfinished relaxation may have: halfway its cell need not be the host's yet."""


class StartingPoint(BaseModel):
    """A geometry that a run starts from, with the parent index of each site."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    structure: StructureField
    site_order: list[int] | None = Field(description="(n_sites,) parent index of each site; None: parent order")


def follow_up(
    maker: ChargeOrderedVaspMaker,
    document: VaspStepDoc,
    context: StepContext,
    after: StartingPoint,
    origin: StartingPoint,
) -> Job | None:
    """The job that replaces a finished one, or None where the document is the last word.

    Parameters
    ----------
    maker : made the run that ended.
    document : what came out of it.
    context : what it worked for.
    after : where a continuation starts (its CONTCAR).
    origin : where the step started (the geometry of step 1, for a relaxation).
    """
    common = {"sites": context.sites, "reference": context.reference, "intent": context.intent, "origin": origin}
    history = document.history
    if goes_on(document, maker.max_continuations):
        longer = continued(history, document)
        next_maker = without_wavecar(on_rung(maker, history))
        return next_maker.make(after.structure, site_order=after.site_order, history=longer, **common)
    if document.step == "rescue static" and document.achieved.relation not in LOST and document.audit.passed:
        relax = relax_from_wavecar(maker, history)
        place: str | None = document.folder
        if not has_wavecar(document.folder):  # a resumed campaign, whose run folders somebody tidied up
            history = history.model_copy(
                update={"tried": [*history.tried, "its WAVECAR is gone: relaxed from scratch"]}
            )
            relax, place = without_wavecar(relax), None
        return relax.make(origin.structure, place, site_order=origin.site_order, history=history, **common)
    if wants_rescue(document, context.on_lost_ordering):
        again = rescued(history, document)
        static = rescue_static(maker, again)
        return static.make(origin.structure, site_order=origin.site_order, history=again, **common)
    return None


def next_start(folder: Path, document: VaspStepDoc) -> StartingPoint:
    """Where a continuation starts: the CONTCAR, which is one step ahead of the last frame, else that frame."""
    contcar = read_contcar(folder, [site.specie.symbol for site in document.structure])
    return StartingPoint(structure=document.structure if contcar is None else contcar, site_order=document.site_order)


def geometry_left(folder: Path, symbols: list[str]) -> tuple[Structure, str] | None:
    """Where a run that was cut off got to, and what says so; None if it did not finish an ionic step.

    VASP rewrites CONTCAR in place: a run killed in that moment leaves it empty or cut off, and its last complete frame
    (one step back) is taken instead.

    Parameters
    ----------
    folder : run folder.
    symbols : (n_sites,) elements, in order.
    """
    contcar = read_contcar(folder, symbols)
    if contcar is not None:
        return contcar, "CONTCAR"
    parts = frames_left(folder, symbols)
    if not parts:
        return None
    return Structure(parts[-1].lattices[-1], symbols, parts[-1].frac_coords[-1]), "last complete frame"


def geometry_before(folder: Path, symbols: list[str]) -> tuple[Structure, str] | None:
    """Where a run that finished no ionic step had started from; None if no POSCAR of these sites is left."""
    for name in ("POSCAR", "POSCAR.orig"):  # custodian keeps the first one under the second name
        structure = _read_structure(folder, name, symbols)
        if structure is not None:
            return structure, name
    return None


def read_contcar(folder: Path, symbols: list[str]) -> Structure | None:
    """The CONTCAR of a run folder, plain or gzipped; None if it is missing, empty, cut off or of other sites."""
    return _read_structure(folder, "CONTCAR", symbols)


def _read_structure(folder: Path, name: str, symbols: list[str]) -> Structure | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if not path.exists() or path.stat().st_size == 0:
            continue
        try:
            text = _text(path)
            with warnings.catch_warnings():
                # pymatgen warns and guesses elements where a file is cut off; here that is no structure.
                warnings.simplefilter("error", BadPoscarWarning)
                structure = Poscar.from_str(text).structure
        except (ValueError, IndexError, EOFError, OSError, zlib.error, BadPoscarWarning):
            return None
        # A file that was cut off within its last number still reads as a structure, with a wrong coordinate.
        if text.endswith("\n") and [site.specie.symbol for site in structure] == symbols:
            return Structure(structure.lattice, structure.species, structure.frac_coords)
    return None


def _text(path: Path) -> str:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode()


def goes_on(document: VaspStepDoc, limit: int) -> bool:
    """Whether a relaxation should go on from its CONTCAR.

    Parameters
    ----------
    document : the run that ended.
    limit : largest number of continuations.
    """
    failures = {finding.code for finding in document.audit.findings if finding.severity == "failure"}
    relaxes = document.step in ("surrogate relax", "relax", "free relax")
    # LABORT in STOPCAR ends VASP within its electronic steps.
    mended = UNFINISHED | ({"scf"} if document.stopped else set())
    unfinished = bool(failures & mended) and failures <= ON_THE_WAY | mended
    return relaxes and unfinished and document.history.continuation < limit


def wants_rescue(document: VaspStepDoc, on_lost_ordering: OnLostOrdering) -> bool:
    """Whether another try at the intended ordering should be made.

    Stiffer mixing is for a static calculation whose electrons did not converge, too.
    """
    if on_lost_ordering != "retry" or document.intended_is_high is None or document.history.rescue >= len(LADDER):
        return False
    lost, passed = document.achieved.relation in LOST, document.audit.passed
    return lost and passed if document.step == "relax" else document.step == "rescue static" and (lost or not passed)


def continued(history: RunHistory, document: VaspStepDoc) -> RunHistory:
    """History of the run that goes on from a document's CONTCAR."""
    after = document.n_ionic_steps
    note = f"continuation {history.continuation + 1} from CONTCAR after {after} ionic steps"
    changes = {"continuation": history.continuation + 1, "tried": [*history.tried, note], "killed_folder": None}
    return history.model_copy(update=changes)
