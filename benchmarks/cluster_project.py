"""A project of jobflow-remote for benchmarks: its queue in memory, documents in a SQLite store of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

NAME = "many"


def make_project(folder: Path, campaign: str, **worker: object) -> Any:
    """Write a project, its store and a campaign; returns the controller of its empty queue.

    Parameters
    ----------
    folder : gets `NAME`.yaml with the campaign, store.yaml and projects/.
    campaign : its text, with `store: store.yaml`.
    worker : settings of the one worker, `here`, beyond what it needs.
    """
    import jobflow_remote
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.jobs.jobcontroller import JobController

    job_store = {
        "@module": "jobflow.core.store",
        "@class": "JobStore",
        "docs_store": _store(folder, "jobs"),
        "additional_stores": {"data": {**_store(folder, "data"), "key": "blob_uuid"}},
    }
    here = {"type": "local", "scheduler_type": "slurm", "work_dir": str(folder / "work"), **worker}
    project = {
        "name": NAME,
        "workers": {"here": here},
        "queue": {"store": {"type": "MemoryStore", "collection_name": "jobs"}},
        "jobstore": job_store,
    }
    (folder / "projects").mkdir()
    (folder / "projects" / f"{NAME}.yaml").write_text(yaml.safe_dump(project), encoding="utf-8")
    (folder / "store.yaml").write_text(yaml.safe_dump({"JOB_STORE": job_store}), encoding="utf-8")
    (folder / f"{NAME}.yaml").write_text(campaign, encoding="utf-8")
    jobflow_remote.SETTINGS.projects_folder = str(folder / "projects")
    controller = JobController.from_project(ConfigManager().get_project(NAME))
    controller.reset(reset_output=False)
    return controller


def _store(folder: Path, collection: str) -> dict[str, str]:
    """A SQLite store's full monty form."""
    path = str(folder / "store.sqlite")
    return {"@module": "valenceflow.stores.sqlite", "@class": "SQLiteStore", "path": path, "collection": collection}
