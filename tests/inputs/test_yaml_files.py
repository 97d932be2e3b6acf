"""YAML that names file and line in its errors, and pydantic's findings on one line."""

from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from valenceflow.inputs.yaml_files import first_problem, parse_yaml

WORDS = st.text(alphabet="abcdefg", min_size=1, max_size=6)
VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.none(), st.text(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")
    workers: int = Field(ge=1)
    name: str = "x"

    @field_validator("name")
    @classmethod
    def _short(cls, name):
        if len(name) > 3:
            raise ValueError(f"name {name!r} is too long")
        return name


class Campaign(BaseModel):
    limits: list[Limits]


class Choice(BaseModel):
    choice: Literal["all"] | dict[str, Limits]


def problem_of(model, content):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(content)
    return first_problem(caught.value)


@given(content=st.dictionaries(WORDS, VALUES, max_size=4))
def test_what_pyyaml_writes_is_read_as_pyyaml_reads_it(content):
    assert parse_yaml(yaml.safe_dump(content), "f.yaml") == content


@given(text=st.text(alphabet=st.sampled_from("ab01 :\n-{}[],&*!|>?#'\"%@`<.\t"), max_size=30))
def test_any_text_gives_a_mapping_or_one_line_that_names_the_file(text):
    try:
        read, message = parse_yaml(text, "f.yaml"), "f.yaml"
    except ValueError as err:
        read, message = {}, str(err)
    assert isinstance(read, dict)
    assert message.startswith("f.yaml")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", 3),
        ("top:\n  inner: 1\n  other: 2\n  inner: 1\n", 4),
        ("list:\n  - {x: 1, x: 2}\n", 2),
    ],
)
def test_a_key_given_twice_is_refused_at_any_depth(text, line):
    with pytest.raises(ValueError, match=rf"^f\.yaml, line {line}: .* is given twice$"):
        parse_yaml(text, "f.yaml")


def test_a_merge_key_may_be_overridden():
    text = "base: &base {x: 1, y: 1}\nother:\n  <<: *base\n  x: 2\n"
    assert parse_yaml(text, "f.yaml")["other"] == {"x": 2, "y": 1}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2\n", 3),
        ("a: b: c\n", 1),
        ("a: 1\nb: *nowhere\n", 2),
        ("? [1, 2]\n: 3\n", 1),
        ("a: 1\n\tb: 2", 2),
    ],
)
def test_unreadable_yaml_names_the_line(text, line):
    with pytest.raises(ValueError, match=rf"^f\.yaml, line {line}: not readable as YAML: .+$"):
        parse_yaml(text, "f.yaml")


@pytest.mark.parametrize("text", ["when: 2026-02-30", "n: 0x_", "n: !!bool x", "n: !!int ''", "top: !!map [a]"])
def test_a_value_that_contradicts_its_tag_is_a_finding_too(text):
    with pytest.raises(ValueError, match=r"^f\.yaml: not readable as YAML: "):
        parse_yaml(text, "f.yaml")


def test_data_runs_no_code():
    with pytest.raises(ValueError, match="could not determine a constructor for the tag"):
        parse_yaml("a: !!python/object/apply:os.getcwd []", "f.yaml")


@pytest.mark.parametrize(
    ("text", "found"), [("- 1\n- 2\n", "list"), ("word", "str"), ("", "an empty file"), ("7", "int")]
)
def test_a_top_level_that_is_no_mapping_is_refused(text, found):
    with pytest.raises(ValueError, match=f"expected `field: value` lines at the top level, got {found}"):
        parse_yaml(text, "f.yaml")


def test_the_first_problem_says_where_what_and_the_value():
    content = {"limits": [{"workers": 1}, {"workers": 0}]}
    assert problem_of(Campaign, content) == "limits.1.workers: Input should be greater than or equal to 1 (got 0)"


def test_the_first_problem_of_an_unknown_field_is_its_name():
    assert problem_of(Limits, {"workers": 1, "wokers": 2}) == "unknown field 'wokers'"


class Launch(BaseModel):
    model_config = ConfigDict(extra="forbid")
    workers: int = 1
    queue: Limits | None = None
    choices: dict[str, tuple[Limits, ...]] = {}


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    supercell: int
    couple: str
    launch: Launch = Launch()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"suprcell": 2}, "unknown field 'suprcell'; did you mean 'supercell'?"),
        ({"Supercell": 2, "couple": "x"}, "unknown field 'Supercell'; did you mean 'supercell'?"),
        ({"colour": "blue"}, "unknown field 'colour'; known: supercell, couple, launch"),
        ({"queue": {}}, "unknown field 'queue': it goes under `launch`"),
        ({"launch": {"worker": 2}}, "unknown field 'launch.worker'; did you mean 'workers'?"),
        ({"launch": {"name": 2}}, "unknown field 'launch.name'; known: workers, queue, choices"),
        ({"launch": {"queue": {"wrkers": 2}}}, "unknown field 'launch.queue.wrkers'; did you mean 'workers'?"),
        ({"launch": {"choices": {"a": [{"nme": 2}]}}}, "unknown field 'launch.choices.a.0.nme'; did you mean 'name'?"),
        ({"suprcell": 2, "cuple": 1}, "'supercell'?; unknown field 'cuple'; did you mean 'couple'?"),
    ],
    ids=str,
)
def test_unknown_fields_come_before_missing_ones_with_the_right_name(content, said):
    with pytest.raises(ValidationError) as caught:
        File.model_validate(content)
    assert first_problem(caught.value, File).endswith(said)
    assert "required" not in first_problem(caught.value, File)


def test_where_a_field_may_be_of_two_kinds_the_deepest_finding_is_told():
    assert problem_of(Choice, {"choice": {"a": {"workers": "x"}}}).startswith(
        "choice.a.workers: Input should be a valid"
    )
    assert problem_of(Choice, {"choice": "some"}) == "choice: Input should be 'all' (got 'some')"


def test_the_first_problem_of_a_missing_field_does_not_repeat_the_input():
    assert problem_of(Limits, {}) == "workers: Field required"


def test_the_first_problem_of_a_validator_of_ours_is_its_own_sentence():
    assert problem_of(Limits, {"workers": 1, "name": "long"}) == "name: name 'long' is too long"


def test_a_wall_time_without_quotes_stays_the_text_that_was_written():
    """YAML 1.1 counts it in sixties: Slurm would take 12:00:00 for 43200 minutes, which is a month."""
    text = "time: 12:00:00\nshort: 1:30.5\nnodes: 2\nshare: 0.5\nmask: 0x1f"
    assert yaml.safe_load(text)["time"] == 43200
    assert parse_yaml(text, "here") == {"time": "12:00:00", "short": "1:30.5", "nodes": 2, "share": 0.5, "mask": 31}
