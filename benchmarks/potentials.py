"""CPU time of cPaiNN at the paper's size: training steps and force calls, against a naive per-frame loop.

    python benchmarks/potentials.py [--repetitions N] [--json]

One thread, interleaved, medians. The naive loop (`potentials_textbook.py`) is PaiNN as published, vectorised over the
edges of a frame; for training its neighbour lists are made beforehand, ours makes them in every step. Both compute the
same numbers, which is checked first. The cPaiNN authors' package is not on PyPI, so it cannot be timed here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from time import process_time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import potentials_training
import torch
from ase import Atoms
from matscipy.neighbours import neighbour_list
from potentials_textbook import Textbook
from valenceflow.inputs.charge_states import get_couple
from valenceflow.inputs.hosts import get_host
from valenceflow.inputs.supercells import HostSupercell
from valenceflow.potentials.cpainn.calculator import CPaiNNCalculator
from valenceflow.potentials.cpainn.checkpoint import TrainedModel
from valenceflow.potentials.cpainn.frames import Frame, frame_from_atoms
from valenceflow.potentials.cpainn.losses import Deviations, Labels, count_labels, loss_by_frame
from valenceflow.potentials.cpainn.model import CPaiNN, Prediction
from valenceflow.potentials.cpainn.passes import add_gradients, default_atoms_per_pass
from valenceflow.potentials.cpainn.settings import get_preset
from valenceflow.potentials.species import SpeciesMap

N_PARAMETERS = 3_053_315
AT_LEAST = 2.0
OVERHEAD_MS = 2.0
STATES_AT_MOST = 1.1

MAP = SpeciesMap.shipped("charge-states").for_couples([get_couple("Fe2+/Fe3+")])
PLAIN = SpeciesMap.shipped("elements")
PRESET = get_preset("paper")


def olivine(supercell: tuple[int, int, int], seed: int) -> Atoms:
    """NaFePO4 at x = 1/2, rattled, with a random charge order and made-up labels."""
    rng = np.random.default_rng(seed)
    cell = HostSupercell.build(get_host("olivine-NaFePO4"), supercell)
    structure = cell.structure
    numbers = np.array([site.specie.Z for site in structure])
    sodium, iron = (rng.permutation(np.flatnonzero(numbers == z)) for z in (11, 26))
    states = np.select([numbers == 11, numbers == 15, numbers == 8], [1, 5, -2], 2)
    states[iron[: len(iron) // 2]] = 3
    atoms = Atoms(numbers, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True)
    atoms.set_array("oxidation_state", states)
    del atoms[sodium[: len(sodium) // 2]]
    atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
    atoms.info |= {"REF_energy": -6.8 * len(atoms), "REF_stress": rng.normal(scale=0.01, size=9)}
    atoms.set_array("REF_forces", rng.normal(size=(len(atoms), 3)))
    atoms.set_array("REF_magmoms", rng.random(len(atoms)))
    atoms.set_array("bader_charges", rng.random(len(atoms)))
    return atoms


def textbook_frame(frame: Frame) -> dict[str, Any]:
    """Tensors of one frame, neighbour list included."""
    crystal = frame.crystal
    atoms = Atoms(crystal.species, positions=crystal.positions, cell=crystal.cell, pbc=True)
    receivers, senders, shifts = neighbour_list("ijS", atoms, PRESET.model.cutoff)
    return {
        "species": torch.from_numpy(crystal.species),
        "positions": torch.from_numpy(crystal.positions).float(),
        "receivers": torch.from_numpy(receivers).long(),
        "senders": torch.from_numpy(senders).long(),
        "shifts": torch.from_numpy(shifts @ crystal.cell).float(),
        "volume": crystal.volume,
    }


def naive_step(model: Textbook, frames: list[Frame], prepared: list[dict[str, Any]]) -> None:
    """Gradients of a batch's loss, frame after frame."""
    weights, counts = PRESET.training.loss, count_labels(frames)
    for frame, tensors in zip(frames, prepared, strict=True):
        energy, forces, stress, magmoms, charges = model.predict(tensors, training=True)
        predicted = Prediction(energy.double()[None], forces, stress[None], magmoms, charges)
        labels = Labels.of([frame], torch.float32, torch.device("cpu"))
        shares = loss_by_frame(Deviations.of(predicted, labels), labels, weights, counts)
        torch.stack([share.sum() for share in shares.values()]).sum().backward()


