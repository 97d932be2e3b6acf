"""`make study-dft`: what decides whether DFT keeps the intended charge order. One GPAW calculation at a time.

(a) GPAW's own start (`atoms`) against `ionic d1`, at gallium and at ideal geometries.
(b) Relaxations: ideal geometry and own start; gallium geometry and own start; ideal geometry and ionic start; both.
(c) Cutoff and k-points on two orderings.
(d) U on scaled and on unscaled d occupations.

Gallium geometries are pretrained CHGNet's, as in `make demo-dft`. Can be stopped at any moment: what is finished is in
the store and is not run again; a single calculation that was cut off begins anew.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from demo_dft import HERE, Point, gallium_points, rehearse
from jobflow import Flow, run_locally
from study_frames import export_frames, say_protocol, take_frames
from study_results import row, write_study
from valenceflow.flows.campaign import unrelaxed
from valenceflow.flows.campaign_file import Campaign
from valenceflow.flows.gpaw.command import find_gpaw, gpaw_problems
from valenceflow.flows.gpaw.maker import GpawStepMaker
from valenceflow.flows.starting_cell import starting_reference
from valenceflow.inputs.protocol import Protocol, load_protocol
from valenceflow.stores.connect import STORE_FILE, Stores, sqlite_stores
from valenceflow.stores.documents import StepIntent

CAMPAIGN = "study-dft"
CUTOFF = 350.0
"""Plane waves up to this, eV, where the cutoff is not the question."""
MAX_FORCE = 0.1
"""eV/A; coarse: the question is what becomes of the order on the way."""
_NAMESPACE = uuid.UUID("6f0c6a7e-7b0e-5a55-8f0b-1c57f5ff8a10")


@dataclass(frozen=True)
class Run:
    """One calculation of the study.

    Attributes
    ----------
    part : of the study, a to d.
    key : joint key of the ordering.
    geometry : gallium or ideal.
    start : of the SCF.
    cutoff : eV.
    mesh : Gamma-centred k-mesh.
    scale_u : whether U acts on scaled occupations.
    steps : ionic steps at most; 0 is a single point. The cell stays fixed.
    """

    part: str
    key: str
    geometry: str
    start: str = "ionic d1"
    cutoff: float = CUTOFF
    mesh: tuple[int, int, int] = (1, 1, 1)
    scale_u: bool = True
    steps: int = 0

    @property
    def uuid(self) -> str:
        """Fixed beforehand, so that a second run finds what is done; the part that asks for a run is not in it."""
        return str(uuid.uuid5(_NAMESPACE, repr(sorted(asdict(replace(self, part="")).items()))))

    @property
    def relaxation(self) -> Run:
        """The relaxation that begins like this run."""
        return replace(self, steps=STEPS)

    @property
    def label(self) -> str:
        """For people."""
        mesh = " ".join(map(str, self.mesh))
        u = "" if self.scale_u else ", U not scaled"
        kind = f"{self.steps} ionic steps" if self.steps else "single point"
        return f"({self.part}) {self.key} {self.geometry}, {self.start}, {self.cutoff:g} eV, k {mesh}{u}: {kind}"


FEW = ("5.6", "3.5", "3.3", "6.5")
"""Lowest of all; two of the sodium order whose SCFs slosh, one of which CHGNet loses; lowest by electrostatics."""
STARTS = ("ionic d1", "atoms")
PAIR = ("5.6", "6.5")
"""Whose difference is followed over cutoffs and k-points."""
ROUTES = (("ideal", "atoms"), ("ideal", "ionic d1"), ("gallium", "atoms"), ("gallium", "ionic d1"))
STEPS = 5
"""Ionic steps of a relaxation; few, as each costs as much as half a single point."""


def plan(keys: list[str]) -> list[Run]:
    """Every calculation, those that answer most first.

    Parameters
    ----------
    keys : joint keys of all orderings.
    """
    on_gallium, on_ideal = (
        [Run("a", key, geometry, start) for key in FEW for start in STARTS] for geometry in ("gallium", "ideal")
    )
    relaxed = [Run("b", FEW[0], geometry, start, steps=STEPS) for geometry, start in ROUTES]
    by_cutoff = [Run("c", key, "gallium", cutoff=cutoff) for cutoff in (500.0, 400.0) for key in PAIR]
    by_mesh = [Run("c", key, "gallium", mesh=(1, 2, 2)) for key in PAIR]
    unscaled = [Run("d", key, "gallium", scale_u=False) for key in FEW[:3]]
    others = [Run("a", key, "gallium") for key in keys if key not in FEW]
    first = [*on_gallium[:4], *relaxed[:2], Run("a", PAIR[1], "gallium"), *by_cutoff[:2], unscaled[0], *relaxed[2:]]
    wanted = [*first, *unscaled, *on_gallium, *on_ideal, *by_cutoff, *others, *by_mesh]
    return list(dict.fromkeys(wanted))


def protocol_of(run: Run) -> Protocol:
    """gpaw-quick with what the run asks for; its SCF start is the maker's, so that runs of one physics stay one set."""
    fields = load_protocol("gpaw-quick").model_dump()
    fields["name"] = CAMPAIGN
    fields["gpaw"] |= {"cutoff": run.cutoff, "scale_u": run.scale_u}
    fields["gpaw"]["limits"] |= {"steps": max(run.steps, 1)}
    fields["relax"] |= {"ISIF": 2, "EDIFFG": -MAX_FORCE}
    if run.mesh != (1, 1, 1):
        fields["gpaw"]["k_mesh"] = "as the protocol"
        lengths = tuple(10.0 / n for n in run.mesh)
        fields["k_mesh"] |= {"rule": "fixed", "mesh": run.mesh, "cell_lengths": lengths, "length": 10.0}
    return Protocol.model_validate(fields)


