"""What a training step sees of a refinement: gradients truncated by hand, implicit ones, penalties."""

import numpy as np
import pytest
import torch

from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine import Space, jacobian_penalty
from irno_graph.training.unrolling import Unrolling


def scalar_step(weight):
    return lambda h: 0.5 * h + weight


def test_gradients_reach_back_through_the_steps_that_are_asked_for():
    """h_{k+1} = h_k / 2 + w: dh_k/dw is 1 + 1/2 + ... over the steps that the gradient sees."""
    weight = torch.tensor(0.3, requires_grad=True)
    states = Unrolling(past_steps=4, truncate=2).states(scalar_step(weight), torch.tensor(1.0), 3)
    slopes = [torch.autograd.grad(state, weight, retain_graph=True)[0].item() for state in states]
    assert np.allclose(slopes, [1, 1.5, 1.75, 1, 1.5, 1, 1.5])
    expected = [1.0]
    for _ in range(7):
        expected.append(0.5 * expected[-1] + 0.3)
    assert np.allclose([state.item() for state in states], expected[1:])


def test_the_implicit_state_is_the_limit_with_the_slope_of_the_fixed_point():
    weight = torch.tensor(0.3, requires_grad=True)
    (limit,) = Unrolling(implicit=True, past_steps=60).states(scalar_step(weight), torch.tensor(1.0), 3)
    assert np.isclose(limit.item(), 0.6)
    (slope,) = torch.autograd.grad(limit, weight)
    assert np.isclose(slope.item(), 2.0)


def test_penalties_are_weighted_and_left_out_without_weights():
    graph = Graph.from_mesh(periodic_box(24, seed=3))
    space = Space.of(graph, torch.ones(1))
    h = torch.randn(2, 24, 1, dtype=torch.float64)

    def penalty(seed, **options):
        return Unrolling(**options).penalty(lambda h: -h, h, space, 0.5, torch.Generator().manual_seed(seed))

    assert penalty(0) is None
    exact = jacobian_penalty(lambda h: -h, h, space, alpha=0.5, generator=torch.Generator().manual_seed(1))
    assert torch.isclose(penalty(1, beta_jacobian=0.2), 0.2 * exact.mean())
    assert np.isclose(penalty(1, beta_norm=0.4).item(), 0.4 * 0.25)  # T = h / 2 in every direction


@pytest.mark.parametrize("wrong", [{"past_steps": -1}, {"truncate": 0}, {"beta_norm": -0.1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Unrolling(**wrong)
