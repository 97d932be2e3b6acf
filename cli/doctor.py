"""`valenceflow doctor`: what is installed and configured, what is missing for which command, and how to mend it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .places import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .places import Place


@dataclass(frozen=True)
class Check:
    """One finding: `needed` says for which commands; the remedy is empty where all is well."""

    name: str
    ok: bool
    found: str
    needed: str
    remedy: str = ""


def doctor(
    campaign: Annotated[
        Path | None, typer.Argument(help="Also check what this campaign needs.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check this installation and say how to mend what is missing."""
    checks = [*_packages(), *_vasp(campaign), *_stores(campaign)]
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=1))
        return
    for check in checks:
        mark = "ok     " if check.ok else "MISSING"
        typer.echo(f"{mark} {check.name}: {check.found}")
        if not check.ok:
            typer.echo(f"        needed for {check.needed}; {check.remedy}")


def _packages() -> Iterator[Check]:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - start-up

    wanted = {
        "atomate2": ("run", "pip install valenceflow"),
        "jobflow": ("run", "pip install valenceflow"),
        "torch": ("rehearsal:chgnet and potentials", "pip install 'valenceflow[potentials]'"),
        "chgnet": ("rehearsal:chgnet and potentials", "pip install 'valenceflow[potentials]'"),
        "mace-torch": ("potentials", "pip install 'valenceflow[potentials]'"),
        "jobflow-remote": ("run --launch remote", "pip install 'valenceflow[remote]'"),
    }
    for package, (needed, remedy) in wanted.items():
        try:
            yield Check(package, True, version(package), needed)
        except PackageNotFoundError:
            yield Check(package, False, "not installed", needed, remedy)


def _vasp(campaign: Path | None) -> Iterator[Check]:
    from ..flows.engines import vasp_problems  # noqa: PLC0415 - start-up
    from ..flows.preflight import potcar_labels, vasp_settings  # noqa: PLC0415 - pymatgen

    labels: list[str] = []
    functional = "PBE_54"
    if campaign is not None:
        from ..flows.campaign_file import read_campaign  # noqa: PLC0415 - pymatgen

        described = read_campaign(campaign)
        labels, functional = potcar_labels(described), described.protocol.potcar.functional
        yield Check(f"campaign {described.file.name}", True, f"readable, {described.cell.structure.formula}", "run")
    settings = vasp_settings()
    problems = vasp_problems(labels, functional, settings)
    for problem in problems:
        what, _, remedy = problem.partition(": ")
        yield Check("VASP", False, what, "run --engine vasp (a rehearsal needs none)", remedy)
    if not problems:
        yield Check(
            "VASP", True, f"{settings['VASP_CMD']}; POTCARs in {settings['PMG_VASP_PSP_DIR']}", "run --engine vasp"
        )


def _stores(campaign: Path | None) -> Iterator[Check]:
    if campaign is None:
        return
    from maggma.core import StoreError  # noqa: PLC0415 - start-up

    from .places import find_place  # noqa: PLC0415 - maggma

    try:
        place = find_place(campaign, None)
        number = place.stores.collection("calculations").count({})
    except (ValueError, StoreError) as err:
        what, _, remedy = str(err).partition(": ")
        yield Check("store", False, what, "status and query", remedy or "start the campaign")
        return
    yield Check("store", True, f"{number} calculations in {place.folder or 'the store'}", "status and query")
    yield from _integrity(campaign, place)


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
