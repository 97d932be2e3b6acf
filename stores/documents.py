"""Documents: the border between what runs and what is known. Flows write them, everything after reads them.

Units and orders stand in the field descriptions. Lists over sites of one step are in that step's POSCAR order;
`site_order` leads back to the parent structure, whose redox sites are in host order when a campaign made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pymatgen.core import Structure

from ..inputs.charge_states import RedoxCouple
from ..inputs.orderings.sampling import Weight
from ..inputs.orderings.stratum_names import in_statistics
from .migrations import SCHEMA_VERSION as SCHEMA_VERSION

Severity = Literal["failure", "warning", "info"]
StepKind = Literal["surrogate relax", "relax", "free relax", "static", "rescue static", "metal"]
Relation = Literal["kept", "equivalent", "moved", "delocalised", "ambiguous", "measured", "not read"]
FailureReason = Literal[
    "inputs refused",
    "missing potcar",
    "vasp not found",
    "vasp error",
    "gpaw not found",
    "missing setup",
    "gpaw error",
    "killed",
    "outputs unreadable",
    "not converged",
    "disk",
    "vanished",
    "unexpected",
]


StructureField = Annotated[
    Structure,
    BeforeValidator(lambda value: Structure.from_dict(value) if isinstance(value, dict) else value),
    PlainSerializer(lambda structure: structure.as_dict(), return_type=dict),
]
"""A pymatgen structure, stored as its dict."""


def now() -> datetime:
    """Current time in UTC; clocks of different machines need not agree."""
    return datetime.now(tz=UTC)


class Document(BaseModel):
    """Base of every document."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class Finding(Document):
    """One thing the audit found."""

    code: str = Field(description="short name, e.g. forces, moments, volume, ordering")
    severity: Severity = Field(description="a calculation with a `failure` does not count")
    message: str = Field(description="one line with the value, the bound and the unit")


class Audit(Document):
    """Whether a calculation counts, decided from its files and not from a state that some program reported."""

    passed: bool = Field(description="no finding of severity `failure`")
    findings: list[Finding] = Field(default_factory=list)

    @classmethod
    def of(cls, findings: list[Finding]) -> Audit:
        """Pass unless a finding is a failure."""
        return cls(passed=all(f.severity != "failure" for f in findings), findings=findings)


class AchievedOrdering(Document):
    """The charge ordering that came out, read from the final moments."""

    relation: Relation = Field(
        description="to the intended ordering: kept, equivalent (a symmetry image), moved, delocalised, ambiguous; "
        "`measured` where none was intended; `not read` in the surrogate step and of a metal"
    )
    is_high: list[bool] | None = Field(default=None, description="(n_redox,) parent order; None unless resolved")
    gap: float | None = Field(default=None, description="muB between the two groups of |moment|")
    reason: str = Field(default="", description="why it could not be resolved")


class FrameSeries(Document):
    """Every ionic step of one VASP run, as arrays in the step's POSCAR order. Kept in the `data` store."""

    symbols: list[str] = Field(description="(n_sites,) elements")
    lattices: list[list[list[float]]] = Field(description="(n_frames, 3, 3) rows are cell vectors, A")
    frac_coords: list[list[list[float]]] = Field(description="(n_frames, n_sites, 3)")
    energies: list[float] = Field(description="(n_frames,) energy extrapolated to zero smearing, eV per cell")
    forces: list[list[list[float]]] = Field(description="(n_frames, n_sites, 3) eV/A")
    stresses: list[list[list[float]]] = Field(description="(n_frames, 3, 3) eV/A^3, ASE sign (positive = tension)")
    magmoms: list[list[float] | None] = Field(description="(n_frames, n_sites) muB; None where OUTCAR has no table")
    scf_converged: list[bool] = Field(description="(n_frames,) electronic steps stayed below NELM")
    origins: list[str] = Field(
        default_factory=list,
        description="(n_frames,) `final` for the run that ended; error.N for what custodian archived before a restart; "
        "`killed` for a run that was cut off and gone on from",
    )

    @classmethod
    def joined(cls, parts: Sequence[FrameSeries]) -> FrameSeries:
        """Series of the same sites, one after the other."""
        names = [name for name in cls.model_fields if name != "symbols"]
        return cls(symbols=parts[-1].symbols, **{name: [x for p in parts for x in getattr(p, name)] for name in names})


