"""The folder of POTCARs: what is wrong with it is said with commands that mend it, tried here as they are printed."""

import re
import shlex
import shutil

import pytest
from pymatgen.cli.pmg_config import setup_potcars
from pymatgen.core import SETTINGS
from pymatgen.io.vasp.inputs import PotcarSingle
from valenceflow.flows.potcar_folder import potcar_problems

LABELS = ("Fe_pv", "Na_pv", "O")
RELEASE = "POT_GGA_PAW_PBE_54"


@pytest.fixture(autouse=True)
def from_pymatgens_file(monkeypatch):
    """The setting comes from ~/.config/.pmgrc.yaml, not from the environment."""
    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)


@pytest.fixture
def unsorted(stub_potcars, tmp_path):
    """Function that lays POTCARs out as VASP's archives unpack: NAME/LABEL/POTCAR."""

    def make(name):
        target = tmp_path / "vasp files" / name
        for label in LABELS:
            shutil.copytree(stub_potcars / RELEASE / label, target / label)
        return target

    return make


def problem(folder, labels=LABELS, functional="PBE_54"):
    (only,) = potcar_problems(str(folder), functional, labels)
    return only


def test_a_sorted_folder_is_fine_in_both_layouts_that_pymatgen_reads(stub_potcars, tmp_path):
    assert potcar_problems(str(stub_potcars), "PBE_54", LABELS) == []
    (tmp_path / RELEASE).mkdir()
    for label in LABELS:
        shutil.copy(stub_potcars / RELEASE / label / "POTCAR", tmp_path / RELEASE / f"POTCAR.{label}")
    assert potcar_problems(str(tmp_path), "PBE_54", LABELS) == []
    assert potcar_problems(str(tmp_path), "PBE_54", ()) == []


def test_a_missing_setting_and_a_missing_folder_are_told_apart(tmp_path, monkeypatch):
    assert problem("").startswith("PMG_VASP_PSP_DIR is not set: `pmg config --add PMG_VASP_PSP_DIR DIR`")
    assert f"is '{tmp_path}/no', which does not exist: " in problem(tmp_path / "no")
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "no"))
    assert "`export PMG_VASP_PSP_DIR=DIR` (set in your environment" in problem(tmp_path / "no")


@pytest.mark.parametrize("name", ["potpaw_PBE.54", "potpaw_PBE_54"])
@pytest.mark.parametrize("named", ["the archive's folder", "the folder above"])
def test_the_commands_for_an_unsorted_folder_sort_it_for_pymatgen(name, named, unsorted, monkeypatch):
    archive = unsorted(name)
    said = problem(archive if named == "the archive's folder" else archive.parent)
    assert "which is not sorted: " in said
    sort, point = (shlex.split(command) for command in re.findall("`([^`]+)`", said))
    assert sort[:3] == ["pmg", "config", "-p"]
    assert point[:4] == ["pmg", "config", "--add", "PMG_VASP_PSP_DIR"]
    setup_potcars(sort[3:])
    assert potcar_problems(point[4], "PBE_54", LABELS) == []
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", point[4])
    assert PotcarSingle.from_symbol_and_functional("Fe_pv", "PBE_54").element == "Fe"


def test_an_unsorted_folder_of_another_name_is_renamed_first_as_pymatgen_goes_by_names(unsorted):
    commands = [shlex.split(command) for command in re.findall("`([^`]+)`", problem(unsorted("mine")))]
    assert [command[0] for command in commands] == ["mv", "pmg", "pmg"]
    assert commands[0][2].endswith("potpaw_PBE.54")
    assert commands[1][3] == commands[0][2]


def test_missing_potcars_are_named_with_what_there_is(stub_potcars):
    said = problem(stub_potcars, ("Fe_pv", "Xx_pv", "Yy"))
    assert said.startswith(f"no POTCAR for Xx_pv, Yy of PBE_54 under {stub_potcars} (it has PBE_54): add them with ")
    assert problem(stub_potcars, functional="PBE_64").startswith(
        f"no POTCAR for Fe_pv, Na_pv, O of PBE_64 under {stub_potcars} (it has PBE_54)"
    )


def test_an_empty_folder_has_none(tmp_path):
    assert problem(tmp_path, ()).startswith(f"no POTCARs as pymatgen sorts them under {tmp_path}: ")
