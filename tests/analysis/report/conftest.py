"""A report's parts from a store made anew."""

import pytest
from valenceflow.analysis.report.calculations import part_of
from valenceflow.analysis.report.reading import read_groups

from .made_up_store import write_store


@pytest.fixture
def parts_of(olivine, tmp_path):
    """Function that writes calculations into a store and reads the report's parts from it."""

    def read(calculations, **choice):
        stores = write_store(tmp_path / "store.sqlite", olivine, calculations)
        try:
            return [part_of(group) for group in read_groups(stores, **choice)]
        finally:
            stores.close()

    return read


@pytest.fixture
def command():
    """Function that makes commands as the report's texts have them."""

    def text(verb, engine, *options):
        return " ".join(["valenceflow", verb, "c.yaml", *(["--engine", engine] if engine else []), *options])

    return text
