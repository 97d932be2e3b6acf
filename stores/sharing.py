"""Configurations that several campaigns of one store ask for: computed once, read by each as its own. Light.

A configuration and its calculations lie in the store under the campaign that registered it first. A later campaign that
asks for it too keeps in its own document what it says of it (`CampaignDoc.shared`): how it chose it, which decides what
counts in means over orderings, and the uuids of the jobs that it would run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .collection import Collection as Documents

if TYPE_CHECKING:
    from .documents import ConfigurationDoc
    from .frames import Collections

BY_CAMPAIGN = ("stratum", "strata", "in_statistics", "sample_weight", "working_strata")
"""What a campaign alone decides of a configuration; calculations have it too."""

OF_JOBS = ("attempt", "job_uuids")
"""What it says beside that of the jobs that it would run, or ran."""

_BATCH = 50


@dataclass(frozen=True)
class Sharing:
    """What a campaign shares with those that came before it.

    Attributes
    ----------
    campaign : its name.
    shared : configuration id -> what this campaign says of it; empty where it shares nothing.
    """

    campaign: str
    shared: Mapping[str, Mapping[str, Any]]

    @property
    def criteria(self) -> dict[str, Any]:
        """MongoDB filter of configurations, calculations or frames that the campaign asks for."""
        own: dict[str, Any] = {"campaign": self.campaign}
        return {"$or": [own, {"configuration_id": {"$in": sorted(self.shared)}}]} if self.shared else own

    def has(self, document: Mapping[str, Any]) -> bool:
        """Whether the campaign asks for a document with `campaign` and `configuration_id`."""
        return document["campaign"] == self.campaign or document["configuration_id"] in self.shared

    def as_asked(self, document: Mapping[str, Any], also: Sequence[str] = ()) -> dict[str, Any]:
        """A configuration or calculation with what this campaign says of it.

        Parameters
        ----------
        document : with `configuration_id`; fields that it lacks are not added.
        also : fields beside `BY_CAMPAIGN` and the campaign's name.
        """
        said = self.shared.get(document["configuration_id"], {})
        told = {"campaign": self.campaign} | {name: said[name] for name in (*BY_CAMPAIGN, *also) if name in said}
        return {name: told.get(name, value) for name, value in document.items()}


def sharing_of(stores: Collections, campaign: str) -> Sharing:
    """Read what a campaign shares."""
    found = stores.collection("campaigns").query_one({"campaign": campaign}, ["shared"])
    return Sharing(campaign, dict((found or {}).get("shared") or {}))


def documents_of(
    stores: Collections,
    collection: Literal["configurations", "calculations"],
    campaign: str,
    criteria: Mapping[str, Any] | None = None,
    fields: Sequence[str] | dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Configurations or calculations of a campaign, each with what this campaign says of it.

    Parameters
    ----------
    stores : where they are.
    collection : which.
    campaign : its name.
    criteria : MongoDB filter that must hold too.
    fields : to be read (`configuration_id` always is), or {name: 0} of those not to; None: all.
    """
    store, sharing = stores.collection(collection), sharing_of(stores, campaign)
    also = OF_JOBS if collection == "configurations" else ()
    yield from store.query({**(criteria or {}), "campaign": campaign}, _properties(fields))
    for document in by_ids(store, sharing.shared, fields, {**(criteria or {}), "campaign": {"$ne": campaign}}):
        yield sharing.as_asked(document, also)


def by_ids(
    store: Documents,
    ids: Iterable[str],
    fields: Sequence[str] | dict[str, Any] | None = None,
    criteria: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Documents of configurations by their ids, a batch at a time: a filter compares each with every id of it."""
    listed = list(ids)
    for start in range(0, len(listed), _BATCH):
        chosen = {"configuration_id": {"$in": listed[start : start + _BATCH]}}
        yield from store.query({**(criteria or {}), **chosen}, _properties(fields))


def _properties(fields: Sequence[str] | dict[str, Any] | None) -> list[str] | dict[str, Any] | None:
    return fields if fields is None or isinstance(fields, dict) else ["configuration_id", *fields]


def registered_elsewhere(stores: Collections, campaign: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Configurations of these ids that another campaign registered, by id."""
    found = by_ids(stores.collection("configurations"), ids, {"_id": 0})
    return {c["configuration_id"]: c for c in found if c["campaign"] != campaign}


def fields_of_their_campaigns(stores: Collections, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What calculations have of their configuration's campaign: its name and what it alone decides, by id."""
    names = ("campaign", *BY_CAMPAIGN)
    found = by_ids(stores.collection("configurations"), ids, names)
    return {c["configuration_id"]: {name: c[name] for name in names if name in c} for c in found}


def put_under_their_campaigns(stores: Collections, ids: Collection[str]) -> None:
    """Calculations that go by another campaign than their configuration go by that one from now on.

    Two campaigns that are registered at once leave such, and stores of the days before `CampaignDoc.shared`.
    """
    told, calculations = fields_of_their_campaigns(stores, ids), stores.collection("calculations")
    stray = [
        calculation["calculation_id"]
        for calculation in by_ids(calculations, ids, ["calculation_id", "campaign"])
        if calculation["campaign"] != told.get(calculation["configuration_id"], calculation)["campaign"]
    ]
    for name in stray:
        whole = calculations.query_one({"calculation_id": name}, {"_id": 0})
        if whole is not None:
            calculations.update([{**whole, **told[whole["configuration_id"]]}])


def what_it_says(configuration: ConfigurationDoc) -> dict[str, Any]:
    """What a campaign says of a configuration, to be kept in `CampaignDoc.shared`."""
    return configuration.model_dump(mode="json", include={*BY_CAMPAIGN, *OF_JOBS})
