"""What a scheduler could not give, or a step not use, is refused before anything is handed over."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from valenceflow.flows.campaign_file import FireWorksChoice, LaunchChoice
from valenceflow.flows.queues.launchpad import FireWorksQueue
from valenceflow.flows.queues.requests import check_requests, steps_of

PLANNED = [SimpleNamespace(job_uuids={"surrogate relax": "a", "relax": "b"}), SimpleNamespace(job_uuids={"relax": "c"})]


@pytest.fixture
def ask(monkeypatch):
    """Function that checks what FireWorks would be asked for."""
    monkeypatch.setattr(FireWorksQueue, "place", "LaunchPad db/mine")

    def check(queue, steps=None, **launch):
        choice = FireWorksChoice(queue=queue, steps=steps or {})
        campaign = SimpleNamespace(path=Path("c.yaml"), file=SimpleNamespace(launch=LaunchChoice(**launch)))
        check_requests(campaign, FireWorksQueue(None, choice), steps_of(PLANNED))

    return check


def test_what_a_scheduler_can_give_passes(ask):
    ask({"nodes": 2, "ntasks": "64", "walltime": "12:00:00", "account": "ab-12"}, wall_time_minutes=600)
    ask({"nodes": "1-4", "walltime": "UNLIMITED"}, {"relax": {"walltime": "1-12"}})
    ask({})


@pytest.mark.parametrize(
    ("asked", "launch", "told"),
    [
        ({"nodes": -1}, {}, "nodes = -1 is no whole number of at least 1"),
        ({"ntasks": "many"}, {}, "ntasks = 'many' is no whole number"),
        ({"nnodes": True}, {}, "nnodes = True is no whole number"),
        ({"walltime": "99:99"}, {}, "wall time '99:99': 99 is too much"),
        ({"walltime": "00:05:00"}, {}, "a wall time of 5 minutes, of which VASP is stopped 5 before the end"),
        (
            {"walltime": "01:00:00"},
            {"wall_time_minutes": 90},
            "the queue ends a job after 60 minutes, before launch.wall_time_minutes = 90",
        ),
    ],
)
def test_what_it_could_not_is_told_with_step_and_value(asked, launch, told, ask):
    with pytest.raises(ValueError, match=r"correct `launch: fireworks:` of c\.yaml") as refused:
        ask({}, {"relax": asked}, **launch)
    assert f"LaunchPad db/mine: resources of the step relax: {told}" in str(refused.value)
