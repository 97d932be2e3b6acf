"""Every mistake is one line with its remedy, exit code 2, no traceback, and nothing half-written."""

import errno
import json
import os
import re
import sqlite3

import pytest
from atomate2 import SETTINGS as ATOMATE2_SETTINGS
from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS

SPRINGS = ("--engine", "rehearsal:springs")
STORE = "JOB_STORE:\n  docs_store: {docs}\n  additional_stores:\n    data: {data}\n"
NOWHERE = "{type: SQLiteStore, path: no/such/a.sqlite, collection: a}"
UNANSWERED = (
    "{type: MongoStore, host: 127.0.0.1, port: 1, database: mine, collection_name: a, "
    "mongoclient_kwargs: {serverSelectionTimeoutMS: 50}}"
)


@pytest.fixture
def refused_run(refused, tmp_path, write_campaign):
    """Function that runs a campaign of changed fields, which must be refused and leave nothing beside its file."""

    def run(*options, engine=SPRINGS, **changes):
        path = write_campaign(tmp_path, **changes)
        before = set(tmp_path.iterdir())
        said = refused("run", path, *engine, *options)
        assert set(tmp_path.iterdir()) == before
        return said

    return run


def sodium(fraction, **orderings):
    return {"Na": {"fraction": fraction, "orderings": orderings or {"all": True}}}


