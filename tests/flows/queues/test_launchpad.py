"""What is handed to FireWorks comes back from its database as it was."""

import json

from fireworks import Firework
from valenceflow.flows.queues.launchpad import readable_workflow
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
