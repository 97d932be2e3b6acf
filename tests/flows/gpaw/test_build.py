"""Building PyPI's GPAW: what is missing is named before anything is made, and the steps are those that were tried."""

import os
import sys
from pathlib import Path

import pytest
from valenceflow.flows.gpaw.build import SITECONFIG, VERSION, main, steps
from valenceflow.flows.gpaw.command import INSTALL, SETTING, find_gpaw

FAKE = Path(__file__).with_name("fake_gpaw.py")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Function that puts a program into the only folder of the search path."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv(SETTING, "")
    monkeypatch.delenv("FAKE_GPAW", raising=False)
    find_gpaw.cache_clear()

    def put(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    yield put
    find_gpaw.cache_clear()


def venv(log, probed):
    """A Python that makes an environment whose Python notes what pip is told, and answers as `probed`."""
    noted = f'echo "$GPAW_CONFIG $@ CFLAGS=$CFLAGS" >> {log}'
    inner = f'#!/bin/sh\\n[ "$1" = -c ] && exec {sys.executable} {probed} "$@"\\n{noted}\\n'
    headers = '"$3/lib/python3.11/site-packages/numpy/_core/include"'
    return f'/bin/mkdir -p "$3/bin" {headers}; printf \'{inner}\' > "$3/bin/python"; /bin/chmod +x "$3/bin/python"'


def test_a_missing_compiler_or_header_is_named_with_the_packages_and_nothing_is_made(tools, tmp_path, capsys):
    assert main([str(tmp_path / "made")]) == 2
    assert "error: there is no C compiler (gcc): `apt-get install gcc" in capsys.readouterr().err
    tools("gcc", "echo 'needed.c:1: fatal error: xc.h: No such file' >&2; exit 1")
    assert main([str(tmp_path / "made")]) == 2
    said = capsys.readouterr().err
    assert "xc.h: No such file" in said
    assert "libxc-dev libopenblas-dev" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_gpaw_alone_is_built_without_mpi_and_its_python_is_what_the_setting_needs(tools, tmp_path, capsys):
    tools("gcc", "exit 0")
    log, folder = tmp_path / "log", tmp_path / "made"
    python = tools("python3", venv(log, FAKE))
    assert main([str(folder), "--python", python]) == 0
    told, flags = zip(*(line.split(" CFLAGS=") for line in log.read_text().splitlines()), strict=True)
    # Its own NumPy's headers come before Debian's, which stand among Python's.
    assert flags[-1] == f"-O2 -I{folder}/lib/python3.11/site-packages/numpy/_core/include"
    assert [line.split()[-1] for line in told] == ["numpy", "gpaw-data", f"gpaw=={VERSION}"]
    assert all(line.startswith(f"{folder}/siteconfig.py -m pip install") for line in told)
    assert "--no-build-isolation --no-deps gpaw==" in told[-1]
    assert (folder / "siteconfig.py").read_text() == SITECONFIG
    assert "mpi = False" in SITECONFIG
    assert capsys.readouterr().out.splitlines()[-1] == f"export {SETTING}={folder}/bin/python"
    assert os.environ[SETTING] == f"{folder}/bin/python"


def test_a_step_that_fails_and_a_build_that_does_not_answer_are_errors_in_one_line(tools, tmp_path, capfd, monkeypatch):
    tools("gcc", "exit 0")
    assert main([str(tmp_path / "made"), "--python", tools("broken", "exit 3")]) == 2
    assert "-m venv" in (said := capfd.readouterr().err)
    assert "failed with exit code 3" in said
    monkeypatch.setenv("FAKE_GPAW", "no gpaw")
    assert main([str(tmp_path / "made"), "--python", tools("python3", venv(tmp_path / "log", FAKE))]) == 2
    assert "has no GPAW" in capfd.readouterr().err


def test_doctor_and_every_refusal_name_the_script():
    assert "python -m valenceflow.flows.gpaw.build FOLDER" in INSTALL
    assert steps(Path("/made"), "/usr/bin/python3", "1.0")[0] == ["/usr/bin/python3", "-m", "venv", "/made"]
