"""Tiny untrained models of every kind, in folders as training leaves them."""

import contextlib
import io
from datetime import UTC, datetime

import numpy as np
import torch
from valenceflow.potentials.model_folder import WEIGHTS_FILE, sha256_of, write_model
from valenceflow.stores.model_documents import DataSetRef, ModelDoc

REFERENCES = {8: -6.0, 11: -1.5, 26: -8.25, 84: -8.25}
TINY_CHGNET = {
    "atom_fea_dim": 16, "bond_fea_dim": 16, "angle_fea_dim": 16, "num_radial": 9, "num_angular": 9, "n_conv": 2,
    "atom_conv_hidden_dim": 16, "bond_conv_hidden_dim": 16, "mlp_hidden_dims": 16,
}  # fmt: skip


def chgnet():
    from chgnet.model import CHGNet

    torch.manual_seed(0)
    model = CHGNet(**TINY_CHGNET)
    with torch.no_grad():
        for number, energy in REFERENCES.items():
            model.composition_model.fc.weight[0, number - 1] = energy
    return model


def mace(dtype=torch.float64):
    from e3nn import o3
    from mace import modules
    from valenceflow.potentials.mace import set_precision

    numbers = sorted(REFERENCES)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    torch.manual_seed(0)
    with set_precision(dtype):
        return modules.ScaleShiftMACE(
            r_max=4.0, num_bessel=6, num_polynomial_cutoff=5, max_ell=1, interaction_cls=block,
            interaction_cls_first=block, num_interactions=2, num_elements=4, hidden_irreps=o3.Irreps("8x0e"),
            MLP_irreps=o3.Irreps("8x0e"), atomic_energies=np.array([[REFERENCES[n] for n in numbers]]),
            avg_num_neighbors=11.5, atomic_numbers=numbers, correlation=2, gate=torch.nn.functional.silu,
            radial_MLP=[16], atomic_inter_scale=[0.8], atomic_inter_shift=[0.1], heads=["Default"],
        )  # fmt: skip


def cpainn():
    from valenceflow.potentials.cpainn.model import CPaiNN, EnergyScale
    from valenceflow.potentials.cpainn.settings import ModelSettings

    torch.manual_seed(0)
    return CPaiNN(ModelSettings(features=12, n_layers=3, cutoff=3.2, n_radial=6), EnergyScale(0.7, REFERENCES))


MAKERS = {"chgnet": chgnet, "mace": mace, "cpainn": cpainn}


def write_folder(folder, kind, species_map, model=None):
    """A folder with a model of a kind."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / WEIGHTS_FILE, kind, model or MAKERS[kind](), species_map)
    write_model(folder, model_doc(folder, kind, species_map))
    return folder


def save(path, kind, model, species_map, species=(8, 11, 26, 84)):
    from valenceflow.potentials import chgnet, mace
    from valenceflow.potentials.cpainn.checkpoint import TrainedModel, save_model

    kept = {"chgnet": chgnet.TrainedChgnet, "mace": mace.TrainedMace, "cpainn": TrainedModel}[kind]
    write = {"chgnet": chgnet.save_chgnet, "mace": mace.save_mace, "cpainn": save_model}[kind]
    with contextlib.redirect_stdout(io.StringIO()):
        write(path, kept(model, species_map, species))


def model_doc(folder, kind, species_map, **changes):
    data = DataSetRef(
        name="made up", folder="nowhere", checksum="0", engine="vasp", protocol_hash="p", n_train=2, n_valid=1
    )
    fields = {
        "model_id": f"{kind}0", "kind": kind, "preset": "tiny", "charge_states": species_map.knows_charge_states,
        "species_map": species_map, "species": sorted(REFERENCES), "data_set": data, "config": {}, "seed": 0,
        "reference_energies": REFERENCES, "n_parameters": 1, "n_epochs": 1, "best_epoch": 1, "stopped": "1 epoch done",
        "errors": {}, "seconds": 0.0, "versions": {}, "made": datetime.now(tz=UTC),
        "weights_sha256": sha256_of(folder / WEIGHTS_FILE),
    }  # fmt: skip
    return ModelDoc(**{**fields, **changes})
