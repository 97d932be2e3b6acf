"""Run as a process: what each trainer's own loader makes of an exported set, and one epoch of CHGNet's trainer on it.

`loaded_sets.py numbers FOLDER` prints, per format, energies (as loaded), lattices and stresses of the frames in order;
`loaded_sets.py chgnet FOLDER` trains, and prints the losses.
"""

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")  # the loaders' own


def numbers(folder):
    import numpy as np
    import pyarrow.parquet as pq
    from ase.io import iread
    from mace.data.utils import KeySpecification, load_from_xyz
    from mace.tools.fairchem_dataset import AseDBDataset

    _, configurations = load_from_xyz(str(folder / "mace" / "train.xyz"), KeySpecification.from_defaults())
    found = {
        "mace": [(c.properties["energy"], c.cell, c.properties["stress"]) for c in configurations],
        "cpainn": [
            (a.info["REF_energy"], a.cell.array, a.info["REF_stress"]) for a in iread(folder / "cpainn" / "train.xyz")
        ],
        "parquet": [
            (row["energy"], row["lattice"], row["stress"])
            for row in pq.read_table(folder / "parquet" / "train.parquet").to_pylist()
        ],
        "chgnet": [],
        "aselmdb": [],
    }
    from chgnet.data.dataset import StructureJsonData

    data = StructureJsonData(str(folder / "chgnet" / "train"), lambda structure, **_: structure, shuffle=False)
    for index in range(len(data)):
        structure, targets = data[index]
        found["chgnet"].append((float(targets["e"]), structure.lattice.matrix, targets["s"].numpy()))
    rows = AseDBDataset(config={"src": [str(folder / "aselmdb" / "train.aselmdb")]})
    for number in rows.ids:
        atoms = rows.get_atoms(number)
        found["aselmdb"].append((atoms.get_potential_energy(), atoms.cell.array, atoms.get_stress()))
    return {
        name: [[float(e), np.ravel(lattice).tolist(), np.ravel(stress).tolist()] for e, lattice, stress in frames]
        for name, frames in found.items()
    }


def chgnet(folder):
    import torch
    from chgnet.data.dataset import StructureJsonData, get_loader
    from chgnet.graph import CrystalGraphConverter
    from chgnet.model import CHGNet
    from chgnet.trainer import Trainer

    torch.manual_seed(0)
    converter = CrystalGraphConverter()
    loaders = [
        get_loader(StructureJsonData(str(folder / "chgnet" / side), converter), batch_size=2)
        for side in ("train", "valid")
    ]
    width = dict.fromkeys(("atom_fea_dim", "bond_fea_dim", "angle_fea_dim"), 16)
    model = CHGNet(**width, num_radial=9, num_angular=9, n_conv=2, mlp_hidden_dims=16, composition_model="MPtrj")
    references = json.loads((folder / "chgnet" / "atom_ref.json").read_text())
    with torch.no_grad():
        for number, energy in references.items():
            model.composition_model.fc.weight[0, int(number) - 1] = energy
    trainer = Trainer(model=model, targets="efsm", epochs=1, use_device="cpu", print_freq=1000)
    trainer.train(loaders[0], loaders[1], save_dir=str(folder.parent / "chgnet-training"))
    return {name: losses["train"] for name, losses in trainer.training_history.items()}


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        answer = {"numbers": numbers, "chgnet": chgnet}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(answer))
