"""Settings as the flags of `mace_run_train`; the same training by hand is `mace_run_train` with these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .presets import MaceSettings


def mace_flags(
    settings: MaceSettings, training: Path, validation: Path, references: Mapping[int, float], name: str = "model"
) -> list[str]:
    """Flags of a training.

    Parameters
    ----------
    settings : architecture and training.
    training, validation : extended XYZ files in model species.
    references : model number -> eV per atom.
    name : of the training.
    """
    model, how = settings.model, settings.training
    with_stress = how.loss != "weighted"
    options = {
        "name": name,
        "train_file": training,
        "valid_file": validation,
        "E0s": dict(references),
        "model": "ScaleShiftMACE",
        "interaction_first": "RealAgnosticResidualInteractionBlock",
        "interaction": "RealAgnosticResidualInteractionBlock",
        "num_channels": model.num_channels,
        "max_L": model.max_L,
        "max_ell": model.max_ell,
        "correlation": model.correlation,
        "num_interactions": model.num_interactions,
        "r_max": model.r_max,
        "num_radial_basis": model.num_radial_basis,
        "num_cutoff_basis": model.num_cutoff_basis,
        "MLP_irreps": model.MLP_irreps,
        "radial_MLP": list(model.radial_MLP),
        "scaling": how.scaling,
        "loss": how.loss,
        "energy_weight": how.energy_weight,
        "forces_weight": how.forces_weight,
        "stress_weight": how.stress_weight,
        "huber_delta": how.huber_delta,
        "compute_stress": with_stress,
        "error_table": "PerAtomRMSEstressvirials" if with_stress else "PerAtomRMSE",
        "batch_size": how.batch_size,
        "valid_batch_size": how.batch_size,
        "max_num_epochs": how.epochs,
        "patience": how.stop_patience,
        "lr": how.learning_rate,
        "scheduler": "ReduceLROnPlateau",
        "lr_factor": how.plateau_factor,
        "scheduler_patience": how.plateau_patience,
        "weight_decay": how.weight_decay,
        "seed": how.seed,
        "device": how.device,
        "default_dtype": how.dtype,
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    if how.amsgrad:
        flags.append("--amsgrad")
    if how.ema_decay is not None:
        flags += ["--ema", f"--ema_decay={how.ema_decay}"]
    flags.append(f"--clip_grad={how.clip_grad}" if how.clip_grad is not None else "--clip_grad=None")
    return flags
