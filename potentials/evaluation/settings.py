"""What an evaluation is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...inputs.hosts import Host
from ..open_models import ModelChoice
from ..relaxation import RelaxSettings
from .cases import RATTLE, RELAXED_FORCE
from .scores import Start

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What is evaluated.

    Attributes
    ----------
    side : of the data set: test, valid, train or all.
    starts : where relaxations begin; a structure without a known host begins at its first frame.
    rattle : standard deviation of rattled starts, A.
    seed : of rattles.
    relax : settings of relaxations.
    frames : at most so many frames for errors; None: all.
    structures : at most so many structures to relax, end members besides; None: all. 0: nothing is relaxed.
    reference : name or key of the structure that energies are relative to; None: the reference's lowest of each group.
    workers : processes for relaxations.
    host : where the set names none that is shipped.
    judge : a potential without charge states whose moments tell which ordering a relaxed structure has; None: none.
    reference_force : largest force of a relaxed structure that models are held against, eV/A.
    check_references : relax on under the judge, which made the reference, from the model's minima of the first start.
    """

    side: str = "test"
    starts: tuple[Start, ...] = ("ideal", "rattled")
    rattle: float = RATTLE
    seed: int = 0
    relax: RelaxSettings = field(default_factory=RelaxSettings)
    frames: int | None = None
    structures: int | None = None
    reference: str | None = None
    workers: int = 1
    host: Host | None = None
    judge: ModelChoice | None = None
    check_references: bool = False
    reference_force: float = RELAXED_FORCE

    def as_dict(self) -> dict[str, object]:
        """What scores say of them."""
        return {
            "starts": list(self.starts), "rattle": self.rattle, "seed": self.seed, "frames": self.frames,
            "structures": self.structures, "reference": self.reference, "reference_force": self.reference_force,
            "judge": None if self.judge is None else self.judge.title, **self.relax.model_dump(),
        }  # fmt: skip
