"""Searches over campaigns and CIFs: the folder is whole by itself, and a selection touches nobody's files."""

import json
import shutil

import pytest
import yaml
from valenceflow.flows.campaign_file import read_campaign

UNDER = ("--model", "electrostatics")


@pytest.fixture
def own(tmp_path, olivine, write_campaign):
    """A campaign on a CIF, with a protocol that extends another file."""
    structure = olivine.host.structure.copy()
    structure.replace_species({"Na": "Li", "Fe": "Mn"})
    structure.relabel_sites()
    folder = tmp_path / "own"
    folder.mkdir()
    structure.to(filename=str(folder / "LiMnPO4.cif"))
    (folder / "group.yaml").write_text("extends: paper-2026\nincar: {ENCUT: 600}\n")
    (folder / "mine.yaml").write_text("extends: group.yaml\nincar: {EDIFF: 1.0e-6}\n")
    return write_campaign(
        folder,
        host="LiMnPO4.cif",
        couple="Mn2+/Mn3+",
        oxidation_states={"Li": 1, "P": 5, "O": -2},
        working_ion={"Li": {"fraction": ["1/4", "1/2"], "orderings": {"all": True}}},
        protocol="mine.yaml",
    )


def content(folder):
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def search(call, *arguments):
    found = call("search", "run", *arguments)
    assert found.code == 0, found
    return found.out


def test_a_search_outlives_its_campaign_file_and_selects_for_the_same_protocol(call, own, tmp_path):
    search(call, own, *UNDER, "-x", "1/2", "--to", tmp_path / "s")
    before = call("search", "show", tmp_path / "s").out
    shutil.rmtree(own.parent)
    assert call("search", "show", tmp_path / "s").out == before
    found = call("search", "select", tmp_path / "s", "--to", tmp_path / "next.yaml", "--lowest", "1", "--highest", "0")
    assert found.code == 0, found
    told = yaml.safe_load((tmp_path / "next.yaml").read_text())
    assert told["oxidation_states"] == {"Li": 1, "P": 5, "O": -2}
    assert call("run", tmp_path / "next.yaml", "--dry-run", tmp_path / "inputs").code == 0
    incars = [path.read_text().split() for path in (tmp_path / "inputs").glob("*/*/INCAR")]
    assert incars
    assert all("600.0" in words and "1e-06" in words for words in incars)


def test_a_selection_may_be_for_another_protocol_than_the_search_s_own(call, own, refused, tmp_path):
    search(call, own, *UNDER, "-x", "1/2", "--to", tmp_path / "s")
    mine = tmp_path / "elsewhere" / "rattled.yaml"
    mine.parent.mkdir()
    mine.write_text("extends: dtu-polyanion\nrattle: 0.05\n")
    select = ("search", "select", tmp_path / "s", "--lowest", "1", "--highest", "0")
    for protocol, named, encut in (("paper-2026", "paper-2026", "520.0"), (mine, "elsewhere/rattled.yaml", "520.0")):
        to = tmp_path / f"{len(str(protocol))}.yaml"
        assert call(*select, "--to", to, "--protocol", protocol).code == 0
        assert yaml.safe_load(to.read_text())["protocol"] == named
        campaign = read_campaign(to)
        assert campaign.protocol.rattle == (0.05 if protocol == mine else None)
        assert str(campaign.protocol.incar["ENCUT"]) == encut  # the search's campaign has 600
    message = refused(*select, "--to", tmp_path / "no.yaml", "--protocol", "unknown")
    assert "unknown protocol 'unknown'; known: " in message
    assert not (tmp_path / "no.yaml").exists()


def test_an_edited_campaign_changes_no_search(call, write_campaign, tmp_path):
    path = write_campaign(tmp_path, supercell=[1, 2, 1])
    search(call, path, *UNDER, "-x", "1/2", "--to", tmp_path / "s")
    before = call("search", "show", tmp_path / "s").out
    write_campaign(tmp_path, supercell=[2, 1, 1])
    assert call("search", "show", tmp_path / "s").out == before
    assert call("search", "select", tmp_path / "s", "--to", tmp_path / "next.yaml").code == 0
    assert yaml.safe_load((tmp_path / "next.yaml").read_text())["supercell"] == [[1, 0, 0], [0, 2, 0], [0, 0, 1]]


