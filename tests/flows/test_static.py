"""A static calculation on any structure, its moments set from its charge states."""

import os

import pytest
from pymatgen.io.vasp import Incar
from valenceflow.flows.static import StaticMaker


@pytest.fixture(scope="module")
def done(half_filled, rehearse, tmp_path_factory):
    structure = half_filled(high=(0, 3))
    # Moments of an earlier run, which must not be inherited.
    structure.add_site_property("magmom", [0.5] * len(structure))
    return rehearse(StaticMaker().make(structure), tmp_path_factory.mktemp("static")), structure


def test_a_static_moves_nothing(done):
    rehearsed, structure = done
    document, incar = rehearsed.documents["static"], Incar.from_file(rehearsed.folders["static"] / "INCAR.gz")
    assert (incar["NSW"], incar["IBRION"]) == (0, -1)
    assert document.n_ionic_steps == 1
    assert document.structure.lattice == structure.lattice


def test_large_forces_do_not_fail_a_static(done):
    document = done[0].documents["static"]
    assert max(sum(f * f for f in force) ** 0.5 for force in document.forces) > 0.1
    assert document.audit.passed


def test_moments_of_an_earlier_run_are_not_inherited(done):
    document = done[0].documents["static"]
    moments = dict(zip(document.site_order, document.initial_magmoms, strict=True))
    assert [moments[i] for i in document.redox_sites] == [5, 4, 4, 5]
    assert document.achieved.relation == "kept"


def test_a_static_without_charge_states_needs_the_number_of_high_sites(half_filled):
    structure = half_filled()
    structure.remove_site_property("oxidation_state")
    with pytest.raises(ValueError, match="give every Fe one of"):
        StaticMaker().make(structure)
    sites = StaticMaker().make(structure, n_high=2).jobs[0].function_kwargs["sites"]
    assert sites.is_high is None


def test_bader_without_the_program_is_a_clear_error(half_filled, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="bader=True needs the `bader` program"):
        StaticMaker(bader=True).make(half_filled())


def test_bader_asks_for_the_densities_that_it_needs(half_filled, monkeypatch, tmp_path):
    program = tmp_path / "bader"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    job = StaticMaker(bader=True).make(half_filled()).jobs[0]
    assert job.maker.task_document_kwargs["run_bader"] is True
    prepared = job.maker.prepare(half_filled(), job.function_kwargs["sites"])
    incar = job.maker.input_set_generator.get_input_set(prepared.structure, potcar_spec=True).incar
    assert (incar["LAECHG"], incar["LCHARG"]) == (True, True)
    assert StaticMaker().static_maker.task_document_kwargs == {}
