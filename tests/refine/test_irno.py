import copy

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.mesh import periodic_box
from irno_graph.refine import Scaling, Status


class Towards(nn.Module):
    """Phi(x, h) = rate (y - h)."""

    def __init__(self, truth, rate=1.0):
        super().__init__()
        self.truth, self.rate = truth, rate

    def forward(self, x, h, graph):
        return self.rate * (self.truth - h)


@pytest.fixture
def truth(box):
    return torch.randn(3, box.num_nodes, 2, dtype=torch.float64)


def persistence():
    return ig.bases.Callable(lambda x, graph: x)


def test_the_right_correction_hits_the_truth_in_one_step(box, truth):
    model = ig.IRNO(persistence(), Towards(truth), alpha=1.0, steps=1)
    torch.testing.assert_close(model(torch.zeros_like(truth), box).value, truth, rtol=0, atol=1e-15)


def test_error_shrinks_by_one_minus_alpha_in_each_step(box, truth):
    model = ig.IRNO(persistence(), Towards(truth), alpha=0.3, steps=8)
    x = torch.randn_like(truth)
    states = model(x, box).states
    for k, state in enumerate(states):
        torch.testing.assert_close(state - truth, 0.7**k * (x - truth))


def test_residuals_are_the_norm_of_phi(box, truth):
    model = ig.IRNO(persistence(), Towards(truth), alpha=0.3, steps=2)
    out = model(torch.zeros_like(truth), box)
    mass = box.mass[:, None] / box.mass.sum()
    for k in range(2):
        expected = (mass * (truth - out.states[k]).square()).sum(dim=-2).sqrt()
        torch.testing.assert_close(out.residuals[k], expected)


def test_zero_steps_are_the_base_alone(box, truth):
    base = ig.bases.Callable(lambda x, graph: 2 * x)
    out = ig.IRNO(base, Towards(truth))(truth, box, steps=0)
    torch.testing.assert_close(out.value, 2 * truth, rtol=0, atol=0)
    assert out.states.shape[0] == 1
    assert out.residuals.shape[0] == 0


def test_scaling_only_changes_the_units_of_the_corrector(box, truth):
    scale = torch.tensor([0.5, 20.0])
    scaling = Scaling(
        input_mean=torch.tensor([1.0, -2.0]),
        input_std=scale,
        mean=torch.tensor([1.0, -2.0]),
        std=scale,
        error=scale,
    )
    standard = (truth - scaling.mean) / scale
    model = ig.IRNO(persistence(), Towards(standard), alpha=1.0, steps=1, scaling=scaling)
    torch.testing.assert_close(model(torch.zeros_like(truth), box).value, truth, rtol=0, atol=1e-5)


def test_the_base_is_frozen_and_stays_in_evaluation_mode(box):
    base, corrector = (
        nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)),
        ig.correctors.MessagePassing(2, 2, hidden=8),
    )
    model = ig.IRNO(ig.bases.Callable(lambda x, graph: base(x)), corrector)
    model.base.inner = base
    model = ig.IRNO(model.base, corrector).train()
    assert model.corrector.training
    assert not base.training
    before = copy.deepcopy(base.state_dict())
    hashed = model.base_hash
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.rand(box.num_nodes, 2), box).value.square().sum().backward()
    optimiser.step()
    assert all(torch.equal(before[name], value) for name, value in base.state_dict().items())
    assert model.base_hash == hashed


def test_a_sample_that_blows_up_stops_alone_at_its_last_finite_state(box, truth):
    class Explode(nn.Module):
        def forward(self, x, h, graph):
            return torch.where(x == 7, torch.inf, 1.0) * torch.ones_like(h)

    x = torch.zeros_like(truth)
    x[1] = 7
    out = ig.IRNO(persistence(), Explode(), alpha=0.5, steps=3)(x, box)
    assert out.status.tolist() == [Status.DONE, Status.NOT_FINITE, Status.DONE]
    assert out.steps_taken.tolist() == [3, 0, 3]
    torch.testing.assert_close(out.value[1], x[1])
    torch.testing.assert_close(out.value[0], x[0] + 1.5)
    assert "NaN" in Status(int(out.status[1])).sentence


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha, truth):
    with pytest.raises(ValueError, match=r"alpha.*\(0, 1\]"):
        ig.IRNO(persistence(), Towards(truth), alpha=alpha)


def test_input_with_nan_is_refused(box, truth):
    truth[0, 5, 1] = torch.nan
    with pytest.raises(ValueError, match="finite, got 1 values"):
        ig.IRNO(persistence(), Towards(truth))(truth, box)


def test_input_of_another_graph_is_refused(box, truth):
    with pytest.raises(ValueError, match="nodes=150"):
        ig.IRNO(persistence(), Towards(truth))(truth[:, 1:], box)


def test_a_function_and_a_module_without_times_are_bases(box, truth):
    class Plain(nn.Module):
        def forward(self, x, graph):
            return 2 * x

    for base in (Plain(), lambda x, graph: 2 * x):
        out = ig.IRNO(base, Towards(truth), alpha=1.0, steps=1)(truth, box, time=0.3, lead_time=0.1)
        torch.testing.assert_close(out.states[0], 2 * truth)
        torch.testing.assert_close(
            ig.rollout(ig.IRNO(base, Towards(truth)), truth, box, 1, steps=0).states[1], 2 * truth
        )


def test_float64_states_pass_through_float32_networks(box):
    base = ig.bases.RIGNO(4, 4, architecture=Architecture(processor_steps=1, node_hidden=8, edge_hidden=8))
    model = ig.IRNO(base, ig.correctors.MultiscaleMessagePassing(4, 4, hidden=8, levels=1, modes=5))
    x = torch.randn(box.num_nodes, 4, dtype=torch.float64)
    found = ig.rollout(model, x, box, time_steps=2).states
    assert found.dtype == torch.float64
    expected = ig.rollout(model, x.float(), box, time_steps=2).states
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-4)


def test_in_a_batch_a_graph_that_blows_up_stops_alone(box):
    other = ig.Graph.from_mesh(periodic_box(60, seed=4))
    batch = Batch.from_data_list([box, other])

    class Explode(nn.Module):
        def forward(self, x, h, graph):
            return torch.where(x == 7, torch.inf, 1.0)

    x = torch.zeros(2, 210, 1)
    x[0, 180] = 7  # a node of the second graph, in the first sample
    out = ig.IRNO(lambda x, graph: x, Explode(), alpha=0.5, steps=3)(x, batch)
    assert out.status.tolist() == [[Status.DONE, Status.NOT_FINITE], [Status.DONE, Status.DONE]]
    assert out.steps_taken.tolist() == [[3, 0], [3, 3]]
    assert (out.value[0, :150] == 1.5).all()
    assert torch.equal(out.value[0, 150:], x[0, 150:])


def test_a_rollout_says_when_refinement_broke_down(box, truth):
    class Nothing(nn.Module):
        def forward(self, x, h, graph):
            return h * torch.inf

    found = ig.rollout(ig.IRNO(lambda x, graph: x, Nothing()), truth, box, time_steps=2)
    assert torch.isfinite(found.states).all()
    assert (found.status == Status.NOT_FINITE).all()


def test_tensors_of_another_kind_are_refused(box, truth):
    model = ig.IRNO(persistence(), Towards(truth))
    with pytest.raises(ValueError, match="torch tensor, got ndarray"):
        model(truth.numpy(), box)
    with pytest.raises(ValueError, match="steps"):
        ig.rollout(persistence(), truth, box, steps=2)
