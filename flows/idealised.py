"""A configuration before anything has relaxed: its structure on the host's sites, its charges, its host's cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure

from ..inputs.hosts import Host
from ..inputs.orderings.group import ordering_group
from ..inputs.substitution import ChargeSites
from ..inputs.supercells import HostSupercell
from ..stores.documents import ConfigurationDoc
from .audit import UNKNOWN_CELL_SLACK, AuditReference
from .campaign_file import Campaign


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
