"""GPAW's Python: found by one setting, kept clean of ours, and every missing piece named with its remedy."""

import re
import sys

import pytest
from valenceflow.flows.gpaw.command import (
    SETTING,
    GpawNotFoundError,
    find_gpaw,
    gpaw_command,
    gpaw_environment,
    gpaw_problems,
    setup_file,
    start_arguments,
    version_tuple,
)
from valenceflow.inputs.protocol import load_protocol

ELEMENTS = {"Na", "Fe", "P", "O", "Ga"}


def test_the_setting_names_the_command_and_debians_python_is_the_default(monkeypatch):
    monkeypatch.setenv(SETTING, "mpiexec -n 4 /opt/gpaw/bin/python")
    assert gpaw_command() == ["mpiexec", "-n", "4", "/opt/gpaw/bin/python"]
    monkeypatch.delenv(SETTING)
    assert gpaw_command() == ["/usr/bin/python3"]


def test_nothing_of_our_python_reaches_gpaws(monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/ours")
    monkeypatch.setenv("GPAW_SETUP_PATH", "/setups")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = gpaw_environment()
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & set(found)
    assert (found["GPAW_SETUP_PATH"], found["OMP_NUM_THREADS"]) == ("/setups", "1")


def test_our_folder_stands_last_in_gpaws_path():
    code = start_arguments("run", "/folder")[1]
    assert "sys.path.append(" in code
    assert "insert" not in code


def test_an_installation_says_what_it_is(fake_gpaw):
    fake_gpaw()
    found = find_gpaw(("Fe.PBE",))
    assert (found.version, found.missing, found.ranks) == ("22.8.0", (), 1)
    assert gpaw_problems(load_protocol("gpaw").gpaw, ELEMENTS) == []


@pytest.mark.parametrize(
    ("how", "elements", "said"),
    [
        ("no gpaw", ELEMENTS, r"has no GPAW: ModuleNotFoundError.*apt-get install .*gpaw-data"),
        ("no setups", ELEMENTS, r"PAW setups are missing: `apt-get install gpaw-data`"),
        ("well", {"Fe", "Xe"}, r"no PAW setup Xe\.PBE in /fake/setups: add them"),
        ("old", ELEMENTS, r"GPAW 20\.1\.0 is older than 22\.8: update it"),
    ],
)
def test_what_is_missing_is_one_line_with_its_remedy(fake_gpaw, how, elements, said):
    fake_gpaw(how)
    problems = gpaw_problems(None, elements)
    assert len(problems) == 1
    assert "\n" not in problems[0]
    assert re.search(said, problems[0]), problems[0]


def test_a_command_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(SETTING, "/no/such/python")
    find_gpaw.cache_clear()
    with pytest.raises(GpawNotFoundError, match="'/no/such/python', which should start GPAW's Python, is not there"):
        find_gpaw()
    monkeypatch.setenv(SETTING, f"{sys.executable} -c 'import sys;sys.exit(3)' #")
    find_gpaw.cache_clear()
    with pytest.raises(GpawNotFoundError, match="exit code 3"):
        find_gpaw()


def test_names_of_setups_and_versions():
    assert setup_file("Fe", None, "PBE") == "Fe.PBE"
    assert setup_file("Na", "1", "PBE") == "Na.1.PBE"
    assert version_tuple("22.8.0") == (22, 8, 0)
    assert version_tuple("26.7.0b1") == (26, 7)
