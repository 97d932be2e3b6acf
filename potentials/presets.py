"""What CHGNet and MACE are and how they are trained: typed, recorded with every model. torch is not imported here.

`SETTINGS[kind][preset]` is an architecture (`model`) and a training (`training`); cPaiNN's are in `cpainn.settings`.
The paper (section 4.2 of arXiv:2603.26471) trained CHGNet with architecture and hyperparameters of the universal
potential, MACE with those of MACE-MP-0 large, all from scratch; `tiny` presets are for two CPU cores and minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..inputs.yaml_files import first_problem
from ..stores.model_documents import ModelKind
from .cpainn.settings import PRESETS as CPAINN_PRESETS
from .cpainn.settings import Preset as CPaiNNSettings


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Training(_Frozen):
    """What every training has."""

    epochs: int = Field(ge=1, description="at most; early stopping may end sooner")
    batch_size: int = Field(ge=1, description="frames per optimiser step")
    learning_rate: float = Field(gt=0, description="at the start")
    stop_patience: int = Field(default=50, ge=1, description="epochs without a better validation loss, then stop")
    seed: int = Field(default=0, ge=0, description="of the initial weights and of the order of frames")
    device: str = Field(default="cpu", description="cpu or cuda")


class ChgnetArchitecture(_Frozen):
    """Arguments of `chgnet.model.CHGNet`; the defaults are the universal potential's (412,525 parameters)."""

    atom_fea_dim: int = Field(default=64, ge=1)
    bond_fea_dim: int = Field(default=64, ge=1)
    angle_fea_dim: int = Field(default=64, ge=1)
    num_radial: int = Field(default=31, ge=1)
    num_angular: int = Field(default=31, ge=1)
    n_conv: int = Field(default=4, ge=2)
    atom_conv_hidden_dim: int = Field(default=64, ge=1)
    bond_conv_hidden_dim: int = Field(default=64, ge=1)
    mlp_hidden_dims: tuple[int, ...] = (64, 64, 64)
    atom_graph_cutoff: float = Field(default=6.0, gt=0, description="A")
    bond_graph_cutoff: float = Field(default=3.0, gt=0, description="A")


class ChgnetTraining(_Training):
    """Arguments of `chgnet.trainer.Trainer`; the defaults are those in the universal potential's own checkpoint.

    That does not record the batch size. Errors weigh as in CHGNet: eV/atom, eV/A, GPa and muB, times these.
    """

    epochs: int = Field(default=30, ge=1, description="the learning rate falls along a cosine over them")
    batch_size: int = Field(default=40, ge=1)
    learning_rate: float = Field(default=5e-3, gt=0)
    optimizer: Literal["Adam", "AdamW", "RAdam", "SGD"] = "Adam"
    scheduler: Literal["CosLR", "ExponentialLR", "CosRestartLR"] = "CosLR"
    criterion: Literal["Huber", "MSE", "MAE"] = "Huber"
    energy_weight: float = Field(default=1.0, ge=0)
    forces_weight: float = Field(default=1.0, ge=0)
    stress_weight: float = Field(default=0.1, ge=0)
    magmoms_weight: float = Field(default=0.1, ge=0)


class ChgnetSettings(_Frozen):
    """A CHGNet and its training."""

    model: ChgnetArchitecture = ChgnetArchitecture()
    training: ChgnetTraining = ChgnetTraining()


class MaceArchitecture(_Frozen):
    """Arguments of `mace_run_train` that shape the model; the defaults are MACE-MP-0 large's (arXiv:2401.00096)."""

    num_channels: int = Field(default=128, ge=1)
    max_L: int = Field(default=2, ge=0, description="largest degree of the messages that atoms pass")  # noqa: N815
    max_ell: int = Field(default=3, ge=0, description="largest degree of the spherical harmonics")
    correlation: int = Field(default=3, ge=1)
    num_interactions: int = Field(default=2, ge=1)
    r_max: float = Field(default=6.0, gt=0, description="A")
    num_radial_basis: int = Field(default=10, ge=1)
    num_cutoff_basis: int = Field(default=5, ge=1)
    MLP_irreps: str = "16x0e"
    radial_MLP: tuple[int, ...] = (64, 64, 64)  # noqa: N815 - mace's names


