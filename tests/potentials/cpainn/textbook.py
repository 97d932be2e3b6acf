"""PaiNN as arXiv:2102.03150 writes it, atom by atom in numpy, from the weights of ours: a second implementation."""

import numpy as np
from ase.neighborlist import neighbor_list


def silu(x):
    return x / (1 + np.exp(-x))


def textbook_outputs(model, atoms, species):
    """Energies per atom (network units), moments and charges."""
    settings = model.settings
    width = settings.features
    weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}

    def linear(name, x):
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    def two_layers(name, x):
        return linear(f"{name}.outer", silu(linear(f"{name}.inner", x)))

    neighbours = list(zip(*neighbor_list("ijD", atoms, settings.cutoff), strict=True))
    s = [weights["embedding.weight"][z].copy() for z in species]
    v = [np.zeros((3, width)) for _ in species]
    for layer in range(settings.n_layers):
        gates = [two_layers(f"messages.{layer}.gates", x) for x in s]
        ds, dv = [np.zeros(width) for _ in species], [np.zeros((3, width)) for _ in species]
        for i, j, vector in neighbours:
            d = np.linalg.norm(vector)
            radial = np.array([np.sin((n + 1) * np.pi * d / settings.cutoff) / d for n in range(settings.n_radial)])
            cut = 0.5 * (1 + np.cos(np.pi * d / settings.cutoff))
            b, c, a = np.split(gates[j] * linear(f"messages.{layer}.filters", radial) * cut, 3)
            ds[i] += c
            dv[i] += np.outer(vector / d, b) + a * v[j]
        s, v = [x + dx for x, dx in zip(s, ds, strict=True)], [x + dx for x, dx in zip(v, dv, strict=True)]
        u_map, v_map = np.split(weights[f"updates.{layer}.mix.weight"], 2)
        for i in range(len(species)):
            uv, vv = v[i] @ u_map.T, v[i] @ v_map.T
            norm = np.sqrt((vv**2).sum(0) + settings.norm_epsilon)
            a_vv, a_sv, a_ss = np.split(two_layers(f"updates.{layer}.gates", np.concatenate([norm, s[i]])), 3)
            s[i] = s[i] + a_ss + a_sv * (uv * vv).sum(0)
            v[i] = v[i] + a_vv * uv
        if layer + 1 == settings.heads_after:
            magmoms = [linear("magmom_head", x)[0] for x in s]
            charges = [linear("charge_head", x)[0] for x in s]
    return np.array([two_layers("readout", x)[0] for x in s]), np.array(magmoms), np.array(charges)
