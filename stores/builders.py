"""Copy finished calculations out of jobflow's envelopes into documents of their own, incrementally.

`run`, `status` and `query` call this. What is pending is told by identity (job uuids fixed beforehand), never by
comparing clocks. One ChargeOrderedCalculationDoc is made per configuration and attempt once its last step is done, a
step failed, or a step did not pass its audit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..inputs.orderings.group import ordering_group
from ..inputs.supercells import HostSupercell
from .connect import Stores
from .documents import Audit, ChargeOrderedCalculationDoc, ConfigurationDoc, FailureDoc, Finding, RunStatistics
from .other_versions import submitted_versions, versions_that_differ
from .relations import COUNTING
from .sharing import fields_of_their_campaigns
from .step_runs import StepRuns, step_runs

_BULK = ("frames", "task")
_BATCH = 500


def build_calculations(stores: Stores, cell: HostSupercell, configurations: Iterable[ConfigurationDoc]) -> int:
    """Make the calculation documents that are due and not there yet.

    Parameters
    ----------
    stores : the campaign's stores.
    cell : the host's supercell (for achieved keys).
    configurations : whose calculations may be due.

    Returns
    -------
    Number of calculation documents written.
    """
    written = 0
    due = pending(stores, configurations)
    submitted = submitted_versions(stores, due[0].campaign) if due else {}
    for start in range(0, len(due), _BATCH):
        batch = due[start : start + _BATCH]
        runs = step_runs(stores.docs(), (uuid for c in batch for uuid in c.job_uuids.values()))
        found = {c.configuration_id: _runs_of(c, runs) for c in batch}
        made = [
            calculation_doc(c, cell, found[c.configuration_id], submitted)
            for c in batch
            if is_finished(c, found[c.configuration_id])
        ]
        _keep(stores, made)
        written += len(made)
    return written


def record_failure(
    stores: Stores, cell: HostSupercell, configuration: ConfigurationDoc, failure: FailureDoc
) -> ChargeOrderedCalculationDoc:
    """Make the calculation document of a configuration whose jobs left none, from a failure found by somebody else."""
    steps = _runs_of(configuration, step_runs(stores.docs(), configuration.job_uuids.values()))
    before = steps[failure.step].documents if failure.step in steps else ()
    steps[failure.step] = StepRuns((*before, failure.model_dump(mode="json")))
    made = calculation_doc(configuration, cell, steps, submitted_versions(stores, configuration.campaign))
    _keep(stores, [made])
    return made


def _keep(stores: Stores, made: Sequence[ChargeOrderedCalculationDoc]) -> None:
    """Write documents, under the campaign that registered their configurations first (`stores.sharing`)."""
    made = _as_registered(stores, made)
    failed = [step for document in made for step in document.steps.values() if step["document"] == "FailureDoc"]
    if failed:
        stores.collection("failures").update(failed)
    if made:
        stores.collection("calculations").update([document.model_dump(mode="json") for document in made])
        supersede(stores, made)


def _as_registered(
    stores: Stores, made: Sequence[ChargeOrderedCalculationDoc]
) -> Sequence[ChargeOrderedCalculationDoc]:
    told = fields_of_their_campaigns(stores, [document.configuration_id for document in made])
    return [document.model_copy(update=told.get(document.configuration_id, {})) for document in made]


def supersede(stores: Stores, current: Sequence[ConfigurationDoc | ChargeOrderedCalculationDoc]) -> None:
    """Mark the calculations of earlier attempts as no longer the latest.

    Parameters
    ----------
    stores : the campaign's stores.
    current : the attempts that count now.
    """
    attempts = {document.configuration_id: document.attempt for document in current if document.attempt > 1}
    if not attempts:
        return
    calculations = stores.collection("calculations")
    found = calculations.query({"configuration_id": {"$in": list(attempts)}})
    old = [c for c in found if c["latest"] and c["attempt"] < attempts[c["configuration_id"]]]
    if old:
        calculations.update([{**calculation, "latest": False} for calculation in old])


def pending(stores: Stores, configurations: Iterable[ConfigurationDoc]) -> list[ConfigurationDoc]:
    """Configurations whose current attempt has no calculation document yet."""
    done = {d["calculation_id"] for d in stores.collection("calculations").query({}, properties=["calculation_id"])}
    return [c for c in configurations if c.calculation_id not in done]


def _runs_of(configuration: ConfigurationDoc, runs: Mapping[str, StepRuns]) -> dict[str, StepRuns]:
    return {step: runs[uuid] for step, uuid in configuration.job_uuids.items() if uuid in runs}


def is_finished(configuration: ConfigurationDoc, steps: Mapping[str, StepRuns]) -> bool:
    """Whether nothing more will come: the last step is there, or one failed or did not pass its audit."""
    if any(runs.goes_on for runs in steps.values()):
        return False
    last = list(configuration.job_uuids)[-1]
    return last in steps or any(not runs.passed for runs in steps.values())


def calculation_doc(
    configuration: ConfigurationDoc,
    cell: HostSupercell,
    steps: Mapping[str, StepRuns],
    submitted: Mapping[str, str],
) -> ChargeOrderedCalculationDoc:
    """One document from the runs of a configuration's steps.

    Parameters
    ----------
    configuration : what was meant.
    cell : the host's supercell.
    steps : step -> its runs.
    submitted : package -> version that the campaign was submitted with.
    """
    ordered = {step: steps[step] for step in configuration.job_uuids if step in steps}
    slim = {step: {k: v for k, v in runs.result.items() if k not in _BULK} for step, runs in ordered.items()}
    final_step = list(configuration.job_uuids)[-1]
    final = slim.get(final_step)
    if final is not None and final["document"] == "FailureDoc":
        final = None
    failed = any(document["document"] == "FailureDoc" for document in slim.values())
    audit = _joined_audit(configuration.engine, slim, ordered)
    energy = None if final is None else float(final["energy"])
    statistics = {step: cost for step, runs in ordered.items() if (cost := runs.statistics) is not None}
    relation = "not read" if final is None else final["achieved"]["relation"]
    return ChargeOrderedCalculationDoc(
        **configuration.model_dump(include=set(_COPIED)),
        calculation_id=configuration.calculation_id,
        intended_key=configuration.joint_key,
        achieved_key=None if final is None else _achieved_key(configuration, cell, final),
        relation=relation,
        state="failed" if failed else "completed" if audit.passed else "audit failed",
        counts=audit.passed and not failed and relation in COUNTING,
        energy=energy,
        energy_per_fu=None if energy is None else energy / configuration.formula_units,
        magmoms_redox=None if final is None else _redox_moments(final),
        max_force=None if final is None else float(np.linalg.norm(final["forces"], axis=1).max()),
        volume_per_fu=None
        if final is None
        else float(final["structure"]["lattice"]["volume"]) / configuration.formula_units,
        n_ionic_steps={step: runs.n_ionic_steps for step, runs in ordered.items() if runs.n_ionic_steps},
        n_runs={step: len(runs.documents) for step, runs in ordered.items()},
        run_statistics=statistics,
        core_hours=_core_hours(statistics),
        elapsed_s=sum(cost.elapsed_s for cost in statistics.values()) if statistics else None,
        steps=slim,
        audit=audit,
        engine=configuration.engine if final is None else final["engine"]["name"],
        engine_version=None if final is None else final["engine"]["version"],
        other_versions=versions_that_differ(slim, submitted),
    )


def _core_hours(statistics: Mapping[str, RunStatistics]) -> float | None:
    hours = [cost.core_hours for cost in statistics.values() if cost.core_hours is not None]
    return sum(hours) if hours and len(hours) == len(statistics) else None


_COPIED = (
    "configuration_id",
    "campaign",
    "attempt",
    "host",
    "fraction",
    "working_key",
    "formula_units",
    "n_high",
    "multiplicity",
    "stratum",
    "strata",
    "in_statistics",
    "sample_weight",
    "working_strata",
    "protocol",
    "protocol_hash",
)


def _joined_audit(engine: str, steps: Mapping[str, Any], runs: Mapping[str, StepRuns]) -> Audit:
    """Findings of all steps, each saying which step it is of; a failure and what was tried are findings too."""
    findings = []
    for step, document in steps.items():
        if document["document"] == "FailureDoc":
            findings.append(Finding(code=document["reason"], severity="failure", message=document["message"]))
        else:
            for item in document["audit"]["findings"]:
                findings.append(Finding(**{**item, "message": f"{step}: {item['message']}"}))
        findings += [Finding(code="tried", severity="info", message=f"{step}: {note}") for note in runs[step].tried]
    findings += [*_potcar_findings(steps), *_engine_findings(engine, steps)]
    return Audit.of(findings)


def _potcar_findings(steps: Mapping[str, Any]) -> list[Finding]:
    """Steps of one configuration must have used the same potential for the same element."""
    titles: dict[str, str] = {}
    for step, document in steps.items():
        for title in document.get("potcar_titles") or ():
            label = title.split()[1] if len(title.split()) > 1 else title
            if titles.setdefault(label, title) != title:
                message = f"{step}: POTCAR {title!r} where an earlier step had {titles[label]!r}"
                return [Finding(code="potcar", severity="failure", message=message)]
    return []


def _engine_findings(engine: str, steps: Mapping[str, Any]) -> list[Finding]:
    """The output's own version string decides what an engine is; a stand-in behind vasp_cmd is found out here."""
    for step, document in steps.items():
        found = document["engine"]["name"] if document["document"] == "VaspStepDoc" else engine
        if found != engine:
            message = f"{step}: run as {engine}, but the output was written by {found}; mend vasp_cmd"
            return [Finding(code="engine", severity="failure", message=message)]
    return []


def _redox_moments(step: Mapping[str, Any]) -> list[float] | None:
    if step["magmoms"] is None:
        return None
    by_parent = dict(zip(step["site_order"], step["magmoms"], strict=True))
    return [float(by_parent[site]) for site in step["redox_sites"]]


def _achieved_key(configuration: ConfigurationDoc, cell: HostSupercell, step: Mapping[str, Any]) -> str | None:
    bits = step["achieved"]["is_high"]
    if bits is None:
        return None
    return str(ordering_group(cell).key(configuration.working_bits, bits))
