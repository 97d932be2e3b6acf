"""The Gamma-centred k-point mesh of a protocol, and its meaning for cells it was not published for.

Paper section 4.1: 3 x 1 x 3 on the 1x3x2 olivine cell; the authors' public inputs have 3 x 2 x 3 on 1x2x2 and
3 x 4 x 6 on the unit cell. All three are max(1, round(l |b_i|)) for l between 27.21 and 27.98 A.
"""

from __future__ import annotations

import warnings
from math import floor
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pymatgen.core.lattice import Lattice

Mesh: TypeAlias = tuple[int, int, int]


class KMesh(BaseModel):
    """A published mesh, the cell it belongs to, and the rule for other cells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["same density", "fixed"] = Field(
        description="`same density`: max(1, round(length * |b_i|)) points; `fixed`: one mesh for every cell"
    )
    mesh: tuple[int, int, int] = Field(description="published Gamma-centred mesh, points along each reciprocal vector")
    cell_lengths: tuple[float, float, float] = Field(description="a, b, c of the orthogonal cell it belongs to, A")
    length: float = Field(
        description="points per reciprocal length, A; |b_i| without 2 pi (1/L_i in an orthogonal cell)",
        gt=0,
    )

    @model_validator(mode="after")
    def _length_gives_the_mesh(self) -> KMesh:
        if min(self.mesh) < 1 or min(self.cell_lengths) <= 0:
            raise ValueError(f"mesh {self.mesh} and cell_lengths {self.cell_lengths} must be positive")
        if (found := self.same_density(Lattice.orthorhombic(*self.cell_lengths))) != self.mesh:
            low, high = self.length_window(self.mesh, self.cell_lengths)
            way_out = f"take {low:.2f} <= length < {high:.2f}" if low < high else "no length gives it; use another mesh"
            raise ValueError(
                f"length = {self.length} A gives {found}, not mesh {self.mesh}, on cell_lengths; {way_out}"
            )
        return self

    @staticmethod
    def length_window(mesh: Mesh, cell_lengths: tuple[float, float, float]) -> tuple[float, float]:
        """Bound the `length` (A) that rounds to this mesh on an orthogonal cell (A): low <= length < high."""
        axes = list(zip(mesh, cell_lengths, strict=True))
        # One point is the least, so an axis with one point sets no lower bound.
        low = max([(n - 0.5) * cell for n, cell in axes if n > 1], default=0.0)
        return low, min((n + 0.5) * cell for n, cell in axes)

    def same_density(self, lattice: Lattice) -> Mesh:
        """Gamma-centred mesh of the published density on a lattice."""
        a, b, c = (max(1, floor(self.length * b + 0.5)) for b in lattice.reciprocal_lattice_crystallographic.abc)
        return a, b, c

    def on(self, lattice: Lattice) -> Mesh:
        """Gamma-centred mesh for a lattice by the rule.

        A fixed mesh on a cell where the published density asks for another one gives a UserWarning that
        names both densities.
        """
        even = self.same_density(lattice)
        if self.rule == "same density" or even == self.mesh:
            return even
        here = points_per_reciprocal_length(self.mesh, lattice)
        published = points_per_reciprocal_length(self.mesh, Lattice.orthorhombic(*self.cell_lengths))
        warnings.warn(
            f"fixed k-mesh {_text(self.mesh)} has {_text(here)} points per reciprocal length (A) here, "
            f"against {_text(published)} on the cell it was published for; "
            f"k_mesh: {{rule: same density}} would take {_text(even)}",
            UserWarning,
            stacklevel=3,
        )
        return self.mesh


def points_per_reciprocal_length(mesh: Mesh, lattice: Lattice) -> tuple[float, float, float]:
    """Linear density n_i / |b_i| along each reciprocal vector, A (|b_i| without 2 pi)."""
    a, b, c = (n / b for n, b in zip(mesh, lattice.reciprocal_lattice_crystallographic.abc, strict=True))
    return a, b, c


def _text(values: tuple[float, ...]) -> str:
    return " ".join(str(value) if isinstance(value, int) else f"{value:.1f}" for value in values)