class Engine(Document):
    """What computed the numbers, from the output's own version string."""

    name: str = Field(description="vasp, rehearsal:springs, rehearsal:chgnet, rehearsal:chgnet-states, gpaw")
    version: str = Field(description="version string as written in the output")


class StepIntent(Document):
    """Who a VASP job works for; written into its document so that a store can be rebuilt from run folders."""

    campaign: str | None = None
    configuration_id: str | None = None
    attempt: int = Field(default=1, ge=1)
    tags: dict[str, Any] = Field(default_factory=dict, description="whatever the caller wants to find again")


class RunHistory(Document):
    """What came before a VASP run of the same step."""

    continuation: int = Field(default=0, ge=0, description="times the relaxation went on from CONTCAR")
    rescue: int = Field(default=0, ge=0, description="rung of the ladder against lost orderings")
    tried: list[str] = Field(default_factory=list, description="what was tried, in words")
    killed_folder: str | None = Field(
        default=None, description="folder of a run that was cut off, whose frames are kept"
    )


class VaspStepDoc(Document):
    """One finished run of the two-step protocol (or a free relaxation, or a static), by VASP, its stand-in or GPAW."""

    document: Literal["VaspStepDoc"] = "VaspStepDoc"
    step: StepKind
    uuid: str = Field(description="jobflow uuid of the job")
    intent: StepIntent
    structure: StructureField = Field(description="final structure, POSCAR order; no moments attached")
    site_order: list[int] = Field(description="(n_sites,) parent index of each site")
    energy: float = Field(description="eV per cell, extrapolated to zero smearing")
    forces: list[list[float]] = Field(description="(n_sites, 3) last ionic step, eV/A")
    stress: list[list[float]] = Field(description="(3, 3) last ionic step, eV/A^3, ASE sign")
    initial_magmoms: list[float] = Field(description="(n_sites,) moments asked for, muB")
    magmoms: list[float] | None = Field(description="(n_sites,) final moments, muB")
    first_magmoms: list[float] | None = Field(description="(n_sites,) moments of the first ionic step, muB")
    bader_charges: list[float] | None = Field(default=None, description="(n_sites,) e, positive on cations")
    n_ionic_steps: int = Field(description="frames kept, those of restarted and killed runs included")
    stopped: bool = Field(default=False, description="VASP was stopped (STOPCAR, wall time) before it was done")
    history: RunHistory = Field(default_factory=RunHistory)
    continues: bool = Field(default=False, description="another run of the same step follows this one")
    protocol_drift: list[str] = Field(default_factory=list, description="inputs that changed during the run, in words")
    potcar_titles: list[str] = Field(
        default_factory=list, description="TITEL of each POTCAR block; of GPAW, name and MD5 of each PAW setup"
    )
    couple: RedoxCouple
    redox_sites: list[int] = Field(description="(n_redox,) parent indices")
    intended_is_high: list[bool] | None = Field(description="(n_redox,) parent order; None: free")
    achieved: AchievedOrdering
    audit: Audit
    engine: Engine
    protocol: str
    protocol_hash: str
    k_mesh: tuple[int, int, int]
    engine_details: dict[str, Any] = Field(
        default_factory=dict, description="what this engine alone has to say: of GPAW, parameters, setups, SCF starts"
    )
    versions: dict[str, str] = Field(description="packages that made this")
    folder: str = Field(description="host:path of the run folder")
    elapsed_s: float | None = Field(default=None, description="wall time that VASP reports, s")
    n_cores: int | None = Field(default=None, description="MPI ranks times threads that it ran on")
    timings_s: dict[str, float] = Field(default_factory=dict, description="wall time per phase of the job, s")
    frames: Any = Field(default=None, description="FrameSeries; in the `data` store")
    task: Any = Field(default=None, description="emmet TaskDoc without ionic steps (provenance); in the `data` store")
    completed_at: datetime = Field(default_factory=now)