class MaceTraining(_Training):
    """Arguments of `mace_run_train` that shape the training; weights are those of MACE-MP-0 (universal loss)."""

    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=5e-3, gt=0)
    loss: Literal["universal", "huber", "stress", "weighted"] = Field(
        default="universal", description="weighted: without stress"
    )
    energy_weight: float = Field(default=1.0, ge=0)
    forces_weight: float = Field(default=10.0, ge=0)
    stress_weight: float = Field(default=100.0, ge=0)
    huber_delta: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=1e-8, ge=0)
    amsgrad: bool = True
    ema_decay: float | None = Field(
        default=0.995, gt=0, lt=1, description="exponential average of the weights, used for validation and kept"
    )
    clip_grad: float | None = Field(default=100.0, gt=0, description="largest norm of a step's gradient")
    plateau_factor: float = Field(default=0.8, gt=0, lt=1)
    plateau_patience: int = Field(default=5, ge=0)
    scaling: Literal["rms_forces_scaling", "std_scaling"] = "rms_forces_scaling"
    dtype: Literal["float32", "float64"] = "float64"


class MaceSettings(_Frozen):
    """A MACE and its training."""

    model: MaceArchitecture = MaceArchitecture()
    training: MaceTraining = MaceTraining()


Settings = ChgnetSettings | MaceSettings | CPaiNNSettings

# Frames of relaxations have small forces, near which losses that go as |dF| have gradients of noise alone: `tiny` ones,
# with few steps to take, go as (dF)^2 there. Energies weigh more than elsewhere, for the same reason.
_TINY_CHGNET = ChgnetArchitecture(
    atom_fea_dim=16, bond_fea_dim=16, angle_fea_dim=16, num_radial=9, num_angular=9, n_conv=3,
    atom_conv_hidden_dim=16, bond_conv_hidden_dim=16, mlp_hidden_dims=(16, 16), atom_graph_cutoff=4.5,
)  # fmt: skip
_TINY_CHGNET_TRAINING = ChgnetTraining(
    epochs=25, batch_size=4, learning_rate=1e-2, stop_patience=12, energy_weight=3.0, stress_weight=0.02
)
_TINY_MACE = MaceArchitecture(
    num_channels=16, max_L=0, max_ell=2, correlation=2, r_max=4.5, num_radial_basis=8, radial_MLP=(32, 32)
)
_TINY_MACE_TRAINING = MaceTraining(
    epochs=45, batch_size=4, learning_rate=2e-2, ema_decay=0.99, stop_patience=15, energy_weight=10.0,
    stress_weight=1000.0, huber_delta=0.2, amsgrad=False, dtype="float32",
)  # fmt: skip

PRESETS: Mapping[ModelKind, Mapping[str, Settings]] = {
    "chgnet": {
        "universal": ChgnetSettings(),
        "tiny": ChgnetSettings(model=_TINY_CHGNET, training=_TINY_CHGNET_TRAINING),
    },
    "mace": {
        "mace-mp-0-large": MaceSettings(),
        "medium": MaceSettings(model=MaceArchitecture(max_L=1), training=MaceTraining(batch_size=8, ema_decay=0.99)),
        "small": MaceSettings(model=MaceArchitecture(max_L=0), training=MaceTraining(batch_size=8, ema_decay=0.99)),
        "tiny": MaceSettings(model=_TINY_MACE, training=_TINY_MACE_TRAINING),
    },
    "cpainn": CPAINN_PRESETS,
}
"""Kind -> name -> settings; the first of a kind is its default."""


def settings_of(kind: ModelKind, preset: str | None = None, changes: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a preset with changes.

    Parameters
    ----------
    kind : chgnet, mace or cpainn.
    preset : its name; None: the kind's default, which is the paper's.
    changes : {"model": {...}, "training": {...}}, fields to be replaced.

    Raises
    ------
    ValueError
        If there is no such preset, or a field or its value is none.
    """
    known = PRESETS[kind]
    name = preset or next(iter(known))
    if name not in known:
        raise ValueError(f"unknown preset {name!r} of {kind}; known: {', '.join(known)}")
    base = known[name]
    merged = base.model_dump()
    for part, fields in (changes or {}).items():
        if part not in merged or not isinstance(fields, Mapping):
            raise ValueError(f"settings of {kind}: {part!r} is unknown; give fields under model: and training:")
        merged[part] = _merged(merged[part], fields)
    try:
        return type(base).model_validate(merged)
    except ValidationError as err:
        raise ValueError(f"settings of {kind}: {first_problem(err)}") from err


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields over fields, also of parts within parts (cPaiNN's `loss`)."""
    nested = {
        name: _merged(base[name], value)
        for name, value in changes.items()
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
    }
    return {**base, **changes, **nested}
