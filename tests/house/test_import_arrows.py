"""Who may import whom (CONTRIBUTING.md): read from the imports themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "inputs": set(),
    "stores": {"inputs"},
    "flows": {"inputs", "stores"},
    "potentials": {"inputs", "stores"},
    "search": {"inputs", "stores", "flows", "potentials"},
    "analysis": {"inputs", "stores", "potentials"},
    "cli": {"inputs", "stores", "flows", "potentials", "search", "analysis"},
}
TORCH = {"torch", "chgnet", "mace", "torch_sim"}
MAY_IMPORT_TORCH = ("potentials", "flows/rehearsal")


def modules():
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def imported(path):
    """(module path from the package root, or top-level name of a foreign package) of every import."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = parts[: len(parts) - node.level]
                yield ".".join(["valenceflow", *base, *(node.module or "").split(".")]).rstrip(".")
            else:
                yield node.module or ""


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_it_may(path):
    room = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in ROOMS, f"{name}: a room is imported by its bare name"
        if parts[0] == "valenceflow" and len(parts) > 1 and parts[1] in ROOMS:
            assert parts[1] == room or parts[1] in ROOMS[room], f"{room} may not import {parts[1]}"


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_stays_where_potentials_and_the_stand_in_are(path):
    place = path.relative_to(ROOT).as_posix()
    if place.startswith(MAY_IMPORT_TORCH):
        return
    foreign = {name.split(".")[0] for name in imported(path)}
    assert not foreign & TORCH
