"""The whole trajectory of a step: its runs one after the other, restarts, killed runs and continuations included."""

from __future__ import annotations

from typing import Any

from .connect import Stores
from .documents import FrameSeries


def step_trajectory(stores: Stores, uuid: str) -> FrameSeries:
    """Frames of every relaxation of a step, in the order they were computed.

    Parameters
    ----------
    stores : the campaign's stores.
    uuid : of the step's jobs (`job_uuids` of a configuration).

    Raises
    ------
    ValueError
        If no run of the step left frames.
    """
    job_store = stores.job_store()
    job_store.connect()
    found = job_store.query({"uuid": uuid}, properties=["index", "output"], sort={"index": 1}, load={"data": "frames"})
    parts = [_frames(document["output"]) for document in found]
    series = [part for part in parts if part is not None]
    if not series:
        raise ValueError(f"job {uuid} has no frames in the store; has it run? (`valenceflow status`)")
    return FrameSeries.joined(series)


def _frames(output: dict[str, Any]) -> FrameSeries | None:
    """Frames of one run; a rescue's static calculation is no part of the relaxation."""
    if output.get("document") != "VaspStepDoc" or output.get("step") == "rescue static":
        return None
    frames = output["frames"]
    if isinstance(frames, FrameSeries):
        return frames
    return FrameSeries.model_validate({name: frames[name] for name in FrameSeries.model_fields if name in frames})
