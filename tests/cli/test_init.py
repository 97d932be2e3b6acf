"""`valenceflow init`: the file it writes is refused until what it asks is confirmed, then it runs."""

import re

import pytest
import yaml
from pymatgen.core import Lattice, Structure
from valenceflow.flows.campaign_file import CampaignFile, read_campaign
from valenceflow.flows.plan import plan_configurations

SPRINGS = ("--engine", "rehearsal:springs")
FIELDS = (
    "symprec",
    "protocol",
    "on_lost_ordering",
    "launch",
    "accept",
    "incar",
    "NCORE",
    "KPAR",
    "end_members",
    "store",
)


def nasicon():
    """Na3V2(PO4)3, R-3c."""
    lattice = Lattice.from_parameters(8.728, 8.728, 21.805, 90, 90, 120)
    species = [{"Na": 0.805}, {"Na": 0.731}, "V", "P", "O", "O"]
    positions = [[0, 0, 0], [0.6388, 0, 0.25], [0, 0, 0.1475], [0.2963, 0, 0.25], [0.1432, 0.4994, 0.0772]]
    return Structure.from_spacegroup("R-3c", lattice, species, [*positions, [0.5406, 0.8465, -0.0263]])


def layers():
    """O3-NaxCoO2, R-3m."""
    lattice = Lattice.hexagonal(2.888, 15.6)
    return Structure.from_spacegroup(
        "R-3m", lattice, [{"Na": 0.7}, "Co", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.2305]]
    )


@pytest.fixture
def crystal(olivine, tmp_path):
    """Function that writes a crystal as NAME.cif into the test's folder; other elements in the olivine by `species`."""

    def write(name, structure=None, **species):
        made = structure if structure is not None else olivine.host.structure.copy()
        made.replace_species(species)
        path = tmp_path / f"{name}.cif"
        (made.relabel_sites() if made.is_ordered else made).to(filename=str(path))
        return path

    return write


def confirm(path):
    """Take the leading "# " away from every line that is to be confirmed."""
    text = path.read_text()
    assert "TO BE CONFIRMED" in text
    path.write_text(re.sub(r"^# (couple|oxidation_states|symprec)(: [^#\n]*)$", r"\1\2", text, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "made", "asked", "refusal", "count"),
    [
        ("LiMnPO4", {"Na": "Li", "Fe": "Mn"}, "oxidation_states", "oxidation states are not confirmed", 12),
        ("LiFePO4", {"Na": "Li"}, "oxidation_states", "oxidation states are not confirmed", 12),
        ("NaxCoO2", layers, "couple, oxidation_states", "couple: Field required", 46),
        ("Na3V2P3O12", nasicon, "oxidation_states", "oxidation states are not confirmed", 48),
    ],
)
def test_a_file_for_a_cif_is_refused_until_it_is_confirmed_and_planned_then(
    name, made, asked, refusal, count, crystal, tmp_path, call, refused
):
    cif = crystal(name, made()) if callable(made) else crystal(name, **made)
    path = tmp_path / f"{name}.yaml"
    answer = call("init", path, "--host", cif)
    assert (answer.code, answer.err) == (0, "")
    assert f"to be confirmed in the file before it runs: {asked}" in answer.out
    assert f"next: confirm these, then valenceflow run {path}" in answer.out
    assert refusal in refused("run", path, *SPRINGS)
    confirm(path)
    campaign = read_campaign(path)
    assert campaign.file.host == cif.name
    assert campaign.file.name == name
    assert len(plan_configurations(campaign, "rehearsal:springs")) == count


