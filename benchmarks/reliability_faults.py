"""Is any fault of a VASP run ever silent? Each is put into the stand-in and run by the one VASP job of valenceflow.

    python benchmarks/reliability.py --only messages --only faults

`messages`: all that custodian knows, each coming once (VASP starts well after a correction) and at every start.
*handled*: corrected, the run came to its end and its audit says what was done. *surfaced*: a FailureDoc with reason and
remedy, or a finding of the audit that names it. Otherwise SILENT. Beside that, INCAR and KPOINTS as they were written
are held against those that VASP ended with: a change of what decides energies that no finding names is counted.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STUBS = tempfile.TemporaryDirectory(prefix="valenceflow-stub-potcars-")
# Before atomate2 and pymatgen are imported: both read their settings once.
os.environ |= {"PMG_VASP_PSP_DIR": STUBS.name, "OMP_NUM_THREADS": "1"}

from custodian.vasp.handlers import FrozenJobErrorHandler, VaspErrorHandler  # noqa: E402
from jobflow import Flow, run_locally  # noqa: E402
from pymatgen.core import Structure  # noqa: E402
from pymatgen.io.vasp import Incar, Kpoints  # noqa: E402
from reliability_row import Row  # noqa: E402
from valenceflow.flows.idealised import audit_reference  # noqa: E402
from valenceflow.flows.rehearsal.command import rehearsal_command  # noqa: E402
from valenceflow.flows.rehearsal.messages import MESSAGES  # noqa: E402
from valenceflow.flows.rehearsal.potcars import write_stub_potcars  # noqa: E402
from valenceflow.flows.two_step import relax_maker  # noqa: E402
from valenceflow.inputs.charge_states import get_couple  # noqa: E402
from valenceflow.inputs.hosts import get_host  # noqa: E402
from valenceflow.inputs.substitution import charge_sites  # noqa: E402
from valenceflow.inputs.supercells import HostSupercell  # noqa: E402
from valenceflow.stores.connect import sqlite_stores  # noqa: E402
from valenceflow.stores.step_runs import StepRuns, step_runs  # noqa: E402

write_stub_potcars(Path(STUBS.name))

ENERGY_TAGS = (
    "ADDGRID", "EDIFF", "EDIFFG", "ENAUG", "ENCUT", "GGA", "ISMEAR", "ISPIN", "IVDW", "KGAMMA", "KSPACING", "LASPH",
    "LDAU", "LDAUJ", "LDAUL", "LDAUTYPE", "LDAUU", "LHFCALC", "LMAXMIX", "LREAL", "MAGMOM", "METAGGA", "NELECT",
    "NUPDOWN", "PREC", "ROPT", "SIGMA",
)  # fmt: skip
"""Tags that decide energies, written down here and not taken from the package."""

FACTS: dict[str, str] = {
    # fault: what must be found, a finding's code or a failure's reason
    "zbrent@once": "drift",
    "edddav": "vasp error",
    "brmix@once": "vasp error",
    "message:triple_product": "vasp error",
    "kill:2": "killed",
    "hang:2@once": "corrections",
    "truncated-vasprun": "outputs unreadable",
    "scf:2": "scf on the way",
    "scf:last": "vasp error",
    "nsw:2@once": "corrections",
    "wall-time:2": "stopped",
    "spin-flip": "ordering",
    "spin-flip:2": "ordering",
    "garbage-moments:nan": "moments",
    "garbage-moments:stars": "moments",
    "garbage-moments:huge": "moments",
    "garbage-moments:rows": "moments",
    "missing-contcar": "CONTCAR",
    "empty-contcar": "CONTCAR",
    "exit:3": "vasp error",
    "exit:3:2": "vasp error",
    "blow-up": "volume",
    "positive-energy@once": "corrections",
    "energy-jump@once": "corrections",
    "entropy@once": "drift",
}
"""Every fault that is known to happen, and what must say so."""


@dataclass
class Case:
    """One run: its documents, and its folder for a look of one's own."""

    runs: StepRuns
    folder: Path

    @property
    def last(self) -> Mapping[str, Any]:
        """The last document."""
        return self.runs.last

    @property
    def findings(self) -> list[Mapping[str, Any]]:
        """Of every run's audit."""
        documents = [d for d in self.runs.documents if d["document"] == "VaspStepDoc"]
        return [finding for document in documents for finding in document["audit"]["findings"]]


VACANT = 2
"""Sodium sites left out of the 28-atom cell."""


def half_filled(cell: HostSupercell) -> Structure:
    """Na2Fe4P4O16 with Fe3+ on the first two iron sites."""
    structure = cell.structure.copy()
    structure.remove_site_property("host_site")
    redox = [int(i) for i in cell.redox_sites]
    fixed = cell.host.oxidation_states
    states = {site: 3 if rank < 2 else 2 for rank, site in enumerate(redox)}
    charges = [states.get(i, fixed.get(site.specie.symbol)) for i, site in enumerate(structure)]
    structure.add_site_property("oxidation_state", charges)
    structure.remove_sites([int(i) for i in cell.working_sites[:VACANT]])
    return structure


