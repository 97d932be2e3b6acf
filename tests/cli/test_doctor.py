"""`valenceflow doctor`: what is missing, for what and how to mend it; the exit code tells whether it matters."""

import importlib.metadata
import json
import shutil

import pytest
from atomate2 import SETTINGS as ATOMATE2_SETTINGS
from packaging.version import Version
from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS
from valenceflow.cli.doctor import EXTRAS, PACKAGES, _stores
from valenceflow.flows.campaign_file import read_campaign

SPRINGS = ("--engine", "rehearsal:springs")


@pytest.fixture
def vasp(monkeypatch, tmp_path):
    """Function that sets vasp_cmd and the POTCAR folder as atomate2 and pymatgen have read them."""
    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)

    def settings(command, potcars):
        monkeypatch.setattr(ATOMATE2_SETTINGS, "VASP_CMD", command)
        monkeypatch.setitem(PYMATGEN_SETTINGS, "PMG_VASP_PSP_DIR", str(potcars))

    return settings


@pytest.fixture
def checks(call):
    """Function that gives what doctor says as JSON, by name, and its exit code."""

    def run(*arguments):
        answer = call("doctor", *arguments, "--json")
        assert answer.err == ""
        return {check["name"]: check for check in json.loads(answer.out)}, answer.code

    return run


def test_a_machine_that_can_run_vasp_is_fine(checks, vasp, stub_potcars):
    vasp("sh", stub_potcars)
    found, code = checks()
    assert code == 0
    assert found["VASP"]["found"] == f"sh; POTCARs in {stub_potcars}"


def test_missing_vasp_is_an_error_for_vasp_and_none_for_a_rehearsal(checks, vasp, stub_potcars):
    vasp("/no/such/vasp_std", stub_potcars)
    found, code = checks()
    assert code == 1
    assert found["VASP"]["needed"].startswith("run --engine vasp")
    assert "ATOMATE2_VASP_CMD" in found["VASP"]["remedy"]
    found, code = checks(*SPRINGS)
    assert code == 0
    assert "VASP" not in found


def test_every_version_is_the_one_that_is_installed(checks):
    found, _ = checks(*SPRINGS)
    for package in PACKAGES:
        assert Version(found[package]["found"]) == Version(importlib.metadata.version(package))


def test_an_extra_counts_as_missing_only_for_the_engine_that_needs_it(checks, monkeypatch):
    asked = importlib.metadata.version

    def without_extras(name):
        if name in EXTRAS:
            raise importlib.metadata.PackageNotFoundError(name)
        return asked(name)

    monkeypatch.setattr(importlib.metadata, "version", without_extras)
    found, code = checks(*SPRINGS)
    assert code == 0
    assert all(not found[name]["ok"] and found[name]["optional"] for name in EXTRAS)
    found, code = checks("--engine", "rehearsal")
    assert code == 1
    missing = {name for name, check in found.items() if not check["ok"] and not check["optional"]}
    assert missing == {"torch", "chgnet"}
    assert ".[potentials]" in found["chgnet"]["remedy"]


def test_without_a_package_of_the_core_nothing_else_is_tried(checks, monkeypatch, tmp_path, write_campaign):
    asked = importlib.metadata.version

    def without_atomate2(name):
        if name == "atomate2":
            raise importlib.metadata.PackageNotFoundError(name)
        return asked(name)

    monkeypatch.setattr(importlib.metadata, "version", without_atomate2)
    found, code = checks(write_campaign(tmp_path))
    assert code == 1
    assert found["atomate2"]["remedy"] == "`pip install -c constraints.txt -e .` in the clone"
    assert "VASP" not in found


def test_a_campaign_is_said_with_its_size_and_the_potcars_it_needs(
    checks, vasp, stub_potcars, tmp_path, write_campaign
):
    vasp("sh", stub_potcars)
    found, code = checks(write_campaign(tmp_path))
    assert code == 0
    # 10 orderings at x = 1/2 and two end members; x = 1 has no step 1.
    assert found["campaign small"]["found"] == "12 configurations, 23 VASP runs; full cell Na4Fe4P4O16"
    assert found["VASP"]["found"].endswith("have Fe_pv, Ga_d, Na_pv, O, P")
    assert (found["store"]["ok"], found["store"]["optional"], found["store"]["found"]) == (False, True, "not started")


def test_the_run_to_type_is_that_of_the_engine_and_the_queue_that_were_asked_about(tmp_path, write_campaign):
    path = write_campaign(tmp_path)
    (check,) = _stores(path, read_campaign(path), "rehearsal:springs", "fireworks")
    again = f"`valenceflow run {path} --engine rehearsal:springs --launch fireworks` makes it"
    assert (check.found, check.remedy) == ("not started", again)


def test_a_campaign_that_run_would_refuse_is_missing_something(checks, tmp_path, write_campaign):
    sodium = {"Na": {"fraction": 0.3, "orderings": {"all": True}}}
    found, code = checks(write_campaign(tmp_path, working_ion=sodium), *SPRINGS)
    assert code == 1
    assert "fraction 0.3 of 4 Na sites" in found["campaign"]["found"]
    found, code = checks(write_campaign(tmp_path, couple=None), *SPRINGS)
    assert (code, found["campaign"]["ok"]) == (1, False)


def test_a_campaign_file_that_is_not_there_is_a_slip(refused, tmp_path):
    assert "no such campaign file" in refused("doctor", tmp_path / "nowhere.yaml")


def test_a_folder_of_potcars_that_is_not_there_or_not_sorted_is_said(checks, vasp, stub_potcars, tmp_path):
    vasp("sh", tmp_path / "nowhere")
    found, code = checks()
    assert code == 1
    assert f"'{tmp_path}/nowhere', which does not exist" in found["VASP"]["found"]
    assert "pmg config --add PMG_VASP_PSP_DIR" in found["VASP"]["remedy"]
    shutil.copytree(stub_potcars / "POT_GGA_PAW_PBE_54", tmp_path / "potpaw_PBE.54")
    vasp("sh", tmp_path / "potpaw_PBE.54")
    found, code = checks()
    assert code == 1
    assert "not sorted" in found["VASP"]["found"]
    assert f"`pmg config -p {tmp_path}/potpaw_PBE.54 {tmp_path}/potpaw_PBE.54-sorted`" in found["VASP"]["remedy"]


def test_the_text_says_what_is_missing_for_what_and_how_to_mend_it(call, vasp, tmp_path):
    vasp("/no/such/vasp_std", tmp_path)
    lines = call("doctor").out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("MISSING VASP: vasp_cmd runs"))
    assert lines[place + 1].strip().startswith("needed for: run --engine vasp")
    assert lines[place + 2].strip().startswith("to mend it: set ATOMATE2_VASP_CMD")