def test_the_file_shows_every_setting_with_a_comment(crystal, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("init", "mine.yaml", "--host", crystal("LiMnPO4", Na="Li", Fe="Mn"))
    text = (tmp_path / "mine.yaml").read_text()
    assert all(re.search(rf"\b{field}: .*#", text) or f"{field}:\n" in text for field in FIELDS)
    assert "1/4 (2), 1/2 (10), 3/4 (2)" in " ".join(text.replace("#", " ").split())
    assert "finds 8 operations" in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_shipped_host_needs_no_confirmation_and_every_line_it_offers_is_right(tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = call("init")
    assert answer.code == 0
    assert "confirmed" not in answer.out
    campaign = read_campaign(tmp_path / "campaign.yaml")
    assert len(plan_configurations(campaign, "vasp")) == 12
    # With every commented setting taken in, too.
    text = re.sub(r"^( *)# (\w+: )", r"\1\2", (tmp_path / "campaign.yaml").read_text(), flags=re.MULTILINE)
    file = CampaignFile.model_validate(yaml.safe_load(text))
    assert file.launch.incar == {"NCORE": 4, "KPAR": 2}
    assert file.launch.wall_time_minutes == 1440
    assert file.store == "store.yaml"


@pytest.mark.slow
def test_a_confirmed_file_runs_on_the_rehearsal(crystal, tmp_path, call, shell):
    path = tmp_path / "lmp.yaml"
    call("init", path, "--host", crystal("LiMnPO4", Na="Li", Fe="Mn"))
    confirm(path)
    answer = shell("run", path, *SPRINGS, "--limit", 2)
    assert answer.code == 0, answer
    assert "2 of 12 configurations done: 2 as meant" in answer.out


def test_charges_written_in_the_cif_and_filled_sites_leave_nothing_to_confirm(
    tmp_path, olivine, cif_with_charges, call
):
    structure = olivine.host.structure.copy()
    structure.add_oxidation_state_by_element({"Na": 1, "Fe": 2, "P": 5, "O": -2})
    path = tmp_path / "mine.yaml"
    answer = call("init", path, "--host", cif_with_charges(structure, tmp_path / "own.cif"))
    assert "confirmed" not in answer.out
    assert read_campaign(path).cell.host.oxidation_states == {"Na": 1, "P": 5, "O": -2}


def test_a_tolerance_is_to_be_chosen_where_numbers_are_rounded(crystal, tmp_path, olivine, call, refused):
    rounded = Structure(
        olivine.host.structure.lattice, olivine.host.structure.species, olivine.host.structure.frac_coords.round(2)
    ).perturb(0.01)
    path = tmp_path / "mine.yaml"
    answer = call("init", path, "--host", crystal("rounded", rounded))
    assert "to be confirmed in the file before it runs: oxidation_states, symprec" in answer.out
    confirm(path)
    assert read_campaign(path).cell.host.symprec == 0.1


def test_the_crystal_is_named_as_it_lies_from_the_file(crystal, tmp_path, call, monkeypatch):
    crystal("LiMnPO4", Na="Li", Fe="Mn")
    (tmp_path / "runs here").mkdir()
    monkeypatch.chdir(tmp_path)
    call("init", "runs here/my first.yaml", "--host", "LiMnPO4.cif")
    path = tmp_path / "runs here" / "my first.yaml"
    confirm(path)
    campaign = read_campaign(path)
    assert (campaign.file.host, campaign.file.name) == ("../LiMnPO4.cif", "my-first")
    call("init", "--host", "LiMnPO4.cif")
    assert (tmp_path / "LiMnPO4.yaml").exists()


def test_nothing_is_written_over(crystal, tmp_path, call, refused):
    cif = crystal("NaxCoO2", layers())
    couples = tmp_path / "mine-couples.yaml"
    couples.write_text("mine")
    assert "mine-couples.yaml exists" in refused("init", tmp_path / "mine.yaml", "--host", cif)
    assert not (tmp_path / "mine.yaml").exists()
    couples.unlink()
    call("init", tmp_path / "mine.yaml", "--host", cif)
    before = (tmp_path / "mine.yaml").read_bytes(), couples.read_bytes()
    assert "mine.yaml exists; name another file" in refused("init", tmp_path / "mine.yaml", "--host", cif)
    assert ((tmp_path / "mine.yaml").read_bytes(), couples.read_bytes()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine.yaml", "--host", "nowhere.cif"), "nowhere.cif: no such file"),
        (("mine.yaml", "--host", "broken.cif"), "broken.cif: not readable as a crystal structure"),
        (("mine.yaml", "--host", "perovskite"), "unknown host 'perovskite'; known: olivine-NaFePO4"),
        (("mine.yaml", "--host", "empty.cif"), "empty.cif holds no working ion"),
        (("mine.yaml", "--host", "inert.cif"), "inert.cif holds no redox element of the shipped couples (Fe, Mn"),
        (("inert.cif",), "give the crystal as `valenceflow init --host inert.cif`"),
        (("mine",), "name it mine.yaml"),
        (("nowhere/mine.yaml",), "nowhere is no folder"),
        (("mine.yaml", "--couple", "Mn2+/Mn3+"), "--couple Mn2+/Mn3+ is not that of olivine-NaFePO4, Fe2+/Fe3+"),
        (("mine.yaml", "--working-ion", "Li"), "--working-ion Li is not that of olivine-NaFePO4, Na"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_a_campaign_is_refused_and_nothing_is_written(
    arguments, said, crystal, tmp_path, refused, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    crystal("empty", Na="Al")
    crystal("inert", Fe="Mg")
    (tmp_path / "broken.cif").write_text("this is\nno CIF\n")
    before = set(tmp_path.iterdir())
    assert said in refused("init", *arguments)
    assert set(tmp_path.iterdir()) == before
