"""The CHGNet engines: same numbers as CHGNet's own calculator, states as surfaces, and a run that parses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from emmet.core.tasks import TaskDoc
from pymatgen.core import Structure
from valenceflow.flows.rehearsal.crystal import Crystal
from valenceflow.flows.rehearsal.errors import InputError

from .conftest import iron_moments, olivine
from .test_outputs import moment_tables

pytest.importorskip("chgnet", reason="the CHGNet engines need the potentials extra")

pytestmark = [
    pytest.mark.slow,
    # Stub POTCARs are no potentials that pymatgen knows, and it is right to say so.
    pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.inputs.UnknownPotcarWarning"),
    # torch remarks on a line of chgnet that takes the volume out of the graph, which is what it wants.
    pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar"),
]


@pytest.fixture(scope="module")
def engines():
    from valenceflow.flows.rehearsal.pretrained import Pretrained, PretrainedStates

    return Pretrained, PretrainedStates


@pytest.fixture(scope="module")
def shaken():
    structure = olivine(sodium=(2, 3))
    structure.perturb(0.05)
    symbols = tuple(site.specie.symbol for site in structure)
    return Crystal(structure.lattice.matrix.copy(), structure.frac_coords.copy(), symbols)


def reference(crystal: Crystal) -> dict[str, np.ndarray]:
    """CHGNet's own prediction, energy per cell and stress in eV/angstrom^3."""
    from chgnet.model import CHGNet

    structure = Structure(crystal.lattice, list(crystal.symbols), crystal.positions)
    found = CHGNet.load(use_device="cpu", verbose=False).predict_structure(structure)
    return {"e": found["e"] * len(structure), "f": found["f"], "s": found["s"] / 160.21766208, "m": found["m"]}


def test_plain_chgnet_is_what_chgnet_predicts(engines, shaken):
    point = engines[0](shaken.symbols, np.zeros(26)).evaluate(shaken)
    expected = reference(shaken)
    assert point.energy == pytest.approx(float(expected["e"]), abs=1e-4)
    assert np.allclose(point.forces, expected["f"], atol=1e-4)
    assert np.allclose(point.stress, expected["s"], atol=1e-5)
    assert np.allclose(point.moments, expected["m"], atol=1e-4)


def test_plain_chgnet_never_reads_magmom(engines, shaken):
    high = np.array(iron_moments(olivine(sodium=(2, 3)), high=(0, 1)))
    assert (
        engines[0](shaken.symbols, high).evaluate(shaken).energy
        == engines[0](shaken.symbols, 0 * high).evaluate(shaken).energy
    )


def test_states_are_gallium_surfaces_with_iron_moments(engines, shaken):
    moments = np.array(iron_moments(olivine(sodium=(2, 3)), high=(1, 3)))
    point = engines[1](shaken.symbols, moments).evaluate(shaken)
    gallium = replace(
        shaken, symbols=tuple("Ga" if m == 5 else s for s, m in zip(shaken.symbols, moments, strict=True))
    )
    surface, iron = reference(gallium), reference(shaken)
    assert point.energy == pytest.approx(float(surface["e"]) - 2 * 4.0548, abs=1e-4)
    assert np.allclose(point.forces, surface["f"], atol=1e-4)
    assert np.allclose(point.stress, surface["s"], atol=1e-5)
    assert np.allclose(point.moments, iron["m"], atol=1e-4)


def test_states_without_fe3_are_plain_chgnet(engines, shaken):
    low = np.array(iron_moments(olivine(sodium=(2, 3))))
    assert (
        engines[1](shaken.symbols, low).evaluate(shaken).energy
        == engines[0](shaken.symbols, low).evaluate(shaken).energy
    )


def test_states_of_other_elements_are_refused(engines):
    with pytest.raises(InputError, match="chgnet-states knows the charge states of Fe only, not of Mn"):
        engines[1](("Mn", "O"), np.array([5.0, 0.0]))


def test_loading_the_model_leaves_chgnet_importable():
    script = (
        "import sys\nfrom valenceflow.flows.rehearsal.chgnet_loading import load_model\nmodel = load_model()\n"
        "assert 'matplotlib' not in sys.modules and 'ase' not in sys.modules\n"
        "from chgnet.model import CHGNet, StructOptimizer\nfrom chgnet.utils import parse_vasp_dir\n"
        "assert isinstance(model, CHGNet) and model.version == '0.3.0'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize("engine", ["chgnet", "chgnet-states"])
def test_a_relaxation_is_read_by_emmet(half_sodium, rehearse, engine):
    assert rehearse(half_sodium, "--engine", engine) == 0
    doc = TaskDoc.from_directory(half_sodium)
    assert doc.state.value == "successful"
    assert doc.vasp_version == f"6.4.0-rehearsal-{engine}"
    final = moment_tables((half_sodium / "OUTCAR").read_text())[-1]
    assert all(3.8 < abs(m) < 4.5 for m in final[2:6])
    if engine == "chgnet-states":
        assert min(final[2:4]) > 4.2
        assert max(final[4:6]) < 4.05
