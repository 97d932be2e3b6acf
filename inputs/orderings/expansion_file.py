"""A fitted expansion as a JSON file: what it was fitted for, its clusters with their energies, and how good it is.

The file names host, supercell and couple by their content, so that an expansion is never used where it does not belong,
and each orbit of clusters by one member, so that a reader can see what was learned. Reading runs no code.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..charge_states import RedoxCouple
from ..supercells import HostSupercell
from ..whole_files import written_whole
from ..yaml_files import first_problem
from .clusters import Clusters
from .expansion import ClusterExpansion

FORMAT: Literal["valenceflow cluster expansion"] = "valenceflow cluster expansion"
VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClusterOrbit(_Strict):
    """Equivalent clusters and what each of them adds."""

    sites: tuple[int, ...] = Field(description="one member: sites counted over working ions, then redox, host order")
    members: int = Field(description="clusters in the orbit")
    coefficient: float = Field(description="eV per cluster and product of (bit - mean occupation)")


class ExpansionFile(_Strict):
    """The file's fields."""

    format: Literal["valenceflow cluster expansion"] = FORMAT
    version: Literal[1] = 1
    content_hash: str = Field(default="", description="of all other fields; tells a damaged or edited file")
    host: str
    host_hash: str
    supercell: tuple[tuple[int, int, int], ...] = Field(description="rows are supercell vectors in host vectors")
    couple: str
    couple_hash: str
    source: str = Field(description="whose energies were fitted")
    pair_cutoff: float | None = Field(description="A; null: every pair")
    triplet_cutoff: float | None = Field(description="A; null: no triplets")
    mean_working: float = Field(description="mean occupation taken off working-ion bits")
    mean_redox: float = Field(description="mean occupation taken off charge bits")
    intercept: float = Field(description="eV per supercell")
    orbits: tuple[ClusterOrbit, ...]
    ridge: float
    cv_error: float = Field(description="cross-validated error, eV per supercell")
    cv_spearman: float | None
    fit_error: float = Field(description="eV per supercell")
    spread: float = Field(description="standard deviation of the energies fitted, eV per supercell")
    n_orderings: int
    n_distinct: int
    folds: int

    @model_validator(mode="after")
    def _undamaged(self) -> Self:
        if self.content_hash and self.content_hash != self.hash_of_content():
            raise ValueError("its content does not have the hash it was written with: it was damaged or edited")
        return self

    def hash_of_content(self) -> str:
        """Hash of all fields but the hash itself."""
        content = self.model_dump(mode="json", exclude={"content_hash"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_expansion(expansion: ClusterExpansion, path: Path) -> None:
    """Write an expansion as JSON; the file appears when it is whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    cell, clusters, n = expansion.cell, expansion.clusters, len(expansion.cell.working_sites)
    file = ExpansionFile(
        host=cell.host.name,
        host_hash=cell.host.content_hash,
        supercell=cell.matrix,
        couple=expansion.couple.name,
        couple_hash=expansion.couple.content_hash,
        source=expansion.source,
        pair_cutoff=clusters.pair_cutoff,
        triplet_cutoff=clusters.triplet_cutoff,
        mean_working=float(expansion.means[0]),
        mean_redox=float(expansion.means[n]),
        intercept=expansion.intercept,
        orbits=tuple(
            ClusterOrbit(sites=sites, members=members, coefficient=float(value))
            for (sites, members), value in zip(_orbits(clusters), expansion.coefficients, strict=True)
        ),
        ridge=expansion.ridge,
        cv_error=expansion.cv_error,
        cv_spearman=None if np.isnan(expansion.cv_spearman) else expansion.cv_spearman,
        fit_error=expansion.fit_error,
        spread=expansion.spread,
        n_orderings=expansion.n_orderings,
        n_distinct=expansion.n_distinct,
        folds=expansion.folds,
    )
    whole = file.model_copy(update={"content_hash": file.hash_of_content()})
    with written_whole(path) as partial:
        partial.write_text(whole.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load_expansion(path: Path, cell: HostSupercell, couple: RedoxCouple) -> ClusterExpansion:
    """Read an expansion back for the supercell and couple that it was fitted for.

    Parameters
    ----------
    path : written by `save_expansion`.
    cell, couple : where it is to be used.

    Returns
    -------
    The expansion; its energies are those of the one that was saved, to the last bit.

    Raises
    ------
    ValueError
        If the file is missing, damaged, of another kind or of a newer version, or belongs to another host, supercell
        or couple; both are named.
    """
    file = _parsed(path)
    _check_place(file, path, cell, couple)
    clusters = Clusters(cell, file.pair_cutoff, file.triplet_cutoff)
    expected = [(orbit.sites, orbit.members) for orbit in file.orbits]
    if expected != _orbits(clusters):
        raise ValueError(f"{path}: its clusters are not those of {cell.host.name} any more; fit it again")
    n = len(cell.working_sites)
    means = np.where(np.arange(n + len(cell.redox_sites)) < n, file.mean_working, file.mean_redox)
    coefficients = np.array([orbit.coefficient for orbit in file.orbits])
    return ClusterExpansion(
        cell=cell,
        couple=couple,
        polynomial=clusters.polynomial(file.intercept, coefficients, means),
        clusters=clusters,
        intercept=file.intercept,
        coefficients=coefficients,
        means=means,
        ridge=file.ridge,
        cv_error=file.cv_error,
        cv_spearman=float("nan") if file.cv_spearman is None else file.cv_spearman,
        fit_error=file.fit_error,
        spread=file.spread,
        n_orderings=file.n_orderings,
        n_distinct=file.n_distinct,
        folds=file.folds,
        source=file.source,
    )


def _orbits(clusters: Clusters) -> list[tuple[tuple[int, ...], int]]:
    """First member and number of members of every orbit, in the order of the coefficients."""
    found: list[tuple[tuple[int, ...], int]] = []
    for members, orbits in zip(clusters.members, clusters.orbits, strict=True):
        _, first, counts = np.unique(orbits, return_index=True, return_counts=True)
        rows: NDArray[np.int_] = members[first]
        found.extend((tuple(row), number) for row, number in zip(rows.tolist(), counts.tolist(), strict=True))
    return found


def _parsed(path: Path) -> ExpansionFile:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise ValueError(f"{path}: no such file; `valenceflow orderings fit` writes one") from err
    except (OSError, ValueError) as err:  # json's and unicode's errors are ValueErrors
        raise ValueError(f"{path}: not readable as a cluster expansion: {err}") from err
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: no cluster expansion; `valenceflow orderings fit` writes one")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path}: version {content.get('version')!r} of the format where this valenceflow reads {VERSION}; use the "
            "one that wrote it, or fit again"
        )
    try:
        file = ExpansionFile.model_validate(content)
    except ValidationError as err:
        raise ValueError(f"{path}: {first_problem(err, ExpansionFile)}; fit it again") from err
    if not file.content_hash:
        raise ValueError(f"{path}: content_hash is missing; fit it again")
    return file


def _check_place(file: ExpansionFile, path: Path, cell: HostSupercell, couple: RedoxCouple) -> None:
    """Refuse an expansion of something else."""
    if file.host_hash != cell.host.content_hash:
        raise ValueError(
            f"{path} was fitted for host {file.host} (content {file.host_hash}), not for {cell.host.name} (content "
            f"{cell.host.content_hash}); use it there, or fit one for this host"
        )
    if file.supercell != cell.matrix:
        raise ValueError(
            f"{path} was fitted for supercell {_rows(file.supercell)} of {file.host}, not for {_rows(cell.matrix)}; "
            "name its supercell, or fit one for this"
        )
    if file.couple_hash != couple.content_hash:
        raise ValueError(
            f"{path} was fitted for the couple {file.couple} (content {file.couple_hash}), not for {couple.name} "
            f"(content {couple.content_hash})"
        )


def _rows(matrix: tuple[tuple[int, int, int], ...]) -> str:
    return str([list(row) for row in matrix])
