"""Which orderings a campaign takes, as its file says it: `orderings:` of the working ion and `charge:`.

Both take `all: true`, `sample: N`, `lowest: K`, `file: CIF(s)` or `pick:`, several of these at once; `charge` also
takes `free` and `reference: CIF(s)`. `choices` turns them into orderings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..inputs.orderings.sampling import Weight
from ..inputs.orderings.strata import Selection


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Files = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


class OrderingStrata(_Strict):
    """Orderings by strata; `seed` and `weight` belong to `sample`, `by` to `lowest`."""

    all: bool = False
    sample: int | None = Field(default=None, ge=1, description="number of distinct orderings")
    seed: int = Field(default=0, description="seed of the sample")
    weight: Weight = Field(default="arrangements", description="what is equally likely in the sample")
    lowest: int | None = Field(default=None, ge=1, description="number of distinct orderings of lowest energy")
    by: Literal["electrostatics"] = Field(default="electrostatics", description="the energy of `lowest`")
    file: Files = Field(default=(), description="CIFs that give the orderings")

    def _selection(self, where: str, of: str, sample_includes_given: bool) -> Selection:
        return Selection(
            everything=self.all,
            lowest=self.lowest or 0,
            sample=self.sample or 0,
            seed=self.seed,
            weight=self.weight,
            sample_includes_given=sample_includes_given,
            where=where,
            of=of,
        )

    def _given(self, kinds: tuple[str, ...]) -> list[str]:
        return [kind for kind in kinds if getattr(self, kind)]


class ChargeStrata(OrderingStrata):
    """Charge orderings by strata."""

    reference: Files = Field(default=(), description="CIFs whose ordering is taken, flagged, and left out of means")


def _merged(value: Any) -> Any:
    """`pick: [reference: x.cif, lowest: 20, sample: 150, seed: 31]`: one mapping from a list of them."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return value
    merged: dict[str, Any] = {}
    for item in value:
        for name, content in item.items():
            if name not in merged:
                merged[name] = content
            elif name in ("file", "reference"):
                merged[name] = [*_listed(merged[name]), *_listed(content)]
            else:
                raise ValueError(f"`{name}` is given twice; a pick takes each once (but for files)")
    return merged


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class OrderingChoice(OrderingStrata):
    """Which working-ion orderings: exactly one of `all`, `sample`, `lowest`, `file`, `pick`."""

    pick: Annotated[OrderingStrata | None, BeforeValidator(_merged)] = Field(
        default=None, description="several of the others at once"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> OrderingChoice:
        given = self._given(("all", "sample", "lowest", "file", "pick"))
        if len(given) != 1:
            raise ValueError(
                "say exactly one of all: true, sample: N, lowest: K, file: CIF, pick: [several of these] "
                f"(got {' and '.join(given) or 'none'})"
            )
        _check_pick(self, self.pick)
        return self

    @property
    def strata(self) -> OrderingStrata:
        """What is chosen, however it was written."""
        return self.pick or self

    def selection(self, where: str, of: str) -> Selection:
        """What to take besides what files give; `where` and `of` are words for errors."""
        return self.strata._selection(where, of, sample_includes_given=False)


class ChargeChoice(ChargeStrata):
    """Which charge orderings of each working-ion ordering: one of `all`, `sample`, `lowest`, `file`, `free`, `pick`.

    `reference` stands beside any but `free`; a `sample` beside it includes it.
    """

    free: bool = False
    pick: Annotated[ChargeStrata | None, BeforeValidator(_merged)] = Field(
        default=None, description="several of the others at once"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> ChargeChoice:
        given = self._given(("all", "sample", "lowest", "file", "free", "pick"))
        if len(given) != 1 and not (self.reference and not given):
            raise ValueError(
                "say exactly one of all: true, sample: N, lowest: K, file: CIF, free, pick: [several of these] "
                f"(got {' and '.join(given) or 'none'})"
            )
        if self.free and self.reference:
            raise ValueError("a free charge order has no reference")
        if self.pick and self.reference:
            raise ValueError("put `reference` into the pick")
        _check_pick(self, self.pick)
        return self

    @property
    def strata(self) -> ChargeStrata:
        """What is chosen, however it was written."""
        return self.pick or self

    def selection(self, where: str, of: str) -> Selection:
        """What to take besides what files give; `where` and `of` are words for errors.

        `sample: 171` beside a reference takes 170 others; in a pick every stratum adds its own.
        """
        return self.strata._selection(where, of, sample_includes_given=self.pick is None)


def _check_pick(choice: OrderingStrata, pick: OrderingStrata | None) -> None:
    if pick is None:
        return
    if not (pick.all or pick.sample or pick.lowest or pick.file or getattr(pick, "reference", ())):
        raise ValueError("an empty pick: give it reference, file, lowest or sample")
    beside = sorted({"seed", "weight", "by"} & choice.model_fields_set)
    if beside:
        raise ValueError(f"put `{beside[0]}` into the pick")