def run_with(fault: str, folder: Path, continuations: int = 1) -> Case:
    """Run step 2 of the protocol with a fault in it."""
    cell = HostSupercell.build(get_host("olivine-NaFePO4"))
    structure, occupied = half_filled(cell), [i >= VACANT for i in range(len(cell.working_sites))]
    sites = charge_sites(structure, get_couple("Fe2+/Fe3+"))
    maker = relax_maker("relax")
    maker.max_continuations = continuations
    command = rehearsal_command("springs", fault)
    maker.run_vasp_kwargs |= {"vasp_cmd": command, "vasp_gamma_cmd": command}
    if fault.startswith("hang"):  # custodian's own patience is six hours
        others = [h for h in maker.run_vasp_kwargs["handlers"] if not isinstance(h, FrozenJobErrorHandler)]
        maker.run_vasp_kwargs["handlers"] = [*others, FrozenJobErrorHandler(timeout=2)]
        maker.run_vasp_kwargs["custodian_kwargs"] = {"polling_time_step": 0.2, "monitor_freq": 5}
    job = maker.make(structure, sites=sites, reference=audit_reference(cell, occupied))
    folder.mkdir()
    stores = sqlite_stores(folder / "store.sqlite")
    run_locally(Flow([job]), store=stores.job_store(), create_folders=True, root_dir=folder, log=False)
    runs = step_runs(stores.docs(), [job.uuid])[job.uuid]
    stores.close()
    return Case(runs, Path(runs.last["folder"].partition(":")[2]))


def outcome(case: Case, key: str) -> tuple[str, str]:
    """handled, surfaced or SILENT, and how."""
    last = case.last
    if last["document"] == "FailureDoc":
        told = " ".join([*last["corrections"], *last["last_lines"], last["message"]])
        named = key in told or any(text in told for text in MESSAGES[key].text.splitlines())
        return ("surfaced" if last["remedy"] and named else "SILENT"), f"failure: {last['reason']}"
    findings = [f for f in case.findings if key in f["message"]]
    codes = ", ".join(sorted({f["code"] for f in case.findings}))
    if not findings:
        return "SILENT", codes
    if not last["audit"]["passed"]:
        return "surfaced", f"audit failed: {codes}"
    return ("handled" if any(f["code"] == "corrections" for f in findings) else "surfaced"), codes


def unnoticed_changes(case: Case) -> list[str]:
    """What decides energies, changed between the first start and the last, and named by no finding."""
    if case.last["document"] != "VaspStepDoc":
        return []
    told = " ".join(finding["message"] for finding in case.findings if finding["code"] == "drift")
    before, after = (Incar.from_str(_text(case.folder, name)) for name in ("INCAR.orig", "INCAR"))
    tags = [tag for tag in ENERGY_TAGS if before.get(tag) != after.get(tag) and tag not in told]
    meshes = [Kpoints.from_str(_text(case.folder, name)) for name in ("KPOINTS.orig", "KPOINTS")]
    return tags + (["KPOINTS"] if meshes[0] != meshes[1] and "KPOINTS" not in told else [])


def _text(folder: Path, name: str) -> str:
    packed = folder / f"{name}.gz"
    return gzip.decompress(packed.read_bytes()).decode() if packed.exists() else (folder / name).read_text()


def message_rows(keys: list[str] | None = None) -> Iterator[Row]:
    """One row for each message, and their sums."""
    counts = {"handled": 0, "surfaced": 0, "SILENT": 0}
    ours, changed = 0, 0
    with tempfile.TemporaryDirectory(prefix="valenceflow-messages-") as name:
        for key in keys or sorted(MESSAGES):
            cases = [run_with(f"message:{key}{how}", Path(name) / f"{key}{how}") for how in ("@once", "")]
            found = [outcome(case, key) for case in cases]
            lost = sorted({tag for case in cases for tag in unnoticed_changes(case)})
            result = "SILENT" if any(verdict == "SILENT" for verdict, _ in found) else found[0][0]
            if key in VaspErrorHandler.error_msgs:
                counts[result] += 1
                ours += 1
            changed += len(lost)
            once, always = (f"{verdict} ({how})" for verdict, how in found)
            detail = f"once: {once}; at every start: {always}" + (f"; UNNOTICED: {lost}" if lost else "")
            yield Row("messages", key, result, detail, result != "SILENT" and not lost)
    detail = f"handled {counts['handled']}, surfaced {counts['surfaced']}; changes of the protocol unnoticed: {changed}"
    case, good = f"custodian's {ours} VASP messages", not counts["SILENT"] and not changed
    yield Row("messages", case, f"{counts['SILENT']} silent", detail, good)


def fault_row(fault: str, expected: str, folder: Path) -> Row:
    """One fault: found as what?"""
    case = run_with(fault, folder)
    last = case.last
    found = {finding["code"]: finding["message"] for finding in reversed(case.findings)}
    if last["document"] == "FailureDoc":
        found[last["reason"]] = last["message"]
    if len(case.runs.documents) > 1:
        found.setdefault("tried", f"gone on from {len(case.runs.documents) - 1} times")
    hit = next((code for code, text in found.items() if expected == code or expected in text), None)
    counts = last["document"] == "VaspStepDoc" and last["audit"]["passed"]
    end = "the result counts" if counts else "no result"
    detail = f"{hit}: {found[hit]}" if hit else f"found: {', '.join(found) or 'nothing'}"
    return Row("faults", fault, "detected" if hit else "MISSED", f"{detail[:150]} ({end})", hit is not None)


def fault_rows() -> Iterator[Row]:
    """One row for each fault, and how many were found."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="valenceflow-faults-") as name:
        for number, (fault, expected) in enumerate(FACTS.items()):
            rows.append(fault_row(fault, expected, Path(name) / str(number)))
            yield rows[-1]
    missed = sum(not row.good for row in rows)
    yield Row("faults", f"{len(rows)} faults of a run", f"{missed} missed", "", not missed)
