"""Stub POTCARs: generated, readable where pymatgen reads POTCARs, and never to be taken for potentials."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pymatgen.core import SETTINGS
from pymatgen.io.vasp.inputs import Potcar, UnknownPotcarWarning
from valenceflow.flows.rehearsal.potcar_facts import known_potentials
from valenceflow.flows.rehearsal.potcars import LABELS, stub_potcar_environment, use_potcars, write_stub_potcars

# Stub POTCARs are no potentials that pymatgen knows, and it is right to say so.
ignore_unknown = pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.inputs.UnknownPotcarWarning")


@ignore_unknown
def test_every_label_reads_back_with_its_facts(potcars):
    known = {facts.label: facts for facts in known_potentials("PBE_54")}
    with use_potcars(potcars):
        potcar = Potcar(list(LABELS), "PBE_54")
    assert potcar.symbols == list(LABELS)
    for single in potcar:
        facts = known[single.symbol]
        assert f"{facts.title} STUB" == single.TITEL
        assert facts.valence == single.ZVAL
        assert single.element == facts.element
        assert single.ENMAX <= 520
        assert single.potential_type == "PAW"
        assert not single.is_valid


def test_the_releases_of_the_protocol_are_the_ones_of_the_paper():
    titles = {facts.label: facts.title for facts in known_potentials("PBE_54")}
    assert titles["Fe_pv"] == "PAW_PBE Fe_pv 02Aug2007"
    assert titles["P"] == "PAW_PBE P 06Sep2000"
    assert titles["O"] == "PAW_PBE O 08Apr2002"
    assert titles["Na_pv"] == "PAW_PBE Na_pv 19Sep2006"


def test_pymatgen_says_that_a_stub_is_unknown(potcars):
    with use_potcars(potcars), pytest.warns(UnknownPotcarWarning, match="not known to pymatgen"):
        Potcar(["Fe_pv"], "PBE_54")


def test_settings_that_pymatgen_has_read_are_changed_and_restored(potcars):
    before = SETTINGS.get("PMG_VASP_PSP_DIR"), os.environ.get("PMG_VASP_PSP_DIR")
    with use_potcars(potcars):
        assert SETTINGS["PMG_VASP_PSP_DIR"] == os.environ["PMG_VASP_PSP_DIR"] == str(potcars)
    assert (SETTINGS.get("PMG_VASP_PSP_DIR"), os.environ.get("PMG_VASP_PSP_DIR")) == before


def test_the_environment_of_a_worker_is_enough(potcars):
    script = "from pymatgen.io.vasp.inputs import Potcar; print(Potcar(['Ga_d', 'O'], 'PBE_54').symbols)"
    environment = os.environ | stub_potcar_environment(potcars)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['Ga_d', 'O']"


@ignore_unknown
@pytest.mark.slow
def test_every_label_of_a_release_may_be_written(tmp_path):
    labels = [facts.label for facts in known_potentials("PBE_54")]
    assert len(labels) > 300
    with use_potcars(write_stub_potcars(tmp_path, labels=labels)):
        assert Potcar(labels, "PBE_54").symbols == labels


def test_an_unknown_label_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no potential Fe_none in PBE_54"):
        write_stub_potcars(tmp_path, labels=["Fe_none"])
    with pytest.raises(ValueError, match="unknown POTCAR release 'PBE_99'"):
        write_stub_potcars(tmp_path, functional="PBE_99")
