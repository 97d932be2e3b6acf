"""Where a campaign lives, found without importing anything heavy; shared by the commands that only look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import complete_campaign, complete_engine

if TYPE_CHECKING:
    from ..stores.connect import Stores

CAMPAIGN = "CAMPAIGN.yaml"
CampaignArgument = Annotated[
    Path | None,
    typer.Argument(metavar=CAMPAIGN, help="The campaign's file.", autocompletion=complete_campaign, show_default=False),
]
CampaignPath = Annotated[
    Path, typer.Argument(metavar=CAMPAIGN, help="The campaign's file.", autocompletion=complete_campaign)
]
EngineOption = Annotated[
    str, typer.Option(help="vasp, gpaw, or a stand-in: rehearsal[:chgnet|:springs].", autocompletion=complete_engine)
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", help="A store instead of a campaign: store.sqlite, or a YAML with JOB_STORE.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Place:
    """A campaign's name (None: every campaign of a store), folder and stores."""

    name: str | None
    folder: Path | None
    stores: Stores


def find_place(campaign: Path | None, store: Path | None) -> Place:
    """Stores of a campaign file or of --store.

    Raises
    ------
    ValueError
        If neither is given, or there is no store yet, or nothing in it.
    """
    from ..stores.connect import STORE_FILE, sqlite_stores, stores_from_yaml  # noqa: PLC0415 - start-up

    if (campaign is None) == (store is None):
        raise ValueError("say which: a CAMPAIGN.yaml, or --store PATH")
    if store is not None:
        return Place(None, None, open_store(store))
    assert campaign is not None
    name, own_store = _name_and_store(campaign)
    folder = campaign.resolve().parent / name
    if own_store is not None:
        stores = stores_from_yaml(campaign.resolve().parent / own_store)
        _refuse_no_store(stores, campaign, name, folder)
        return Place(name, folder, stores)
    stores = sqlite_stores(folder / STORE_FILE)
    _refuse_no_store(stores, campaign, name, folder)
    stores.refuse_others(name)
    return Place(name, folder, stores)


def _refuse_no_store(stores: Stores, campaign: Path, name: str, folder: Path) -> None:
    """Refuse a campaign whose store is not there or has nothing in it: who only looks makes none."""
    from ..flows.lock import is_running, is_starting  # noqa: PLC0415 - start-up

    # A run that begins makes the file first, then what is in it.
    if stores.lack is None or (stores.lack == "empty" and is_running(folder)):
        return
    if (folder / "manifest.json").exists():
        raise ValueError(
            f"{stores.place} is {stores.lack}: `valenceflow rebuild {campaign}` makes it anew from the run folders"
        )
    if is_starting(campaign):
        raise ValueError(f"campaign {name} is being started: its run chooses orderings; ask again in a minute")
    raise _not_started(name, campaign)


def _not_started(name: str, campaign: Path) -> ValueError:
    return ValueError(f"campaign {name} has not been started; start it with `valenceflow run {campaign}`")


def refuse_not_started(place: Place, campaign: Path | None) -> None:
    """Refuse a campaign that the store of others knows nothing of: an empty answer would look like a result.

    Raises
    ------
    ValueError
        If it was never run and is not being started.
    """
    from ..flows.lock import is_running, is_starting  # noqa: PLC0415 - start-up

    if campaign is None or place.name is None or place.folder is None:
        return
    if (place.folder / "manifest.json").exists() or is_running(place.folder) or is_starting(campaign):
        return
    if place.stores.collection("campaigns").query_one({"campaign": place.name}, ["campaign"]) is None:
        raise _not_started(place.name, campaign)


def open_store(path: Path) -> Stores:
    """Stores of a store.sqlite, or of a YAML with JOB_STORE.

    Raises
    ------
    ValueError
        If there is no such file, or nothing in it: who only looks makes no store.
    """
    from ..stores.connect import sqlite_stores, stores_from_yaml  # noqa: PLC0415 - start-up

    if not path.exists():
        raise ValueError(f"{path}: no such store")
    stores = stores_from_yaml(path) if path.suffix in (".yaml", ".yml") else sqlite_stores(path)
    if stores.lack is not None:
        raise ValueError(
            f"{stores.place} is {stores.lack}, so there is no store; `valenceflow run CAMPAIGN.yaml` makes one, and so "
            "does `valenceflow ingest`"
        )
    return stores


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as SQLite's do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _name_and_store(campaign: Path) -> tuple[str, str | None]:
    from ..inputs.yaml_files import parse_yaml, yaml_text  # noqa: PLC0415 - pydantic

    if is_sqlite(campaign):
        raise ValueError(f"{campaign} is a store and no campaign file: give it as --store {campaign}")
    try:
        content = parse_yaml(yaml_text(campaign), str(campaign))
    except FileNotFoundError as err:
        raise ValueError(f"{campaign}: no such campaign file; `valenceflow init` writes one") from err
    name = content.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        raise ValueError(f"{campaign}: `name:` must be a plain word, got {name!r}")
    own = content.get("store")
    return name, own if isinstance(own, str) else None