def ours_step(model: CPaiNN, frames: list[Frame]) -> None:
    """The same, in passes of as many atoms as a training takes."""
    add_gradients(model, frames, PRESET.training.loss, default_atoms_per_pass(model.device))


def check_same(model: CPaiNN, naive: Textbook, frames: list[Frame]) -> None:
    """Both give the same energies, forces and gradients, or the comparison means nothing."""
    prepared = [textbook_frame(frame) for frame in frames]
    model.zero_grad()
    naive.zero_grad()
    ours_step(model, frames)
    naive_step(naive, frames, prepared)
    ours, theirs = model.readout.inner.weight.grad, naive.readout[0].weight.grad
    difference = float((ours - theirs).norm() / theirs.norm())
    if difference > 1e-3:
        raise RuntimeError(f"gradients of both implementations differ by {difference:.1e} of their norm")


def medians(work: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Median CPU seconds of each, done in turns."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for repetition in range(repetitions + 1):
        for name, run in work.items():
            start = process_time()
            run()
            if repetition:  # the first is for warming up
                times[name].append(process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def training_steps(model: CPaiNN, naive: Textbook, repetitions: int) -> dict[str, dict[str, float]]:
    """A step of Adam on a batch of 20 frames of the small cell, and on one of 4 frames of the paper's cell."""
    results = {}
    for label, supercell, count in (("20 x 26 atoms", (1, 1, 1), 20), ("4 x 156 atoms", (1, 3, 2), 4)):
        frames = [frame_from_atoms(olivine(supercell, seed), MAP, f"{seed}") for seed in range(count)]
        prepared = [textbook_frame(frame) for frame in frames]
        work = {
            "naive": _step(naive, lambda frames=frames, prepared=prepared: naive_step(naive, frames, prepared)),
            "ours": _step(model, lambda frames=frames: ours_step(model, frames)),
        }
        results[label] = medians(work, repetitions)
    return results


def _step(model: torch.nn.Module, gradients: Callable[[], Any]) -> Callable[[], None]:
    """Gradients and a step of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)

    def step() -> None:
        optimizer.zero_grad()
        gradients()
        optimizer.step()

    return step


def force_calls(model: CPaiNN, naive: Textbook, repetitions: int) -> dict[str, dict[str, float]]:
    """Energy, forces, stress, moments and charges of one cell, and of eight in one batch."""
    model.requires_grad_(False)
    naive.requires_grad_(False)
    results = {}
    for label, supercell, count in (
        ("26 atoms", (1, 1, 1), 1),
        ("8 x 26 atoms", (1, 1, 1), 8),
        ("156 atoms", (1, 3, 2), 1),
    ):
        frames = [frame_from_atoms(olivine(supercell, seed), MAP, f"{seed}") for seed in range(count)]
        work = {
            "naive": lambda frames=frames: [naive.predict(textbook_frame(frame), training=False) for frame in frames],
            "ours": lambda frames=frames: model.predict(model.batch([frame.crystal for frame in frames])),
        }
        results[label] = medians(work, 3 * repetitions)
    model.requires_grad_(True)
    naive.requires_grad_(True)
    return results


def cost_of_states(model: CPaiNN, repetitions: int) -> dict[str, float]:
    """The same batch with and without charge states."""
    images = [olivine((1, 1, 1), seed) for seed in range(20)]
    work = {}
    for name, species_map in (("with", MAP), ("without", PLAIN)):
        frames = [frame_from_atoms(atoms, species_map, name) for atoms in images]
        work[name] = lambda frames=frames: ours_step(model, frames)
    return medians(work, repetitions)


def calculator_overhead(model: CPaiNN, repetitions: int) -> dict[str, float]:
    """An ASE call beyond the model's own time, with everything but the neighbour list and the network in it."""
    atoms = olivine((1, 3, 2), 0)
    species = tuple(sorted({int(number) for number in MAP.encode_atoms(atoms)}))
    atoms.calc = CPaiNNCalculator(TrainedModel(model, MAP, species))
    crystal = frame_from_atoms(atoms, MAP, "cell").crystal
    genuine = model.predict
    kept = genuine(model.batch([crystal]))

    def call() -> None:
        atoms.positions[0, 0] += 1e-6
        atoms.get_forces()
        atoms.get_potential_energy()
        atoms.get_stress()

    model.predict = lambda batch, training=False: kept  # type: ignore[method-assign]
    try:
        return medians({"call": call, "batch": lambda: model.batch([crystal])}, 10 * repetitions)
    finally:
        model.predict = genuine  # type: ignore[method-assign]


def epochs(repetitions: int) -> dict[str, Any]:
    """Epochs of CHGNet and MACE at `tiny` size on 12 frames, where whatever is not the network weighs most."""
    images = [olivine((1, 1, 1), seed) for seed in range(12)]
    frames = {
        name: ([frame_from_atoms(atoms, species_map, f"{index}") for index, atoms in enumerate(images)], species_map)
        for name, species_map in (("with", MAP), ("without", PLAIN))
    }
    return potentials_training.measure(frames, repetitions)


def measure(repetitions: int) -> dict[str, Any]:
    """All figures; seconds of CPU."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = CPaiNN(PRESET.model)
    naive = Textbook(model)
    check_same(model, naive, [frame_from_atoms(olivine((1, 1, 1), seed), MAP, f"{seed}") for seed in range(2)])
    return {
        "parameters": model.n_parameters,
        "training step": training_steps(model, naive, repetitions),
        "force call": force_calls(model, naive, repetitions),
        "charge states": cost_of_states(model, repetitions),
        "calculator": calculator_overhead(model, repetitions),
        "epochs": epochs(repetitions),
    }


def report(figures: dict[str, Any]) -> None:
    """Print figures beside their limits."""

    def verdict(met: bool) -> str:
        return "met" if met else "MISSED"

    print(f"parameters {figures['parameters']:,} (published size {N_PARAMETERS:,})")
    for kind in ("training step", "force call"):
        for size, times in figures[kind].items():
            factor = times["naive"] / times["ours"]
            print(
                f"{kind:14} {size:14} naive {times['naive'] * 1e3:8.1f} ms  ours {times['ours'] * 1e3:8.1f} ms  "
                f"{factor:.2f} times as fast (at least {AT_LEAST}: {verdict(factor >= AT_LEAST)})"
            )
    states = figures["charge states"]
    ratio = states["with"] / states["without"]
    print(f"training step with / without charge states {ratio:.3f}: {verdict(ratio <= STATES_AT_MOST)}")
    for kind, found in figures["epochs"].items():
        for what, (one, other) in (("against upstream", ("ours", "upstream")), ("charge states", ("with", "without"))):
            ratio = found[what][one] / found[what][other]
            print(
                f"{kind} epoch, {one} {found[what][one]:.3f} s, {other} {found[what][other]:.3f} s: {ratio:.3f} "
                f"(at most {STATES_AT_MOST}: {verdict(ratio <= STATES_AT_MOST)})"
            )
    overhead = (figures["calculator"]["call"] - figures["calculator"]["batch"]) * 1e3
    print(f"calculator beyond the model, 156 atoms {overhead:.2f} ms: {verdict(overhead <= OVERHEAD_MS)}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.repetitions)
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        report(figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
