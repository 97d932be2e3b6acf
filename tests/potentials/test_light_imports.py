"""What a command line needs before it computes comes without torch."""

import subprocess
import sys

SCRIPT = """
import sys
import valenceflow.potentials.cpainn.settings
import valenceflow.potentials.reference_energies
import valenceflow.potentials.species
assert "torch" not in sys.modules
"""


def test_presets_and_species_maps_are_read_without_torch():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
