"""The band-filter loss against the eigenbasis, and what it sees of a displaced front."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph, mass_mean
from irno_graph.losses import BandFilterLoss, RefinementLoss
from irno_graph.mesh import periodic_box
from irno_graph.spectral import EigenBasis
from irno_graph.spectral.recurrence import operator


@pytest.fixture
def box():
    return Graph.from_mesh(periodic_box(144, seed=1))


def test_mean_squares_without_weights_are_the_mean_square_of_the_error(box):
    """Squares of a tight frame sum to one, so with p = 0 every band weighs 1."""
    states = torch.randn(2, 3, 144, 2, dtype=torch.float64)
    truth = torch.randn(3, 144, 2, dtype=torch.float64)
    loss = BandFilterLoss(3, order=96, norm="mean-square", p_start=0.0, p_end=0.0)
    expected = mass_mean((states - truth).square(), box).mean()
    torch.testing.assert_close(loss(states, truth, box), expected, rtol=2e-4, atol=0)


def test_the_loss_of_one_mode_is_what_its_eigenvalue_says(box):
    basis = EigenBasis.compute(box, modes=144)
    loss = BandFilterLoss(4, order=64, norm="mean-square")
    top = float(np.sqrt(operator(box, torch.float64).bounds[0]))
    weights = loss.weights(1)[0]
    for mode, band in ((1, None), (100, None), (143, 3)):
        field = basis.vectors[:, mode : mode + 1]
        found = loss(field.unsqueeze(0), torch.zeros_like(field), box) * box.mass.sum()
        assert weights.min() * 0.999 < found < weights.max() * 1.001
        if band is not None:
            assert float(basis.eigenvalues[mode]) ** 0.5 > 0.75 * top
            torch.testing.assert_close(found, weights[band], rtol=1e-3, atol=0)
    low = basis.vectors[:, 0:1]
    found = loss(low.unsqueeze(0), torch.zeros_like(low), box) * box.mass.sum()
    torch.testing.assert_close(found, weights[0], rtol=3e-3, atol=0)


def test_high_frequencies_weigh_more_and_later_steps_weigh_them_relatively_less():
    weights = BandFilterLoss(4).weights(3)
    assert (weights.diff(dim=1) > 0).all()
    torch.testing.assert_close(weights.mean(dim=1), torch.ones(3, dtype=torch.float64))
    assert weights[2, 1] < weights[0, 1]  # rho - 1 = (omega / omega_max)^p falls with p


def test_an_error_at_a_few_nodes_costs_less_than_the_same_energy_everywhere(box):
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(144, 1, dtype=torch.float64, generator=generator)
    spread = spread / mass_mean(spread.square(), box).sqrt()
    spike = torch.zeros(144, 1, dtype=torch.float64)
    spike[7] = 1.0
    spike = spike / mass_mean(spike.square(), box).sqrt()
    zero = torch.zeros_like(spike)

    def ratio(norm):
        loss = BandFilterLoss(3, norm=norm)
        return float(loss(spike.unsqueeze(0), zero, box) / loss(spread.unsqueeze(0), zero, box))

    assert ratio("mean-absolute") < 0.5 * ratio("mean-square")


def test_graphs_of_a_batch_do_not_see_each_other_and_order_is_no_matter(box):
    other = Graph.from_mesh(periodic_box(80, seed=2))
    states = torch.randn(2, 224, 1, dtype=torch.float64)
    truth = torch.randn(224, 1, dtype=torch.float64)
    loss = BandFilterLoss(3)
    parts = [loss(states[:, :144], truth[:144], box), loss(states[:, 144:], truth[144:], other)]
    found = loss(states, truth, Batch.from_data_list([box, other]))
    torch.testing.assert_close(found, torch.stack(parts).mean())


@pytest.mark.parametrize("norm", ["mean-square", "mean-absolute"])
def test_gradients_are_those_of_finite_differences(norm):
    graph = Graph.from_mesh(periodic_box(24, seed=3))
    truth = torch.randn(24, 1, dtype=torch.float64)
    states = torch.randn(2, 24, 1, dtype=torch.float64, requires_grad=True)
    loss = BandFilterLoss(2, norm=norm)
    assert torch.autograd.gradcheck(lambda h: loss(h, truth, graph), states, fast_mode=True)
    terms = RefinementLoss(loss, beta_spectral=2.0)(states, truth, graph)
    torch.testing.assert_close(terms.total, terms.spatial + 2.0 * loss(states, truth, graph))


@pytest.mark.parametrize(
    ("wrong", "word"), [({"bands": 0}, "bands"), ({"bands": 6}, "order"), ({"norm": "l3"}, "norm")]
)
def test_impossible_settings_are_refused(wrong, word):
    with pytest.raises(ValueError, match=word):
        BandFilterLoss(**wrong)
