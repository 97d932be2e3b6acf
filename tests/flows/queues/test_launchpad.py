"""What is handed to FireWorks comes back from its database as it was."""

import json
import logging
import os
from types import SimpleNamespace

import mongomock_ng
from atomate2 import SETTINGS as ATOMATE2
from fireworks import Firework, LaunchPad
from pymatgen.core import SETTINGS as PYMATGEN
from valenceflow.flows.campaign_file import FireWorksChoice
from valenceflow.flows.queues.launchpad import ENVIRONMENT, FireWorksQueue, readable_workflow, take_environment
from valenceflow.flows.queues.launchpad_jobs import launchpad_jobs, open_launchpad
from valenceflow.flows.two_step import TwoStepRelaxMaker
from valenceflow.inputs.protocol import Protocol


def test_jobs_come_back_from_fireworks_database_with_their_protocol_and_sites(half_filled):
    flow = TwoStepRelaxMaker().make(half_filled(high=(1, 3)))
    for job, made in zip(flow.jobs, readable_workflow(flow).fws, strict=True):
        firework = made
        for _ in range(3):  # as qlaunch does, which reserves a job and writes it again
            firework = Firework.from_dict(json.loads(json.dumps(firework.to_db_dict())))
        (task,) = firework.tasks
        back = task["job"]
        ours, theirs = job.maker.input_set_generator, back.maker.input_set_generator
        assert isinstance(theirs.protocol, Protocol)
        assert theirs.protocol.hash == ours.protocol.hash
        assert back.function_kwargs["sites"] == job.function_kwargs["sites"]
        assert back.uuid == job.uuid


def test_what_a_rehearsal_needs_goes_with_its_jobs_and_leaves_the_users_queue_script_alone():
    needed = {"ATOMATE2_VASP_CMD": "stand-in", "PMG_VASP_PSP_DIR": "/stubs"}
    choice = FireWorksChoice(queue={"walltime": "01:00:00"})
    spec = FireWorksQueue(None, choice, needed).spec("relax")
    assert spec[ENVIRONMENT] == needed
    assert spec["_queueadapter"] == {"walltime": "01:00:00"}
    assert ENVIRONMENT not in FireWorksQueue(None, choice).spec("relax")


def test_a_job_sets_what_it_needs_though_atomate2_and_pymatgen_are_there_already(monkeypatch):
    for name in ("ATOMATE2_VASP_CMD", "PMG_VASP_PSP_DIR"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setattr(ATOMATE2, "VASP_CMD", "before")
    monkeypatch.setitem(PYMATGEN, "PMG_VASP_PSP_DIR", "before")
    take_environment({})
    assert (ATOMATE2.VASP_CMD, PYMATGEN["PMG_VASP_PSP_DIR"]) == ("before", "before")
    take_environment({"ATOMATE2_VASP_CMD": "stand-in", "PMG_VASP_PSP_DIR": "/stubs"})
    assert (ATOMATE2.VASP_CMD, PYMATGEN["PMG_VASP_PSP_DIR"]) == ("stand-in", "/stubs")
    assert os.environ["ATOMATE2_VASP_CMD"] == "stand-in"


def test_jobs_on_a_launchpad_are_told_with_their_last_launch_by_two_questions():
    asked, database = [], mongomock_ng.MongoClient()["fireworks"]
    # A LaunchPad wants a server; of it nothing but its two collections is asked.
    launchpad = SimpleNamespace(
        fireworks=Counting(database["fireworks"], asked), launches=Counting(database["launches"], asked)
    )
    of = {"campaign": "small", "configuration_id": "c"}
    tasks = [{"job": {"uuid": f"u{n}", "index": 1}} for n in range(3)]
    launchpad.fireworks.insert_many(
        [
            {"fw_id": n, "name": "relax", "state": state, "launches": launches, "spec": {**of, "_tasks": [tasks[n]]}}
            for n, (state, launches) in enumerate([("FIZZLED", [4, 7]), ("RUNNING", [8]), ("WAITING", [])])
        ]
    )
    said = {"stored_data": {"_message": "out of\n memory", "_exception": {"_stacktrace": "x"}}}
    launchpad.launches.insert_many(
        [
            {"launch_id": 4, "launch_dir": "/first", "action": said},
            {"launch_id": 7, "launch_dir": "/again", "action": said},
            {"launch_id": 8, "launch_dir": "/runs", "action": None},
        ]
    )
    del asked[:]
    found = [(job.uuid, job.state, job.error, job.folder) for job in launchpad_jobs(launchpad, "small")]
    assert found == [
        ("u0", "FAILED", "out of memory", "/again"),
        ("u1", "RUNNING", "", "/runs"),
        ("u2", "WAITING", "", ""),
    ]
    assert asked == ["find", "find"]


class Counting:
    """A collection that notes what it is asked."""

    def __init__(self, collection, asked):
        self._collection, self._asked = collection, asked

    def __getattr__(self, name):
        self._asked.append(name)
        return getattr(self._collection, name)


def test_fireworks_prints_nothing_between_our_lines(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(LaunchPad, "get_fw_ids", lambda *_, **options: 0)
    (tmp_path / "pad.yaml").write_text("host: 127.0.0.1\nname: none\n")
    launchpad = open_launchpad(tmp_path / "pad.yaml")
    assert not launchpad.m_logger.isEnabledFor(logging.INFO)  # as "Added a workflow."
    monkeypatch.setattr(launchpad, "delete_wf", lambda fw_id: print("Removing workflow."), raising=False)
    monkeypatch.setattr(FireWorksQueue, "_workflows", lambda *_: [1])
    FireWorksQueue(launchpad, FireWorksChoice()).drop([])
    launchpad.connection.close()
    assert capsys.readouterr().out == ""
