"""`make demo`: the two-step protocol on every ordering of a small cell, with the rehearsal engine. Not DFT.

Runs `valenceflow run` on campaign.yaml in the folder demo/ of the repository, draws the energies, and makes sure that a
lost ordering is seen: if the engine lost none by itself, one run is repeated with an injected spin flip, labelled so.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from valenceflow.analysis.figures.energies import formula_text, ordering_energies
from valenceflow.cli.results import calculations_of
from valenceflow.stores.connect import STORE_FILE, sqlite_stores
from valenceflow.stores.relations import LOST

HERE = Path(__file__).resolve().parent
ENGINE = "rehearsal:chgnet"
FLIPPED = "demo-injected-spin-flip"


def main() -> int:
    """Run the demo; returns 0 if every end member and half-filled configuration is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="start no configuration after so many minutes; default: do all")
    parser.add_argument("--folder", type=Path, default=HERE.parents[1] / "demo")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    campaign = options.folder / "campaign.yaml"
    shutil.copy(HERE / "campaign.yaml", campaign)
    minutes = [] if options.minutes is None else ["--stop-after", str(options.minutes)]
    valenceflow("run", campaign, "--engine", ENGINE, "--workers", str(options.workers), *minutes)
    store = options.folder / "demo" / STORE_FILE
    if not store.exists():  # the run has said why it did not begin
        return 1
    stores = sqlite_stores(store)
    calculations = calculations_of(stores, "demo", ENGINE)
    planned = stores.collection("configurations").count({"campaign": "demo"})
    draw(calculations, planned, options.folder / "energies.png")
    if not any(c["relation"] in LOST for c in calculations):
        show_injected_flip(options.folder, calculations)
    if len(calculations) < planned:
        print(f"\n{planned - len(calculations)} of {planned} are missing: the same command goes on")
    missing = [c for c in calculations if c["fraction"] in (0.0, 0.5, 1.0) and c["energy"] is None]
    return 1 if missing or len(calculations) < 12 else 0


def valenceflow(*arguments: object) -> None:
    """Run a valenceflow command in this Python's environment and show what it prints."""
    # Exit code 1 says that some configurations failed: the table has said which, and the demo goes on.
    subprocess.run([sys.executable, "-m", "valenceflow.cli.main", *map(str, arguments)], check=False)


def draw(calculations: list[dict[str, object]], planned: int, path: Path) -> None:
    """Energies of every ordering over composition."""
    title = f"Charge orderings of the 28-atom {formula_text('NaxFePO4')} cell"
    if len(calculations) < planned:
        title += f": {len(calculations)} of {planned}"
    ordering_energies(calculations, "Na", title).savefig(path, dpi=160)
    print(f"\npicture: {path}")


def show_injected_flip(folder: Path, calculations: list[dict[str, object]]) -> None:
    """Repeat one configuration with a spin flip injected into the stand-in, so that a lost ordering is seen."""
    print("\nNo ordering was lost by itself. Below, one run with an INJECTED spin flip, to show how a loss looks:")
    key = next(c["intended_key"] for c in calculations if c["fraction"] == 0.5)
    campaign = folder / "injected.yaml"
    text = (HERE / "campaign.yaml").read_text(encoding="utf-8")
    campaign.write_text(text.replace("name: demo", f"name: {FLIPPED}"), encoding="utf-8")
    valenceflow("run", campaign, "--engine", ENGINE, "--only", key, "--fault", "spin-flip", "--workers", "1")


if __name__ == "__main__":
    raise SystemExit(main())
