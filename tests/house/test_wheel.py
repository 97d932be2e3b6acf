"""The wheel holds the whole package: what is listed by hand in pyproject.toml is what is there."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_PACKAGED = {"tests", "benchmarks", "docs", "examples", "build", "dist", ".venv", ".git"}
SUFFIXES = {".py", ".yaml", ".typed", ".sbatch", ".html", ".css", ".js"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    # A copy, so that building leaves nothing behind in the checkout.
    for name in names_in_the_tree():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=tree, check=True)
    return next(folder.glob("*.whl"))


def names_in_the_tree():
    """What belongs to the project; `make demo` leaves its campaign beside it, which does not."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def files_in_the_tree():
    for place in map(Path, names_in_the_tree()):
        hidden = any(part.startswith(".") for part in place.parts)
        if place.suffix in SUFFIXES and place.parts[0] not in NOT_PACKAGED and not hidden:
            yield place.as_posix()


def test_the_wheel_holds_every_module_and_data_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("valenceflow/") for name in archive.namelist() if name.startswith("valenceflow/")}
    assert packed == set(files_in_the_tree())


def test_every_folder_with_modules_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {Path(place).parent.as_posix() for place in files_in_the_tree()}
    expected = {"valenceflow" if f == "." else "valenceflow." + f.replace("/", ".") for f in folders}
    assert set(listed) == expected


@pytest.mark.slow
def test_every_module_imports_from_the_installed_wheel(wheel, tmp_path):
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    script = (
        "import importlib, pkgutil, sys, valenceflow\n"
        "assert valenceflow.__file__.startswith(sys.argv[1]), valenceflow.__file__\n"
        "for found in pkgutil.walk_packages(valenceflow.__path__, 'valenceflow.'):\n"
        "    if '.in_gpaw.' in found.name:  # runs in GPAW's own Python\n"
        "        continue\n"
        "    importlib.import_module(found.name)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "site")], check=True, cwd=tmp_path, env=environment)