def documents(runs: list[Run], stores: Stores) -> dict[Run, dict[str, Any]]:
    """What is known of runs; a relaxation's first geometry is its single point, one that was cut off is run again."""
    asked = {**{run.relaxation.uuid: run for run in runs}, **{run.uuid: run for run in runs}}
    found = stores.docs().query({"uuid": {"$in": list(asked)}}, properties=["uuid", "output"])
    outputs = {d["uuid"]: d["output"] for d in found if d["output"].get("reason") != "killed"}
    answers = {run: outputs.get(run.uuid, outputs.get(run.relaxation.uuid)) for run in runs}
    return {run: answer for run, answer in answers.items() if answer is not None}


def calculate(run: Run, point: Point, campaign: Campaign, stores: Stores, folder: Path) -> None:
    """One calculation, its document and frames into the store."""
    ideal, sites = unrelaxed(campaign, point.configuration)
    structure, order = (ideal, None) if run.geometry == "ideal" else (point.structure, point.site_order)
    maker = GpawStepMaker(
        name=run.label,
        step="relax" if run.steps else "static",
        protocol=protocol_of(run),
        k_mesh=run.mesh,
        starts=(run.start,),
        max_continuations=0,
    )
    identity = point.configuration.configuration_id
    intent = StepIntent(campaign=CAMPAIGN, configuration_id=identity, tags=asdict(run))
    job = maker.make(
        structure, sites=sites, site_order=order, reference=starting_reference(ideal, sites), intent=intent
    )
    job.set_uuid(run.uuid)
    runs = folder / "runs" / run.uuid[:8]
    runs.mkdir(parents=True, exist_ok=True)
    run_locally(Flow([job]), store=stores.job_store(), create_folders=True, root_dir=runs, log=False)


def main() -> int:
    """Run what is missing; returns 0 if every calculation has a document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=HERE.parents[1] / "demo-dft")
    parser.add_argument("--results", type=Path, help="also write the table here (docs/gpaw)")
    parser.add_argument("--data-set", type=Path, help="also export every frame there, with its card")
    parser.add_argument("--part", choices="abcd", help="this part alone")
    parser.add_argument("--limit", type=int, help="run at most so many calculations")
    options = parser.parse_args()
    problems = gpaw_problems(load_protocol("gpaw-quick").gpaw, {"Na", "Fe", "P", "O"})
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 2
    campaign = rehearse(options.folder)
    points = {point.configuration.joint_key: point for point in gallium_points(campaign)}
    runs = [run for run in plan(list(points)) if options.part in (None, run.part)]
    folder = options.folder / "study"
    folder.mkdir(exist_ok=True)
    stores = sqlite_stores(folder / STORE_FILE)
    for _ in range(len(runs) if options.limit is None else options.limit):
        todo = [run for run in runs if run not in documents(runs, stores)]
        if not todo:
            break
        print(f"{len(todo)} of {len(runs)} calculations to do; now {todo[0].label}", flush=True)
        calculate(todo[0], points[todo[0].key], campaign, stores, folder)
    done = documents(runs, stores)
    rows = [row(run, points[run.key], done.get(run)) for run in runs]
    for place in filter(None, [folder, options.results]):
        write_study(rows, settings(), place)
    if options.data_set is not None:
        protocol = protocol_of(runs[0])
        say_protocol(campaign, protocol, stores)
        take_frames({run.uuid: run for run in runs}, points, campaign, stores)
        stores.close()
        export_frames(folder / STORE_FILE, protocol, options.data_set)
    return 0 if len(done) == len(runs) else 1


def settings() -> dict[str, Any]:
    """Under which the numbers are made, beside what each run says of itself."""
    quick = load_protocol("gpaw-quick")
    assert quick.gpaw is not None
    return {
        "GPAW": find_gpaw().version,
        "protocol": quick.name,
        "plane waves up to (eV)": CUTOFF,
        "force limit (eV/A)": MAX_FORCE,
        "hops": quick.gpaw.limits["hops"],
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", "cd is deprecated")  # jobflow 0.4.0 enters its folders by monty's `cd`
    raise SystemExit(main())
