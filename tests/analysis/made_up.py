"""A small olivine campaign and scores of models, made up: structures on the host's sites, energies that are told."""

import numpy as np
from valenceflow.analysis.campaign_results import CampaignResults
from valenceflow.inputs.charge_states import get_couple
from valenceflow.potentials.evaluation.hull import HullPoint, hull_score
from valenceflow.potentials.evaluation.rankings import rank_structures
from valenceflow.potentials.evaluation.scores import EmbeddingScore, ModelScores, MomentSet, ReachedOrdering

FE = get_couple("Fe2+/Fe3+")
METAL = {
    "reference_id": "r", "element": "Na", "crystal": "bcc Na", "energy_per_atom": -1.31, "counts": True,
    "engine": "rehearsal:springs", "of_protocol_hash": "p",
}  # fmt: skip
FULL, EMPTY = -46.0, -42.0
ENERGIES = {
    ("f", "0"): 0.0, ("0", "f"): 0.0, ("3", "3"): -60.0, ("3", "5"): -20.0, ("3", "6"): 15.0, ("7", "1"): 5.0,
}  # fmt: skip
"""(sodium, charges) of the 28-atom cell in hexadecimal -> meV per formula unit from the line between the ends."""


def bits(text):
    return [bool(int(text, 16) >> place & 1) for place in (3, 2, 1, 0)]


def calculation(cell, working, charge, energy_mev, seed=0, **changes):
    """A calculation document whose sites are in a shuffled order, as VASP's need not be ours."""
    occupied, high = bits(working), bits(charge)
    structure = cell.structure.copy()
    structure.remove_sites(cell.working_sites[~np.array(occupied)].tolist())
    where = {site: place for place, site in enumerate(structure.site_properties["host_site"])}
    redox = [where[int(site)] for site in cell.redox_sites]
    order = np.random.default_rng(seed).permutation(len(structure)).tolist()
    moments = np.zeros(len(structure))
    moments[redox] = np.where(high, 4.33, 3.77)
    x = sum(occupied) / 4
    energy = x * FULL + (1 - x) * EMPTY + energy_mev / 1000
    step = {
        "structure": {
            "lattice": {"matrix": structure.lattice.matrix.tolist()},
            "sites": [
                {"species": [{"element": structure[i].specie.symbol}], "abc": structure[i].frac_coords.tolist()}
                for i in order
            ],
        },
        "site_order": order,
        "redox_sites": redox,
        "achieved": {"is_high": high},
        "magmoms": moments[order].tolist(),
        "first_magmoms": (0.98 * moments[order]).tolist(),
    }
    key = f"{working}.{charge}"
    document = {
        "calculation_id": f"{key}-1", "configuration_id": key, "campaign": "made-up", "latest": True, "host": "olivine",
        "engine": "rehearsal:springs", "protocol": "paper-2026", "protocol_hash": "p", "fraction": x,
        "working_key": working, "intended_key": key, "achieved_key": key, "relation": "kept", "state": "completed",
        "counts": True, "energy_per_fu": energy, "energy": 4 * energy, "n_high": sum(high), "strata": ["all"],
        "in_statistics": True, "multiplicity": 1, "sample_weight": None, "steps": {"relax": step},
        "working_bits": occupied,
    }  # fmt: skip
    return {**document, **changes}


def campaign(cell, **changes):
    documents = [calculation(cell, *keys, energy, seed) for seed, (keys, energy) in enumerate(ENERGIES.items())]
    return CampaignResults("made-up", cell, FE, documents, "rehearsal:springs, protocol paper-2026", **changes)


NAMES = ["full", "empty", "a", "b", "c", "quarter"]
X = [1.0, 0.0, 0.5, 0.5, 0.5, 0.75]
REFERENCE = [-46.0, -42.0, -44.06, -44.02, -43.985, -44.995]


def scores(model, kind, charge_states, wrong_by=0.0, **changes):
    """Scores of a model whose energies are the reference's but for the three at x = 1/2, shifted by 0, 1, 2 times."""
    energies = [e + wrong_by * n for e, n in zip(REFERENCE, [0, 0, 0, 1, 2, 0], strict=True)]
    points = [HullPoint(*row) for row in zip(NAMES, X, REFERENCE, energies, strict=True)]
    group = slice(2, 5)
    ranking = rank_structures(
        "Na2Fe4P4O16", "ideal", NAMES[group], np.array(REFERENCE[group]) * 4, np.array(energies[group]) * 4
    )
    moments = [
        MomentSet(kind=k, reference=[3.77, 4.33], model=[3.8, m], high=[False, True], mae=0.1, confusion=None)
        for k, m in (("reference first", 4.30), ("first", 4.0), ("relaxed", 4.1), ("at reference", 4.2))
    ]
    embedding = EmbeddingScore(
        structure="a", layer="last", species=["Fe2+", "Fe3+"] * 2, points=[[0, 0], [1, 1], [0, 0.1], [1, 1.1]],
        explained=[0.9, 0.1], silhouette=0.8, silhouette_2d=0.8, nearest_centroid=1.0,
    )  # fmt: skip
    cell, sites = np.diag([10.0, 6.0, 5.0]).tolist(), [[0.25, 0.25, 0.1], [0.75, 0.75, 0.9], [0.1, 0.5, 0.5]]
    reached = ReachedOrdering(
        structure="a", start="ideal", symbols=["Fe", "Fe", "O"], lattice=cell, frac_coords=sites, redox_atoms=[0, 1],
        reference_symbols=["Fe", "Fe", "O"], reference_lattice=cell, reference_frac_coords=sites,
        reference_redox_atoms=[0, 1], told=[True, False], states=["Fe2+", "Fe3+"],
        high=[True, False] if charge_states else [False, True], judge="moments",
        relation="kept" if charge_states else "equivalent",
    )  # fmt: skip
    fields = {
        "model": model, "kind": kind, "model_fingerprint": model, "charge_states": charge_states, "data_set": "set",
        "data_set_checksum": "c", "engine": "rehearsal:springs", "protocol": "paper-2026", "side": "all",
        "settings": {}, "errors": [], "rankings": [ranking], "achieved": [], "moments": moments,
        "hull": [hull_score("ideal", points)], "embeddings": [embedding], "reached": [reached], "left_out": {},
    }  # fmt: skip
    return ModelScores(**{**fields, **changes})


def four_scores():
    return [
        scores("chgnet-plain", "chgnet", False, 0.05), scores("chgnet-states", "chgnet", True, 0.01),
        scores("mace-plain", "mace", False, -0.1), scores("mace-states", "mace", True, 0.002),
    ]  # fmt: skip