class FailureDoc(Document):
    """A VASP job that gave no result. It is returned, never raised."""

    document: Literal["FailureDoc"] = "FailureDoc"
    step: StepKind
    uuid: str
    intent: StepIntent
    reason: FailureReason
    message: str = Field(description="one line")
    remedy: str = Field(description="what to do, one line")
    exception: str = Field(description="type and text of the exception")
    corrections: list[str] = Field(default_factory=list, description="custodian's corrections, in order")
    last_lines: list[str] = Field(default_factory=list, description="last lines of VASP's standard output and error")
    versions: dict[str, str] = Field(
        default_factory=dict, description="packages that the job ran under; empty: it left no document of its own"
    )
    folder: str
    completed_at: datetime = Field(default_factory=now)


class ConfigurationDoc(Document):
    """What was meant: one ordering of one host, under one protocol, by one engine."""

    configuration_id: str = Field(description="hash(host, supercell, joint key, protocol hash, engine)")
    campaign: str
    host: str
    host_hash: str
    supercell: list[list[int]] = Field(description="(3, 3) rows are supercell vectors in host vectors")
    joint_key: str = Field(description="WORKING.CHARGE, hexadecimal, canonical; CHARGE is `free` for a free order")
    working_key: str = Field(description="canonical working-ion half, for grouping only")
    working_bits: list[bool] = Field(description="(n_working,) True = occupied, host order, the image that is run")
    charge_bits: list[bool] | None = Field(description="(n_redox,) True = high, host order; None: free")
    fraction: float = Field(description="occupied working-ion sites / all of them")
    n_high: int
    multiplicity: int = Field(description="equivalent charge arrangements at this working-ion ordering")
    working_multiplicity: int = Field(description="equivalent working-ion arrangements")
    stratum: str = Field(
        description="how it was chosen: end member, free, reference, file, lowest, best found, sample, all"
    )
    strata: list[str] = Field(
        default_factory=lambda known: [known["stratum"]], description="all strata that took it, `stratum` among them"
    )
    in_statistics: bool = Field(
        default_factory=lambda known: in_statistics(known["strata"]),
        description="whether it counts in means over orderings: of a uniform sample or of all, and no reference",
    )
    sample_weight: Weight | None = Field(
        default=None, description="what its sample made equally likely; None: it is of no sample"
    )
    working_strata: list[str] = Field(default_factory=list, description="strata that took its working-ion ordering")
    couple: str
    working_ion: str
    formula: str
    n_atoms: int
    formula_units: int
    protocol: str
    protocol_hash: str
    engine: str
    attempt: int = Field(default=1, ge=1, description="the attempt that counts; a retry raises it")
    job_uuids: dict[str, str] = Field(description="step -> uuid of this attempt's jobs, fixed before anything runs")

    @property
    def calculation_id(self) -> str:
        """Key of this attempt's calculation document."""
        return f"{self.configuration_id}-{self.attempt}"


class RunStatistics(Document):
    """What the runs of one step cost, continuations and rescues included; runs that left no statistics are left out."""

    elapsed_s: float = Field(description="wall time that VASP reports, s, one run after the other")
    core_hours: float | None = Field(description="wall time times cores, h; None where a run does not say its cores")


