"""From a campaign file to the configurations it asks for: every ordering chosen, each with its identity.

Working-ion orderings are chosen per fraction, charge orderings for each of them, end members first.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from fractions import Fraction

from ..inputs.orderings.group import JointKey, ordering_group
from ..inputs.orderings.lowest import SearchProgress
from ..inputs.orderings.strata import Chosen
from ..inputs.orderings.stratum_names import in_statistics, main_stratum
from ..stores.documents import ConfigurationDoc
from .campaign_file import Campaign
from .choices import ChargeOrdering, OrderingChooser
from .idealised import occupied_structure

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://arxiv.org/abs/2603.26471")


def plan_configurations(
    campaign: Campaign, engine: str, progress: SearchProgress | None = None
) -> list[ConfigurationDoc]:
    """Every configuration of a campaign, end members first, then by fraction in the file's order.

    Parameters
    ----------
    campaign, engine : what to run, and with which engine.
    progress : called now and then with (done, to do) by searches for the lowest orderings.

    Raises
    ------
    ValueError
        If a fraction does not fit, neutrality fails, or more orderings are asked for than exist.
    """
    campaign = campaign.for_engine(engine)
    planned: dict[str, ConfigurationDoc] = {}
    chooser = OrderingChooser(campaign, engine, progress)
    for fraction in _fractions(campaign):
        n_working = campaign.cell.n_working(fraction)
        n_high = campaign.cell.n_high(n_working, campaign.couple)
        chooser.check_all(n_working, n_high, fraction)
        for working in chooser.working(n_working):
            chooser.check_number(len(planned), "the campaign")
            for charge in chooser.charges(working.member.bits, n_high):
                document = _configuration(campaign, engine, working, charge, n_high)
                planned.setdefault(document.configuration_id, document)
    chooser.check_files_used({document.joint_key for document in planned.values()})
    return list(planned.values())


def _fractions(campaign: Campaign) -> list[Fraction]:
    ends = [Fraction(1), Fraction(0)] if campaign.file.end_members else []
    return list(dict.fromkeys([*ends, *campaign.file.fractions]))


def configuration_id(campaign: Campaign, key: JointKey, engine: str) -> str:
    """Identity of a configuration: host, supercell, joint key, couple (surrogate, moments), protocol and engine."""
    couple = campaign.couple.content_hash
    host, matrix = campaign.cell.host.content_hash, campaign.cell.matrix
    content = [host, matrix, str(key), couple, campaign.protocol.hash, engine]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]


def _configuration(
    campaign: Campaign, engine: str, working: Chosen, charge: ChargeOrdering, n_high: int
) -> ConfigurationDoc:
    group, cell = ordering_group(campaign.cell), campaign.cell
    key = group.key(working.member.bits, charge.bits)
    identity = configuration_id(campaign, key, engine)
    structure = occupied_structure(cell, key.working)
    strata = working.strata if working.stratum == "end member" else charge.strata
    return ConfigurationDoc(
        configuration_id=identity,
        campaign=campaign.file.name,
        host=cell.host.name,
        host_hash=cell.host.content_hash,
        supercell=[list(row) for row in cell.matrix],
        joint_key=str(key),
        working_key=str(key).split(".", maxsplit=1)[0],
        working_bits=key.working.tolist(),
        charge_bits=None if key.charge is None else key.charge.tolist(),
        fraction=float(Fraction(int(key.working.sum()), len(key.working))),
        n_high=n_high,
        multiplicity=charge.multiplicity,
        working_multiplicity=working.member.multiplicity,
        stratum=main_stratum(strata),
        strata=list(strata),
        in_statistics=in_statistics(strata),
        sample_weight=campaign.file.charge.strata.weight if "sample" in strata else None,
        working_strata=list(working.strata),
        couple=campaign.couple.name,
        working_ion=cell.host.working_ion,
        formula=structure.composition.formula.replace(" ", ""),
        n_atoms=len(structure),
        formula_units=cell.formula_units,
        protocol=campaign.protocol.name,
        protocol_hash=campaign.protocol.hash,
        engine=engine,
        job_uuids={step: step_uuid(campaign.file.name, identity, step, 1) for step in steps_of(key, n_high)},
    )


def steps_of(key: JointKey, n_high: int) -> list[str]:
    """VASP runs of a configuration: two, or one where the order is free or there is nothing to substitute."""
    if key.charge is None:
        return ["free relax"]
    return ["surrogate relax", "relax"] if n_high else ["relax"]


def step_uuid(campaign: str, identity: str, step: str, attempt: int) -> str:
    """Uuid of a job, fixed before anything runs."""
    return str(uuid.uuid5(_NAMESPACE, f"{campaign}/{identity}/{step}/{attempt}"))
