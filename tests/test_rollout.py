from typing import Any

import numpy as np
import pytest
import torch

import irno_graph as ig
from irno_graph.rollout import Trajectory, stream


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


class Growing(torch.nn.Module):
    """u -> (1 + 3 dt) u + t / 100, infinite beyond 9; takes coefficients."""

    lead_time = 0.1

    def forward(self, x, graph, *, time=None, lead_time=None):
        lead = self.lead_time if lead_time is None else lead_time
        new = x[..., :3] * (1 + 3 * lead) + time / 100
        return torch.where(new.abs() > 9, torch.inf, new)


OPTIONS: dict[str, dict[str, Any]] = {
    "as it is": {"time_steps": 5},
    "base": {"time_steps": 5, "steps": 0},
    "tolerance": {"time_steps": 4, "steps": 6, "tolerance": 0.5},
    "lead time": {"time_steps": 5, "lead_time": 0.2},
    "several from one state": {"time_steps": 7, "lead_time": 0.1, "tau_max": 0.35},
    "in parts": {"time_steps": 4, "lead_time": 0.3, "tau_max": 0.2},
    "uneven": {"lead_time": [0.1, 0.3, 0.1, 0.1, 0.5, 0.1, 0.1], "tau_max": 0.25},
    "fixed": {"time_steps": 5, "fixed": True, "tau_max": 0.2},
    "coefficients": {"time_steps": 5, "coefficients": True, "time": 2.0},
}


def same(ours, theirs) -> bool:
    """Equal to the last bit, NaN where NaN."""
    return all(
        torch.equal(torch.nan_to_num(one, nan=-7.0), torch.nan_to_num(two, nan=-7.0))
        and one.dtype == two.dtype
        if isinstance(one, torch.Tensor)
        else one == two
        for one, two in zip(ours, theirs, strict=True)
    )


@pytest.fixture(params=list(OPTIONS.values()), ids=list(OPTIONS))
def streamed(request, box):
    """A model of which one sample of three ends, the start, and options."""
    options = dict(request.param)
    if options.pop("coefficients", False):
        options["coefficients"] = torch.rand(box.num_nodes, 1, dtype=torch.float64)
    if options.pop("fixed", False):
        options["fixed"] = ig.Dirichlet(torch.rand(box.num_nodes) < 0.2, lambda time: torch.tensor(time))
    channels = 4 if "coefficients" in options else 3
    corrector = ig.correctors.MessagePassing(channels, 3, hidden=8, layers=1).double()
    state = 0.05 * torch.randn(3, box.num_nodes, 3, dtype=torch.float64).clamp(-1, 1)
    state[1] *= 100
    return ig.IRNO(Growing(), corrector, alpha=0.3, steps=2).eval(), state, options


def test_a_stream_is_the_rollout_one_by_one(box, streamed):
    model, state, options = streamed
    whole = ig.rollout(model, state, box, **options)
    found = list(stream(model, state, box, **options))
    assert [one.number for one in found] == list(range(len(whole.states)))
    assert same([one.state for one in found], whole.states)
    assert [one.time for one in found] == whole.times.tolist()
    assert same([one.steps_taken for one in found[1:]], whole.steps_taken)
    assert not found[0].steps_taken.any()
    assert torch.equal(found[-1].status, whole.status)
    assert whole.status[1] == ig.Status.NOT_FINITE
    assert whole.status[[0, 2]].tolist() == [ig.Status.DONE] * 2
    for (
        one
    ) in found:  # what there is of a snapshot to keep, and what can be found again from the states alone
        ended = torch.isnan(one.state[:, :1, :1])
        assert torch.equal(torch.where(ended, one.last, one.state), one.last)
        assert torch.equal(one.origin, found[one.begun].last)


def test_a_stream_goes_on_behind_every_snapshot(box, streamed):
    """The same states to the last bit, those of samples that have ended and of time steps from one origin too."""
    model, state, options = streamed
    found = list(stream(model, state, box, **options))
    for place, one in enumerate(found):
        rest = list(stream(model, one, box, **options))
        assert len(rest) == len(found) - place - 1
        assert all(same(*pair) for pair in zip(rest, found[place + 1 :], strict=True))


def test_a_stream_goes_on_further_than_it_was_meant_to(box, model):
    state = torch.randn(box.num_nodes, 3, dtype=torch.float64)
    *_, last = stream(model, state, box, 3)
    (more,) = stream(model, last, box, 4)
    assert torch.equal(more.state, ig.rollout(model, state, box, 4).states[4])
    with pytest.raises(ValueError, match="first 2 time steps, got one after 3"):
        stream(model, last, box, 2)


def test_a_guard_s_verdict_is_remembered(box):
    """A sample that was outside once is so at the end, whatever snapshot the rollout goes on from."""

    class Once(torch.nn.Module):
        def forward(self, x, h, graph, *, time=None):
            return torch.full_like(h, 100.0 if time == 1.0 else 0.0)

    class Small(ig.refine.Guard):
        def applied(self, out, space):
            outside = out.states[-1].abs().amax(dim=(-1, -2)) > 50
            return out._replace(status=torch.where(outside, int(ig.Status.OUTSIDE), out.status))

    model = ig.IRNO(lambda x, graph: 0 * x, Once(), guard=object.__new__(Small))
    found = list(stream(model, torch.ones(2, box.num_nodes, 1), box, 4))
    assert [one.status[0] for one in found] == [ig.Status.DONE] * 2 + [ig.Status.OUTSIDE] * 3
    for one in found[:-1]:
        *_, last = stream(model, one, box, 4)
        assert same(last, found[-1])


def test_a_stream_makes_a_state_when_it_is_asked_for_and_refuses_before(box):
    base = Decay()
    state = torch.rand(box.num_nodes, 1, dtype=torch.float64)
    snapshots = stream(base, state, box, 10**6)
    assert next(snapshots).number == 0
    assert base.asked == []
    assert next(snapshots).time == pytest.approx(0.1)
    assert len(base.asked) == 1
    with pytest.raises(ValueError, match="time_steps"):
        stream(base, state, box, -1)
    with pytest.raises(ValueError, match="needs a refined model"):
        stream(base, state, box, steps=2)
