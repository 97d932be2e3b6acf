"""The campaign file: typed fields of the YAML that says which orderings of which host are run, and how.

`plan` turns it into configurations. Field meanings: README, "The campaign file".
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..inputs.charge_states import RedoxCouple, get_couple
from ..inputs.fractions import read_fraction
from ..inputs.hosts import DEFAULT_SYMPREC, Host, get_host, host_from_cif, host_names
from ..inputs.incar_tags import TagValue
from ..inputs.protocol import Protocol, load_protocol
from ..inputs.supercells import HostSupercell, supercell_matrix
from ..inputs.vasp_sets import DEFAULT_PROTOCOL
from ..inputs.yaml_files import first_problem, parse_yaml, yaml_text
from ..stores.documents import StepKind
from .audit import OnLostOrdering
from .ordering_choice import ChargeChoice, OrderingChoice

MAX_ATOMS = 10_000
"""Atoms in a campaign's supercell: far above what DFT can do, and low enough that a slip costs nothing."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class WorkingIonChoice(_Strict):
    """Fractions of the working ion and its orderings at each."""

    fraction: tuple[Fraction, ...] = Field(min_length=1, description="occupied sites / sites of the full host")
    orderings: OrderingChoice

    @field_validator("fraction", mode="before")
    @classmethod
    def _fractions(cls, value: Any) -> tuple[Fraction, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(read_fraction(item) for item in values)


IonChoices = dict[str, tuple[WorkingIonChoice, ...]]
"""The working ion -> one choice, or several of other fractions each."""

QueueRequest = dict[str, bool | int | float | str]
"""What a scheduler is asked for: nodes, time, account, ..."""


class RemoteChoice(_Strict):
    """Where `run --launch remote` hands the campaign: names in jobflow-remote's own files."""

    project: str | None = Field(default=None, description="jobflow-remote's project; default: its own default")
    worker: str | None = Field(default=None, description="default: the project's first")
    exec_config: str | None = Field(default=None, description="modules and exports of the project to run under")
    resources: QueueRequest = Field(default_factory=dict, description="over the worker's: nodes, ntasks, time, ...")
    steps: dict[StepKind, QueueRequest] = Field(default_factory=dict, description="resources of single steps")
    priority: int = Field(default=0, description="jobs of higher priority are submitted first")


class FireWorksChoice(_Strict):
    """Where `run --launch fireworks` hands the campaign."""

    launchpad: str | None = Field(default=None, description="my_launchpad.yaml; default: FireWorks' own setting")
    category: str | None = Field(default=None, description="of the FireWorkers that may run it")
    queue: QueueRequest = Field(default_factory=dict, description="over my_qadapter.yaml: nodes, walltime, ...")
    steps: dict[StepKind, QueueRequest] = Field(default_factory=dict, description="the same for single steps")
    priority: int = Field(default=0, description="workflows of higher priority are run first")


class LaunchChoice(_Strict):
    """How the campaign runs; nothing here changes an energy."""

    workers: int = Field(default=1, ge=1, le=1024, description="processes, each running one configuration at a time")
    incar: dict[str, TagValue] = Field(
        default_factory=dict, description="INCAR tags that change no energy: NCORE, KPAR, NSIM, ..."
    )
    max_continuations: int = Field(default=5, ge=0, description="how often a relaxation goes on from its CONTCAR")
    wall_time_minutes: float | None = Field(
        default=None, gt=0, description="VASP is stopped (STOPCAR) five minutes before this, then gone on from"
    )
    remote: RemoteChoice = RemoteChoice()
    fireworks: FireWorksChoice = FireWorksChoice()


class AcceptChoice(_Strict):
    """When a campaign is hopeless."""

    failed_at_most: float = Field(default=1.0, ge=0, le=1, description="share of configurations that may fail")


class CampaignFile(_Strict):
    """A campaign as written by the user."""

    name: str
    host: str = Field(description="a shipped host, or the path of a CIF")
    supercell: tuple[tuple[int, int, int], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    couple: str
    couples: str | None = Field(default=None, description="YAML file with couples of your own")
    oxidation_states: dict[str, int] | None = Field(default=None, description="charges of a CIF's other elements, e")
    symprec: float | None = Field(
        default=None, gt=0, le=0.5, description=f"symmetry tolerance for a CIF, A; default: {DEFAULT_SYMPREC}, checked"
    )
    working_ion: IonChoices
    charge: ChargeChoice
    protocol: str = DEFAULT_PROTOCOL
    on_lost_ordering: OnLostOrdering = Field(
        default="keep", description="keep the flagged result, retry from a static SCF at the step-1 geometry, or fail"
    )
    end_members: bool = True
    voltages: bool = Field(default=False, description="adds the working ion's metal, which voltages are against")
    store: str | None = Field(default=None, description="YAML with a jobflow JOB_STORE; default: SQLite in the folder")
    launch: LaunchChoice = LaunchChoice()
    accept: AcceptChoice = AcceptChoice()

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"{value!r} names the campaign's folder: use letters, digits, '.', '_' and '-', at most 100"
            )
        return value

    @field_validator("working_ion", mode="before")
    @classmethod
    def _one_ion(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) != 1:
            given = ", ".join(map(str, value)) or "none"
            raise ValueError(f"name exactly one working ion, as `Na: {{fraction: 1/2, ...}}`; got {given}")
        if isinstance(value, dict):
            return {ion: choices if isinstance(choices, list | tuple) else [choices] for ion, choices in value.items()}
        return value

    @field_validator("working_ion")
    @classmethod
    def _each_fraction_once(cls, value: IonChoices) -> IonChoices:
        for ion, choices in value.items():
            if not choices:
                raise ValueError(f"{ion}: give its fractions and orderings, as `{ion}: {{fraction: 1/2, ...}}`")
            fractions = [fraction for choice in choices for fraction in dict.fromkeys(choice.fraction)]
            twice = [fraction for place, fraction in enumerate(fractions) if fraction in fractions[:place]]
            if twice:
                raise ValueError(f"{ion}: fraction {twice[0]} has two choices of orderings; `pick: [...]` takes both")
        return value

    @field_validator("supercell", mode="before")
    @classmethod
    def _matrix(cls, value: Any) -> Any:
        return tuple(tuple(int(x) for x in row) for row in supercell_matrix(value))

    @field_validator("charge", mode="before")
    @classmethod
    def _free_word(cls, value: Any) -> Any:
        return {"free": True} if value == "free" else value

    @property
    def ion(self) -> str:
        """The working ion's symbol."""
        return next(iter(self.working_ion))

    @property
    def ion_choices(self) -> tuple[WorkingIonChoice, ...]:
        """Fractions of the working ion, and its orderings at these; in the file's order."""
        return self.working_ion[self.ion]

    @property
    def fractions(self) -> tuple[Fraction, ...]:
        """All fractions, in the file's order."""
        return tuple(fraction for choice in self.ion_choices for fraction in choice.fraction)


class Campaign(_Strict):
    """A campaign file with everything it names looked up."""

    file: CampaignFile
    text: str = Field(description="the YAML as written")
    path: Path
    cell: HostSupercell
    couple: RedoxCouple
    protocol: Protocol

    @property
    def folder(self) -> Path:
        """Where the campaign keeps its store, runs and log: beside the YAML, under its name."""
        return self.path.parent / self.file.name

    def for_engine(self, engine: str) -> Campaign:
        """The campaign with its protocol as an engine reads it."""
        protocol = self.protocol.for_engine(engine)
        return self if protocol is self.protocol else self.model_copy(update={"protocol": protocol})

    def beside(self, name: str) -> Path:
        """A path in the file, relative to the file's folder."""
        return self.path.parent / name


def read_campaign(path: Path) -> Campaign:
    """Read a campaign file and look up host, couple and protocol.

    Raises
    ------
    ValueError
        One line with what is wrong and the way out.
    """
    try:
        text = yaml_text(path)
    except FileNotFoundError as err:
        raise ValueError(f"{path}: no such campaign file; `valenceflow init` writes one") from err
    raw = parse_yaml(text, str(path))
    try:
        file = CampaignFile.model_validate(raw)
    except ValidationError as err:
        raise ValueError(f"{path}: {first_problem(err, CampaignFile)}") from err
    path = path.resolve()
    couple = get_couple(file.couple, None if file.couples is None else path.parent / file.couples)
    host = _host(file, couple, path.parent)
    protocol = load_protocol(_protocol_name(file.protocol, path.parent))
    cell = HostSupercell(host, tuple(file.supercell))
    _check_size(cell)
    return Campaign(file=file, text=text, path=path, cell=cell, couple=couple, protocol=protocol)


def _check_size(cell: HostSupercell) -> None:
    atoms = cell.n_cells * len(cell.host.structure)
    if atoms > MAX_ATOMS:
        raise ValueError(
            f"supercell {[list(row) for row in cell.matrix]} of {cell.host.name} has {atoms:,} atoms; at most "
            f"{MAX_ATOMS:,} are taken: choose a smaller one"
        )


def _protocol_name(name: str, folder: Path) -> str:
    return str(folder / name) if name.endswith((".yaml", ".yml")) else name


def _host(file: CampaignFile, couple: RedoxCouple, folder: Path) -> Host:
    if file.host in host_names():
        host = get_host(file.host)
        if file.oxidation_states not in (None, host.oxidation_states):
            raise ValueError(f"oxidation_states are fixed by the host {file.host}: leave them out")
        if file.ion != host.working_ion:
            raise ValueError(f"working_ion {file.ion} is not that of {file.host} ({host.working_ion})")
        if couple.element != host.redox_element:
            raise ValueError(
                f"couple {couple.name} is not of {file.host} (redox element {host.redox_element}); take a CIF as host"
            )
        return host
    if not file.host.lower().endswith((".cif", ".vasp", "poscar")):
        raise ValueError(f"unknown host {file.host!r}; known: {', '.join(host_names())}, or give the path of a CIF")
    return host_from_cif(folder / file.host, file.ion, couple.element, file.oxidation_states, file.symprec)
