import pytest
import torch
from torch import nn

import irno_graph as ig
from irno_graph.refine import Given, Guard, Scaling, Status, with_answers

UNITS = {"input_mean": 0.1, "input_std": 2.0, "mean": 0.3, "std": 1.5, "error": 0.5}


class Towards(nn.Module):
    """Phi(x, h) = 2 x - h: the limit is twice the input."""

    def forward(self, x, h, graph):
        return 2 * x - h


@pytest.fixture
def graph():
    return ig.Graph.from_grid((4, 5), period=(1.0, 1.0))


@pytest.fixture
def model():
    return ig.IRNO(lambda x, graph: x, Towards(), alpha=0.5, steps=3)


def test_refinement_starts_from_the_answers_and_not_from_the_base(graph, model):
    x, h = torch.randn(2, 3, 20, 1).unbind(0)
    out = with_answers(model, h)(x, graph)
    torch.testing.assert_close(out.states[0], h)
    torch.testing.assert_close(out.value, 2 * x + (h - 2 * x) / 8)
    torch.testing.assert_close(model(x, graph).value, 2 * x - x / 8)


def test_the_base_s_own_answers_give_the_model_s(graph):
    torch.manual_seed(0)
    corrector = ig.correctors.MultiscaleMessagePassing(2, 2, hidden=8, levels=2)
    for own in corrector.parameters():
        nn.init.normal_(own, std=0.2)
    scaling = Scaling(**{name: torch.full((2,), value) for name, value in UNITS.items()})
    model = ig.IRNO(lambda x, graph: x.flip(-1), corrector, scaling=scaling).eval()
    x = torch.randn(3, 20, 2)
    torch.testing.assert_close(
        with_answers(model, x.flip(-1))(x, graph, steps=5).states,
        model(x, graph, steps=5).states,
        rtol=0,
        atol=0,
    )
    with pytest.raises(ValueError, match="2 channels"):
        with_answers(model, torch.zeros(20, 3))


def test_a_guard_returns_the_answers(graph, model):
    model.guard = Guard.calibrated(torch.full((40, model.steps + 2), 1e-6), 0.1, steps=model.steps)
    x = torch.randn(2, 20, 1)
    h = x + torch.randn(2, 20, 1)
    out = with_answers(model, h)(x, graph)
    assert out.status.tolist() == [int(Status.OUTSIDE)] * 2
    torch.testing.assert_close(out.value, h, rtol=0, atol=0)


def test_answers_that_do_not_fit_are_refused(graph, model):
    x = torch.randn(3, 20, 1)
    with pytest.raises(ValueError, match="samples of x"):
        with_answers(model, torch.zeros(2, 20, 1))(x, graph)
    with pytest.raises(ValueError, match="`h` should have shape"):
        with_answers(model, torch.zeros(3, 19, 1))(x, graph)
    with pytest.raises(ValueError, match="`h` should be finite"):
        Given(torch.full((20, 1), torch.nan))(x[0], graph)


def test_the_corrector_s_mode_is_left_as_it_is(graph, model):
    with_answers(model.train(), torch.zeros(20, 1))
    assert model.corrector.training