def test_the_fractions_of_a_campaign_are_searched_with_the_end_members_of_their_hull(call, own, tmp_path):
    search(call, own, *UNDER, "--to", tmp_path / "s")
    rows = json.loads(call("search", "show", tmp_path / "s", "--json").out)["orderings"]
    assert {row["fraction"] for row in rows} == {0, 0.25, 0.5, 1}


def test_a_selection_overwrites_nothing(call, own, tmp_path):
    cif = ("--couple", "Mn2+/Mn3+", "--working-ion", "Li", "--oxidation-states", "Li=1,P=5,O=-2")
    search(call, own.parent / "LiMnPO4.cif", *cif, *UNDER, "-x", "1/2", "--to", tmp_path / "s")
    there = tmp_path / "there"
    there.mkdir()
    for name in ("host.cif", "LiMnPO4.cif", "protocol.yaml"):
        (there / name).write_text("mine")
    for name in ("a", "b"):
        assert call("search", "select", tmp_path / "s", "--to", there / f"{name}.yaml").code == 0
        assert yaml.safe_load((there / f"{name}.yaml").read_text())["host"] == f"{name}-orderings/host.cif"
        assert call("run", there / f"{name}.yaml", "--dry-run", tmp_path / f"inputs-{name}").code == 0
    assert {(there / name).read_text() for name in ("host.cif", "LiMnPO4.cif", "protocol.yaml")} == {"mine"}


def test_a_selection_beside_the_search_s_own_files_names_them_there(call, own, tmp_path):
    cif = ("--couple", "Mn2+/Mn3+", "--working-ion", "Li", "--oxidation-states", "Li=1,P=5,O=-2")
    search(call, own.parent / "LiMnPO4.cif", *cif, *UNDER, "-x", "1/2", "--to", tmp_path / "s")
    assert call("search", "select", tmp_path / "s", "--to", tmp_path / "s" / "next.yaml").code == 0
    assert yaml.safe_load((tmp_path / "s" / "next.yaml").read_text())["host"] == "host.cif"


@pytest.mark.parametrize("name", ["my camp.yaml", "ünï.yaml", "#x.yaml"])
def test_a_name_that_no_campaign_may_have_leaves_nothing_behind(call, refused, write_campaign, name, tmp_path):
    search(call, write_campaign(tmp_path), *UNDER, "-x", "1/2", "--to", tmp_path / "s")
    before = content(tmp_path)
    assert "names the campaign's folder" in refused("search", "select", tmp_path / "s", "--to", tmp_path / name)
    assert content(tmp_path) == before
    assert not list(tmp_path.glob("*-orderings"))


def test_what_a_model_of_a_rehearsal_found_is_said_to_be_no_dft(call, write_campaign, tmp_path):
    search(call, write_campaign(tmp_path), *UNDER, "-x", "1/2", "--to", tmp_path / "s")
    path = tmp_path / "s" / "settings.json"
    settings = json.loads(path.read_text())
    settings["evaluator"]["trained_on"] = ["rehearsal:springs"]
    path.write_text(json.dumps(settings))
    line = "REHEARSAL, not DFT: the model was trained on numbers of rehearsal:springs"
    assert call("search", "show", tmp_path / "s").out.startswith(line)
    assert call("search", "select", tmp_path / "s", "--to", tmp_path / "next.yaml").code == 0
    assert (tmp_path / "next.yaml").read_text().startswith(f"# {line}")
    assert call("figures", tmp_path / "s", "--to", tmp_path / "f", "--only", "fig2a").code == 0
    (told,) = (tmp_path / "f").glob("fig2a*.json")
    assert "trained on rehearsal:springs" in told.read_text()
    (drawn,) = [one for one in (tmp_path / "f").glob("fig2a*.*") if one.suffix in (".svg", ".png", ".pdf")]
    assert drawn.stat().st_size > 0
