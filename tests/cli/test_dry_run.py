"""`run --dry-run` writes every input file and runs nothing; for the paper's cell they are the golden ones."""

from pathlib import Path

import numpy as np
import pytest
from atomate2 import SETTINGS as ATOMATE2_SETTINGS
from pymatgen.io.vasp import Incar, Poscar
from valenceflow.flows.dry_run import PLACEHOLDER_FILE
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.supercells import HostSupercell

GOLDEN = Path(__file__).parents[1] / "inputs" / "golden"
# Test ordering A for x = 2/3 on 1x3x2, fractional coordinates of the supercell, as in tests/inputs/test_golden_inputs.
VACANCIES = [
    (0, 0, 0), (0, 1/2, 0), (1/2, 0, 1/4), (1/2, 1/2, 1/4),
    (0, 1/6, 1/2), (0, 2/3, 1/2), (1/2, 1/6, 3/4), (1/2, 2/3, 3/4),
]  # fmt: skip
FE3 = [
    (.713, 1/12, .0069), (.713, 1/12, .5069), (.213, 1/12, .2432), (.213, 1/12, .7432),
    (.787, 7/12, .2569), (.787, 7/12, .7569), (.287, 7/12, .4931), (.287, 7/12, .9931),
]  # fmt: skip


def nearest(structure, symbol, places):
    """Index of the site of an element at each of some fractional coordinates."""
    sites = [i for i, site in enumerate(structure) if site.specie.symbol == symbol]
    distances = structure.lattice.get_all_distances(np.array(places), structure.frac_coords[sites])
    assert distances.min(axis=1).max() < 0.1
    return [sites[i] for i in distances.argmin(axis=1)]


@pytest.fixture
def paper_cell(cif_with_charges, tmp_path):
    """The reference ordering as a CIF with oxidation states."""
    structure = HostSupercell.build(get_host("olivine-NaFePO4"), [1, 3, 2]).structure.copy()
    structure.remove_site_property("host_site")
    charges = {"Na": 1, "P": 5, "O": -2, "Fe": 2}
    high = nearest(structure, "Fe", FE3)
    oxidation = [3 if i in high else charges[site.specie.symbol] for i, site in enumerate(structure)]
    structure.add_site_property("oxidation_state", oxidation)
    structure.remove_sites(nearest(structure, "Na", VACANCIES))
    return cif_with_charges(structure, tmp_path / "reference.cif")


@pytest.mark.parametrize("preset", ["paper-2026", "dtu-polyanion"])
def test_the_inputs_of_the_paper_s_cell_are_the_golden_ones(preset, paper_cell, call, tmp_path, write_campaign):
    path = write_campaign(
        tmp_path,
        supercell=[1, 3, 2],
        working_ion={"Na": {"fraction": "2/3", "orderings": {"file": paper_cell.name}}},
        charge={"reference": paper_cell.name},
        protocol=preset,
    )
    answer = call("run", path, "--dry-run", tmp_path / "inputs")
    assert answer.code == 0, answer.err
    assert f"3 configurations, 5 steps written to {tmp_path / 'inputs'}; nothing was run" in answer.out
    pairs = {
        "two-thirds-step-1": "x0.667_*/1-surrogate-relax",
        "two-thirds-step-2": "x0.667_*/2-relax",
        "empty-step-1": "x0.000_*/1-surrogate-relax",
    }
    for golden, written in pairs.items():
        (folder,) = (tmp_path / "inputs").glob(written)
        for name in ("INCAR", "KPOINTS", "POTCAR.spec"):
            assert (folder / name).read_text() == (GOLDEN / preset / golden / name).read_text(), f"{golden}/{name}"
        head = (folder / "POSCAR").read_text().splitlines()
        expected = (GOLDEN / preset / golden / "POSCAR.head").read_text().splitlines()
        assert (head[0], head[5:7]) == (expected[0], expected[5:7])
        assert np.allclose(np.loadtxt(head[2:5]), np.loadtxt(expected[2:5]), atol=1e-9)