class ChargeOrderedCalculationDoc(Document):
    """What came out for one configuration: both steps, intended and achieved ordering, audit."""

    calculation_id: str = Field(description="configuration id and attempt")
    configuration_id: str
    campaign: str
    attempt: int
    host: str
    fraction: float
    working_key: str
    formula_units: int
    n_high: int
    multiplicity: int
    stratum: str
    strata: list[str] = Field(default_factory=lambda known: [known["stratum"]])
    in_statistics: bool = Field(default_factory=lambda known: in_statistics(known["strata"]))
    sample_weight: Weight | None = None
    working_strata: list[str] = Field(default_factory=list)
    intended_key: str = Field(description="joint key that was meant")
    achieved_key: str | None = Field(description="joint key read from the final moments; None: not resolved")
    relation: Relation
    latest: bool = Field(default=True, description="no later attempt at this configuration exists")
    state: Literal["completed", "failed", "audit failed"]
    counts: bool = Field(description="audit passed and the ordering is kept, equivalent, or was left free and read")
    energy: float | None = Field(description="final energy, eV per cell")
    energy_per_fu: float | None = Field(description="final energy, eV per formula unit")
    magmoms_redox: list[float] | None = Field(description="(n_redox,) final moments in host order, muB")
    max_force: float | None = Field(description="largest force at the end, eV/A")
    volume_per_fu: float | None = Field(description="A^3 per formula unit")
    relative_energy_mev_per_fu: float | None = Field(
        default=None, description="energy against the end members (paper Eq. 1), meV per formula unit; set by `build`"
    )
    energy_above_hull_mev_per_fu: float | None = Field(
        default=None, description="height above the hull between the end members, meV per formula unit; set by `build`"
    )
    energy_above_hull: float | None = Field(default=None, description="the same, eV/atom; set by `build`")
    n_ionic_steps: dict[str, int] = Field(description="step -> ionic steps, all its runs together")
    n_runs: dict[str, int] = Field(default_factory=dict, description="step -> VASP runs: first, continuations, rescues")
    run_statistics: dict[str, RunStatistics] = Field(default_factory=dict, description="step -> what it cost")
    core_hours: float | None = Field(default=None, description="all runs of all steps, h; None: a run does not say")
    elapsed_s: float | None = Field(default=None, description="wall time of all runs, one after the other, s")
    steps: dict[str, Any] = Field(description="step -> VaspStepDoc or FailureDoc without bulk data")
    audit: Audit
    engine: str
    engine_version: str | None
    other_versions: str | None = Field(
        default=None, description="packages of other versions than the campaign was submitted with, in words"
    )
    protocol: str
    protocol_hash: str
    last_updated: datetime = Field(default_factory=now)


class MetalReferenceDoc(Document):
    """The working ion's metal by the engine and protocol of a campaign: what its voltages are against."""

    reference_id: str = Field(description="hash(element, its protocol, the campaign's protocol, engine)")
    campaign: str = Field(description="that computed it")
    element: str
    crystal: str = Field(description="e.g. bcc Na")
    energy_per_atom: float | None = Field(description="eV; None where it failed")
    counts: bool = Field(description="its audit passed")
    audit: Audit
    attempt: int
    k_mesh: tuple[int, int, int]
    engine: str
    protocol: str
    protocol_hash: str = Field(description="of the metal's own protocol")
    of_protocol_hash: str = Field(description="of the campaign's protocol, whose energies it belongs to")
    step: dict[str, Any] = Field(description="its VaspStepDoc or FailureDoc without bulk data")
    last_updated: datetime = Field(default_factory=now)


class CampaignDoc(Document):
    """A campaign as it was started: its file, its host in full, its protocol in full."""

    campaign: str
    file: str = Field(description="text of the YAML file")
    host: dict[str, Any]
    supercell: list[list[int]]
    n_operations: int = Field(description="symmetry operations of the supercell, found once on the idealised host")
    couple: RedoxCouple
    protocol: dict[str, Any]
    protocol_hash: str
    engine: str
    n_configurations: int
    shared: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="id of each configuration that an earlier campaign of the store registered -> what this one says "
        "of it (`stores.sharing`)",
    )
    versions: dict[str, str]
    created_at: datetime = Field(default_factory=now)
