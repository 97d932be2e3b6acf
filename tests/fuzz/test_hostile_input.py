"""Hostile and careless input to every reader (benchmarks/fuzz.py, 8 of its 300 inputs each, seeded)."""

import importlib.util
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
EXAMPLES, SEED = 8, 7


@pytest.fixture(scope="module")
def fuzz():
    """The module benchmarks/fuzz.py."""
    sys.path.insert(0, str(BENCHMARKS))
    specification = importlib.util.spec_from_file_location("fuzz", BENCHMARKS / "fuzz.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules["fuzz"] = module  # its dataclasses look their own module up
    specification.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.slow
def test_no_reader_answers_bad_input_with_more_than_one_line(fuzz):
    found = fuzz.reports(list(fuzz.READERS), EXAMPLES, SEED)
    assert [report.found for report in found] == [[]] * len(fuzz.READERS)
    assert all(report.examples >= EXAMPLES for report in found)
    assert sum(report.refused for report in found) > EXAMPLES
    assert max(report.slowest_s for report in found) < fuzz.HANG_S
    assert max(report.memory_mb for report in found) < fuzz.MEMORY_BYTES / 2**20


def raises(path):
    raise KeyError(path.name)


def hangs(path):
    time.sleep(60)


def eats(path):
    bytearray(4 << 30)


def starts_a_program(path):
    subprocess.run(["true"], check=True)


def writes_elsewhere(path):
    (path.parent.parent.parent / "elsewhere").write_bytes(b"")


def reads_unsafe_yaml(path):
    try:
        yaml.load(path.read_bytes(), Loader=yaml.UnsafeLoader)
    except yaml.YAMLError as error:
        raise ValueError("no YAML") from error


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (raises, "KeyError"),
        (hangs, "HangError: no answer within 1 s"),
        pytest.param(eats, "MemoryError", marks=pytest.mark.slow),
        (starts_a_program, "ForbiddenError: subprocess.Popen"),
        (writes_elsewhere, "ForbiddenError: writes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_reader_that_does_harm_is_found(fuzz, reader, said, monkeypatch):
    monkeypatch.setitem(fuzz.READERS, "bad", ("any.txt", reader))
    monkeypatch.setattr(fuzz, "HANG_S", 1)
    report = examined(fuzz, "bad", {"any.txt": b"one\ntwo\n"}, 2)
    assert said in report.found[0]


@pytest.mark.slow
def test_code_hidden_in_yaml_is_found_where_it_runs(fuzz, monkeypatch):
    monkeypatch.setitem(fuzz.READERS, "bad", ("any.yaml", reads_unsafe_yaml))
    report = examined(fuzz, "bad", {"any.yaml": b"a: 1\n"}, 150)
    assert report.found
    assert any(word in report.found[0] for word in ("os.system", "Error"))


def examined(fuzz, name, files, examples):
    """The report on one reader, from a process of its own."""
    import multiprocessing

    here, there = multiprocessing.get_context("fork").Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=fuzz.fuzz, args=(name, files, examples, SEED, there))
    process.start()
    report = here.recv()
    process.join()
    return report


def test_a_pickle_is_no_file_of_weights(fuzz, tmp_path):
    class Runs:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match="pickled models are not read"):
        fuzz.weights(path)
    assert not (tmp_path / "ran").exists()
