"""What a cPaiNN is and how it is trained: typed, recorded with every model. torch is not imported here.

The preset `paper` has the hyperparameters of section 4.2 of arXiv:2603.26471 and of the published cPaiNN package's
defaults where the paper is silent; `small` and `tiny` are for two CPU cores.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(_Frozen):
    """Architecture of a cPaiNN."""

    features: int = Field(default=256, ge=1, description="features per atom")
    n_layers: int = Field(default=4, ge=1, description="message and update blocks")
    cutoff: float = Field(default=4.0, gt=0, description="A")
    n_radial: int = Field(default=20, ge=1, description="radial functions sin(n pi d / cutoff) / d")
    norm_epsilon: float = Field(
        default=1e-4,
        gt=0,
        description="added under the root of |Vv|^2: without it the energy has a kink where symmetry makes v vanish, "
        "as on the inversion centres that olivine's sodium sits on",
    )

    @property
    def heads_after(self) -> int:
        """Blocks after which moments and charges are read off: all but the last two, but at least one."""
        return max(1, self.n_layers - 2)


class LossWeights(_Frozen):
    """Weight of each target's loss; losses are in eV, eV/A, eV/A^3, muB and e.

    loss = energy * mean (dE)^2 + forces * mean |dF| + stress * mean (ds)^2 + magmoms * mean (dm)^2
         + charges * mean (dq)^2
    """

    energy: float = Field(default=0.02, ge=0)
    forces: float = Field(default=0.98, ge=0)
    stress: float = Field(default=1000.0, ge=0)
    magmoms: float = Field(default=0.1, ge=0)
    charges: float = Field(default=0.1, ge=0)
    energy_of: Literal["cell", "atom"] = Field(
        default="cell", description="whether dE is the error of the whole cell or of the cell per atom"
    )


class TrainingSettings(_Frozen):
    """How a model is trained."""

    epochs: int = Field(default=1000, ge=1, description="at most; early stopping may end sooner")
    batch_size: int = Field(default=20, ge=1, description="frames per optimiser step")
    learning_rate: float = Field(default=1e-3, gt=0, description="of Adam, at the start")
    plateau_factor: float = Field(default=0.5, gt=0, lt=1, description="learning rate is multiplied by it on a plateau")
    plateau_patience: int = Field(default=10, ge=0, description="epochs without a better validation loss")
    stop_patience: int = Field(default=50, ge=1, description="epochs without a better validation loss, then stop")
    ema_decay: float | None = Field(
        default=None, gt=0, lt=1, description="exponential average of the weights, used for validation and kept"
    )
    clip_gradient: float | None = Field(default=10.0, gt=0, description="largest norm of a step's gradient")
    seed: int = Field(default=0, ge=0, description="of the initial weights and of the order of frames")
    dtype: Literal["float32", "float64"] = "float32"
    device: str = Field(default="cpu", description="cpu or cuda")
    atoms_per_pass: int | None = Field(
        default=None,
        ge=1,
        description="a batch goes through the model in passes of at most so many atoms (or one frame) and their "
        "gradients are summed, which changes memory and speed only; None: 512 on a CPU, 8192 on a GPU",
    )
    references: Literal["elements", "mean"] = Field(
        default="elements",
        description="energies are learned against per-element references, fitted with charge states tied, or, as "
        "published, against the mean energy per atom",
    )
    loss: LossWeights = LossWeights()
    checkpoint_every_s: float = Field(default=60.0, gt=0, description="what a kill can cost at most")


class Preset(_Frozen):
    """An architecture and a training that go together."""

    model: ModelSettings
    training: TrainingSettings


PRESETS: dict[str, Preset] = {
    # Paper section 4.2: 256 features, 4 layers, 4 A, Adam with 1e-3, energies normalised by atom. Batch 20, loss
    # weights and scheduler (0.5 after 10 epochs), no average of weights: defaults of the published package.
    "paper": Preset(model=ModelSettings(), training=TrainingSettings(references="mean", clip_gradient=None)),
    "small": Preset(
        model=ModelSettings(features=64, n_layers=3, cutoff=5.0),
        training=TrainingSettings(epochs=300, batch_size=4, ema_decay=0.99, stop_patience=30),
    ),
    "tiny": Preset(
        model=ModelSettings(features=32, n_layers=3, n_radial=12),
        training=TrainingSettings(
            epochs=40, batch_size=2, learning_rate=2e-3, ema_decay=0.99, stop_patience=20, loss=LossWeights(energy=0.5)
        ),
    ),
}


def get_preset(name: str) -> Preset:
    """Find a preset.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown cPaiNN preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
