"""POTCARs are checked once per process and job, with pymatgen's own answer."""

import warnings

import pytest
from pymatgen.io.vasp.inputs import PotcarSingle, UnknownPotcarWarning
from valenceflow.flows import potcar_checks
from valenceflow.flows.potcar_checks import potcars_checked_once


@pytest.fixture
def text(stub_potcars, monkeypatch):
    """A stub POTCAR, which pymatgen does not know, as if nothing had been checked yet."""
    monkeypatch.setattr(potcar_checks, "_KNOWN", {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPotcarWarning)
        return PotcarSingle.from_symbol_and_functional("Fe_pv", "PBE_54").data


@pytest.fixture
def checks(monkeypatch):
    """Texts that pymatgen really checked."""
    seen = []

    class Counting:
        def __get__(self, potcar, owner=None):
            seen.append(potcar.data)
            return pymatgens_own.__get__(potcar)

    pymatgens_own = potcar_checks._CHECK
    monkeypatch.setattr(potcar_checks, "_CHECK", Counting())
    yield seen
    PotcarSingle.is_valid = pymatgens_own


def read(text):
    with pytest.warns(UnknownPotcarWarning, match="not known to pymatgen"):
        return PotcarSingle(text)


def test_a_block_that_is_read_often_is_checked_once_with_the_same_answer(text, checks):
    before = read(text)
    with potcars_checked_once():
        first, second = read(text), read(text)
    assert checks == [text]
    for potcar in (first, second):
        assert potcar.is_valid is before.is_valid is False
        assert potcar.spec() == before.spec()
        assert potcar == before


def test_a_block_that_differs_in_one_number_is_another(text, checks):
    other = text.replace("ENMAX", "ENMIN", 1)
    with potcars_checked_once():
        read(text)
        changed = read(other)
    assert checks == [text, other]
    assert changed.spec() == read(other).spec()


def test_pymatgen_checks_by_itself_again_afterwards_even_after_an_error():
    own = PotcarSingle.is_valid

    def fail():
        with potcars_checked_once():
            assert PotcarSingle.is_valid is not own
            raise RuntimeError("a job went wrong")

    with pytest.raises(RuntimeError, match="a job went wrong"):
        fail()
    assert PotcarSingle.is_valid is own
