"""`make demo-dft`: real PBE+U energies of charge orderings, held against CHGNet and electrostatics. It needs GPAW.

1. The rehearsal relaxes every ordering with gallium at the Fe3+ sites (pretrained CHGNet): geometries that hold it.
2. GPAW computes one single point of each, iron put back; the order is read from the moments and audited.
3. Table, figure and rank correlations, in the folder demo-dft/ and, with --results, where they are committed.

Can be stopped at any moment: what is finished is in stores and is not run again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from jobflow import Flow, run_locally
from pymatgen.core import Structure
from results import write_results
from valenceflow.flows.campaign import unrelaxed
from valenceflow.flows.campaign_file import Campaign, read_campaign
from valenceflow.flows.gpaw.command import gpaw_problems
from valenceflow.flows.makers import static_step_maker
from valenceflow.flows.manifest import read_manifest
from valenceflow.inputs.protocol import Protocol, load_protocol
from valenceflow.inputs.substitution import ChargeSites
from valenceflow.stores.connect import STORE_FILE, Stores, sqlite_stores
from valenceflow.stores.documents import ConfigurationDoc, StepIntent

HERE = Path(__file__).resolve().parent
REHEARSAL = "rehearsal:chgnet"
CPU_S = 100
"""CPU seconds of a single point of 26 atoms, as measured (docs/gpaw.md); the estimate that is shown first."""
_NAMESPACE = uuid.UUID("0f6b8e0c-52a7-5d1b-9d0c-0d5f3f3c7a11")


@dataclass(frozen=True)
class Point:
    """One single point to be done: an ordering, its gallium geometry and its charge states."""

    configuration: ConfigurationDoc
    structure: Structure
    site_order: list[int]
    sites: ChargeSites
    gallium_energy: float

    def uuid(self, protocol: Protocol) -> str:
        """Fixed beforehand, so that a second run finds what is done."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.configuration.configuration_id}/{protocol.hash}"))


def main() -> int:
    """Run the demo; returns 0 if every single point gave a result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=HERE.parents[1] / "demo-dft")
    parser.add_argument("--protocol", default="gpaw-quick", help="preset or YAML file with a gpaw block")
    parser.add_argument("--results", type=Path, help="also write table and figure here (docs/gpaw)")
    parser.add_argument("--limit", type=int, help="run at most so many single points")
    options = parser.parse_args()
    protocol = load_protocol(options.protocol)
    problems = gpaw_problems(protocol.gpaw, {"Na", "Fe", "P", "O"})
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 2
    campaign = rehearse(options.folder)
    points = list(gallium_points(campaign))
    stores = sqlite_stores(options.folder / "gpaw" / STORE_FILE)
    run_points(points, protocol, stores, options.folder / "gpaw", options.limit)
    for folder in filter(None, [options.folder, options.results]):
        write_results(campaign, points, documents(points, protocol, stores), protocol, folder)
    done = documents(points, protocol, stores)
    return 0 if len(done) == len(points) and all(d["document"] == "VaspStepDoc" for d in done.values()) else 1


def rehearse(folder: Path) -> Campaign:
    """Relax every ordering with pretrained CHGNet, gallium first; what is done already is not run again."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "gpaw").mkdir(exist_ok=True)
    path = folder / "campaign.yaml"
    shutil.copy(HERE / "campaign.yaml", path)
    command = [sys.executable, "-m", "valenceflow.cli.main", "run", str(path), "--engine", REHEARSAL]
    # Exit code 1 says that some orderings were lost in step 2; step 1, which is wanted here, holds them all.
    subprocess.run(command, check=False)
    return read_campaign(path)


def gallium_points(campaign: Campaign) -> Iterator[Point]:
    """Every ordering with the geometry that step 1 of the rehearsal gave it."""
    stores = sqlite_stores(campaign.folder / STORE_FILE)
    found = stores.collection("calculations").query({"campaign": campaign.file.name, "latest": True})
    steps = {c["configuration_id"]: c["steps"] for c in found}
    for configuration in sorted(read_manifest(campaign.folder), key=lambda c: c.joint_key):
        step = steps.get(configuration.configuration_id, {}).get("surrogate relax")
        if step is None or step["document"] != "VaspStepDoc" or not step["audit"]["passed"]:
            raise SystemExit(f"the rehearsal has no gallium geometry of {configuration.joint_key}: run it again")
        _, sites = unrelaxed(campaign, configuration)
        structure = Structure.from_dict(step["structure"])
        yield Point(configuration, structure, list(step["site_order"]), sites, float(step["energy"]))


def run_points(points: list[Point], protocol: Protocol, stores: Stores, folder: Path, limit: int | None) -> None:
    """Single points that are not in the store yet, one after the other, with an estimate that learns."""
    done = documents(points, protocol, stores)
    todo = [p for p in points if p.uuid(protocol) not in done][:limit]
    estimate = f", about {len(todo) * CPU_S / 60:.0f} min on one core" if todo else ""
    print(f"\n{len(todo)} GPAW single points to do of {len(points)}{estimate}")
    began, maker = monotonic(), static_step_maker(protocol)
    for number, point in enumerate(todo, start=1):
        key = point.configuration.joint_key
        print(f"{number:3d}/{len(todo)} {key} ...", end=" ", flush=True)
        intent = StepIntent(campaign="demo-dft", configuration_id=point.configuration.configuration_id)
        job = maker.make(point.structure, sites=point.sites, site_order=point.site_order, intent=intent)
        job.set_uuid(point.uuid(protocol))
        runs = folder / "runs" / key
        runs.mkdir(parents=True, exist_ok=True)
        run_locally(Flow([job]), store=stores.job_store(), create_folders=True, root_dir=runs, log=False)
        left = (monotonic() - began) / number * (len(todo) - number) / 60
        more = f"; about {left:.0f} min left" if number < len(todo) else ""
        print(f"{said(documents([point], protocol, stores))}{more}", flush=True)


def said(found: dict[str, dict[str, Any]]) -> str:
    """One line on what came out."""
    for document in found.values():
        if document["document"] == "FailureDoc":
            return str(document["message"])
        iterations = sum(start["iterations"] for start in document["engine_details"]["starts"])
        return f"{document['energy']:.3f} eV, ordering {document['achieved']['relation']}, {iterations} SCF iterations"
    return "no document"


def documents(points: list[Point], protocol: Protocol, stores: Stores) -> dict[str, dict[str, Any]]:
    """What is known of single points, by uuid; one that was cut off is run again."""
    wanted = [point.uuid(protocol) for point in points]
    found = stores.docs().query({"uuid": {"$in": wanted}}, properties=["uuid", "output"])
    return {d["uuid"]: d["output"] for d in found if d["output"].get("reason") != "killed"}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", "cd is deprecated")  # jobflow 0.4.0 enters its folders by monty's `cd`
    warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True", UserWarning)  # chgnet's volumes
    raise SystemExit(main())