@pytest.mark.parametrize(
    ("changes", "wrong", "way_out"),
    [
        ({"couple": "Fe3+/Fe4+"}, "unknown redox couple 'Fe3+/Fe4+'", "known: Fe2+/Fe3+"),
        ({"couple": "Mn2+/Mn3+"}, "not of olivine-NaFePO4", "take a CIF as host"),
        ({"host": "perovskite"}, "unknown host 'perovskite'", "give the path of a CIF"),
        ({"host": "nowhere.cif"}, "nowhere.cif: no such file", ""),
        ({"charge": "fre"}, "charge: fields belong here, got 'fre'", "did you mean 'free'?"),
        ({"protocol": "pbe"}, "unknown protocol 'pbe'", "paper-2026"),
        ({"couples": "nowhere.yaml"}, "nowhere.yaml", ""),
        ({"name": "a/b"}, "'a/b' names the campaign's folder", "use letters"),
        ({"name": ".."}, "'..' names the campaign's folder", "use letters"),
        ({"supercell": [1, 1, 0]}, "determinant 0", "at least 1"),
        ({"supercell": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}, "determinant 0", "at least 1"),
        ({"supercell": [1, 1.5, 1]}, "[1, 1.5, 1]", "whole numbers"),
        ({"supercell": "big"}, "'big'", "3x3 matrix"),
        ({"supercell": [500, 500, 500]}, "3,500,000,000 atoms", "choose a smaller one"),
        ({"working_ion": sodium("1/3")}, "fraction 1/3 of 4 Na sites", "this supercell holds are 1/4 and 1/2"),
        ({"working_ion": sodium(0.3)}, "fraction 0.3 of 4 Na sites is 1.200", "this supercell holds are 1/4 and 1/2"),
        ({"working_ion": sodium("3/2")}, "fraction 3/2 must lie in 0..1", ""),
        ({"working_ion": sodium("half")}, "'half'", "a number such as 0.5 or 2/3"),
        ({"working_ion": sodium([])}, "fraction", ""),
        ({"working_ion": {"Li": {"fraction": 0.5, "orderings": {"all": True}}}}, "working_ion Li", "(Na)"),
        ({"working_ion": sodium("1/2", sample=9)}, "orderings.sample = 9 but only 3", "{all: true}"),
        ({"working_ion": sodium("1/2", file="nowhere.cif")}, "nowhere.cif", ""),
        ({"charge": {"sample": 9}}, "charge.sample = 9 but only", "{all: true}"),
        ({"charge": {"all": True, "sample": 2}}, "exactly one of", "got all and sample"),
        ({"charge": {"sample": 0}}, "charge.sample", "got 0"),
        ({"charge": "every"}, "charge", "got 'every'"),
        ({"launch": {"workers": 0}}, "launch.workers", "got 0"),
        ({"colour": "blue"}, "unknown field 'colour'", "known: name, host, supercell"),
        ({"supercell": None, "couple": None, "cuple": "Fe2+/Fe3+"}, "unknown field 'cuple'", "did you mean 'couple'?"),
        ({"workers": 2}, "unknown field 'workers'", "it goes under `launch`"),
        ({"couple": None}, "couple", "required"),
        ({"oxidation_states": {"Na": 2, "P": 5, "O": -2}}, "oxidation_states are fixed by the host", "leave them out"),
        ({"store": "nowhere.yaml"}, "nowhere.yaml: not readable", ""),
        ({"name": "a" * 200}, "names the campaign's folder", "at most 100"),
        ({"supercell": [10**30, 1, 1]}, "supercell [1000000000000000000", "within -10,000 to 10,000"),
        ({"working_ion": sodium("1e999999999")}, "1e999999999", "a number such as 0.5 or 2/3"),
        ({"working_ion": {**sodium("1/2"), "Li": {}}}, "exactly one working ion", "got Na, Li"),
        ({"launch": {"wall_time_minutes": 5}}, "wall_time_minutes = 5", "stopped 5 minutes before"),
        ({"launch": {"incar": {"MAGMOM": 5}}}, "launch.incar: override MAGMOM = 5 contradicts", "drop it"),
        ({"launch": {"incar": {"LDAUU": 4.0}}}, "override LDAUU = 4.0 contradicts the charge states", "extends:"),
        ({"launch": {"incar": {"NUPDOWN": 16}}}, "override NUPDOWN = 16 contradicts the charge states", "drop it"),
        ({"launch": {"incar": {"ENCUT": 300}}}, "override ENCUT = 300 contradicts protocol", "a protocol of your own"),
        ({"launch": {"incar": {"NCROE": 4}}}, "override NCROE = 4", "did you mean NCORE?"),
        ({"launch": {"incar": {"NCORE": "many"}}}, "override NCORE = 'many'", "a whole number, at least 1"),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_in_the_campaign_file_is_named_with_its_value(changes, wrong, way_out, refused_run):
    said = refused_run(**changes)
    assert wrong in said
    assert way_out in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("JOB_STORE: 5", "needs a docs_store and an additional store named `data`"),
        ("JOB_STORE: {docs_store: x, additional_stores: y}", "needs a docs_store and an additional store named `data`"),
        (STORE.format(docs=NOWHERE, data=NOWHERE), "folder"),
        (
            STORE.format(docs=UNANSWERED, data=UNANSWERED),
            "the store 127.0.0.1/mine does not answer (127.0.0.1:1: [Errno 111]",
        ),
    ],
)
def test_a_store_that_cannot_be_reached_is_said_before_anything_is_written(fields, said, refused_run, tmp_path):
    (tmp_path / "mine.yaml").write_text(fields)
    assert said in refused_run(store="mine.yaml")


def test_charges_of_the_redox_element_are_the_couples_own(refused_run, tmp_path, olivine):
    olivine.host.structure.copy().relabel_sites().to(filename=str(tmp_path / "own.cif"))
    said = refused_run(host="own.cif", oxidation_states={"Na": 1, "Fe": 2, "P": 5, "O": -2})
    assert "oxidation_states names Fe, whose charges are the couple's: leave it out" in said


def test_a_crystal_without_finite_numbers_is_refused(refused_run, tmp_path, olivine):
    """Symmetry libraries end the whole process on such numbers."""
    text = olivine.host.structure.copy().relabel_sites().to(fmt="cif")
    (tmp_path / "own.cif").write_text(re.sub(r"(_cell_length_a +)\S+", r"\1nan", text))
    assert "no finite number" in refused_run(host="own.cif", oxidation_states={"Na": 1, "P": 5, "O": -2})


