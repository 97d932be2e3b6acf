"""`valenceflow doctor`: what is installed and configured, what is missing for which command, and how to mend it."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .checks import Check
from .completion import complete_campaign, complete_launch
from .doctor_cluster import cluster_checks
from .places import CAMPAIGN, EngineOption, JsonOption
from .run import LOCAL
from .wording import command, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..flows.campaign_file import Campaign
    from ..flows.queues.launches import LaunchKind
    from .places import Place

PACKAGES = ("valenceflow", "pymatgen", "spglib", "atomate2", "jobflow", "custodian", "emmet-core", "maggma")
EXTRAS = {
    "torch": ("run --engine rehearsal[:chgnet]", "potentials"),
    "chgnet": ("run --engine rehearsal[:chgnet]", "potentials"),
    "mace-torch": ("potentials", "potentials"),
    "jobflow-remote": ("run --launch remote", "remote"),
}
"""Package -> what it is needed for, and the extra that installs it."""
INSTALL = "`pip install -c constraints.txt -e {}` in the clone"


def doctor(
    campaign: Annotated[
        Path | None,
        typer.Argument(
            metavar=CAMPAIGN,
            help="Also check what this campaign needs.",
            autocompletion=complete_campaign,
            show_default=False,
        ),
    ] = None,
    engine: EngineOption = "vasp",
    launch: Annotated[
        str,
        typer.Option(help="How it will be run: local, or a queue: remote, fireworks.", autocompletion=complete_launch),
    ] = LOCAL,
    as_json: JsonOption = False,
) -> None:
    """Say what is installed, what is missing, and how to mend it.

    Exits with 1 where something is missing that a run with this engine, or of this campaign, needs. With --launch a
    queue's database, its worker and what is installed there are looked at too.
    """
    from ..flows.engines import engine_name  # noqa: PLC0415 - start-up
    from ..flows.queues.launches import queue_kind  # noqa: PLC0415

    full_engine = engine_name(engine)
    kind = None if launch == LOCAL else queue_kind(launch)
    if campaign is not None and not campaign.exists():
        raise ValueError(f"{campaign}: no such campaign file; `valenceflow init` writes one")
    checks = [*_packages(full_engine)]
    if all(check.ok for check in checks if check.name in PACKAGES):  # all else is looked at with them
        checks += _campaign_and_engine(campaign, full_engine, kind)
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        for check in checks:
            typer.echo("\n".join(_lines(check)))
    raise typer.Exit(int(any(not check.ok and not check.optional for check in checks)))


def _lines(check: Check) -> Iterator[str]:
    mark = "ok" if check.ok else "absent" if check.optional else "MISSING"
    yield f"{mark:<8}{check.name}: {check.found}"
    if not check.ok:
        yield f"        needed for: {check.needed}"
        yield f"        to mend it: {check.remedy}"


def _packages(engine: str) -> Iterator[Check]:
    yield Check("python", True, platform.python_version(), "everything")
    for package in PACKAGES:
        yield _package(package, "everything", INSTALL.format("."))
    for package, (needed, extra) in EXTRAS.items():
        wanted = "chgnet" in engine and package in ("torch", "chgnet")
        yield _package(package, needed, INSTALL.format(f"'.[{extra}]'"), optional=not wanted)


def _package(name: str, needed: str, remedy: str, optional: bool = False) -> Check:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - start-up

    try:
        return Check(name, True, version(name), needed, optional=optional)
    except PackageNotFoundError:
        return Check(name, False, "not installed", needed, remedy, optional)


def _campaign_and_engine(path: Path | None, engine: str, kind: LaunchKind | None) -> Iterator[Check]:
    from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen

    described: Campaign | None = None
    if path is not None:
        try:
            described = read_campaign(path)
            yield Check(f"campaign {described.file.name}", True, _size(described, engine), "run")
        except ValueError as err:
            yield Check("campaign", False, str(err), "run", f"correct {path}")
    if engine == "vasp":
        yield from _vasp(described, elsewhere=kind is not None)
    if not engine.startswith("rehearsal"):
        yield from _gpaw(described, optional=engine != "gpaw")
    if path is not None and described is not None:
        yield from _stores(path, described, engine, kind)
    yield from cluster_checks(path, described, engine, kind)


def _size(campaign: Campaign, engine: str) -> str:
    """How much a campaign asks for; what `run` would refuse is refused here too."""
    from ..flows.plan import plan_configurations  # noqa: PLC0415 - pymatgen
    from ..flows.preflight import check_launch_settings, check_protocol  # noqa: PLC0415

    check_protocol(campaign, engine)
    planned = plan_configurations(campaign, engine)
    check_launch_settings(campaign, engine, planned)
    largest = campaign.cell.structure.composition.formula.replace(" ", "")
    return f"{len(planned)} configurations, {sum(len(c.job_uuids) for c in planned)} VASP runs; full cell {largest}"


def _vasp(campaign: Campaign | None, elsewhere: bool) -> Iterator[Check]:
    """What VASP needs here; on another machine it needs that there (`doctor_cluster`)."""
    from ..flows.engines import vasp_problems  # noqa: PLC0415 - start-up
    from ..flows.preflight import potcar_labels, vasp_settings  # noqa: PLC0415 - pymatgen

    needed = "run --engine vasp (a rehearsal needs none)"
    labels, functional = [], "PBE_54"
    if campaign is not None:
        functional = campaign.protocol.potcar.functional
        try:
            labels = potcar_labels(campaign)
        except ValueError:
            labels = []  # said above, with the campaign
    settings = vasp_settings()
    problems = vasp_problems(labels, functional, settings)
    for problem in problems:
        what, _, remedy = problem.partition(": ")
        yield Check("VASP", False, what, needed, remedy, optional=elsewhere)
    if not problems:
        found = f"{settings['VASP_CMD']}; POTCARs in {settings['PMG_VASP_PSP_DIR']}"
        yield Check("VASP", True, found + (f" have {', '.join(labels)}" if labels else ""), needed)


def _gpaw(campaign: Campaign | None, optional: bool) -> Iterator[Check]:
    from ..flows.gpaw.command import find_gpaw, gpaw_problems  # noqa: PLC0415 - pymatgen
    from ..flows.gpaw.in_gpaw.ions import TESTED_VERSIONS  # noqa: PLC0415 - NumPy
    from ..flows.preflight import campaign_gpaw_problems  # noqa: PLC0415 - pymatgen

    needed = "run --engine gpaw"
    problems = gpaw_problems(None, ()) if campaign is None else campaign_gpaw_problems(campaign)
    for problem in problems:
        what, _, remedy = problem.rpartition(": ")
        yield Check("GPAW", False, what, needed, remedy, optional)
    if not problems:
        known = find_gpaw()
        setups = ", ".join(known.setup_folders)
        ranks = f", {known.ranks} MPI ranks" if known.ranks > 1 else ""
        tested = "" if known.version in TESTED_VERSIONS else f" (SCF starts tested with {', '.join(TESTED_VERSIONS)})"
        yield Check("GPAW", True, f"{known.version}{tested} in {known.python}{ranks}; PAW setups in {setups}", needed)


def _stores(path: Path, campaign: Campaign, engine: str, kind: LaunchKind | None) -> Iterator[Check]:
    from maggma.core import StoreError  # noqa: PLC0415 - start-up

    from ..flows.manifest import MANIFEST_FILE  # noqa: PLC0415 - pymatgen
    from ..stores.sqlite_file import CollectionError  # noqa: PLC0415
    from .places import find_place  # noqa: PLC0415

    needed = "status and query"
    again = command("run", path, engine, *(() if kind is None else ("--launch", kind)))
    if not (campaign.folder / MANIFEST_FILE).exists():
        yield Check("store", False, "not started", needed, f"`{again}` makes it", optional=True)
        return
    try:
        place = find_place(path, None)
        number = place.stores.collection("calculations").count({})
    except (ValueError, CollectionError, StoreError) as err:
        what, _, remedy = str(err).partition(": ")
        yield Check("store", False, what, needed, remedy or "start the campaign")
        return
    yield Check("store", True, f"{number} calculations in {place.stores.place}", needed)
    yield from _integrity(path, place)
    yield from version_checks(place)


def _integrity(campaign: Path, place: Place) -> Iterator[Check]:
    """Whether what the store's documents point to is there."""
    from ..flows.lock import is_running  # noqa: PLC0415 - start-up
    from ..flows.manifest import read_manifest  # noqa: PLC0415 - pymatgen
    from ..stores.integrity import document_problems, file_problems  # noqa: PLC0415

    assert place.folder is not None  # as a campaign was given
    assert place.name is not None
    needed = "trust in what the store says"
    damaged = list(file_problems(place.stores))
    problems = damaged or list(document_problems(place.stores, place.name, read_manifest(place.folder)))
    harmful = [problem for problem in problems if problem.remedy]
    if is_running(place.folder):
        yield Check("integrity", True, "the campaign is running: what is under way may show as missing", needed)
    for problem in problems:
        found = f"{problem.what}; the first: {problem.example}"
        remedy = problem.remedy.replace("CAMPAIGN.yaml", str(campaign))
        yield Check("integrity", not problem.remedy, found, needed, remedy)
    if not harmful:
        yield Check("integrity", True, "the file is sound and every document has what it points to", needed)


def version_checks(place: Place) -> Iterator[Check]:
    """Whether jobs ran, on their nodes, under what the campaign was submitted with."""
    from ..stores.other_versions import other_versions  # noqa: PLC0415 - start-up

    assert place.name is not None  # as a campaign was given
    remedy = f"install the same where jobs run as here ({INSTALL.format('.')}); what is computed stays as it is"
    for told, number in other_versions(place.stores, place.name).items():
        found = f"{counted(number, 'calculation')} ran under {told}"
        yield Check("versions of jobs", False, found, "calculations that differ in nothing else", remedy, optional=True)
