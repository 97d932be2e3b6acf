"""What tests of several rooms share: the rehearsal's environment, olivine structures, and flows run on `springs`.

The stand-in is chosen here, before atomate2 and pymatgen are imported anywhere: both read their settings once.
"""

import atexit
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from valenceflow.flows.rehearsal.command import rehearsal_command

STUB_POTCARS = Path(tempfile.mkdtemp(prefix="valenceflow-stub-potcars-"))
atexit.register(shutil.rmtree, STUB_POTCARS, ignore_errors=True)

os.environ.update(
    OMP_NUM_THREADS="1",
    ATOMATE2_VASP_CMD=rehearsal_command("springs"),
    ATOMATE2_VASP_GAMMA_CMD=rehearsal_command("springs"),
    PMG_VASP_PSP_DIR=str(STUB_POTCARS),
)
# A shell without job control has its background processes ignore Ctrl-C, and they hand that on to all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast a machine draws examples says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# A person's own settings must not decide what a test sees.
for name in ("JOBFLOW_CONFIG_FILE", "ATOMATE2_CONFIG_FILE", "VALENCEFLOW_REHEARSAL_ENGINE"):
    os.environ.pop(name, None)


def pytest_ignore_collect(collection_path, config):
    """Of a run of slow tests, files that have none are not imported: each process would spend half a minute on it."""
    if not config.getoption("markexpr").startswith("slow") or collection_path.suffix != ".py":
        return None
    return True if "mark.slow" not in collection_path.read_text() else None


def pytest_collection_modifyitems(items):
    """What takes minutes comes first, or one process would be left with it at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/flows/gpaw/", "tests/examples/")))


@dataclass
class Rehearsed:
    """A flow that was run: its stores, its jobs' documents (by step) and their folders."""

    stores: Any
    documents: dict[str, Any]
    folders: dict[str, Path]
    root: Path


@pytest.fixture(scope="session")
def stub_potcars():
    """Folder of stub POTCARs, already in the settings that pymatgen read."""
    from valenceflow.flows.rehearsal.potcars import write_stub_potcars

    return write_stub_potcars(STUB_POTCARS)


@pytest.fixture(scope="session")
def rehearse(stub_potcars):
    """Function that runs a flow by jobflow's local manager on the `springs` stand-in, with our SQLite stores."""
    from jobflow import run_locally
    from valenceflow.stores.connect import sqlite_stores

    def run(flow, folder, may_fail=False, **options):
        stores = sqlite_stores(folder / "store.sqlite")
        responses = run_locally(
            flow, store=stores.job_store(), create_folders=True, root_dir=folder, log=False, **options
        )
        done = [response for attempts in responses.values() for response in attempts.values()]
        documents = {response.output.step: response.output for response in done}
        failures = [document for document in documents.values() if document.document == "FailureDoc"]
        assert may_fail or not failures, [failure.exception for failure in failures]
        folders = {response.output.step: Path(response.job_dir) for response in done}
        return Rehearsed(stores, documents, folders, folder)

    return run


@pytest.fixture(scope="session")
def olivine():
    """The 28-atom olivine cell with all four sodium sites filled."""
    from valenceflow.inputs.hosts import get_host
    from valenceflow.inputs.supercells import HostSupercell

    return HostSupercell.build(get_host("olivine-NaFePO4"))


@pytest.fixture(scope="session")
def half_filled(olivine):
    """Function that makes the 26-atom cell at x = 1/2 with two high states; `high` counts among the redox sites."""

    def make(high=(0, 1), vacancies=(0, 1), element="Fe", charges=(2, 3), decorated=False):
        structure = olivine.structure.copy()
        structure.remove_site_property("host_site")
        redox = [int(i) for i in olivine.redox_sites]
        states = {site: charges[rank in high] for rank, site in enumerate(redox)}
        structure.replace_species({"Fe": element})
        if decorated:
            for site, state in states.items():
                structure[site] = f"{element}{state}+"
        else:
            fixed = olivine.host.oxidation_states
            charge = [states.get(i, fixed.get(site.specie.symbol)) for i, site in enumerate(structure)]
            structure.add_site_property("oxidation_state", charge)
        structure.remove_sites([int(olivine.working_sites[i]) for i in vacancies])
        return structure

    return make


CAMPAIGN = {
    "name": "small",
    "host": "olivine-NaFePO4",
    "supercell": [1, 1, 1],
    "couple": "Fe2+/Fe3+",
    "working_ion": {"Na": {"fraction": "1/2", "orderings": {"all": True}}},
    "charge": {"all": True},
}


@pytest.fixture(scope="session")
def write_campaign():
    """Function that writes a campaign file: the small olivine cell at x = 1/2, fields changed or (None) left out."""
    import yaml

    def write(folder, file_name="campaign.yaml", **changes):
        fields = {name: value for name, value in {**CAMPAIGN, **changes}.items() if value is not None}
        path = folder / file_name
        path.write_text(yaml.safe_dump(fields, sort_keys=False))
        return path

    return write


@pytest.fixture(scope="session")
def cif_with_charges():
    """Function that writes a structure with decorated species (all of them charged) as a CIF."""
    from pymatgen.io.cif import CifWriter

    def write(structure, path):
        decorated = structure.copy()
        charges = decorated.site_properties.get("oxidation_state")
        if charges is not None:
            decorated.add_oxidation_state_by_site(charges)
            decorated.remove_site_property("oxidation_state")
        decorated.relabel_sites()
        CifWriter(decorated).write_file(path)
        return path

    return write
