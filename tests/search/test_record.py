"""The record: nothing twice, nothing lost, nothing mixed."""

import json
from types import MappingProxyType

import numpy as np
import pytest
from valenceflow.inputs.orderings.group import JointKey
from valenceflow.search.evaluation import Evaluation
from valenceflow.search.record import EVALUATIONS, SETTINGS, SearchRecord, read_settings


class Constant:
    identity = MappingProxyType({"model": "constant"})

    def __init__(self):
        self.asked = []

    def __call__(self, keys, tell):
        for key in reversed(keys):
            self.asked.append(str(key))
            tell(Evaluation(key, -float(key.working.sum()), key, deviation=0.5))


def key(number):
    return JointKey(np.array([number >> (7 - i) & 1 for i in range(8)], dtype=bool), None)


def opened(folder, evaluator=None, **settings):
    return SearchRecord(evaluator or Constant(), 8, 8, folder, settings)


def test_answers_come_in_the_order_of_the_questions_and_are_kept(tmp_path):
    evaluator = Constant()
    with opened(tmp_path, evaluator) as record:
        assert [one.energy for one in record.evaluate([key(1), key(3), key(1), key(7)])] == [-1, -2, -1, -3]
        record.evaluate([key(3)])
    assert len(evaluator.asked) == 3
    with opened(tmp_path, evaluator) as record:
        again = record.evaluate([key(7), key(15)])
    assert len(evaluator.asked) == 4
    assert again[0] == Evaluation(key(7), -3.0, key(7), deviation=0.5)


def test_a_failure_is_kept_as_one(tmp_path):
    class Failing(Constant):
        def __call__(self, keys, tell):
            for one in keys:
                tell(Evaluation(one, float("nan"), None, "exploded"))

    with opened(tmp_path, Failing()) as record:
        record.evaluate([key(1)])
    with opened(tmp_path) as record:
        (found,) = record.evaluate([key(1)])
    assert not found.counts
    assert found.failure == "exploded"


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_half_a_line_of_a_killed_writer_is_dropped(tmp_path, cut):
    with opened(tmp_path) as record:
        record.evaluate([key(1), key(3)])
    path = tmp_path / EVALUATIONS
    path.write_bytes(path.read_bytes()[:-cut])
    evaluator = Constant()
    with opened(tmp_path, evaluator) as record:
        record.evaluate([key(1), key(3)])
    assert len(evaluator.asked) == 1
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("damage", ["{}\n", "not json\n", '{"key": "zz.free"}\n'])
def test_a_damaged_line_is_named(tmp_path, damage):
    with opened(tmp_path) as record:
        record.evaluate([key(1)])
    path = tmp_path / EVALUATIONS
    path.write_text(path.read_text() + damage)
    with pytest.raises(ValueError, match=r"line 2 is damaged .* remove that line"), opened(tmp_path):
        pass


def test_other_settings_are_refused_with_the_difference(tmp_path):
    with opened(tmp_path, seed=1, searcher="hybrid") as record:
        record.evaluate([key(1)])
    with (
        pytest.raises(ValueError, match=r"other settings \(seed 1 -> 2\); use those"),
        opened(tmp_path, seed=2, searcher="hybrid"),
    ):
        pass
    assert read_settings(tmp_path)["seed"] == 1


def test_another_model_is_refused(tmp_path):
    with opened(tmp_path) as record:
        record.evaluate([key(1)])

    class Other(Constant):
        identity = MappingProxyType({"model": "other"})

    with pytest.raises(ValueError, match=r"\(evaluator.model 'constant' -> 'other'\)"), opened(tmp_path, Other()):
        pass


def test_two_searches_in_one_folder_refuse_each_other(tmp_path):
    with opened(tmp_path) as first, opened(tmp_path) as second:
        first.evaluate([key(1)])
        with pytest.raises(ValueError, match="another process; wait for it"):
            second.evaluate([key(1)])
        with pytest.raises(ValueError, match="another process; wait for it"), opened(tmp_path):
            pass


def test_a_search_that_evaluates_nothing_leaves_no_folder(tmp_path):
    with opened(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds README.md and no search; name a folder of its own"), opened(tmp_path):
        pass
    with pytest.raises(ValueError, match="is a file; name the folder"), opened(tmp_path / "README.md"):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["README.md"]


def test_evaluations_without_their_settings_are_of_nobody_knows_what(tmp_path):
    with opened(tmp_path) as record:
        record.evaluate([key(1)])
    (tmp_path / SETTINGS).unlink()
    with pytest.raises(ValueError, match="unknown settings"), opened(tmp_path):
        pass
    with pytest.raises(ValueError, match="holds no search; `valenceflow search run"):
        read_settings(tmp_path)


def test_lines_are_plain_json(tmp_path):
    with opened(tmp_path) as record:
        record.evaluate([key(5)])
    (line,) = (tmp_path / EVALUATIONS).read_text().splitlines()
    assert json.loads(line) == {
        "key": "05.free", "energy": -2.0, "achieved": "05.free", "failure": "", "deviation": 0.5
    }  # fmt: skip
