"""The sum over neighbours by hand against plain torch: values, first derivatives, and derivatives of forces."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cPaiNN needs the potentials extra")

from valenceflow.potentials.cpainn.messages import EdgeGeometry, Purpose, neighbour_sum, plain_sum  # noqa: E402
from valenceflow.potentials.cpainn.neighbours import Edges, lay_out  # noqa: E402

N_BASIS, N_FEATURES = 4, 3


def inputs(edges_per_block, seed=0):
    """Random features, filters and geometry of 7 atoms, one of them alone, with uneven numbers of neighbours."""
    rng = np.random.default_rng(seed)
    degrees = np.array([3, 0, 5, 2, 6, 2, 1])
    edges = Edges(degrees, rng.integers(0, 7, degrees.sum()), rng.normal(size=(degrees.sum(), 3)))
    layout = lay_out([edges], 10.0, edges_per_block)
    n_edges = len(layout.senders)
    real = torch.from_numpy(layout.vectors[:, 0] != 10.0)

    def random(*shape):
        return torch.from_numpy(rng.normal(size=shape)).requires_grad_()

    basis, directions = random(n_edges, N_BASIS), random(n_edges, 3)
    with torch.no_grad():
        basis[~real] = 0
    geometry = EdgeGeometry(
        basis, directions, torch.from_numpy(layout.receivers), torch.from_numpy(layout.senders), layout.blocks
    )
    return random(7, 5, N_FEATURES), random(N_BASIS, 3 * N_FEATURES), geometry


@pytest.mark.parametrize("edges_per_block", [1, 8, 1000])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_the_sum_is_the_plain_one(edges_per_block, purpose):
    features, filters, edges = inputs(edges_per_block)
    assert torch.allclose(neighbour_sum(features, filters, edges, purpose), plain_sum(features, filters, edges))


@pytest.mark.parametrize("edges_per_block", [1, 8, 1000])
def test_derivatives_by_edges_and_features_are_those_of_torch(edges_per_block):
    features, filters, edges = inputs(edges_per_block)
    by = (edges.basis, edges.directions, features)
    found, expected = (
        torch.autograd.grad(how.square().sum(), by)
        for how in (neighbour_sum(features, filters, edges, Purpose.FORCES), plain_sum(features, filters, edges))
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("edges_per_block", [1, 8, 1000])
def test_derivatives_of_forces_by_features_and_filters_are_those_of_torch(edges_per_block):
    features, filters, edges = inputs(edges_per_block)

    def after_two_layers(purpose):
        """Gradients of a loss in values and forces; two sums, so that cotangents of every kind occur."""
        hidden = neighbour_sum(features, filters, edges, purpose)
        again = torch.cat([hidden[:, :1], hidden], dim=1) * features.cos()
        total = neighbour_sum(again, filters * 0.5, edges, purpose).square().sum()
        forces = torch.autograd.grad(total, (edges.basis, edges.directions), create_graph=True)
        loss = total.sin() + sum(force.pow(3).sum() for force in forces)
        return torch.autograd.grad(loss, (features, filters))

    for one, other in zip(after_two_layers(Purpose.TRAINING), after_two_layers(Purpose.ANY), strict=True):
        assert torch.allclose(one, other, rtol=1e-9)


def test_a_loss_without_forces_has_the_gradients_of_torch():
    features, filters, edges = inputs(8)
    found, expected = (
        torch.autograd.grad(neighbour_sum(features, filters, edges, purpose).square().sum(), (features, filters))
        for purpose in (Purpose.TRAINING, Purpose.ANY)
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other)


def test_the_plain_sum_has_second_derivatives_by_everything():
    features, filters, edges = inputs(8)

    def summed(features, filters, basis, directions):
        moved = EdgeGeometry(basis, directions, edges.receivers, edges.senders, edges.blocks)
        return neighbour_sum(features, filters, moved, Purpose.ANY)

    assert torch.autograd.gradgradcheck(summed, (features, filters, edges.basis, edges.directions), fast_mode=True)
