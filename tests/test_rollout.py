import pytest
import torch

import irno_graph as ig
from irno_graph.rollout import Trajectory


@pytest.fixture
def model(box):
    base = ig.bases.Callable(lambda x, graph: 0.9 * x)
    corrector = ig.correctors.MultiscaleMessagePassing(3, 3, hidden=8, levels=2, small=1.0).double()
    return ig.IRNO(base, corrector, alpha=0.5, steps=2).eval()


def test_equals_the_loop_written_by_hand(box, model):
    state = torch.randn(2, box.num_nodes, 3, dtype=torch.float64)
    got = ig.rollout(model, state, box, time_steps=4)
    assert isinstance(got, Trajectory)
    expected = [state]
    with torch.no_grad():
        for _ in range(4):
            h = 0.9 * expected[-1]
            for _ in range(2):
                h = h + 0.5 * model.corrector(expected[-1], h, box)
            expected.append(h)
    torch.testing.assert_close(got.states, torch.stack(expected))
    assert got.steps_taken.tolist() == [[2, 2]] * 4
    assert got.times.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_zero_steps_roll_out_the_base(box, model):
    state = torch.randn(box.num_nodes, 3, dtype=torch.float64)
    got = ig.rollout(model, state, box, time_steps=5, steps=0).states
    torch.testing.assert_close(got[-1], 0.9**5 * state)
    torch.testing.assert_close(got, ig.rollout(model.base, state, box, time_steps=5).states)


def test_samples_do_not_see_each_other(box, model):
    state = torch.randn(3, box.num_nodes, 3, dtype=torch.float64)
    together = ig.rollout(model, state, box, time_steps=2).states
    alone = ig.rollout(model, state[1], box, time_steps=2).states
    torch.testing.assert_close(together[:, 1], alone)


def test_a_sample_that_blows_up_keeps_its_prefix_and_leaves_the_others_alone(box):
    base = ig.bases.Callable(lambda x, graph: x * torch.where(x.abs() > 4, torch.inf, 2.0))
    state = torch.ones(2, box.num_nodes, 1, dtype=torch.float64)
    state[1] = 0.0
    got = ig.rollout(base, state, box, time_steps=6)
    assert got.status.tolist() == [ig.Status.NOT_FINITE, ig.Status.DONE]
    assert got.states[:, 0, 0, 0].tolist()[:4] == [1, 2, 4, 8]
    assert torch.isnan(got.states[4:, 0]).all()
    assert (got.states[:, 1] == 0).all()


def test_time_and_lead_time_reach_the_base(box):
    class Clock(torch.nn.Module):
        lead_time = 0.25

        def forward(self, x, graph, *, time=None, lead_time=None):
            return x + time + (self.lead_time if lead_time is None else lead_time)

    got = ig.rollout(Clock(), torch.zeros(box.num_nodes, 1), box, time_steps=3, time=1.0)
    assert got.times.tolist() == [1.0, 1.25, 1.5, 1.75]
    torch.testing.assert_close(got.states[:, 0, 0], torch.tensor([0.0, 1.25, 2.75, 4.5]))


def test_bad_states_are_refused(box, model):
    good = torch.zeros(box.num_nodes, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="time_steps"):
        ig.rollout(model, good, box, time_steps=-1)
    with pytest.raises(ValueError, match="nodes=150"):
        ig.rollout(model, good[:-1], box)
    with pytest.raises(ValueError, match="channels=3"):
        ig.rollout(model, good[:, :2], box)
