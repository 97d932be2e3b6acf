"""From a campaign file to the configurations it asks for: every ordering chosen, each with its identity.

Working-ion orderings are chosen per fraction, charge orderings for each of them, end members first.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure

from ..inputs.hosts import Host
from ..inputs.orderings.charge_reading import charge_bits
from ..inputs.orderings.group import Bits, JointKey, OrderingGroup, joint_burnside_count, ordering_group
from ..inputs.orderings.listing import Orbits, charge_orbits, working_orbits
from ..inputs.orderings.mapping import SiteMap, map_onto
from ..inputs.orderings.sampling import sample_ranking
from ..inputs.substitution import ChargeSites
from ..inputs.supercells import HostSupercell
from ..stores.documents import ConfigurationDoc
from .audit import UNKNOWN_CELL_SLACK, AuditReference
from .campaign_file import Campaign

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://arxiv.org/abs/2603.26471")


MAX_CONFIGURATIONS = 50_000
"""Configurations in one campaign: more than any cluster relaxes, few enough to be planned in a minute."""


@dataclass(frozen=True)
class WorkingOrdering:
    """One working-ion ordering: canonical occupation, how many arrangements it stands for, how it was chosen."""

    working: Bits
    multiplicity: int
    stratum: str


@dataclass(frozen=True)
class ChargeOrdering:
    """One charge ordering at a working-ion ordering; `charge` is None where the order is left free."""

    charge: Bits | None
    multiplicity: int
    stratum: str


def plan_configurations(campaign: Campaign, engine: str) -> list[ConfigurationDoc]:
    """Every configuration of a campaign, end members first, then by fraction in the file's order.

    Raises
    ------
    ValueError
        If a fraction does not fit, neutrality fails, or more orderings are asked for than exist.
    """
    planned: dict[str, ConfigurationDoc] = {}
    files, reference = _working_files(campaign), _reference_key(campaign)
    for fraction in _fractions(campaign):
        n_working = campaign.cell.n_working(fraction)
        n_high = campaign.cell.n_high(n_working, campaign.couple)
        if campaign.file.charge.all and campaign.file.ion_choice.orderings.all:
            count = joint_burnside_count(ordering_group(campaign.cell), n_working, n_high)
            _listable(campaign, count, f"fraction {fraction} with all {campaign.file.ion} and all charge orderings")
        for working in _working_orderings(campaign, n_working, files):
            _listable(campaign, len(planned), "the campaign")
            for charge in _charge_orderings(campaign, working.working, n_high, reference):
                document = _configuration(campaign, engine, working, charge, n_high)
                planned.setdefault(document.configuration_id, document)
    if reference is not None and str(reference) not in {c.joint_key for c in planned.values()}:
        raise ValueError(
            f"charge.reference {campaign.file.charge.reference} has the {campaign.file.ion} ordering "
            f"{str(reference).partition('.')[0]}, which is not among those of this campaign; add its fraction, or take "
            "it as `orderings: {file: ...}`"
        )
    return list(planned.values())


def _fractions(campaign: Campaign) -> list[Fraction]:
    ends = [Fraction(1), Fraction(0)] if campaign.file.end_members else []
    return list(dict.fromkeys([*ends, *campaign.file.ion_choice.fraction]))


def _working_orderings(campaign: Campaign, n_working: int, files: dict[str, Bits]) -> list[WorkingOrdering]:
    choice, group = campaign.file.ion_choice.orderings, ordering_group(campaign.cell)
    if n_working in (0, group.n_working):
        return [WorkingOrdering(np.full(group.n_working, n_working > 0), 1, "end member")]
    if choice.file:
        found = [bits for bits in files.values() if bits.sum() == n_working]
        return [WorkingOrdering(bits, _working_multiplicity(group, bits), "file") for bits in found]
    orbits = working_orbits(group, n_working)
    if choice.all:
        indices = np.arange(len(orbits))
    else:
        _enough(choice.sample, len(orbits), "working_ion.orderings.sample", f"{n_working} {campaign.file.ion}")
        keys = [str(JointKey(orbits.bits(i), None)) for i in range(len(orbits))]
        indices = sample_ranking(keys, orbits.multiplicities, choice.seed, choice.weight)[: choice.sample]
    stratum = "all" if choice.all else "sample"
    return [WorkingOrdering(orbits.bits(int(i)), int(orbits.multiplicities[i]), stratum) for i in indices]


def _working_files(campaign: Campaign) -> dict[str, Bits]:
    """Canonical occupation in each file of `orderings: {file: ...}`; every file must be of a fraction asked for."""
    group, ion = ordering_group(campaign.cell), campaign.file.ion
    asked = {campaign.cell.n_working(fraction) for fraction in campaign.file.ion_choice.fraction}
    found = {}
    for name in campaign.file.ion_choice.orderings.file:
        _, site_map = _mapped(campaign, name)
        count = int(site_map.working.sum())
        if count not in asked:
            wanted = " or ".join(str(number) for number in sorted(asked))
            raise ValueError(f"{name} holds {count} {ion} where the fraction asks for {wanted}")
        found[name] = group.key(site_map.working, None).working
    missing = sorted(asked - {0, group.n_working} - {int(bits.sum()) for bits in found.values()})
    if found and missing:
        raise ValueError(
            f"no file of working_ion.orderings.file holds {missing[0]} {ion}; add one or drop the fraction"
        )
    return found


def _working_multiplicity(group: OrderingGroup, working: Bits) -> int:
    return len(np.unique(working[group.working_permutations], axis=0))


def _mapped(campaign: Campaign, name: str) -> tuple[Structure, SiteMap]:
    path = campaign.beside(name)
    try:
        with warnings.catch_warnings():
            # pymatgen warns about rounded positions; whether atoms find their sites is judged by the map.
            warnings.simplefilter("ignore")
            structure = Structure.from_file(path)
    except Exception as err:  # pymatgen raises many kinds for a missing or broken file; each becomes one line
        raise ValueError(
            f"{path}: not readable as a crystal structure: {str(err).splitlines()[0] if str(err) else err!r}"
        ) from err
    if not structure.is_ordered:
        raise ValueError(f"{path}: some sites are partly occupied; an ordering has every site occupied or empty")
    return structure, map_onto(structure, campaign.cell)


def _charge_orderings(campaign: Campaign, working: Bits, n_high: int, key: JointKey | None) -> Iterator[ChargeOrdering]:
    group, choice = ordering_group(campaign.cell), campaign.file.charge
    if n_high in (0, group.n_redox):
        yield ChargeOrdering(np.full(group.n_redox, n_high > 0), 1, "end member")
        return
    if choice.free:
        yield ChargeOrdering(None, 1, "free")
        return
    reference = key if key is not None and np.array_equal(key.working, working) else None
    if reference is not None and reference.charge is not None:
        yield ChargeOrdering(reference.charge, group.multiplicity(working, reference.charge), "reference")
    if not (choice.all or choice.sample):
        return
    orbits = charge_orbits(group, working, n_high)
    if choice.all:
        _listable(campaign, len(orbits), f"charge: all at one {campaign.file.ion} ordering")
    names = _joint_keys(working, orbits)
    indices = np.arange(len(orbits))
    wanted = len(orbits)
    if choice.sample:
        _enough(choice.sample, len(orbits), "charge.sample", f"{n_high} {campaign.couple.element} high states")
        indices = sample_ranking(names, orbits.multiplicities, choice.seed, choice.weight)
        wanted = choice.sample
    others = [i for i in indices if reference is None or names[i] != str(reference)]
    kept = others[: wanted - (reference is not None)]
    for i in kept:
        yield ChargeOrdering(orbits.bits(int(i)), int(orbits.multiplicities[i]), "all" if choice.all else "sample")


def _joint_keys(working: Bits, orbits: Orbits) -> list[str]:
    """Texts of the joint keys of charge orbits at a canonical working-ion ordering, hundreds of thousands at once."""
    prefix = str(JointKey(working, None)).partition(".")[0]
    width = -(-orbits.n_sites // 4)
    return [f"{prefix}.{mask:0{width}x}" for mask in orbits.masks.tolist()]


def _listable(campaign: Campaign, count: int, what: str) -> None:
    if count > MAX_CONFIGURATIONS:
        raise ValueError(
            f"{what} asks for {count:,} configurations of {campaign.cell.structure.composition.formula}; at most "
            f"{MAX_CONFIGURATIONS:,} are planned: use {{sample: N, seed: S}}"
        )


def _reference_key(campaign: Campaign) -> JointKey | None:
    """Joint key of the reference ordering."""
    name = campaign.file.charge.reference
    if name is None:
        return None
    structure, site_map = _mapped(campaign, name)
    bits = charge_bits(structure, site_map, campaign.cell, campaign.couple)
    if bits is None:
        raise ValueError(f"{name} carries neither oxidation states nor moments: it cannot be the charge reference")
    return ordering_group(campaign.cell).key(site_map.working, bits)


def _enough(asked: int | None, exist: int, where: str, what: str) -> None:
    if asked is not None and asked > exist:
        raise ValueError(f"{where} = {asked} but only {exist} orderings of {what} are distinct; use {{all: true}}")


def configuration_id(campaign: Campaign, key: JointKey, engine: str) -> str:
    """Identity of a configuration: host, supercell, joint key, couple (surrogate, moments), protocol and engine."""
    couple = campaign.couple.content_hash
    host, matrix = campaign.cell.host.content_hash, campaign.cell.matrix
    content = [host, matrix, str(key), couple, campaign.protocol.hash, engine]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]


def _configuration(
    campaign: Campaign, engine: str, working: WorkingOrdering, charge: ChargeOrdering, n_high: int
) -> ConfigurationDoc:
    group, cell = ordering_group(campaign.cell), campaign.cell
    key = group.key(working.working, charge.charge)
    identity = configuration_id(campaign, key, engine)
    structure = occupied_structure(cell, key.working)
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
        working_multiplicity=working.multiplicity,
        stratum="end member" if working.stratum == "end member" else charge.stratum,
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


def occupied_structure(cell: HostSupercell, working: ArrayLike) -> Structure:
    """The supercell with its vacancies taken out; site property `host_site` is kept."""
    structure = cell.structure.copy()
    structure.remove_sites(cell.working_sites[~np.asarray(working, dtype=bool)].tolist())
    return structure


def charge_sites_of(
    structure: Structure, cell: HostSupercell, campaign: Campaign, document: ConfigurationDoc
) -> ChargeSites:
    """Charge states of a configuration in the order of its unrelaxed structure; redox sites stay in host order."""
    where = {int(host_site): i for i, host_site in enumerate(structure.site_properties["host_site"])}
    return ChargeSites(
        couple=campaign.couple,
        elements=[site.specie.symbol for site in structure],
        redox_sites=[where[int(site)] for site in cell.redox_sites],
        is_high=document.charge_bits,
        n_high=document.n_high,
    )


def audit_reference(cell: HostSupercell, working: ArrayLike) -> AuditReference:
    """The host's cell at a configuration's composition, and the symmetry that its working-ion ordering leaves."""
    host, matrix = cell.host, cell.matrix_array
    fraction = float(np.mean(np.asarray(working, dtype=bool)))
    lattice, source, slack = _host_lattice(host, fraction)
    vectors = matrix @ lattice
    a, b, c = (float(length) for length in np.linalg.norm(vectors, axis=1))
    return AuditReference(
        lengths=(a, b, c),
        volume=abs(float(np.linalg.det(vectors))),
        source=source,
        slack=slack,
        equivalences=np.unique(ordering_group(cell).stabiliser(working), axis=0).tolist(),
    )


def _host_lattice(host: Host, fraction: float) -> tuple[NDArray[np.float64], str, float]:
    matrix = np.asarray(host.structure.lattice.matrix, dtype=float)
    cells = sorted(host.reference_cells, key=lambda cell: cell.fraction)
    if len(cells) < 2:
        return matrix, "the idealised host, whatever its composition", UNKNOWN_CELL_SLACK
    lengths = [np.interp(fraction, [c.fraction for c in cells], [c.lengths[i] for c in cells]) for i in range(3)]
    scale = np.array(lengths) / np.linalg.norm(matrix, axis=1)
    return matrix * scale[:, None], f"interpolated between {len(cells)} reference cells", 1.0