def test_a_potential_of_no_finite_number_is_refused(refused_run, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: paper-2026\nhubbard_u: {Fe: .nan}\n")
    assert "U = nan eV must be positive" in refused_run(protocol="mine.yaml")


def test_an_unbalanced_request_names_the_charge(refused_run, tmp_path, olivine):
    """Phosphorus as 4+: four more holes than sites."""
    olivine.host.structure.copy().relabel_sites().to(filename=str(tmp_path / "own.cif"))
    said = refused_run(host="own.cif", oxidation_states={"Na": 1, "P": 4, "O": -2})
    assert "neutrality asks for" in said
    assert "on 4 sites" in said


def test_charges_of_a_cif_are_to_be_confirmed(refused_run, tmp_path, olivine):
    olivine.host.structure.copy().relabel_sites().to(filename=str(tmp_path / "own.cif"))
    said = refused_run(host="own.cif")
    assert "`oxidation_states: {Na: 1, P: 5, O: -2}`" in said


def test_partial_occupancy_off_the_working_ion_is_refused(refused_run, tmp_path, olivine):
    structure = olivine.host.structure.copy()
    oxygen = next(i for i, site in enumerate(structure) if site.specie.symbol == "O")
    structure[oxygen] = {"O": 0.5}
    structure.relabel_sites().to(filename=str(tmp_path / "own.cif"))
    said = refused_run(host="own.cif", oxidation_states={"Na": 1, "P": 5, "O": -2})
    assert "partial occupancy of O" in said
    assert "order the others first" in said


def test_a_file_that_is_no_crystal_is_one_line(refused_run, tmp_path):
    (tmp_path / "own.cif").write_text("this is\nno CIF\n")
    assert "own.cif: not readable as a crystal structure" in refused_run(host="own.cif")


def test_an_element_without_a_potcar_label_or_u_is_refused_before_anything_runs(refused_run, tmp_path, olivine):
    chromium = olivine.host.structure.copy().replace_species({"Fe": "Cr"}).relabel_sites()
    chromium.to(filename=str(tmp_path / "own.cif"))
    (tmp_path / "mine.yaml").write_text(
        "Cr2+/Cr3+:\n  element: Cr\n  low: {oxidation_state: 2, magmom: 4}\n  high: {oxidation_state: 3, magmom: 3}\n"
        "  surrogate: {element: Ga, oxidation_state: 3}\n  windows: fit\n"
    )
    (tmp_path / "labels.yaml").write_text("extends: paper-2026\npotcar: {labels: {Cr: Cr_pv}}\n")
    own = {
        "host": "own.cif",
        "couple": "Cr2+/Cr3+",
        "couples": "mine.yaml",
        "oxidation_states": {"Na": 1, "P": 5, "O": -2},
    }
    assert "no POTCAR label for Cr" in refused_run(**own)
    said = refused_run(**own, protocol="labels.yaml")
    assert "no U for Cr" in said
    assert "hubbard_u: {Cr: VALUE}" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: small\nhost: [1, 2\ncouple: x\n", "line 3"),
        ("name: a\nname: b\n", "line 2"),
        ("- a\n- b\n", "top level"),
        ("name: a\nhost:\n\tbc: d\n", "line 3"),
        ("name: " + 400 * "[" + 400 * "]", "too many brackets"),
        (b"name: \xe9\n", "byte 0xe9 at position 6 is not UTF-8; save the file as UTF-8"),
    ],
)
def test_yaml_that_cannot_be_read_names_its_line(text, line, refused, tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for command in ("run", "status"):
        assert line in refused(command, path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_campaign_file_names_init(refused, tmp_path):
    assert "valenceflow init" in refused("run", tmp_path / "nowhere.yaml")


def test_a_crystal_in_the_place_of_a_campaign_is_told_from_it(refused, tmp_path, olivine):
    path = tmp_path / "crystal.cif"
    olivine.structure.to(filename=str(path))
    assert f"`valenceflow init --host {path}`" in refused("run", path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "gaussian"), "unknown engine 'gaussian'"),
        (("--engine", "rehearsal:gaussian"), "choose one of vasp, rehearsal:springs"),
        (("--engine", "rehearsal:springs", "--fault", "earthquake"), "unknown fault 'earthquake'"),
        (("--engine", "vasp", "--fault", "spin-flip"), "add --engine rehearsal"),
        (("--engine", "rehearsal:springs", "--only", "zz"), "no configuration matches --only zz"),
        (("--engine", "rehearsal:springs", "--only", ""), "no configuration matches --only ''"),
        (("--json",), "--json goes with --estimate"),
        (("--like", "store.sqlite"), "--like goes with --estimate"),
        (("--estimate", "--dry-run", "inputs"), "choose one"),
        (("--estimate", "--launch", "lsf"), "--launch lsf: choose local, remote or fireworks"),
        (("--launch", "remote", "--workers", "2"), "--workers, --stop-after and --wall-time are for --launch local"),
        (("--wall-time", "99:99"), "wall time '99:99': 99 is too much"),
        (("--wall-time", "0"), "wall time '0' leaves no time"),
    ],
)
def test_options_that_do_not_fit(options, said, refused_run):
    assert said in refused_run(*options, engine=())


