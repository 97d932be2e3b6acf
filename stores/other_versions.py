"""Jobs that ran under other versions of a package than their campaign was submitted with. Light.

A job writes down what it ran under, on its node; the campaign's document says what it was submitted with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .connect import Stores
from .overview import count_by


def submitted_versions(stores: Stores, campaign: str) -> dict[str, str]:
    """Package -> version under which a campaign was last run or submitted; empty where that is not known."""
    found = stores.collection("campaigns").query_one({"campaign": campaign}, ["versions"])
    return dict((found or {}).get("versions") or {})


def versions_that_differ(steps: Mapping[str, Any], submitted: Mapping[str, str]) -> str | None:
    """How the packages of a calculation's jobs differ from the submitter's, in words; None where they do not.

    Parameters
    ----------
    steps : step -> its VaspStepDoc or FailureDoc; one without versions was written by the submitter.
    submitted : from `submitted_versions`.
    """
    differing = {
        f"{package} {there} (submitted with {submitted[package]})"
        for document in steps.values()
        for package, there in (document.get("versions") or {}).items()
        if submitted.get(package, there) != there
    }
    return ", ".join(sorted(differing)) or None


def other_versions(stores: Stores, campaign: str) -> dict[str, int]:
    """What differs, in words -> number of calculations that count, most frequent first."""
    fields = ("campaign", "latest", "other_versions")
    found: Counter[str] = Counter()
    for (name, latest, told), number in count_by(stores.collection("calculations"), fields):
        if name == campaign and latest and told is not None:
            found[told] += number
    return dict(found.most_common())
