"""The folder of a trained potential: `model.json` (ModelDoc), weights, `log.jsonl`, `learning_curve.svg`, `README.md`.

    doc = read_model(Path("models/chgnet"))
    calculator = open_calculator(Path("models/chgnet"))   # ASE; atoms as model species for CHGNet and MACE

Reading one runs no code that it holds (`weight_files`). torch is imported when a calculator is opened.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..inputs.whole_files import write_whole
from ..inputs.yaml_files import first_problem
from ..stores.model_documents import EpochDoc, ModelDoc

if TYPE_CHECKING:
    import torch
    from ase.calculators.calculator import Calculator

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.pt"
LOG_FILE, CURVE_FILE, CARD_FILE = "log.jsonl", "learning_curve.svg", "README.md"
REQUEST_FILE = "training.json"
"""What was asked for: there from the first moment, so that an unfinished training can be told from another folder."""


def read_model(folder: Path) -> ModelDoc:
    """Read what a model is.

    Raises
    ------
    ValueError
        If the folder holds no model, its training is unfinished, its document is broken, or the weights are not those
        that it was written for.
    """
    path = folder / MODEL_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        if (folder / REQUEST_FILE).is_file():
            raise ValueError(f"{folder}: its training is unfinished; run the same `valenceflow train` again") from err
        raise ValueError(
            f"{folder}: holds no trained model ({MODEL_FILE}: {err.strerror or err}); make one with `valenceflow train`"
        ) from err
    try:
        doc = ModelDoc.model_validate_json(text)
    except ValidationError as err:
        raise ValueError(f"{path}: is damaged ({first_problem(err)}); copy the whole folder again") from err
    weights = folder / doc.weights
    if not weights.is_file():
        raise ValueError(f"{folder}: its weights, {doc.weights}, are missing; copy the whole folder")
    if sha256_of(weights) != doc.weights_sha256:
        raise ValueError(f"{weights}: is not the file that {MODEL_FILE} was written for; copy the whole folder again")
    return doc


def read_log(folder: Path) -> list[EpochDoc]:
    """Read every epoch of a training.

    Raises
    ------
    ValueError
        If its log is missing or broken.
    """
    path = folder / LOG_FILE
    try:
        return [EpochDoc.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as err:
        raise ValueError(f"{path}: {err.strerror}; train in a new folder") from err
    except ValidationError as err:
        raise ValueError(f"{path}: is damaged ({first_problem(err)}); train in a new folder") from err


def open_calculator(folder: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Calculator:
    """Open a model as an ASE calculator in ASE's units (stress: Voigt, eV/A^3; moments absolute, muB).

    Parameters
    ----------
    folder : of the model.
    device : cpu or cuda.
    dtype : precision to compute in; None: double for MACE and cPaiNN, which lets relaxations reach 0.01 eV/A without
        noise. CHGNet computes in single precision only.

    Returns
    -------
    For CHGNet and MACE a calculator of atoms whose elements are already model species (`ModelDoc.species_map`); for
    cPaiNN one that encodes by itself, from the array `oxidation_state`. `calculator` has both behind one door.

    Raises
    ------
    ValueError
        As `read_model`, and if the weights do not fit.
    """
    doc = read_model(folder)
    path = folder / doc.weights
    try:
        return _opened(doc, path, device, dtype)
    except ImportError as err:
        raise ValueError(f"{folder}: needs {err.name}: pip install 'valenceflow[potentials]'") from err


def _opened(doc: ModelDoc, path: Path, device: str, dtype: torch.dtype | None) -> Calculator:
    """Imported here: each brings torch, and CHGNet or MACE."""
    if doc.kind == "chgnet":
        from .chgnet import open_chgnet  # noqa: PLC0415

        return open_chgnet(path, device)
    if doc.kind == "mace":
        from .mace import open_mace  # noqa: PLC0415

        return open_mace(path, device, dtype)
    import torch  # noqa: PLC0415

    from .cpainn.calculator import CPaiNNCalculator  # noqa: PLC0415

    return CPaiNNCalculator.from_file(path, dtype or torch.float64, device)


def sha256_of(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_model(folder: Path, doc: ModelDoc) -> None:
    """Write `model.json` by atomic rename: from then on the folder holds a model.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.
    """
    write_whole(folder / MODEL_FILE, doc.model_dump_json(indent=1) + "\n")
