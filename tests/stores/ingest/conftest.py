"""VASP folders for ingest: a real pair of steps made by the stand-in, as anybody's folders, and ways to spoil them."""

import gzip
import shutil
from pathlib import Path

import pytest
from valenceflow.stores.connect import COLLECTIONS, sqlite_stores
from valenceflow.stores.ingest import find_items, ingest
from valenceflow.stores.ingest_options import default_options

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "real-vasp"


@pytest.fixture(scope="session")
def real_vasp():
    """Folder of real VASP outputs (public test data of custodian, kept beside the repository)."""
    if not REAL.is_dir():
        pytest.skip(f"needs the real VASP outputs in {REAL}")
    return REAL


@pytest.fixture(scope="session")
def two_steps(half_filled, rehearse, tmp_path_factory):
    """Both steps of Na2Fe4P4O16, two holes, run on the stand-in: folders, documents, stores."""
    from valenceflow.flows.two_step import TwoStepRelaxMaker

    return rehearse(TwoStepRelaxMaker().make(half_filled(high=(1, 3))), tmp_path_factory.mktemp("two-steps"))


@pytest.fixture(scope="session")
def plain_folders(two_steps, tmp_path_factory):
    """The same folders as a stranger's: VASP's two outputs, unpacked, nothing of ours beside them."""
    made = {}
    for step, folder in two_steps.folders.items():
        made[step] = tmp_path_factory.mktemp(step.replace(" ", "-"))
        for name in ("vasprun.xml", "OUTCAR"):
            (made[step] / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
    return made


@pytest.fixture
def relax_folder(plain_folders, tmp_path):
    """A copy of the second step's folder that a test may spoil."""
    return Path(shutil.copytree(plain_folders["relax"], tmp_path / "runs" / "relax"))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A store's file with every collection made; a copy is there at once."""
    path = tmp_path_factory.mktemp("empty") / "store.sqlite"
    opened = sqlite_stores(path)
    for name in COLLECTIONS:
        opened.collection(name)
    opened.close()
    return path


@pytest.fixture
def stores(empty_store, tmp_path):
    """Empty stores."""
    opened = sqlite_stores(Path(shutil.copy(empty_store, tmp_path / "store.sqlite")))
    yield opened
    opened.close()


@pytest.fixture
def take(stores):
    """Function that ingests paths into the test's store and returns the summary."""

    def run(*paths, again=False, group_levels=None, **options):
        return ingest(
            stores, find_items([Path(p) for p in paths], group_levels), default_options(**options), again=again
        )

    return run


@pytest.fixture
def change():
    """Function that replaces text in a file, which must hold it."""

    def replace(path, old, new, count=-1):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    return replace
