"""PaiNN as arXiv:2102.03150 writes it, in plain vectorised torch: what `potentials.py` times cPaiNN against.

One frame at a time, every message an array of edges x features, forces and stress by autograd. It takes its weights
from a CPaiNN, so that both can be seen to compute the same.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class Textbook(nn.Module):
    """Energy per atom, moments and charges of one frame."""

    def __init__(self, model) -> None:
        super().__init__()
        settings = model.settings
        width, count = settings.features, settings.n_layers
        self.settings, self.width = settings, width

        def two(n_in: int, n_out: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(n_in, width), nn.SiLU(), nn.Linear(width, n_out))

        self.embedding = nn.Embedding(119, width)
        self.gates = nn.ModuleList(two(width, 3 * width) for _ in range(count))
        self.filters = nn.ModuleList(nn.Linear(settings.n_radial, 3 * width) for _ in range(count))
        self.u = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(count))
        self.v = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(count))
        self.mixes = nn.ModuleList(two(2 * width, 3 * width) for _ in range(count))
        self.readout = two(width, 1)
        self.magmoms, self.charges = nn.Linear(width, 1), nn.Linear(width, 1)
        self.load_state_dict(self._taken_from(model.state_dict()))

    def _taken_from(self, theirs):
        """Weights of a CPaiNN under the names used here."""
        found = {"embedding.weight": theirs["embedding.weight"]}

        def take(here, there):
            for kind in ("weight", "bias"):
                found[f"{here}.{kind}"] = theirs[f"{there}.{kind}"]

        for layer in range(self.settings.n_layers):
            for here, there in (("gates", f"messages.{layer}.gates"), ("mixes", f"updates.{layer}.gates")):
                take(f"{here}.{layer}.0", f"{there}.inner")
                take(f"{here}.{layer}.2", f"{there}.outer")
            take(f"filters.{layer}", f"messages.{layer}.filters")
            u, v = theirs[f"updates.{layer}.mix.weight"].split(self.width)
            found |= {f"u.{layer}.weight": u, f"v.{layer}.weight": v}
        take("readout.0", "readout.inner")
        take("readout.2", "readout.outer")
        take("magmoms", "magmom_head")
        take("charges", "charge_head")
        return found

    def forward(self, species, receivers, senders, vectors):
        """Outputs per atom."""
        settings = self.settings
        distances = vectors.norm(dim=1)
        directions = vectors / distances[:, None]
        orders = torch.arange(1, settings.n_radial + 1, dtype=vectors.dtype)
        radial = torch.sin(orders * math.pi * distances[:, None] / settings.cutoff) / distances[:, None]
        cutoff = 0.5 * (torch.cos(math.pi * distances / settings.cutoff) + 1)
        s = self.embedding(species)
        v = s.new_zeros(len(s), 3, self.width)
        for layer in range(settings.n_layers):
            weights = self.filters[layer](radial) * cutoff[:, None]
            b, c, a = (self.gates[layer](s)[senders] * weights).split(self.width, dim=1)
            pull = v[senders] * a[:, None] + directions[:, :, None] * b[:, None]
            s = s + torch.zeros_like(s).index_add(0, receivers, c)
            v = v + torch.zeros_like(v).index_add(0, receivers, pull)
            uv, vv = self.u[layer](v), self.v[layer](v)
            norm = (vv.square().sum(1) + settings.norm_epsilon).sqrt()
            a_vv, a_sv, a_ss = self.mixes[layer](torch.cat([norm, s], dim=1)).split(self.width, dim=1)
            v = v + a_vv[:, None] * uv
            s = s + a_sv * (uv * vv).sum(1) + a_ss
            if layer + 1 == settings.heads_after:
                magmoms, charges = self.magmoms(s)[:, 0], self.charges(s)[:, 0]
        return self.readout(s)[:, 0], magmoms, charges

    def predict(self, frame, training):
        """Energy, forces, stress, moments and charges of one frame (a dict of tensors)."""
        positions = frame["positions"].detach().requires_grad_()
        strain = torch.zeros(3, 3, dtype=positions.dtype, requires_grad=True)
        vectors = positions[frame["senders"]] - positions[frame["receivers"]] + frame["shifts"]
        vectors = vectors + vectors @ strain
        outputs, magmoms, charges = self(frame["species"], frame["receivers"], frame["senders"], vectors)
        energy = outputs.sum()
        slopes, virial = torch.autograd.grad(energy, (positions, strain), create_graph=training)
        stress = (virial + virial.T) / (2 * frame["volume"])
        return energy, -slopes, stress, magmoms, charges
