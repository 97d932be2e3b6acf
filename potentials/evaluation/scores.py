"""Documents of an evaluation: what a model's scores are, comparable between models on one data set. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Start = Literal["ideal", "rattled", "first"]
Judge = Literal["moments", "judge", "bond valences"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorScore(_Document):
    """Error of one target over a group of frames or atoms."""

    target: str = Field(description="energy (per atom), forces and stress (components), magmoms (absolute), charges")
    group: str = Field(description="all, or what is grouped: composition, step, species")
    value: str = Field(default="", description="which composition, step or species, e.g. Fe3+")
    n: int = Field(description="numbers compared")
    mae: float
    rmse: float
    unit: str
    baseline: float | None = Field(
        default=None, description="mae of a constant in the model's place (`potentials.baseline`); None in old files"
    )


class RankScore(_Document):
    """One ranking of structures held against the reference's."""

    n: int
    spearman: float | None = Field(description="average ranks; None where it is not defined")
    kendall: float | None = Field(description="tau-b, ties counted; None where it is not defined")
    mae: float | None = Field(description="of energies relative to the reference structure's, over the others, eV")
    mae_centred: float | None = Field(description="of energies relative to their mean, eV per cell")


class Ranking(_Document):
    """Relative energies of one group of orderings (paper Tables 1 and 2)."""

    group: str = Field(description="one working-ion ordering, or one composition")
    start: Start | Literal["published"]
    names: list[str]
    reference: str = Field(description="structure that energies are relative to")
    reference_energies: list[float] = Field(description="relative, eV per cell")
    energies: list[float] = Field(description="of the model, relative, eV per cell")
    with_reference: RankScore
    without_reference: RankScore
    reference_lowest: bool = Field(description="the model has no structure below the reference")
    formula_units: int | None = Field(default=None, description="of the cell; None where they are not known")


class MomentSet(_Document):
    """Moments of redox sites against the reference's (paper Fig. 5), muB, absolute."""

    kind: Literal["reference first", "first", "relaxed", "at reference"] = Field(
        description="reference first: the reference's own at its first frame; first: the model's there; relaxed: the "
        "model's at its own minimum; at reference: the model's at the reference's minimum"
    )
    reference: list[float]
    model: list[float]
    high: list[bool] = Field(description="sites that the reference has in the high state")
    mae: float | None
    confusion: list[list[int]] | None = Field(
        description="[[low told low, low told high], [high told low, high told high]]: rows the reference, columns the "
        "model's n_high most outlying moments, modulo symmetry; mixed cells only"
    )


class Achieved(_Document):
    """How many orderings came out as told (facts: the most telling number)."""

    start: Start
    judge: Judge = Field(description="the model's own moments, another potential's (`judge`), or bond valences")
    n: int = Field(description="mixed-valence structures whose relaxation converged")
    achieved: int = Field(description="same ordering, modulo symmetry")
    undecided: int = Field(description="no ordering could be read")
    unconverged: int = Field(description="structures left out, as their relaxation did not converge")


class ContinuedReference(_Document):
    """One structure relaxed on, under the potential that made the reference, from the model's minimum."""

    start: Start
    structure: str
    state: str = Field(description="of that relaxation: converged, unconverged, runaway or failed")
    higher_mev_per_fu: float | None = Field(description="than the reference's energy, meV per formula unit")
    same_ordering: bool | None = Field(description="as the reference's, modulo symmetry; None: could not be read")
    reference_is_minimum: bool | None = Field(
        description="False: the same ordering lies lower by more than 5 meV/f.u.; None: another ordering, or no minimum"
    )


class HullScore(_Document):
    """Relative energies over all compositions (paper Eq. 1, Fig. 6), meV per formula unit."""

    start: Start
    n: int
    names: list[str]
    fractions: list[float]
    reference: list[float]
    model: list[float]
    mae: float
    rmse: float
    largest: float = Field(description="largest residual, absolute")
    stable_reference: list[str] = Field(description="structures on the reference's hull")
    stable_model: list[str]


class EmbeddingScore(_Document):
    """How the last layer tells charge states apart (paper Fig. 8)."""

    structure: str
    layer: str
    species: list[str] = Field(description="(n_atoms,) e.g. Fe3+")
    points: list[list[float]] = Field(description="(n_atoms, 2) two leading principal components of redox sites")
    explained: list[float] = Field(description="share of the variance along each")
    silhouette: float | None = Field(description="of the states in all dimensions, -1 to 1; None for one state")
    silhouette_2d: float | None
    nearest_centroid: float | None = Field(description="share of sites nearest to their own state's centroid, left out")


class ReachedOrdering(_Document):
    """Where the reference's lowest mixed structure went under the model, and its ordering there (Fig. 7)."""

    structure: str
    start: Start
    symbols: list[str] = Field(description="(n_atoms,) real elements of the model's minimum")
    lattice: list[list[float]] = Field(description="(3, 3) rows are cell vectors, A")
    frac_coords: list[list[float]] = Field(description="(n_atoms, 3)")
    redox_atoms: list[int] = Field(description="(n_redox,) in host order")
    reference_symbols: list[str] = Field(description="of the reference; on the host's sites where starts are ideal")
    reference_lattice: list[list[float]]
    reference_frac_coords: list[list[float]]
    reference_redox_atoms: list[int]
    told: list[bool] = Field(description="(n_redox,) sites that the reference has in the high state")
    high: list[bool] | None = Field(description="(n_redox,) sites that the model has there; None: could not be read")
    states: list[str] = Field(description="names of the low and the high state, e.g. Fe2+, Fe3+")
    judge: Judge
    relation: Literal["kept", "equivalent", "moved", "not read"] = Field(
        description="to the reference's ordering; equivalent: a symmetry image of it"
    )


class ModelScores(_Document):
    """All scores of one model (or ensemble) on one data set: `scores.json`."""

    document: Literal["ModelScores"] = "ModelScores"
    version: int = 1
    model: str
    kind: str = Field(default="", description="chgnet, mace or cpainn: what models with and without states share")
    model_fingerprint: str
    charge_states: bool
    data_set: str
    data_set_checksum: str
    engine: str
    protocol: str = Field(default="", description="of the data set; empty where it does not say")
    side: str
    settings: dict[str, object] = Field(description="starts, rattle, seed, fmax, steps")
    errors: list[ErrorScore]
    rankings: list[Ranking]
    achieved: list[Achieved]
    moments: list[MomentSet]
    hull: list[HullScore]
    embeddings: list[EmbeddingScore]
    reached: list[ReachedOrdering] = Field(default_factory=list)
    continued: list[ContinuedReference] = Field(default_factory=list)
    left_out: dict[str, int] = Field(description="reason -> structures or frames that no score could take")


def read_scores(path: Path) -> ModelScores:
    """Scores that `valenceflow evaluate` wrote.

    Raises
    ------
    ValueError
        If the file is missing, or holds something else.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `valenceflow evaluate` writes scores.json")
    try:
        return ModelScores.model_validate_json(path.read_bytes())
    except ValidationError as err:
        first = err.errors()[0]
        where = f" ({'.'.join(map(str, first['loc']))}: {first['msg']})" if first["loc"] else ""
        raise ValueError(
            f"{path}: holds no scores of a model{where}; take a scores.json that `evaluate` wrote"
        ) from err
