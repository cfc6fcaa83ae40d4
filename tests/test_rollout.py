import numpy as np
import pytest
import torch

import irno_graph as ig
from irno_graph.rollout import Trajectory


@pytest.fixture
def model(box):
    base = ig.bases.Callable(lambda x, graph: 0.9 * x)
    corrector = ig.correctors.MultiscaleMessagePassing(
        3, 3, hidden=8, levels=2, options=ig.correctors.Options(small=1.0)
    ).double()
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


class Decay(torch.nn.Module):
    """u' = -c u, solved exactly over any lead time; remembers what it was asked for."""

    lead_time = 0.1

    def __init__(self):
        super().__init__()
        self.asked: list[tuple[float, float]] = []

    def forward(self, x, graph, *, time=None, lead_time=None):
        lead = self.lead_time if lead_time is None else lead_time
        self.asked.append((round(float(time), 6), round(float(lead), 6)))
        rate = x[..., 1:2] if x.shape[-1] == 2 else 1.0
        return x[..., :1] * torch.exp(-torch.as_tensor(lead * rate, dtype=x.dtype))


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"time_steps": 3, "lead_time": 0.2}, [(0.5, 0.2), (0.7, 0.2), (0.9, 0.2)]),
        ({"time_steps": 3, "lead_time": 0.1, "tau_max": 0.2}, [(0.5, 0.1), (0.5, 0.2), (0.7, 0.1)]),
        (
            {"time_steps": 2, "lead_time": 0.2, "tau_max": 0.1},
            [(0.5, 0.1), (0.6, 0.1), (0.7, 0.1), (0.8, 0.1)],
        ),
        ({"lead_time": [0.1, 0.3, 0.2], "tau_max": 0.4}, [(0.5, 0.1), (0.5, 0.4), (0.9, 0.2)]),
        (
            {"lead_time": np.array([0.1, 0.5]), "tau_max": 0.2},
            [(0.5, 0.1), *((0.6 + k / 6, 1 / 6) for k in range(3))],
        ),
        (
            {"lead_time": torch.diff(torch.linspace(0, 1, 5)), "tau_max": 0.25},
            [(0.5 + k / 4, 0.25) for k in range(4)],
        ),
    ],
)
def test_lead_times_are_asked_for_as_tau_max_allows(box, options, asked):
    """An exact flow map arrives at the exact solution whatever the lead times."""
    base, state = Decay(), torch.rand(box.num_nodes, 1, dtype=torch.float64)
    got = ig.rollout(base, state, box, time=0.5, **options)
    assert base.asked == [pytest.approx(pair, abs=1e-5) for pair in asked]
    exact = torch.exp(0.5 - got.times).view(-1, 1, 1) * state
    torch.testing.assert_close(got.states, exact, rtol=1e-6, atol=0)


def test_coefficients_go_beside_the_state(box):
    state = torch.rand(3, box.num_nodes, 1, dtype=torch.float64)
    rate = torch.rand(box.num_nodes, 1, dtype=torch.float64)
    got = ig.rollout(Decay(), state, box, time_steps=4, coefficients=rate)
    torch.testing.assert_close(got.states[-1], state * torch.exp(-0.4 * rate))
    with pytest.raises(ValueError, match="repeat the state"):
        ig.rollout(Decay(), state[0], box, coefficients=rate.expand(3, -1, -1))


def test_times_that_make_no_sense_are_refused(box, model):
    state = torch.rand(box.num_nodes, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="one number for each of 3 time steps, got 2"):
        ig.rollout(Decay(), state, box, time_steps=3, lead_time=[0.1, 0.2])
    with pytest.raises(ValueError, match="should be positive"):
        ig.rollout(Decay(), state, box, lead_time=[0.1, 0.0])
    with pytest.raises(ValueError, match="should be positive"):
        ig.rollout(Decay(), state, box, tau_max=-1.0)
    with pytest.raises(ValueError, match="Callable does not"):
        ig.rollout(model, state.expand(-1, 3), box, tau_max=0.2)


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize(
    "options", [{"lead_time": 0.2}, {"lead_time": 0.1, "tau_max": 0.2}, {"lead_time": 0.2, "tau_max": 0.1}]
)
def test_fixed_values_are_those_of_each_new_state_s_time(box, refined, options):
    """u' = -u inside, u = 1 + sin(t) at the rim, exact to the last bit at every time."""
    rim = torch.rand(box.num_nodes) < 0.2
    state = torch.rand(2, box.num_nodes, 1, dtype=torch.float64)
    asked = []

    def values(time):
        asked.append(time)
        return 1 + torch.sin(torch.tensor(time, dtype=torch.float64))

    class Still(torch.nn.Module):
        def forward(self, x, h, graph):
            return torch.ones_like(h) * 0.0

    model = ig.IRNO(Decay(), Still()) if refined else Decay()
    got = ig.rollout(model, state, box, time_steps=4, time=0.3, fixed=ig.Dirichlet(rim, values), **options)
    assert torch.equal(got.states[0], state)
    for time, now in zip(got.times[1:], got.states[1:], strict=True):
        assert (now[:, rim] == 1 + torch.sin(time)).all()
        torch.testing.assert_close(now[:, ~rim], torch.exp(0.3 - time) * state[:, ~rim])
    assert set(got.times[1:].tolist()) <= set(asked)
    assert len(asked) == (8 if options.get("tau_max") == 0.1 else 4)


def test_fixed_values_repair_what_a_base_leaves_undefined_there(box):
    rim = torch.rand(box.num_nodes) < 0.2
    base = ig.bases.Callable(lambda x, graph: torch.where(rim[:, None], torch.nan, 2 * x))
    got = ig.rollout(
        base, torch.ones(box.num_nodes, 1), box, time_steps=3, fixed=ig.Dirichlet(rim, torch.tensor(5.0))
    )
    assert got.status == ig.Status.DONE
    assert torch.equal(got.states[-1], torch.where(rim[:, None], 5.0, torch.full((150, 1), 8.0)))


def test_the_time_of_each_step_reaches_the_corrector(box):
    class Source(torch.nn.Module):
        """Phi = t + 10 dt."""

        def forward(self, x, h, graph, *, time=None, lead_time=None):
            return torch.zeros_like(h) + time + 10 * lead_time

    model = ig.IRNO(Decay(), Source(), alpha=0.5, steps=2)
    state = torch.zeros(box.num_nodes, 1, dtype=torch.float64)
    got = ig.rollout(model, state, box, time_steps=2, time=3.0, lead_time=0.2)
    first = 3.0 + 2.0
    assert got.states[1, 0, 0] == pytest.approx(first)
    assert got.states[2, 0, 0] == pytest.approx(first * np.exp(-0.2) + 3.2 + 2.0)
