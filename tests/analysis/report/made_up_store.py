"""A store with made-up calculations (`..made_up`), as `run` leaves one: campaign, configurations, calculations."""

from valenceflow.stores.connect import sqlite_stores

from ..made_up import ENERGIES, FE, bits, calculation

SPRINGS = "rehearsal:springs"


def document(cell, working="3", charge="5", energy_mev=0.0, seed=0, **changes):
    """A calculation with all that a report reads."""
    made = calculation(cell, working, charge, energy_mev, seed)
    step = made["steps"]["relax"]
    step |= {"document": "VaspStepDoc", "couple": FE.model_dump(mode="json"), "folder": "vm:/somewhere"}
    step["achieved"] |= {"relation": "kept", "gap": 0.5, "reason": ""}
    where = {parent: place for place, parent in enumerate(step["site_order"])}
    made |= {
        "attempt": 1, "formula_units": 4, "n_runs": {"surrogate relax": 1, "relax": 1},
        "audit": {"passed": True, "findings": []}, "max_force": 0.02,
        "volume_per_fu": 75.0, "engine_version": "6.4", "working_strata": ["all"], "elapsed_s": None,
        "magmoms_redox": [step["magmoms"][where[site]] for site in step["redox_sites"]], "core_hours": None,
    }  # fmt: skip
    return made | changes


def failed(cell, working="3", charge="9", message="it broke", **changes):
    """A calculation whose first step failed."""
    step = {
        "document": "FailureDoc", "reason": "killed", "message": message, "remedy": "mend it", "folder": "vm:/broken",
        "step": "surrogate relax",
    }  # fmt: skip
    fields = {
        "steps": {"surrogate relax": step}, "n_runs": {"surrogate relax": 1},
        "state": "failed", "relation": "not read", "counts": False,
        "achieved_key": None, "energy": None, "energy_per_fu": None, "magmoms_redox": None, "max_force": None,
        "audit": {"passed": False, "findings": [{"code": "killed", "severity": "failure", "message": message}]},
    }  # fmt: skip
    return document(cell, working, charge, **fields | changes)


def lost(cell, working="3", charge="6", **changes):
    """A calculation whose ordering moved to another site."""
    made = document(cell, working, charge, -70.0)
    made["steps"]["relax"]["achieved"]["is_high"] = bits("3")
    return made | {"relation": "moved", "counts": False, "achieved_key": f"{working}.3"} | changes


def configuration(made, cell):
    working, charge = made["intended_key"].split(".")
    return {
        "configuration_id": made["configuration_id"], "campaign": made["campaign"], "engine": made["engine"],
        "fraction": made["fraction"], "joint_key": made["intended_key"], "host": made["host"], "host_hash": "h",
        "supercell": [list(row) for row in cell.matrix], "working_bits": bits(working), "charge_bits": bits(charge),
        "couple": FE.name, "working_ion": "Na", "formula": "Na2Fe4P4O16", "n_atoms": 26, "formula_units": 4,
        "working_multiplicity": 1,
    }  # fmt: skip


def olivine_calculations(cell):
    """Both end members and four orderings at 1/2 and 3/4, lowest `3.3` with -60 meV per formula unit."""
    return [document(cell, *keys, energy, seed) for seed, (keys, energy) in enumerate(ENERGIES.items())]


def write_store(path, cell, calculations):
    """Fill a store.sqlite; returns its stores."""
    stores = sqlite_stores(path)
    host = cell.host.model_dump(exclude={"structure"}, mode="json") | {"structure": cell.host.structure.as_dict()}
    for name in sorted({made["campaign"] for made in calculations}):
        stores.collection("campaigns").update(
            [{"campaign": name, "host": host, "supercell": [list(row) for row in cell.matrix]}]
        )
    stores.collection("configurations").update([configuration(made, cell) for made in calculations])
    stores.collection("calculations").update(calculations)
    return stores
