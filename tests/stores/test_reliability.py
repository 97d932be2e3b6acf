"""The store's figures (benchmarks/reliability_store.py) at sizes of seconds: nothing acknowledged is ever lost."""

import importlib.util
import random
import sys
from pathlib import Path

import pytest

PLACE = Path(__file__).resolve().parents[2] / "benchmarks" / "reliability_store.py"


@pytest.fixture(scope="module")
def measure():
    specification = importlib.util.spec_from_file_location("reliability_store", PLACE)
    module = importlib.util.module_from_spec(specification)
    sys.modules["reliability_store"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    yield module
    del sys.modules["reliability_store"]


def nothing_lost(row, at_least):
    assert (row.lost, row.doubled, row.sound) == (0, 0, True), row
    assert row.acknowledged >= at_least


@pytest.mark.parametrize("way", ["wal", "delete", "inbox"])
def test_eight_writers_and_a_reader_lose_nothing(way, measure, tmp_path):
    nothing_lost(measure.writers_and_reader(tmp_path, way, documents=160, writers=8), at_least=160)


@pytest.mark.parametrize("way", ["wal", "delete", "inbox"])
def test_whatever_a_killed_writer_was_told_is_there(way, measure, tmp_path):
    nothing_lost(measure.killed_writers(tmp_path, way, rounds=3, generator=random.Random(1)), at_least=3)


def test_the_committing_process_may_be_killed_at_any_moment(measure, tmp_path):
    nothing_lost(measure.killed_collectors(tmp_path, rounds=3, generator=random.Random(2)), at_least=90)


@pytest.mark.parametrize("way", ["wal", "delete"])
def test_after_a_power_cut_every_acknowledged_document_is_there(way, measure, tmp_path):
    nothing_lost(measure.power_cuts(tmp_path, way, rounds=3, generator=random.Random(3)), at_least=3)
