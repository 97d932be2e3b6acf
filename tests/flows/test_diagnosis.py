"""Readers' own errors become one line: the file, what is wrong with it, and what the reader said."""

import gzip
import shutil
from types import SimpleNamespace

import pytest
from valenceflow.flows.diagnosis import reader_failure
from valenceflow.flows.failures import failure_doc
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.flows.vasp_job import ChargeOrderedVaspMaker
from valenceflow.flows.vasp_outputs import UnreadableOutputsError, read_vasp_outputs
from valenceflow.stores.documents import StepIntent


@pytest.fixture(scope="module")
def finished(half_filled, rehearse, tmp_path_factory):
    """Run folder of a second step, its files unpacked as the job finds them."""
    done = rehearse(TwoStepRelaxMaker().make(half_filled()), tmp_path_factory.mktemp("finished"))
    folder = done.folders["relax"]
    for path in folder.glob("*.gz"):
        if not path.name.endswith(".json.gz"):
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    return folder


# pymatgen's warnings about files that were damaged on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pymatgen")


@pytest.fixture
def failure(finished, tmp_path, monkeypatch):
    """Function that changes one file of the run and returns the document of its failure."""
    folder = tmp_path / "run"

    def read(name, change):
        shutil.copytree(finished, folder)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(change(content))
        monkeypatch.chdir(folder)
        with pytest.raises(UnreadableOutputsError) as error:
            ChargeOrderedVaspMaker()._read_outputs(folder)
        return failure_doc(error.value, "relax", "a", StepIntent(), folder)

    return read


def cut_at(share):
    return lambda content: content[: int(len(content) * share)]


@pytest.mark.parametrize(
    ("name", "share", "said"),
    [
        ("vasprun.xml", 0.0, "vasprun.xml is empty"),
        ("vasprun.xml", 0.6, "vasprun.xml is cut off or damaged"),
        ("OUTCAR", 0.01, "OUTCAR is cut off: VASP's table of timings is not at its end (IndexError: "),
        ("OUTCAR", 0.99, "OUTCAR is cut off: VASP's table of timings is not at its end (ValueError: "),
        ("CONTCAR", 0.0, "CONTCAR is empty"),
        ("CONTCAR", 0.05, "CONTCAR is cut off or damaged (IndexError: "),
    ],
)
def test_a_file_that_was_cut_off_is_named_before_the_reader_s_own_words(name, share, said, failure):
    document = failure(name, cut_at(share))
    assert document.reason == "outputs unreadable"
    assert f"relax: outputs unreadable: {said}" in document.message
    assert "\n" not in document.message
    assert "VASP left its outputs missing or cut off" in document.remedy


def test_a_reader_that_fails_on_whole_files_says_where_and_asks_for_a_report(failure):
    """A newer VASP may write what pymatgen does not know."""
    document = failure("OUTCAR", lambda content: content.replace(b"NBANDS", b"XBANDS"))
    expected = (
        "no file is cut off or empty, and yet the reader stopped at IndexError: list index out of range (outputs.py"
    )
    assert expected in document.message
    assert document.exception == "IndexError: list index out of range"


def test_our_own_readers_need_no_translation(finished):
    with pytest.raises(ValueError, match="emmet found no calculation") as error:
        read_vasp_outputs(finished, SimpleNamespace(calcs_reversed=[]))
    assert reader_failure(error.value, finished) == str(error.value)
