"""Load pretrained CHGNet quickly: 1.5 s in a fresh process instead of 4.5 s.

`chgnet.model` and `chgnet.utils` import molecular dynamics, equations of state, matplotlib and VASP parsers, none of
which an evaluation needs. While the model is imported, both are entered as bare packages, without their `__init__`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from types import ModuleType
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from chgnet.model.model import CHGNet

_BARE = ("chgnet.utils", "chgnet.model")


def load_model() -> CHGNet:
    """Return pretrained CHGNet 0.3.0 on the CPU, its weights frozen.

    Raises
    ------
    InputError
        If chgnet is not installed.
    """
    if find_spec("chgnet") is None or find_spec("torch") is None:
        raise InputError("ERROR: this engine needs CHGNet; pip install 'valenceflow[potentials]', or --engine springs")
    with _bare_packages():
        from chgnet.model.model import CHGNet  # noqa: PLC0415  (optional extra, and slow to import)
    with redirect_stdout(StringIO()):  # it announces itself, in what would be vasp.out
        model: CHGNet = CHGNet.load(use_device="cpu", verbose=False)
    for weights in model.parameters():
        weights.requires_grad_(False)
    return model.eval()


@contextmanager
def _bare_packages() -> Iterator[None]:
    """Enter packages of chgnet without running their `__init__`, and leave no trace of it."""
    if any(name in sys.modules for name in _BARE):
        yield
        return
    root = import_module("chgnet").__path__[0]
    for name in _BARE:
        bare = ModuleType(name)
        bare.__path__ = [f"{root}/{name.rpartition('.')[2]}"]
        sys.modules[name] = bare
    try:
        # chgnet.graph and chgnet.model.model take these two names from the package.
        common = import_module("chgnet.utils.common_utils")
        vars(sys.modules["chgnet.utils"]).update(determine_device=common.determine_device, write_json=common.write_json)
        yield
    finally:
        # A later import of either package, by anyone, runs its own __init__ as usual.
        for name in _BARE:
            del sys.modules[name]
