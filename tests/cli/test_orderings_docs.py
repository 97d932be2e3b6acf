"""docs/orderings.md shows what the commands really print: its console blocks are run, in order, and compared."""

import re
from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / "docs" / "orderings.md"


def bare(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_examples_of_the_guide_to_orderings_are_true(call, tmp_path, monkeypatch):
    text = DOC.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})  # the page's own first step: it makes the CIF
    for name, content in re.findall(r"<!-- (\S+\.yaml) -->\n+```yaml\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(content)
    blocks = re.findall(r"```console\n\$ valenceflow (.*?)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 7
    for command, shown in blocks:
        answer = call(*command.split())
        assert answer.code == 0, answer
        assert bare(answer.out) == bare(shown), command


def test_the_example_of_the_guide_to_thermodynamics_is_true(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = (DOC.parent / "thermodynamics.md").read_text(encoding="utf-8")
    ((command, shown),) = re.findall(r"```console\n\$ valenceflow (.*?)\n(.*?)```", text, re.DOTALL)
    assert bare(call(*command.split()).out) == bare(shown)


def test_the_campaign_of_the_guide_is_one(tmp_path):
    """The part that goes into a campaign file, with the rest of the page's own file."""
    import yaml
    from valenceflow.flows.ordering_choice import ChargeChoice, OrderingChoice

    block = yaml.safe_load(re.search(r"## Into the campaign\n\n```yaml\n(.*?)```", DOC.read_text(), re.DOTALL)[1])
    charge = ChargeChoice.model_validate(block["charge"])
    assert (charge.strata.lowest, charge.strata.sample, charge.strata.seed) == (20, 150, 31)
    assert charge.strata.reference == ("measured.cif",)
    assert OrderingChoice.model_validate(block["working_ion"]["Li"]["orderings"]).strata.lowest == 5
