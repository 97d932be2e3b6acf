"""What a campaign file asked for is recorded, and a change of it is seen without planning."""

from fractions import Fraction

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from valenceflow.flows.asked import ASKED_FILE, Asked, asked_by, read_asked, record_asked

FILE = {
    "name": "small",
    "host": "olivine-NaFePO4",
    "couple": "Fe2+/Fe3+",
    "working_ion": {"Na": {"fraction": ["1/2", 0.25], "orderings": {"sample": 2, "seed": 1}}},
    "charge": {"all": True},
}


@pytest.fixture
def reading(tmp_path):
    """Function that reads a campaign file of changed fields."""

    def read(**changes):
        text = yaml.safe_dump({**FILE, **changes}, sort_keys=False)
        return asked_by(text, tmp_path / "campaign.yaml")

    return read


@pytest.mark.parametrize(
    "changes",
    [
        {"launch": {"workers": 8}},
        {"accept": {"failed_at_most": 0.1}},
        {"on_lost_ordering": "retry"},
        {"name": "other"},
        {"working_ion": {"Na": {"fraction": [0.5, "1/4"], "orderings": {"seed": 1, "sample": 2}}}},
    ],
)
def test_what_changes_no_configuration_is_no_change(reading, changes):
    assert reading().changes(reading(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"working_ion": {"Na": {"fraction": ["1/2"], "orderings": {"sample": 2, "seed": 1}}}}, ["working_ion"]),
        ({"working_ion": {"Na": {"fraction": ["1/2", 0.25], "orderings": {"sample": 3}}}}, ["working_ion"]),
        ({"charge": {"sample": 7}, "protocol": "dtu-polyanion"}, ["charge", "protocol"]),
        ({"end_members": False}, ["end_members"]),
        ({"supercell": [1, 3, 2]}, ["supercell"]),
    ],
)
def test_what_changes_configurations_is_named(reading, changes, named):
    assert reading().changes(reading(**changes)) == named


def test_a_file_that_the_campaign_names_is_told_by_its_content(reading, tmp_path):
    (tmp_path / "host.cif").write_text("data_one")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml")
    (tmp_path / "base.yaml").write_text("extends: paper-2026\nincar: {ENCUT: 500}")
    fields = {"host": "host.cif", "protocol": "mine.yaml"}
    before = reading(**fields)
    assert before.changes(reading(**fields)) == []
    (tmp_path / "host.cif").write_text("data_two")
    assert before.changes(reading(**fields)) == ["host.cif"]
    # What a protocol extends is part of it.
    (tmp_path / "base.yaml").write_text("extends: paper-2026\nincar: {ENCUT: 600}")
    assert before.changes(reading(**fields)) == ["base.yaml", "host.cif"]
    # A field that names another file is told as the field alone.
    assert reading(**fields).changes(reading(host="olivine-NaFePO4", protocol="mine.yaml")) == ["host"]


def test_protocols_that_extend_each_other_come_to_an_end(reading, tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml")
    (tmp_path / "b.yaml").write_text("extends: a.yaml")
    assert set(reading(protocol="a.yaml").files) == {"a.yaml", "b.yaml"}


@given(st.fractions(0, 1, max_denominator=48))
def test_a_fraction_is_one_however_it_is_written(tmp_path_factory, x):
    path = tmp_path_factory.getbasetemp() / "campaign.yaml"
    readings = [
        asked_by(f"working_ion: {{Na: {{fraction: {text}}}}}", path)
        for text in (f"{x.numerator}/{x.denominator}", f"{2 * x.numerator}/{2 * x.denominator}", f"' {x} '")
    ]
    assert readings[0].fields["working_ion"]["Na"]["fraction"] == str(Fraction(x))
    assert readings[0] == readings[1] == readings[2]


def test_engines_are_recorded_apart_and_a_damaged_record_is_none(reading, tmp_path):
    assert read_asked(tmp_path) == {}
    first, second = reading(), Asked(reading(charge="free").fields, left_out=["b", "a"])
    record_asked(tmp_path, "vasp", first)
    record_asked(tmp_path, "rehearsal:springs", second)
    assert read_asked(tmp_path) == {"vasp": first, "rehearsal:springs": second}
    record_asked(tmp_path, "vasp", second)
    assert read_asked(tmp_path)["vasp"] == second
    (tmp_path / ASKED_FILE).write_text('{"vasp": {"colour": 1}}')
    assert read_asked(tmp_path) == {}
