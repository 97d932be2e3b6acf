"""A potential for tests whose minimum is known to exist: Lennard-Jones pairs by ionic radii, one radius per species."""

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from matscipy.neighbours import neighbour_list

RADII = {11: 1.02, 26: 0.78, 31: 0.62, 8: 1.40}
"""A; Fe3+ goes by 31, the paper's number."""

CUTOFF = 5.0


class IonicPairs(Calculator):
    """Species by atomic number; `offset` (eV per atom) makes members of an ensemble differ."""

    implemented_properties = ("energy", "forces", "stress", "magmoms")

    def __init__(self, offset=0.0, stiffness=1.0):
        super().__init__()
        self.offset, self.stiffness = offset, stiffness
        self.seen = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        self.seen.append(atoms.numbers.copy())
        i, j, d, vectors = neighbour_list("ijdD", atoms, CUTOFF)
        radii = np.array([RADII[number] for number in atoms.numbers])
        opposite = (atoms.numbers[i] == 8) != (atoms.numbers[j] == 8)
        ratio = (radii[i] + radii[j]) / d
        smooth = (1 - (d / CUTOFF) ** 2) ** 3
        slope = -6 * d / CUTOFF**2 * (1 - (d / CUTOFF) ** 2) ** 2
        depth = self.stiffness * np.where(opposite, 1.0, 0.2)
        bare, by_d = (
            depth * (ratio**12 - 2 * opposite * ratio**6),
            depth * (-12 * ratio**12 + 12 * opposite * ratio**6) / d,
        )
        pull = (by_d * smooth + bare * slope)[:, None] * vectors / d[:, None]
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull)
        stress = 0.5 * pull.T @ vectors / atoms.get_volume()
        self.results = {
            "energy": 0.5 * float((bare * smooth).sum()) + self.offset * len(atoms),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress((stress + stress.T) / 2),
            "magmoms": np.where(atoms.numbers == 31, 4.3, np.where(atoms.numbers == 26, 3.7, 0.0)),
        }
