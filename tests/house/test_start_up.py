"""Commands that only look start without the science stack."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.argv = ["valenceflow", *{arguments!r}]
from valenceflow.cli.main import main
try:
    main()
except SystemExit:
    pass
heavy = [name for name in ("jobflow", "emmet", "torch", "atomate2", "pymatgen") if name in sys.modules]
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["status", "--help"],
        ["report", "--help"],
        ["orderings", "rank", "--help"],
        ["relax", "--help"],
        ["evaluate", "--help"],
        ["search", "run", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
