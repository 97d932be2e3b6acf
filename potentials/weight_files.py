"""Files of weights that can be read without running what is in them: named tensors and one JSON text.

Reading uses torch's weights-only loader, which builds tensors, numbers, texts, lists and dicts and nothing else, also
where a library (mace does) has told torch to load pickles for the whole process. A file appears whole or not at all.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PARTIAL = ".partial"


@dataclass(frozen=True)
class WeightFile:
    """What a file holds.

    Attributes
    ----------
    kind : what it is, e.g. `valenceflow-cpainn`; a reader asks for its own.
    version : of the kind's layout.
    about : anything that JSON can say.
    tensors : name -> tensor, on the CPU.
    """

    kind: str
    version: int
    about: dict[str, Any]
    tensors: dict[str, Tensor]


def write_weights(path: Path, file: WeightFile) -> None:
    """Write a file by atomic rename.

    Raises
    ------
    OSError
        If it cannot be written (a full disk): nothing is left under the final name, and what was there stays.
    """
    content = {
        "kind": file.kind,
        "version": file.version,
        "about": json.dumps(file.about, sort_keys=True, allow_nan=False),
        "tensors": {name: tensor.detach().cpu().contiguous() for name, tensor in file.tensors.items()},
    }
    buffer = io.BytesIO()  # torch reports a full disk as a RuntimeError without a reason
    torch.save(content, buffer)
    partial = path.with_name(path.name + _PARTIAL)
    try:
        with partial.open("wb") as handle:
            handle.write(buffer.getbuffer())
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    except OSError as err:
        partial.unlink(missing_ok=True)
        raise OSError(err.errno, f"{path}: checkpoint not written ({err.strerror}); make room and run again") from err


def read_weights(path: Path, kind: str, version: int) -> WeightFile:
    """Read a file of one kind.

    Raises
    ------
    ValueError
        If it is missing, damaged, a pickle, of another kind or of a newer version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as err:
        raise ValueError(f"{path}: cannot be read ({err.strerror or err})") from err
    except Exception as err:  # on bytes that mean nothing the loader fails in whatever way they lead it to
        raise ValueError(
            f"{path}: is no file of weights by valenceflow, or is damaged; pickled models are not read, because "
            "reading one runs whatever it holds"
        ) from err
    return _checked(path, content, kind, version)


def _checked(path: Path, content: Any, kind: str, version: int) -> WeightFile:
    if not isinstance(content, Mapping) or "kind" not in content:
        raise ValueError(f"{path}: holds weights of some other program; a file of kind {kind!r} is needed")
    if content["kind"] != kind:
        raise ValueError(f"{path}: holds {content['kind']!r} where {kind!r} is needed")
    if not isinstance(content.get("version"), int) or not 1 <= content["version"] <= version:
        raise ValueError(
            f"{path}: layout {content.get('version')!r} of {kind!r} is not known here (newest: {version}); update "
            "valenceflow"
        )
    tensors = content.get("tensors")
    try:
        about = json.loads(content["about"])
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(f"{path}: is damaged: its description is unreadable") from err
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path}: is damaged: its weights are unreadable")
    return WeightFile(kind, content["version"], about, dict(tensors))
