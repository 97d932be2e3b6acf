"""The charge ordering of one structure at the model's own minimum, beside the reference's (paper Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from ase import Atoms

from ...inputs.charge_states import state_names
from ...inputs.orderings.group import Bits
from ...inputs.species import FloatArray
from .cases import OrderingCase, lowest_mixed
from .orderings import bond_valences, read_by_moments, read_by_valences
from .relaxed import RelaxedCase, converged, site_moments
from .scores import Judge, ReachedOrdering, Start


def reached_orderings(
    start: Start, done: Sequence[RelaxedCase], engine: str, judged: Mapping[str, FloatArray] | None
) -> list[ReachedOrdering]:
    """Of the reference's lowest mixed structure among those that converged; none where nothing converged.

    Parameters
    ----------
    start, done, engine, judged : as in `relaxed.achieved`; the judge reads before the model's own moments, and bond
        valences where there are no moments.
    """
    good = {found.case.name: found for found in converged(done)}
    case = lowest_mixed([found.case for found in good.values()])
    if case is None:
        return []
    found = good[case.name]
    atoms, reference = found.result.atoms(), _as_started(case, start)
    judge, high = _read(found, engine, judged)
    return [
        ReachedOrdering(
            structure=case.name,
            start=start,
            symbols=atoms.get_chemical_symbols(),
            lattice=atoms.cell.array.tolist(),
            frac_coords=atoms.get_scaled_positions().tolist(),
            redox_atoms=[int(site) for site in found.sites],
            reference_symbols=reference.get_chemical_symbols(),
            reference_lattice=reference.cell.array.tolist(),
            reference_frac_coords=reference.get_scaled_positions().tolist(),
            reference_redox_atoms=[int(site) for site in case.redox_atoms],
            told=[bool(bit) for bit in case.high],
            high=None if high is None else [bool(bit) for bit in high],
            states=list(state_names(case.couple)),
            judge=judge,
            relation=_relation(found, high),
        )
    ]


def _as_started(case: OrderingCase, start: Start) -> Atoms:
    """The reference beside the model: where starts are ideal, on the host's sites, of which it may be an image."""
    if start == "first" or case.found is None:
        return case.reference.atoms
    host = case.found.cell.structure
    places = np.empty((len(case.reference.atoms), 3))
    places[case.found.site_map.atoms] = np.asarray(host.frac_coords)[case.found.site_map.host_sites]
    symbols = case.reference.atoms.get_chemical_symbols()
    return Atoms(symbols, scaled_positions=places, cell=host.lattice.matrix, pbc=True)


def _read(found: RelaxedCase, engine: str, judged: Mapping[str, FloatArray] | None) -> tuple[Judge, Bits | None]:
    case, n_high = found.case, int(found.case.high.sum())
    own = site_moments(found)
    if judged is not None and case.name in judged:
        return "judge", read_by_moments(judged[case.name], case.couple, engine, n_high)
    if own is not None:
        return "moments", read_by_moments(own, case.couple, engine, n_high)
    return "bond valences", read_by_valences(bond_valences(found.result.atoms(), found.sites), n_high)


def _relation(found: RelaxedCase, high: Bits | None) -> Literal["kept", "equivalent", "moved", "not read"]:
    if high is None:
        return "not read"
    if np.array_equal(high, found.case.high):
        return "kept"
    return "equivalent" if found.case.same_ordering(high) else "moved"
