"""Every frame of `make study-dft` as a data set: labelled, split and exported with its card."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valenceflow.flows.campaign_file import Campaign
from valenceflow.flows.registration import campaign_doc
from valenceflow.inputs.protocol import Protocol
from valenceflow.stores.builders_frames import framed
from valenceflow.stores.connect import Stores
from valenceflow.stores.frame_writer import FrameWriter
from valenceflow.stores.frames import RunDoc
from valenceflow.stores.ingest_run import Part

if TYPE_CHECKING:
    from demo_dft import Point
    from study import Run

TITLE = (
    "Charge orderings of Na2Fe4P4O16 by GPAW: single points and short relaxations; at 350 eV neither total energies "
    "nor stresses are converged with the plane waves"
)
FORMATS = "mace,chgnet,parquet"


def take_frames(runs: Mapping[str, Run], points: Mapping[str, Point], campaign: Campaign, stores: Stores) -> None:
    """Put the frames of finished calculations, by uuid, beside their documents."""
    with FrameWriter(stores) as writer:
        for item in _items(runs, points, campaign, stores):
            made = framed(item)
            if made["problems"]:
                raise ValueError("; ".join(made["problems"]))
            for document, parts in made["runs"]:
                writer.add(RunDoc.model_validate(document), (Part(**part) for part in parts))


def say_protocol(campaign: Campaign, protocol: Protocol, stores: Stores) -> None:
    """Put the protocol beside its frames, as a campaign does: the set's card tells it."""
    told = {"campaign": protocol.name, "protocol": protocol.model_dump(mode="json"), "protocol_hash": protocol.hash}
    made = campaign_doc(campaign, "gpaw", 0).model_copy(update=told)
    stores.collection("campaigns").update([made.model_dump(mode="json")])


def _items(
    runs: Mapping[str, Run], points: Mapping[str, Point], campaign: Campaign, stores: Stores
) -> Iterator[dict[str, Any]]:
    with stores.job_store() as jobs:
        for job in jobs.query({"uuid": {"$in": list(runs)}}, load=True):
            output = job["output"]
            if output["document"] != "VaspStepDoc":
                continue
            configuration = points[runs[job["uuid"]].key].configuration
            yield {
                "calculation_id": job["uuid"],
                "configuration": configuration.model_dump(mode="json"),
                "oxidation_states": campaign.cell.host.oxidation_states,
                "relax": {},
                "runs": [{"step": output, "index": job["index"], "series": output["frames"]}],
            }


def export_frames(store: Path, protocol: Protocol, folder: Path) -> None:
    """Label and export the frames of one protocol; truncated relaxations and lost orderings too, as each frame is good.

    Raises
    ------
    subprocess.CalledProcessError
        If a command fails; it has said why.
    """
    command = [sys.executable, "-m", "valenceflow.cli.main"]
    subprocess.run([*command, "build", "--store", str(store)], check=True)
    chosen = ["--protocol-hash", protocol.hash, "--keep", "failed-audit", "--keep", "lost"]
    said = ["--title", TITLE, "--licence", "CC-BY-4.0", "--format", FORMATS, "--replace"]
    subprocess.run([*command, "export", "--store", str(store), "--to", str(folder), *chosen, *said], check=True)
