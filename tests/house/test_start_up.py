"""Commands that only look start without the science stack, and without the databases they do not ask."""

import subprocess
import sys

import pytest
from valenceflow.flows.queues.launches import Launch, remember_launch
from valenceflow.stores.connect import STORE_FILE, sqlite_stores

SCIENCE = ("jobflow", "emmet", "torch", "atomate2", "pymatgen")
DATABASES = ("maggma", "pymongo", "mongomock_ng", "monty", "numpy")
OF_COMMANDS = tuple(f"valenceflow.cli.{name}" for name in ("run", "query", "report", "orderings", "status"))
SCRIPT = """
import sys
sys.argv = ["valenceflow", *{arguments!r}]
from valenceflow.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = [name for name in {heavy!r} if name in sys.modules]
assert not heavy, heavy
"""
CAMPAIGN = """\
name: small
host: olivine-NaFePO4
couple: Fe2+/Fe3+
working_ion: {Na: {fraction: 1/2, orderings: {sample: 1}}}
charge: {sample: 1}
"""


def imports_none_of(heavy, *arguments):
    """The output of a command in a process of its own, which must have imported nothing heavy."""
    script = SCRIPT.format(arguments=[str(argument) for argument in arguments], heavy=heavy)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def campaign(tmp_path):
    """A campaign with a finished, a failed, an unfit and a missing configuration, and a reference."""
    (tmp_path / "small").mkdir()
    stores = sqlite_stores(tmp_path / "small" / STORE_FILE)
    place = {"campaign": "small", "engine": "vasp", "fraction": 0.5}
    ids = ("done", "failed", "unfit", "missing")
    stores.collection("campaigns").update({"campaign": "small"})
    stores.collection("configurations").update([{**place, "configuration_id": name} for name in ids])
    failure = {"document": "FailureDoc", "reason": "killed", "message": "gone", "remedy": "again", "folder": "f"}
    finding = {"code": "forces", "severity": "failure", "message": "too large"}
    calculations = [
        {"state": "completed", "relation": "kept", "steps": {}},
        {"state": "failed", "relation": "not read", "steps": {"relax": failure}},
        {"state": "audit failed", "relation": "kept", "steps": {}, "audit": {"findings": [finding]}},
    ]
    stores.collection("calculations").update(
        [
            {**place, **rest, "configuration_id": name, "calculation_id": f"{name}-1", "latest": True}
            for name, rest in zip(ids, calculations, strict=False)
        ]
    )
    stores.close()
    path = tmp_path / "small.yaml"
    path.write_text(CAMPAIGN)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--help"],
        ["status", "--help"],
        ["report", "--help"],
        ["orderings", "rank", "--help"],
        ["relax", "--help"],
        ["evaluate", "--help"],
        ["search", "run", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    imports_none_of((*SCIENCE, *DATABASES), *arguments)


def test_help_imports_no_command():
    assert "status" in imports_none_of((*SCIENCE, *DATABASES, *OF_COMMANDS), "--help")


@pytest.mark.parametrize(("form", "others"), [([], ()), (["--json"], ("rich.console",))])
def test_status_asks_the_store_without_maggma_mongodb_or_numpy(campaign, form, others):
    shown = imports_none_of((*SCIENCE, *DATABASES, *others), "status", campaign, *form)
    assert "killed" in shown
    assert "forces" in shown


def test_status_asks_a_queue_in_mongodb_without_maggma_or_numpy(campaign):
    store = "type: MongoStore, database: mine, collection_name: queue, port: 1"
    project = campaign.with_name("project.yaml")
    project.write_text(f"queue: {{store: {{{store}, mongoclient_kwargs: {{serverSelectionTimeoutMS: 1}}}}}}")
    remember_launch(campaign.parent / "small", "vasp", Launch("remote", "mine", project))
    others = ("maggma", "monty", "numpy", "mongomock_ng", "jobflow_remote", "fireworks", "boto3")
    assert "remote cannot be asked: localhost:1: " in imports_none_of((*SCIENCE, *others), "status", campaign)
