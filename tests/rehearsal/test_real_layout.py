"""The stand-in's files against those of VASP 5.3.5 and 6.4.2 (public test data of custodian, kept elsewhere)."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from lxml import etree
from pymatgen.io.vasp.outputs import Oszicar, Outcar

from .test_outputs import moment_tables

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real-vasp"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the real VASP outputs in {REAL}")


@pytest.fixture
def finished(half_sodium, rehearse):
    assert rehearse(half_sodium) == 0
    return half_sodium


def real(name: str, file: str) -> bytes:
    return gzip.decompress((REAL / name / f"{file}.gz").read_bytes())


def paths_of(document: etree._Element) -> set[str]:
    """Every path of tags and names, with the numbers taken out, and calculations not told apart."""
    found = set()
    for element in document.iter():
        steps = [element, *element.iterancestors()]
        found.add("/".join(f"{step.tag}:{step.get('name', '').strip()}" for step in reversed(steps)))
    return found


@pytest.mark.parametrize("name", ["io", "fe2o2"])
def test_the_top_of_vasprun_has_the_order_of_vasp(finished, name):
    ours = [child.tag for child in etree.parse(finished / "vasprun.xml").getroot()]
    theirs = [child.tag for child in etree.fromstring(real(name, "vasprun.xml")) if child.tag != "primitive_cell"]
    assert list(dict.fromkeys(ours)) == list(dict.fromkeys(theirs))


def test_every_path_in_vasprun_is_one_that_vasp_writes(finished):
    ours = paths_of(etree.parse(finished / "vasprun.xml").getroot())
    theirs = paths_of(etree.fromstring(real("io", "vasprun.xml"))) | paths_of(
        etree.fromstring(real("fe2o2", "vasprun.xml"))
    )
    # INCAR tags are the user's; the section names of the parameters are our own where VASP has none.
    beyond = {path for path in ours - theirs if "/incar:" not in path and "/parameters:" not in path}
    assert beyond == set()


def test_the_parameters_have_the_names_of_vasp(finished):
    def names(root):
        return {i.get("name").strip() for i in root.find("parameters").iter("i", "v")}

    ours = names(etree.parse(finished / "vasprun.xml").getroot())
    theirs = names(etree.fromstring(real("fe2o2", "vasprun.xml")))
    assert ours <= theirs


@pytest.mark.parametrize("name", ["io", "fe2o2"])
def test_moments_are_printed_as_often_as_by_vasp(finished, name):
    for text in (real(name, "OUTCAR").decode(), (finished / "OUTCAR").read_text()):
        n_steps = text.count("LOOP+")
        tables = moment_tables(text)
        assert len(tables) == n_steps + 1
        assert len(moment_tables(text.rpartition("LOOP+")[0])) == n_steps


def test_the_landmarks_of_outcar_come_in_the_order_of_vasp(finished):
    marks = [
        " vasp.", " executed on", " running ", " INCAR:", " POTCAR: ", " Dimension of arrays:", "ISPIN  =", "NELM   =",
        "EDIFFG =", "Iteration ", "free energy    TOTEN", "aborting loop because EDIFF is reached",
        " total charge", "# of ion", " magnetization (x)", "in kB", "external pressure", "VOLUME and BASIS-vectors",
        "TOTAL-FORCE (eV/Angst)", "total drift:", "free  energy   TOTEN", "LOOP+", "General timing",
        "Elapsed time (sec)",
    ]  # fmt: skip
    for text in (real("io", "OUTCAR").decode(), (finished / "OUTCAR").read_text()):
        at = 0
        for mark in marks:
            found = text.find(mark, at)
            assert found >= 0, mark
            at = found


def test_the_same_readers_read_both(finished):
    for folder, suffix in ((REAL / "fe2o2", ".gz"), (finished, "")):
        outcar, oszicar = Outcar(folder / f"OUTCAR{suffix}"), Oszicar(folder / f"OSZICAR{suffix}")
        assert set(outcar.magnetization[0]) == {"s", "p", "d", "tot"}
        assert set(outcar.charge[0]) == {"s", "p", "d", "tot"}
        assert set(oszicar.ionic_steps[-1]) == {"F", "E0", "dE", "mag"}
        assert set(oszicar.electronic_steps[-1][-1]) >= {"N", "E", "dE", "deps", "ncg", "rms"}
        assert set(outcar.run_stats) >= {"Elapsed time (sec)", "Total CPU time used (sec)", "cores"}