# --engine vasp without VASP.
@pytest.fixture
def settings(monkeypatch, tmp_path_factory):
    """Function that sets vasp_cmd and the POTCAR folder as atomate2 and pymatgen have read them."""

    def change(vasp_cmd="sh", potcars=None):
        monkeypatch.setattr(ATOMATE2_SETTINGS, "VASP_CMD", vasp_cmd)
        monkeypatch.setitem(PYMATGEN_SETTINGS, "PMG_VASP_PSP_DIR", str(potcars or tmp_path_factory.mktemp("empty")))

    return change


def test_vasp_that_is_not_there_is_said_with_the_setting(refused_run, settings, stub_potcars):
    settings(vasp_cmd="/no/such/vasp_std", potcars=stub_potcars)
    said = refused_run(engine=("--engine", "vasp"))
    assert "'/no/such/vasp_std', which is not on PATH: set ATOMATE2_VASP_CMD" in said


def test_a_missing_potcar_folder_is_said_with_the_setting(refused_run, settings, monkeypatch):
    settings(potcars="/no/such/folder")
    assert "PMG_VASP_PSP_DIR is '/no/such/folder'" in refused_run(engine=("--engine", "vasp"))
    monkeypatch.delitem(PYMATGEN_SETTINGS, "PMG_VASP_PSP_DIR")
    assert "PMG_VASP_PSP_DIR is not set: " in refused_run(engine=("--engine", "vasp"))


def test_missing_potcars_are_named(refused_run, settings):
    settings()
    assert "no POTCAR for Fe_pv, Ga_d, Na_pv, O, P of PBE_54" in refused_run(engine=("--engine", "vasp"))


def test_the_stand_in_is_not_taken_for_vasp(refused_run):
    """The tests' own environment has the stand-in as vasp_cmd."""
    assert "run with --engine rehearsal" in refused_run(engine=("--engine", "vasp"))


# Places.
def test_a_file_in_the_place_of_the_campaigns_folder_is_said(refused, tmp_path, write_campaign):
    path = write_campaign(tmp_path)
    (tmp_path / "small").write_text("in the way")
    said = refused("run", path, *SPRINGS)
    assert "small is a file where the campaign's folder belongs" in said
    assert "move it away" in said


def test_a_dry_run_wants_an_empty_folder(refused_run, tmp_path):
    place = tmp_path / "inputs"
    place.mkdir()
    (place / "INCAR").write_text("mine")
    assert "inputs is not empty" in refused_run("--dry-run", place)
    assert "INCAR is a file" in refused_run("--dry-run", place / "INCAR")
    assert [path.name for path in place.iterdir()] == ["INCAR"]


@pytest.mark.parametrize("command", ["status", "query"])
def test_looking_at_a_campaign_that_was_not_started(command, refused, tmp_path, write_campaign):
    path = write_campaign(tmp_path)
    assert "has not been started; start it with `valenceflow run" in refused(command, path)
    assert "say which" in refused(command)
    assert "no such store" in refused(command, "--store", tmp_path / "nowhere.sqlite")
    assert list(tmp_path.iterdir()) == [path]


