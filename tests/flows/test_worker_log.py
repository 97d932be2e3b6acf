"""What workers write into the log: times, whose line it is, and no warning that nobody can act on."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import logging, warnings
from valenceflow.flows.worker_log import start_logging
lines = start_logging()
lines.whose = "x = 0.500 3.3"
logging.getLogger("custodian.custodian").info("Run started")
{body}
"""


def log_of(body, **environment):
    """Lines that a worker's process writes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_line_has_its_time_and_whose_it_is():
    (line,) = log_of("")
    assert line[24:] == "INFO x = 0.500 3.3: Run started"


def test_a_warning_is_one_line_and_appears_once_even_where_libraries_change_their_filters():
    body = (
        "for _ in range(3):\n"
        "    with warnings.catch_warnings():\n"
        "        warnings.simplefilter('default')\n"
        "        warnings.warn('the mesh\\nis coarse', UserWarning)\n"
    )
    _, line = log_of(body)
    assert "WARNING x = 0.500 3.3: UserWarning: the mesh is coarse (<string>, line " in line


def test_of_monty_s_deprecations_only_the_one_that_jobflow_makes_is_left_out():
    warn = "warnings.warn_explicit('cd is deprecated, and will be removed', FutureWarning, 'f.py', 1, module={!r})\n"
    assert len(log_of(warn.format("jobflow.managers.local"))) == 1
    assert "FutureWarning: cd is deprecated" in log_of(warn.format("a.script.of.a.user"))[1]
    assert len(log_of("warnings.warn_explicit('else', FutureWarning, 'f.py', 1, module='jobflow.managers.local')")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("own", [None, "ignore::ResourceWarning"])
def test_rehearsals_keep_quiet_about_their_stub_potcars_and_vasp_does_not(own, stub_potcars, monkeypatch):
    from valenceflow.flows.engines import engine_environment

    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    if own is not None:
        monkeypatch.setenv("PYTHONWARNINGS", own)
    quiet = engine_environment("rehearsal:springs", stub_potcars, "PBE_54", ["Fe_pv"])["PYTHONWARNINGS"]
    assert own is None or own in quiet.split(",")
    stub = next(stub_potcars.rglob("*Fe_pv*"))
    stub = stub if stub.is_file() else next(stub.iterdir())
    body = f"from pymatgen.io.vasp import PotcarSingle\nPotcarSingle.from_file({str(stub)!r})\n"
    assert any("UnknownPotcarWarning" in line for line in log_of(body))
    assert not any("Potcar" in line for line in log_of(body, PYTHONWARNINGS=quiet))
    assert "PYTHONWARNINGS" not in engine_environment("vasp", stub_potcars, "PBE_54", ["Fe_pv"])
