"""Which labelling a store's labels are of: chosen once, kept in `labellings`, used by every later build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..inputs.charge_states import RedoxCouple, shipped_couples
from ..inputs.fixed_states import shipped_fixed_states
from .ingest_options import couples_with, one_couple_per_element
from .label_windows import fitted_labelling, moment_histograms
from .labels import Labelling

if TYPE_CHECKING:
    from .connect import Stores


def published_labelling(
    stores: Stores, couples: Sequence[RedoxCouple] = (), fixed: Mapping[str, int] | None = None
) -> Labelling:
    """Couples with their own windows: those given, those of the store's campaigns, the shipped ones.

    Parameters
    ----------
    stores : whose campaigns may have couples of their own.
    couples : that stand above all others of their element.
    fixed : oxidation states laid on the shipped ones.
    """
    given = {couple.element for couple in couples}
    campaigns = stores.collection("campaigns").query({}, properties=["couple"])
    met = {c.name: c for c in (RedoxCouple.model_validate(campaign["couple"]) for campaign in campaigns)}
    # A run is labelled by its own couple where that differs; here one of each element is enough.
    others = {
        c.element: c for name, c in sorted(met.items()) if name not in shipped_couples() and c.element not in given
    }
    own = one_couple_per_element([*couples, *others.values()])
    return Labelling(
        couples=list(couples_with(own)), fixed={**shipped_fixed_states(), **(fixed or {})}, origin="published"
    )


def fit_labelling(stores: Stores, base: Labelling) -> tuple[Labelling, dict[str, Any], list[str]]:
    """Fit windows to the moments in a store.

    Returns
    -------
    The labelling, the histograms that it was fitted to (`MomentHistogram.as_dict` by couple and engine), and one line
    per fit.
    """
    histograms = moment_histograms(stores, base.couples)
    labelling, lines = fitted_labelling(base, histograms)
    windows = {couple.name: couple for couple in labelling.couples}
    plain = {
        f"{name}, {engine}": histogram.as_dict(windows[name].window(engine))
        for (name, engine), histogram in sorted(histograms.items())
    }
    return labelling, plain, lines


def current_labelling(stores: Stores) -> Labelling | None:
    """The labelling that a store's labels are of; None where none was chosen yet."""
    found = stores.collection("labellings").query_one({"current": True})
    if found is None:
        return None
    couples = [RedoxCouple.model_validate(couple) for couple in found["couples"]]
    return Labelling(couples=couples, fixed=found["fixed"], origin=found["origin"])


def choose_labelling(
    stores: Stores, labelling: Labelling, histograms: Mapping[str, Any] | None = None, lines: Sequence[str] = ()
) -> None:
    """Make a labelling the one that a store's labels are of, and keep what it was made from.

    Parameters
    ----------
    stores : where.
    labelling : the new one.
    histograms : as `fit_labelling` gives them.
    lines : what was found, for people.
    """
    labellings = stores.collection("labellings")
    others = [d for d in labellings.query({"current": True}) if d["labelling_id"] != labelling.labelling_id]
    document = {
        "labelling_id": labelling.labelling_id,
        **labelling.model_dump(mode="json"),
        "histograms": dict(histograms or {}),
        "found": list(lines),
        "current": True,
    }
    kept = [{**{k: v for k, v in other.items() if k != "_id"}, "current": False} for other in others]
    labellings.update([*kept, document])
