"""Electrostatic energies against pymatgen's EwaldSummation on rebuilt structures."""

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import Host
from valenceflow.inputs.orderings.electrostatics import ElectrostaticModel, unit_charge_matrix
from valenceflow.inputs.orderings.energies import ordering_energies
from valenceflow.inputs.orderings.group import ordering_group
from valenceflow.inputs.supercells import HostSupercell

AGREEMENT = 1e-8  # eV


def rebuilt(cell, couple, working, charge):
    """The structure of an ordering without its vacancies, every site with its charge."""
    charges = [cell.host.oxidation_states.get(site.specie.symbol, 0) for site in cell.structure]
    for site, high in zip(cell.redox_sites, charge, strict=True):
        charges[site] = couple.state(bool(high)).oxidation_state
    kept = np.setdiff1d(np.arange(len(charges)), cell.working_sites[~working])
    symbols = [cell.structure[int(i)].specie.symbol for i in kept]
    structure = Structure(cell.structure.lattice, symbols, cell.structure.frac_coords[kept])
    structure.add_oxidation_state_by_site([charges[i] for i in kept])
    return structure


def random_ordering(cell, couple, random, n_occupied):
    n_high = cell.n_high(n_occupied, couple)
    return (
        random.permutation(np.arange(len(cell.working_sites)) < n_occupied),
        random.permutation(np.arange(len(cell.redox_sites)) < n_high),
    )


def test_energies_are_ewald_energies_of_the_rebuilt_structures(cell, electrostatics):
    model, random = electrostatics(cell), np.random.default_rng(0)
    n = len(cell.working_sites)
    for n_occupied in (0, n // 2, n - 1, n):
        working, charge = random_ordering(cell, model.couple, random, n_occupied)
        expected = EwaldSummation(rebuilt(cell, model.couple, working, charge)).total_energy
        # Thirds that pymatgen rounds to 1e-10 make the layered cells a little asymmetric, which is averaged out.
        within = AGREEMENT + model.asymmetry
        assert ordering_energies(model, working, charge) == pytest.approx(expected, abs=within)


def test_energies_of_the_papers_cell_are_ewald_energies(paper_cell, electrostatics):
    model, random = electrostatics(paper_cell), np.random.default_rng(1)
    for n_occupied in (16, 9):
        working, charge = random_ordering(paper_cell, model.couple, random, n_occupied)
        expected = EwaldSummation(rebuilt(paper_cell, model.couple, working, charge)).total_energy
        assert ordering_energies(model, working, charge) == pytest.approx(expected, abs=AGREEMENT)


def test_the_pair_matrix_does_not_depend_on_the_ewald_splitting_even_for_charged_cells(small_cell):
    cell = small_cell("olivine")
    matrix = unit_charge_matrix(cell)
    charges = np.random.default_rng(2).integers(-2, 4, len(cell.structure))
    structure = Structure(cell.structure.lattice, cell.structure.species, cell.structure.frac_coords)
    structure.add_oxidation_state_by_site(charges.tolist())
    assert charges.sum() != 0
    for eta in (0.05, 0.3):
        expected = EwaldSummation(structure, eta=eta, acc_factor=14).total_energy
        assert charges @ matrix @ charges == pytest.approx(expected, abs=AGREEMENT)


def test_a_dielectric_constant_divides_every_energy(small_cell):
    cell, couple = small_cell("olivine 1x2x1"), get_couple("Fe2+/Fe3+")
    random = np.random.default_rng(3)
    bare, screened = ElectrostaticModel(cell, couple), ElectrostaticModel(cell, couple, dielectric=11.4)
    working, charge = random_ordering(cell, couple, random, 5)
    expected = ordering_energies(bare, working, charge) / 11.4
    assert ordering_energies(screened, working, charge) == pytest.approx(expected, abs=AGREEMENT)


@pytest.mark.parametrize("dielectric", [0.0, -1.0, float("nan"), float("inf")])
def test_a_dielectric_constant_that_is_none_is_refused(small_cell, dielectric):
    with pytest.raises(ValueError, match=r"dielectric = .* must be a positive number"):
        ElectrostaticModel(small_cell("olivine"), get_couple("Fe2+/Fe3+"), dielectric)


def test_a_couple_of_another_element_is_refused(small_cell):
    with pytest.raises(ValueError, match=r"couple Mn2\+/Mn3\+ does not fit host olivine-NaFePO4, whose redox element"):
        ElectrostaticModel(small_cell("olivine"), get_couple("Mn2+/Mn3+"))


def test_an_idealised_host_has_no_asymmetry_but_the_rounding_of_its_positions(cell, electrostatics):
    assert electrostatics(cell).asymmetry < (1e-7 if cell.host.name == "layered NaFeO2" else 1e-10)


def test_a_host_with_rounded_positions_still_has_equal_energies_for_equivalent_orderings(small_cell):
    exact = small_cell("olivine").host
    structure = exact.structure.copy()
    structure.perturb(0.002)
    host = Host(**{name: getattr(exact, name) for name in Host.model_fields} | {"structure": structure})
    cell = HostSupercell.build(host)
    model, group = ElectrostaticModel(cell, get_couple("Fe2+/Fe3+")), ordering_group(cell)
    assert group.order == 8
    assert 1e-5 < model.asymmetry < 0.1
    bits = np.array([True, True, False, False, True, False, True, False])[group.permutations]
    assert len(set(ordering_energies(model, bits[:, :4], bits[:, 4:]).tolist())) == 1
