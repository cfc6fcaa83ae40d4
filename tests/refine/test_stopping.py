import itertools

import pytest
import torch
from known_correctors import Jacobi, Relax
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.mesh import periodic_box
from irno_graph.refine import Aitken, Anderson, Harmonic, Scaling, Status
from irno_graph.refine.adaptive import Problem, refine_adaptively
from irno_graph.refine.space import Space

RATES = torch.tensor([0.2, 1.0, 0.5, 1.5, 0.7, 1.2, 0.9], dtype=torch.float64)


class Rated(nn.Module):
    """Phi(x, h) = rate(x) sin(h) with a rate of each sample in x's second channel; remembers how many it was given."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))
        self.rows = []

    def forward(self, x, h, graph):
        self.rows.append(h.shape[:-2].numel())
        return self.gain * x[..., 1:] * torch.sin(h)


def refined(corrector, **options):
    base = ig.bases.Callable(lambda x, graph: x[..., :1])
    return ig.IRNO(base, corrector, **{"alpha": 0.5, "steps": 40, **options})


@pytest.fixture
def x(box):
    """A field of each sample and its rate."""
    field = torch.rand(len(RATES), box.num_nodes, 1).double() + 0.2
    return torch.cat([field, RATES.reshape(-1, 1, 1).expand_as(field)], dim=-1)


def ratios(model, x, out, graph):
    """|Phi(h_k)| / |Phi(h_0)| of every state."""
    size = torch.stack([Space.of(graph, torch.ones(1)).norm(model.phi(x, h, graph)) for h in out.states])
    return size / size[0]


@pytest.mark.parametrize("shape", [(7,), (7, 1), (1, 7)])
def test_each_sample_stops_at_its_first_state_below_the_tolerance(box, x, shape):
    model = refined(Rated())
    every = model(x, box)
    steps = (ratios(model, x, every, box) <= 1e-3).long().argmax(dim=0)
    assert len(set(steps.tolist())) > 4
    assert (steps > 0).sum() == 6  # the slowest does not get there
    steps[0] = 40
    out = model(x.reshape(*shape, 150, 2), box, tolerance=1e-3)
    assert out.steps_taken.flatten().tolist() == steps.tolist()
    assert out.steps_taken.shape == out.status.shape == out.applications.shape == shape
    assert out.status.flatten().tolist() == [Status.DONE] + [Status.CONVERGED] * 6
    assert out.applications.flatten().tolist() == [40, *(steps[1:] + 1).tolist()]
    states, residuals = out.states.reshape(41, 7, 150, 1), out.residuals.reshape(40, 7, 1)
    for sample, end in enumerate(steps.tolist()):
        for k in range(41):
            assert torch.equal(states[k, sample], every.states[min(k, end), sample])
        seen = min(end + 1, 40)  # the residual that was small enough, too
        torch.testing.assert_close(residuals[:seen, sample], every.residuals[:seen, sample])
        assert (residuals[seen:, sample] == 0).all()
    assert torch.equal(out.value, out.states[-1])
    assert "tolerance" in Status.CONVERGED.sentence


def test_samples_that_are_done_leave_the_computation_by_halves(box, x):
    corrector = Rated()
    out = refined(corrector)(x, box, tolerance=1e-3)
    rows = corrector.rows
    assert rows[0] == 7
    assert rows[-1] == 1
    assert all(after == before or after <= before / 2 for before, after in itertools.pairwise(rows))
    for k, computed in enumerate(rows):
        going = int((out.applications > k).sum())
        assert computed < 2 * going or computed == 1


def test_what_a_corrector_prepares_is_prepared_again_for_the_rest(box, x):
    class Prepared(Rated):
        def prepare(self, x, graph, *, time=None, lead_time=None):
            prepared.append(len(x))
            return lambda h: Rated.forward(self, x, h, graph)

    prepared: list[int] = []
    out = refined(Prepared())(x, box, tolerance=1e-3)
    assert prepared == [7, 3, 1]
    for found, expected in zip(out, refined(Rated())(x, box, tolerance=1e-3), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("solver", [None, Aitken(), Anderson()])
@pytest.mark.parametrize("union", [False, True])
def test_leaving_does_not_change_the_numbers(box, x, solver, union):
    graph = Batch.from_data_list([box, box]) if union else box
    size = torch.tensor([2e-6, 2e-3, 0.2, 2.0, 1e-6, 1e-3, 0.1]).double()  # sine's bend makes large ones slow
    x = x * torch.stack([size, torch.ones(7)], dim=-1).unsqueeze(1)
    x = torch.cat([x, 0.5 * x], dim=1) if union else x
    model = refined(Rated(), solver=solver)
    space = Space.of(graph, torch.ones(1))
    problem = Problem(model.correction(x, graph), None, space)
    steps = [0.5] * 40
    stay = refine_adaptively(problem, x[..., :1], step_sizes=steps, solver=solver, tolerance=1e-3)
    model.corrector.rows.clear()
    leave = model(x, graph, tolerance=1e-3)
    assert min(model.corrector.rows) < 7
    assert (leave.status == Status.CONVERGED).sum() > 4
    for found, expected in zip(leave, stay, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("solver", [None, Aitken(), Anderson()])
def test_in_a_batch_each_graph_stops_by_itself(box, solver):
    other = ig.Graph.from_mesh(periodic_box(60, seed=4))
    model = ig.IRNO(lambda x, graph: x, Jacobi(), alpha=0.7, steps=60, solver=solver)
    x = [torch.randn(2, 150, 1).double(), torch.randn(2, 60, 1).double()]
    together = model(torch.cat(x, dim=1), Batch.from_data_list([box, other]), tolerance=0.02)
    assert (together.status == Status.CONVERGED).all()
    assert len(set(together.steps_taken.flatten().tolist())) > 1
    states = together.states.split([150, 60], dim=2)
    for number, (graph, field, own) in enumerate(zip([box, other], x, states, strict=True)):
        alone = model(field, graph, tolerance=0.02)
        torch.testing.assert_close(own, alone.states, rtol=1e-9, atol=1e-10)
        assert torch.equal(together.steps_taken[:, number], alone.steps_taken)
        assert torch.equal(together.applications[:, number], alone.applications)


def test_the_tolerance_counts_channels_in_their_units(box):
    """A large channel that is done hides a small one that is not, unless units say how small is small."""

    class Two(nn.Module):
        def forward(self, x, h, graph):
            return -torch.tensor([1.0, 0.2]) * h

    def model(std):
        scaling = Scaling.identity(2, 2)
        scaling.std, scaling.error = std, std.clone()
        return ig.IRNO(lambda x, graph: x, Two(), alpha=1.0, steps=90, scaling=scaling)

    start = torch.tensor([1000.0, 1.0]).expand(150, 2).double()
    blind = model(torch.ones(2))(start, box, tolerance=1e-2)
    seeing = model(torch.tensor([1000.0, 1.0]))(start, box, tolerance=1e-2)
    assert blind.steps_taken == 1
    wanted = 0.2 * 0.8**seeing.steps_taken / 1.04**0.5
    assert wanted <= 1e-2 < wanted / 0.8


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_are_those_of_as_many_steps_as_were_taken(box, x, recompute):
    model = refined(Rated())
    x.requires_grad_()
    wanted = [x, model.corrector.gain]
    out = model(x, box, tolerance=1e-2, recompute=recompute)
    loss = out.value.square().sum() + out.residuals.sum()
    evaluated = len(model.corrector.rows)
    found = torch.autograd.grad(loss, wanted)
    assert len(model.corrector.rows) == (2 if recompute else 1) * evaluated
    counted = torch.tensor(0.0, dtype=torch.float64)
    for sample, steps in enumerate(out.steps_taken.tolist()):
        own = model(x[sample], box, steps=min(steps + 1, 40))
        counted = counted + own.states[steps].square().sum() + own.residuals.sum()
    assert int(out.steps_taken.min()) < 20
    for one, other in zip(found, torch.autograd.grad(counted, wanted), strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_sample_at_its_fixed_point_takes_no_step(box, x):
    x = x.clone()
    x[2, :, 0] = 0.0
    x.requires_grad_()
    out = refined(Rated())(x, box, tolerance=1e-3)
    assert (out.steps_taken[2], out.applications[2], out.status[2]) == (0, 1, Status.CONVERGED)
    (slope,) = torch.autograd.grad(out.value.sum() + out.residuals.sum(), [x])
    assert torch.isfinite(slope).all()


def test_a_sample_that_blows_up_does_not_stop_the_others(box, x):
    x = x.clone()
    x[3, :, 1] = torch.finfo(torch.float64).max
    model = refined(Rated(), alpha=1.0)
    plain, out = model(x, box), model(x, box, tolerance=1e-3)
    assert out.status[3] == plain.status[3] == Status.NOT_FINITE
    assert out.steps_taken[3] == plain.steps_taken[3] < 40
    assert torch.equal(out.value[3], plain.value[3])
    assert (out.status == Status.CONVERGED).sum() == 6
    assert plain.applications.tolist() == [40] * 3 + [int(plain.steps_taken[3]) + 1] + [40] * 3


class Timed(nn.Module):
    """Phi = time(sample) (1 - h): all that is asked of each sample is its own time."""

    def forward(self, x, h, graph, *, time=None, lead_time=None):
        assert torch.equal(lead_time, 2 * time)
        return time.reshape(*h.shape[:-2], 1, 1) * (1 - h)


class PreparedTimed(Timed):
    def prepare(self, x, graph, *, time=None, lead_time=None):
        return lambda h: self(x, h, graph, time=time, lead_time=lead_time)


@pytest.mark.parametrize("corrector", [Timed(), PreparedTimed()])
@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_times_of_samples_stay_with_them(box, corrector, shape):
    time = torch.tensor([0.1, 1.0, 1.8, 0.9], dtype=torch.float64)
    start = torch.zeros(*shape, 150, 1).double()
    model = ig.IRNO(lambda x, graph: x, corrector, alpha=0.5, steps=20)
    time = time.reshape(shape)
    out = model(start, box, time=time, lead_time=2 * time, tolerance=1e-4)
    expected = 1 - (1 - 0.5 * time.flatten()) ** out.steps_taken.flatten()
    assert len(set(out.steps_taken.flatten().tolist())) == 4
    torch.testing.assert_close(out.value.reshape(4, 150), expected[:, None].expand(4, 150))


def test_inputs_of_unknown_rows_keep_all_samples_in_the_computation(box, x):
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = set()

        def forward(self, x, h, graph):
            self.rows.add(len(h))
            return -x[..., 1:] * h

    one = x[1]
    model = ig.IRNO(
        lambda x, graph: torch.stack([x[..., :1], 0 * x[..., :1], 2 * x[..., :1]]), Wide(), steps=50
    )
    out = model(one, box, tolerance=0.1)
    assert model.corrector.rows == {3}
    assert out.steps_taken.tolist() == [9, 0, 9]  # 0.75^9 < 0.1


@pytest.mark.parametrize("solver", [None, Anderson()])
def test_fixed_values_of_each_sample_are_kept(box, x, solver):
    mask = torch.rand(150) < 0.2
    values = torch.rand(7, 1, 1).double()
    out = refined(Rated(), solver=solver)(x, box, tolerance=1e-3, fixed=ig.Dirichlet(mask, values))
    assert (out.states[:, :, mask] == values).all()
    assert (out.status == Status.CONVERGED).sum() >= 6


def test_a_state_that_ends_below_the_tolerance_is_known_where_it_was_checked(box, x):
    """A solver evaluates Phi at its last state, the plain iteration does not."""
    out = refined(Rated(), solver=Anderson())(x, box, tolerance=1e-3)
    steps = int(out.steps_taken[1])
    for solver, status in ((Anderson(), Status.CONVERGED), (None, Status.DONE)):
        short = refined(Rated(), solver=solver, alpha=0.5)(x[1], box, steps=steps, tolerance=1e-3)
        assert (short.steps_taken, short.status) == (steps, status)


def test_a_schedule_and_a_tolerance_go_together(box, x):
    out = refined(Rated(), alpha=Harmonic(0.5, after=6))(x, box, tolerance=1e-2)
    every = refined(Rated(), alpha=Harmonic(0.5, after=6))(x, box)
    for sample, steps in enumerate(out.steps_taken.tolist()):
        assert torch.equal(out.value[sample], every.states[steps, sample])


def test_a_rollout_stops_in_every_time_step(box, x):
    model = ig.IRNO(lambda x, graph: x, Relax(2, small=0.3), alpha=0.5, steps=50)
    trajectory = ig.rollout(model, x, box, time_steps=3, tolerance=1e-2)
    assert trajectory.steps_taken.shape == (3, 7)
    assert (trajectory.status == Status.DONE).all()
    state = x
    for now, taken in zip(trajectory.states[1:], trajectory.steps_taken, strict=True):
        with torch.no_grad():
            own = model(state, box, tolerance=1e-2)
        assert (own.status == Status.CONVERGED).all()
        assert torch.equal(now, own.value)
        assert torch.equal(taken, own.steps_taken)
        state = own.value
    with pytest.raises(ValueError, match="`tolerance` needs a refined model"):
        ig.rollout(model.base, x, box, tolerance=1e-2)


@pytest.mark.parametrize("tolerance", [0.0, -1e-3, 1.0, float("nan")])
def test_tolerances_out_of_range_are_refused(box, x, tolerance):
    with pytest.raises(ValueError, match=rf"tolerance` should be in \(0, 1\), got {tolerance}"):
        refined(Rated())(x, box, tolerance=tolerance)
