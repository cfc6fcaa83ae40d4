import pytest
import torch
from known_correctors import Relax
from torch import nn

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.refine import Aitken, Anderson, Averaged, Constant, Decaying, Harmonic, Status
from irno_graph.refine.storage import describe

SCHEDULES = [Constant(0.4), Decaying(0.8, 0.7), Harmonic(0.6, after=3), lambda k: 0.9 / (k + 2)]


class Stiff(nn.Module):
    """Phi(h) = -rate h + noise of this evaluation."""

    def __init__(self, rate, noise=0.0):
        super().__init__()
        self.rate, self.noise = rate, noise

    def forward(self, x, h, graph):
        return -self.rate * h + self.noise * torch.randn_like(h)


def refined(corrector, alpha, **options):
    return ig.IRNO(lambda x, graph: x, corrector, alpha=alpha, **options)


@pytest.fixture
def x(box):
    return torch.randn(2, box.num_nodes, 2, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("recompute", [False, True])
def test_each_step_has_its_own_size(box, x, schedule, recompute):
    model = refined(Relax(2), schedule)
    out = model(x, box, steps=6, recompute=recompute)
    share = box.mass[:, None] / box.mass.sum()
    for k in range(6):
        residual = (out.states[k + 1] - out.states[k]) / schedule(k)
        torch.testing.assert_close(residual, model.phi(x, out.states[k], box))
        torch.testing.assert_close(out.residuals[k], (share * residual.square()).sum(dim=-2).sqrt())
    assert model.alpha == schedule(0)
    assert (out.applications == 6).all()
    torch.testing.assert_close(model.step(x, x, box), out.states[1])


def test_a_constant_schedule_is_the_number(box, x):
    model = refined(Relax(2), Constant(0.4))
    assert model.schedule is None
    for found, expected in zip(model(x, box), refined(model.corrector, 0.4)(x, box), strict=True):
        assert torch.equal(found, expected)
    for found, expected in zip(
        refined(model.corrector, lambda k: 0.4)(x, box), refined(model.corrector, 0.4)(x, box), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_gradients_of_recomputed_steps_are_the_plain_ones(box, x, schedule):
    model = refined(Relax(2), schedule)
    wanted = [model.corrector.known, model.corrector.mix]
    found = []
    for recompute in (False, True):
        out = model(x, box, steps=5, recompute=recompute)
        found.append(torch.autograd.grad(out.states.square().sum() + out.residuals.sum(), wanted))
    for kept, again in zip(*found, strict=True):
        assert kept.abs().max() > 1e-3
        torch.testing.assert_close(kept, again, rtol=1e-12, atol=1e-12)


def test_harmonic_steps_average_noise_out(box, x):
    """The variance of constant steps ends at alpha noise^2 / (2 - alpha), with 1 / (k + 1) it is noise^2 / k."""
    ends = [
        refined(Stiff(1.0, noise=1.0), alpha)(x, box, steps=400).value.square().mean()
        for alpha in (0.5, Harmonic(0.5, after=2))
    ]
    assert 0.25 < ends[0] < 0.4
    assert ends[1] < 5 / 400


def test_harmonic_steps_are_stable_at_8_k_where_constant_ones_are_not(box, x):
    """|1 - 0.5 * 4.2| = 1.1: trained for K = 6 steps, harmless there, 97 times too large after 48."""
    model = refined(Stiff(4.2), Harmonic(0.5, after=6))
    size = [state.abs().max() / x.abs().max() for state in model(x, box, steps=48).states]
    assert size[6] == pytest.approx(1.1**6)
    assert max(size) < 1.1**7
    assert size[48] < 1e-6
    assert refined(Stiff(4.2), 0.5)(x, box, steps=48).value.abs().max() > 90 * x.abs().max()


def test_decaying_steps_end_at_a_finite_distance(box, x):
    """prod (1 - alpha rate^k) > 0 stays."""
    model = refined(Stiff(1.0), Decaying(0.5, 0.5))
    left = torch.tensor([1 - 0.5 * 0.5**k for k in range(60)]).double().prod()
    torch.testing.assert_close(model(x, box, steps=60).value, left * x)
    later = refined(Stiff(1.0), Decaying(0.5, 0.25, after=3))(x, box, steps=24).states
    way = (later[3:] - later[3]).abs() / (later[3] * 0.5 * 0.25 / 0.75).abs()  # over its bound
    assert 0.7 < float(way[-1].max()) <= 1
    assert refined(Stiff(1.0), Decaying(0.5, 1e-4))(x.float(), box, steps=100).status[0] == Status.DONE


@pytest.mark.parametrize("inner", [0.5, Harmonic(0.5, after=4)])
def test_averaged_states_are_means_from_one_state_on(box, x, inner):
    plain = refined(Relax(2), inner)
    every = plain(x, box, steps=9)
    out = refined(plain.corrector, Averaged(inner, after=4))(x, box, steps=9)
    for k in range(10):
        expected = every.states[min(k, 4) : k + 1].mean(dim=0) if k > 4 else every.states[k]
        torch.testing.assert_close(out.states[k], expected)
    assert torch.equal(out.value, out.states[-1])
    torch.testing.assert_close(out.residuals, every.residuals)
    short = refined(plain.corrector, Averaged(inner, after=4))(x, box, steps=6)
    assert torch.equal(short.value, out.states[6])


@pytest.mark.parametrize(("rate", "factor"), [(4.0, 1 / 6), (0.5, 1.0), (3.2, 0.1)])
def test_the_error_of_the_mean_does_not_rise(box, x, rate, factor):
    """Of states that flip from side to side (rate 4), creep (0.5) or wind down (3.2), with steps of 0.5."""
    states = refined(Stiff(rate), Averaged(0.5, after=4))(x, box, steps=32).states
    size = torch.stack([state.abs().max() for state in states])
    assert (size[5:] <= size[4] * (1 + 1e-12)).all()
    assert size[32] <= factor * size[4]


def test_the_mean_of_a_sample_that_ended_is_of_its_finite_states(box, x):
    class Cliff(nn.Module):
        def forward(self, x, h, graph):
            return torch.where(h > 3.2, torch.inf, 1.0)

    out = refined(Cliff(), Averaged(0.5, after=2))(torch.zeros(150, 1), box, steps=12)
    assert out.status == Status.NOT_FINITE
    assert out.steps_taken == 7
    torch.testing.assert_close(out.value, torch.full((150, 1), (1.0 + 3.5) / 2))  # of h_2 ... h_7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(1.5), r"alpha` should be in \(0, 1\], got 1\.5"),
        (lambda: Decaying(0.0, 0.5), r"alpha` should be in \(0, 1\], got 0\.0"),
        (lambda: Decaying(0.5, 0.5, after=-1), "after` should be 0 or more"),
        (lambda: Decaying(0.5, 1.01), r"rate` should be in \(0, 1\], got 1\.01"),
        (lambda: Harmonic(float("nan"), 3), r"alpha` should be in \(0, 1\], got nan"),
        (lambda: Harmonic(0.5, 0), r"after` should be 1 or more, got 0"),
        (lambda: Averaged(-0.1, 3), r"alpha` should be in \(0, 1\], got -0\.1"),
        (lambda: Averaged(0.1, -3), r"after` should be 0 or more, got -3"),
        (lambda: Averaged(Averaged(0.1, 3), 3), r"average once"),
        (lambda: refined(Relax(2), lambda k: 2.0), r"alpha` should be in \(0, 1\], got 2\.0"),
        (
            lambda: refined(Relax(2), Averaged(0.5, 3), solver=Aitken()),
            r"solver` should be None .* got Aitken",
        ),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_step_that_leaves_the_range_is_named(box, x):
    with pytest.raises(ValueError, match=r"alpha\(2\)` should be in \(0, 1\], got 0\.0"):
        refined(Relax(2), lambda k: 0.3 - 0.15 * k)(x, box, steps=5)
    with pytest.raises(ValueError, match=r"tolerance` should be None with Averaged"):
        refined(Relax(2), Averaged(0.3, 2))(x, box, tolerance=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": Decaying(0.8, 0.7)},
        {"alpha": Averaged(Harmonic(0.6, after=3), after=2)},
        {"alpha": Averaged(0.5, after=2), "steps": 5},
        {"alpha": 0.3, "solver": Anderson(memory=3, mixing=0.9)},
        {"alpha": Harmonic(0.6, after=3), "solver": Aitken()},
    ],
    ids=str,
)
def test_a_model_file_holds_schedule_and_solver(tmp_path, box, options):
    base = ig.bases.RIGNO(2, 2, architecture=Architecture(processor_steps=1, node_hidden=8, edge_hidden=8))
    corrector = ig.correctors.MessagePassing(2, 2, hidden=8, options=ig.correctors.Options(small=1.0))
    model = ig.IRNO(base, corrector, **options).eval()
    path = ig.save(model, tmp_path / "model.safetensors")
    again = ig.load(path)
    assert (again.alpha, again.schedule, again.solver) == (model.alpha, model.schedule, model.solver)
    x = torch.randn(box.num_nodes, 2)
    assert torch.equal(again(x, box).states, model(x, box).states)
    plain = describe(ig.save(ig.IRNO(base, corrector, alpha=Constant(0.3)), tmp_path / "plain.safetensors"))
    assert plain["alpha"] == 0.3
    assert "solver" not in plain


def test_a_schedule_of_your_own_cannot_be_saved(tmp_path):
    corrector = ig.correctors.MessagePassing(2, 2, hidden=8)
    base = ig.bases.RIGNO(2, 2, architecture=Architecture(processor_steps=1, node_hidden=8, edge_hidden=8))
    with pytest.raises(ValueError, match=r"only \['Aitken', .*'Harmonic'\] can be saved"):
        ig.save(ig.IRNO(base, corrector, alpha=lambda k: 0.3), tmp_path / "no.safetensors")
