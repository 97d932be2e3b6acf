"""Eq. 1 against plain arithmetic and against pymatgen's CompoundPhaseDiagram."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry
from pymatgen.core import Composition
from valenceflow.analysis.relative_energy import relative_energies, relative_energies_mev

E_FULL, E_EMPTY = -30.27, -28.41  # eV per formula unit


def calculation(fraction, energy_per_fu, state="completed", **changes):
    fields = {"fraction": fraction, "energy_per_fu": energy_per_fu, "state": state, "engine": "vasp"}
    return {**fields, "protocol_hash": "a", "relation": "kept", **changes}


def test_the_end_members_lie_at_zero_and_half_way_is_their_mean():
    found = relative_energies([E_FULL, E_EMPTY, (E_FULL + E_EMPTY) / 2], [1, 0, 0.5], E_FULL, E_EMPTY)
    assert np.allclose(found, 0)


@given(st.floats(0, 1), st.floats(-40, -20))
def test_a_mixture_of_end_members_has_its_excess_energy(x, energy):
    mixed = x * E_FULL + (1 - x) * E_EMPTY
    assert relative_energies([energy], [x], E_FULL, E_EMPTY)[0] == pytest.approx(energy - mixed, abs=1e-9)


@pytest.mark.parametrize("x", [-0.01, 1.01])
def test_a_fraction_outside_0_to_1_is_refused(x):
    with pytest.raises(ValueError, match=r"fractions \[.*\] lie outside 0 to 1"):
        relative_energies([-29.0, -29.0], [0.5, x], E_FULL, E_EMPTY)


def test_form_energies_of_pymatgen_s_compound_phase_diagram_are_the_same():
    cells = [
        (1.0, "Na4Fe4P4O16", 4 * E_FULL),
        (0.5, "Na2Fe4P4O16", -117.9),
        (0.25, "NaFe4P4O16", -115.3),
        (0.0, "Fe4P4O16", 4 * E_EMPTY),
    ]
    entries = [PDEntry(Composition(formula), energy) for _, formula, energy in cells]
    ends = [Composition("NaFePO4"), Composition("FePO4")]
    diagram = CompoundPhaseDiagram(entries, ends, normalize_terminal_compositions=False)
    theirs = {e.original_entry.composition: diagram.get_form_energy_per_atom(e) for e in diagram.all_entries}
    ours = relative_energies_mev([calculation(x, energy / 4) for x, _, energy in cells])
    for (_, formula, _), value in zip(cells, ours, strict=True):
        assert value == pytest.approx(1000 * theirs[Composition(formula)], abs=1e-6)


def test_the_lowest_audited_end_member_is_the_reference():
    found = relative_energies_mev(
        [
            calculation(1.0, -30.0),
            calculation(1.0, -30.2),
            calculation(1.0, -31.0, state="audit failed"),
            calculation(0.0, -28.0),
        ]
    )
    assert found == pytest.approx([200, 0, -800, 0])


@pytest.mark.parametrize("missing", [0.0, 1.0])
def test_without_both_end_members_there_is_no_relative_energy(missing):
    known = [calculation(1.0 - missing, -30.0), calculation(0.5, -29.0), calculation(missing, None)]
    assert relative_energies_mev(known) == [None] * 3


def test_a_calculation_without_an_energy_has_no_relative_energy():
    found = relative_energies_mev([calculation(1.0, -30.0), calculation(0.0, -28.0), calculation(0.5, None)])
    assert found[2] is None


@pytest.mark.parametrize("other", [{"engine": "rehearsal:springs"}, {"protocol_hash": "b"}])
def test_engines_and_protocols_are_never_mixed(other):
    with pytest.raises(ValueError, match="cannot be compared"):
        relative_energies_mev([calculation(1.0, -30.0), calculation(0.0, -28.0, **other)])