def test_retrying_a_campaign_that_was_not_started(refused, tmp_path, write_campaign):
    path = write_campaign(tmp_path)
    assert "has not been started" in refused("retry", path, *SPRINGS)
    assert "choose one of" in refused("retry", path, *SPRINGS, "--reason", "bogus")
    assert list(tmp_path.iterdir()) == [path]


def test_a_store_of_a_newer_schema_is_refused(refused, tmp_path, write_campaign):
    from valenceflow.stores.connect import sqlite_stores

    path, folder = write_campaign(tmp_path), tmp_path / "small"
    folder.mkdir()
    sqlite_stores(folder / "store.sqlite").collection("campaigns")
    with sqlite3.connect(folder / "store.sqlite") as connection:
        connection.execute("UPDATE valenceflow_store SET value = 99 WHERE name = 'schema_version'")
    connection.close()
    for arguments in (("status", path), ("query", path), ("run", path, *SPRINGS)):
        said = refused(*arguments)
        assert "schema version 99" in said


def test_a_manifest_of_a_newer_version_or_a_damaged_one_is_refused(refused, tmp_path, write_campaign):
    path, folder = write_campaign(tmp_path), tmp_path / "small"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"schema_version": 99, "configurations": []}')
    assert "version 99 is newer" in refused("run", path, *SPRINGS)
    (folder / "manifest.json").write_text('{"schema_version": 1, "configu')
    assert "damaged" in refused("run", path, *SPRINGS)
    (folder / "manifest.json").write_bytes(b"\xff\xfe")
    assert "manifest.json: damaged" in refused("run", path, *SPRINGS)


def test_a_file_in_the_place_of_the_runs_is_said(refused, tmp_path, write_campaign):
    path = write_campaign(tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "runs").write_text("in the way")
    assert "small/runs is a file where the runs' folder belongs" in refused("run", path, *SPRINGS)


@pytest.mark.parametrize(
    ("docs", "data", "said"),
    [
        ("{type: MemoryStore}", "{type: MemoryStore}", "memory of one process"),
        ("{type: JSONStore, paths: a.json}", "{type: MemoryStore}", "memory of one process"),
        ("{type: SQLiteStore, path: a.sqlite, collection: jobs}", "{type: MemoryStore}", "memory of one process"),
        ("{type: NoSuchStore}", "{type: MemoryStore}", "NoSuchStore is no maggma store"),
        ("{path: a.sqlite}", "{path: a.sqlite}", "a store needs `type:`"),
    ],
)
def test_a_store_that_cannot_hold_a_campaign_is_refused(docs, data, said, refused_run, tmp_path):
    (tmp_path / "mine.yaml").write_text(STORE.format(docs=docs, data=data))
    answer = refused_run(store="mine.yaml")
    assert said in answer
    assert "mine.yaml" in answer


def test_a_store_file_without_data_names_what_is_missing(refused_run, tmp_path):
    (tmp_path / "mine.yaml").write_text("JOB_STORE: {docs_store: {type: SQLiteStore, path: a, collection: jobs}}\n")
    assert "additional store named `data`" in refused_run(store="mine.yaml")


def test_debug_shows_the_traceback(call, tmp_path):
    with pytest.raises(ValueError, match="no such campaign file"):
        call("--debug", "run", tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("x", ["a", "0.2:b"])
def test_a_fraction_to_query_must_be_a_number(x, refused, tmp_path):
    from valenceflow.stores.connect import sqlite_stores

    sqlite_stores(tmp_path / "s.sqlite").collection("campaigns")
    assert "a range such as 0.4:0.6" in refused("query", "--store", tmp_path / "s.sqlite", "--x", x)


def test_an_error_after_json_is_json_too(call, tmp_path):
    answer = call("status", tmp_path / "none.yaml", "--json")
    assert answer.code == 2
    assert answer.err == f"valenceflow: {json.loads(answer.out)['error']}\n"
    assert "no such campaign file" in answer.err


def test_an_answer_in_json_that_finds_the_disk_full_is_one_line(call, tmp_path, monkeypatch):
    def write(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sys.stdout.write", write)
    answer = call("status", tmp_path / "none.yaml", "--json")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "no such campaign file" in answer.err