def test_a_dry_run_needs_no_vasp_writes_no_campaign_folder_and_says_how_many(call, tmp_path, write_campaign):
    path = write_campaign(tmp_path)
    answer = call("run", path, "--dry-run", tmp_path / "inputs", "--limit", 2)  # --engine vasp, which is not there
    assert answer.code == 0
    assert "2 configurations, 3 steps written" in answer.out
    assert not (tmp_path / "small").exists()
    assert sorted(place.name for place in (tmp_path / "inputs").glob("*/*")) == [
        "1-relax",
        "1-surrogate-relax",
        "2-relax",
    ]


def test_a_step_whose_geometry_is_not_known_yet_says_so(call, tmp_path, write_campaign):
    answer = call("run", write_campaign(tmp_path), "--dry-run", tmp_path / "inputs", "--only", "6.3", "--only", "f.0")
    folders = {place.name: place for place in (tmp_path / "inputs").glob("*/*")}
    assert [name for name, place in sorted(folders.items()) if (place / PLACEHOLDER_FILE).exists()] == ["2-relax"]
    assert "unrelaxed host" in (folders["2-relax"] / PLACEHOLDER_FILE).read_text()
    assert "1 placeholder among the geometries" in answer.out
    assert PLACEHOLDER_FILE in answer.out


def test_incars_are_those_of_the_run_with_launch_tags_and_atomate2_s_updates(
    call, tmp_path, write_campaign, monkeypatch
):
    monkeypatch.setattr(ATOMATE2_SETTINGS, "VASP_INCAR_UPDATES", {"KPAR": 2, "NCORE": 8})
    path = write_campaign(tmp_path, launch={"incar": {"NCORE": 4, "NSIM": 2}})
    monkeypatch.chdir(tmp_path)
    for name in ("INCAR", "POSCAR", "KPOINTS"):
        (tmp_path / name).write_text("the user's own")
    assert call("run", path, "--dry-run", "inputs", "--only", "6.3").code == 0
    incars = [Incar.from_file(place / "INCAR") for place in (tmp_path / "inputs").glob("*/*")]
    assert [(incar["NCORE"], incar["KPAR"], incar["NSIM"]) for incar in incars] == [(8, 2, 2)] * 2
    # atomate2 clears the folder that it is called in before it writes; here that is the user's.
    assert all((tmp_path / name).read_text() == "the user's own" for name in ("INCAR", "POSCAR", "KPOINTS"))


def test_an_update_against_the_protocol_is_refused_before_a_run_would_fail(
    refused, tmp_path, write_campaign, monkeypatch
):
    monkeypatch.setattr(ATOMATE2_SETTINGS, "VASP_INCAR_UPDATES", {"ENCUT": 400})
    assert "ENCUT = 400" in refused("run", write_campaign(tmp_path), "--dry-run", tmp_path / "inputs")


def test_only_the_keys_that_are_named_are_written(call, tmp_path, write_campaign):
    answer = call("run", write_campaign(tmp_path), "--dry-run", tmp_path / "inputs", "--only", "6.3")
    assert answer.code == 0
    (folder,) = (tmp_path / "inputs").iterdir()
    assert folder.name.startswith("x0.500_6.3_")


def test_an_own_cif_of_another_chemistry_gets_its_own_inputs(call, tmp_path, write_campaign, olivine):
    """LiMnPO4: lithium for sodium, manganese for iron, confirmed charges."""
    structure = olivine.host.structure.copy()
    structure.replace_species({"Na": "Li", "Fe": "Mn"})
    structure.relabel_sites()
    structure.to(filename=str(tmp_path / "LiMnPO4.cif"))
    path = write_campaign(
        tmp_path,
        host="LiMnPO4.cif",
        couple="Mn2+/Mn3+",
        oxidation_states={"Li": 1, "P": 5, "O": -2},
        working_ion={"Li": {"fraction": "1/2", "orderings": {"sample": 1}}},
        charge={"sample": 1},
        end_members=False,
    )
    assert call("run", path, "--dry-run", tmp_path / "inputs").code == 0
    (first,), (second,) = ((tmp_path / "inputs").glob(f"*/{step}") for step in ("1-*", "2-*"))
    assert Poscar.from_file(first / "POSCAR", check_for_potcar=False).site_symbols == ["Li", "Mn", "Ga", "P", "O"]
    incar = Incar.from_file(second / "INCAR")
    assert incar["MAGMOM"][2:6].count(4.0) == 2
    assert incar["LDAUU"] == [0.0, 3.9, 0.0, 0.0]
