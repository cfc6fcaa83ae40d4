import itertools

import pytest
import torch
from domains import interval
from known_correctors import CHANNELS, NODES, Affine, Bend, Relax, affine, refined
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph import refine
from irno_graph.mesh import periodic_box
from irno_graph.refine import Aitken, Anderson, Plain
from irno_graph.refine.space import Space

SOLVERS = [Aitken(), Anderson(), Anderson(memory=1), Anderson(memory=2, mixing=0.9, regularisation=0.0)]


@pytest.fixture
def path():
    return ig.Graph.from_mesh(interval(NODES - 1))  # the masses at its ends are half of the others


@pytest.fixture
def x(box):
    return torch.randn(3, box.num_nodes, 2, dtype=torch.float64)


@pytest.mark.parametrize("solver", [Aitken(), Anderson(memory=1, regularisation=0.0)])
def test_a_scalar_affine_problem_is_solved_in_two_steps_by_each_sample(box, solver):
    """Phi = b - a h with a of each sample: the secant through two states is exact."""
    rate = torch.tensor([0.3, 1.0, 1.9], dtype=torch.float64).reshape(3, 1, 1)
    truth = torch.randn(3, 1, 1).double()
    out = refined(Bend(lambda h: rate * (truth - h)), solver)(torch.zeros(3, 150, 1).double(), box, steps=2)
    torch.testing.assert_close(out.value, truth.expand(-1, 150, -1), rtol=1e-12, atol=1e-12)
    assert (out.states[1] - truth).abs().amin(dim=(1, 2)).min() > 1e-3


@pytest.mark.parametrize("solver", SOLVERS)
def test_accelerated_steps_reach_the_fixed_point_sooner(box, x, solver):
    corrector = Relax(2)
    space = Space.of(box, torch.ones(2))
    ends = [
        space.norm(model.phi(x, model(x, box, steps=8).value, box))
        for model in (refined(corrector, None), refined(corrector, solver))
    ]
    assert (ends[1] < 0.1 * ends[0]).all()


def overshooting(h):
    """A root at 0, falling slopes: the secant from the right lands far on the left, where |Phi| is larger."""
    return -torch.where(h > 0, torch.log1p(h) + 0.01 * h, 3.0 * h)


@pytest.mark.parametrize("solver", [Aitken(), Anderson(memory=1), Anderson()])
def test_a_proposal_that_raises_the_residual_is_not_taken(path, solver):
    start = torch.full((NODES, 1), 60.0, dtype=torch.float64)
    model = refined(Bend(overshooting), solver, alpha=0.5)
    run = solver.start(Space.of(path, torch.ones(1)))
    h, unguarded = start, []
    for _ in range(6):
        unguarded.append(overshooting(h).abs().max())
        h = run.advance(h, overshooting(h), 0.5)
    assert max(b / a for a, b in itertools.pairwise(unguarded)) > 2.0
    out = model(start, path, steps=6)
    assert (out.residuals[1:] <= out.residuals[:-1]).all()
    assert out.applications > 6 + 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_of_a_rejected_proposal_and_the_plain_step_the_better_one_is_taken(box, solver):
    """|Phi(h_{k+1})| <= max(|Phi(h_k)|, |Phi(h_k + alpha Phi(h_k))|) for a Phi that is no contraction at all."""
    mix = torch.randn(3, 3).double()
    model = refined(Bend(lambda h: 4.0 * torch.sin(3.0 * h @ mix) - h), solver)
    space = Space.of(box, torch.ones(3))
    start = torch.randn(9, 150, 3).double() * torch.logspace(-2, 1, 9).double().reshape(9, 1, 1)
    out = model(start, box, steps=12)
    run, taken = solver.start(space), {"proposal": 0, "worse proposal": 0, "plain": 0}
    applications = torch.ones(9, dtype=torch.long)
    for now, new in itertools.pairwise(out.states):
        proposal, plain = run.advance(now, model.phi(start, now, box), 0.5), model.step(start, now, box)
        sizes = [space.norm(model.phi(start, h, box)) for h in (now, proposal, plain, new)]
        worse = sizes[1] > sizes[0]
        run.forget(worse)
        for sample in range(9):
            better = bool(worse[sample] & (sizes[2] < sizes[1])[sample])
            taken["plain" if better else "worse proposal" if worse[sample] else "proposal"] += 1
            torch.testing.assert_close(
                new[sample], (plain if better else proposal)[sample], rtol=1e-9, atol=1e-9
            )
            applications[sample] += (
                2 if worse[sample] and not torch.equal(plain[sample], proposal[sample]) else 1
            )
        assert (sizes[3] <= torch.maximum(sizes[0], sizes[2]) * (1 + 1e-9)).all()
    assert min(taken.values()) > 0, taken
    assert torch.equal(out.applications, applications)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_sample_at_its_fixed_point_stays_there(box, x, solver):
    x = torch.cat([x[:2], torch.zeros(1, 150, 2).double()]).requires_grad_()
    out = refined(Bend(lambda h: -torch.sin(h)), solver)(x, box, steps=6)
    assert (out.states[:, 2] == 0).all()
    assert (out.status == ig.Status.DONE).all()
    (slope,) = torch.autograd.grad(out.value.square().sum() + out.residuals.sum(), [x])
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_batch_gives_what_each_graph_and_each_sample_gives_alone(box, solver):
    graphs = [box, ig.Graph.from_mesh(periodic_box(60, seed=4))]
    model = refined(Relax(2), solver)
    fields = [
        scale * torch.randn(2, graph.num_nodes, 2).double()
        for scale, graph in zip((1, 9), graphs, strict=True)
    ]
    for tolerance in (None, 1e-3):
        options = {"steps": 12, "tolerance": tolerance}
        together = model(torch.cat(fields, dim=1), Batch.from_data_list(graphs), **options)
        parts = together.value.split([graph.num_nodes for graph in graphs], dim=1)
        for number, (graph, field, part) in enumerate(zip(graphs, fields, parts, strict=True)):
            for sample in range(2):
                alone = model(field[sample], graph, **options)
                torch.testing.assert_close(part[sample], alone.value, rtol=1e-6, atol=1e-8)
                torch.testing.assert_close(
                    together.residuals[:, sample, number], alone.residuals, rtol=1e-4, atol=1e-8
                )
                if tolerance is not None:
                    for name in ("steps_taken", "applications", "status"):
                        assert getattr(together, name)[sample, number] == getattr(alone, name)


def test_the_plain_solver_is_none_and_every_first_step_is_plain(box, x):
    plain = refined(Relax(2), None)
    assert ig.IRNO(plain.base, plain.corrector, solver=Plain()).solver is None
    first = plain(x, box, steps=1).value
    for solver in SOLVERS[:3]:
        out = refined(plain.corrector, solver)(x, box, steps=1)
        assert torch.equal(out.value, first)
        assert (out.applications == 2).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_fixed_values_are_kept_bit_for_bit(box, x, solver):
    mask = torch.rand(150) < 0.3
    out = refined(Relax(2), solver)(x, box, steps=6, fixed=ig.Dirichlet(mask, 0.1))
    assert (out.states[:, :, mask] == 0.1).all()
    assert (out.value[:, ~mask] != out.states[0][:, ~mask]).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_fields_settle_at_their_rounding(box, x, solver):
    corrector = Relax(2).float()
    out = refined(corrector, solver)(x.float(), box, steps=40)
    assert out.value.dtype == out.residuals.dtype == torch.float32
    assert out.residuals[30:].max() < 3e-6
    assert (out.status == ig.Status.DONE).all()


def test_a_proposal_where_phi_is_not_defined_is_replaced_by_the_plain_step(path):
    """Phi = -sqrt(h), NaN left of its root, where the secant leads at once."""
    start = torch.full((NODES, 1), 4.0, dtype=torch.float64)
    model = refined(Bend(lambda h: -torch.sqrt(h)), Aitken())
    out = model(start, path, steps=4)
    assert torch.isfinite(out.states).all()
    assert (out.states[1:] < out.states[:-1]).all()
    assert out.status == ig.Status.DONE


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_sample_whose_steps_all_lead_to_nan_stops_alone(box, x, solver):
    class Cliff(nn.Module):
        def forward(self, x, h, graph):
            fallen = (x[..., :1, :1] > 100) & (h[..., :1, :1] > x[..., :1, :1] + 0.5)
            return torch.where(fallen, torch.nan, torch.cos(h))

    x = 0.01 * x
    alone = refined(Cliff(), solver)(x[[0, 2]], box, steps=6)
    x[1] += 201.0 - x[1, 0, 0]  # cos(201) = 0.99..., and no step back
    out = refined(Cliff(), solver, alpha=1.0)(x, box, steps=6)
    assert out.status.tolist() == [ig.Status.DONE, ig.Status.NOT_FINITE, ig.Status.DONE]
    assert out.steps_taken.tolist() == [6, 0, 6]
    assert torch.equal(out.value[1], x[1])
    assert torch.isfinite(out.states).all()
    assert torch.equal(refined(Cliff(), solver)(x, box, steps=6).value[[0, 2]], alone.value)


@pytest.mark.parametrize("solver", [Plain(), *SOLVERS])
def test_a_sample_without_a_residual_leaves_gradients_alone(box, x, solver):
    gain = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    slopes: list[torch.Tensor] = []
    for bad in (False, True):
        phi = Bend(lambda h: torch.where((h > 50) & bad, torch.nan, gain * (torch.cos(h) - h)))  # noqa: B023
        start = torch.cat([x[:2], 90.0 + 0.0 * x[2:]]) if bad else x[:2]
        model = refined(phi, solver, alpha=refine.Harmonic(0.5, after=3))
        out = model(start, box, steps=4)
        slopes.extend(torch.autograd.grad(out.states.square().sum() + out.residuals.sum(), [gain]))
    assert out.status.tolist() == [ig.Status.DONE, ig.Status.DONE, ig.Status.NOT_FINITE]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("solver", SOLVERS)
def test_gradients_are_those_of_finite_differences(path, solver):
    """Through the coefficients of the mix, too."""
    right = torch.randn(NODES, CHANNELS).double().requires_grad_()
    matrix = affine(0.1).matrix
    start = torch.randn(NODES, CHANNELS).double()

    def value(right, recompute):
        return refined(Affine(matrix, right), solver)(start, path, steps=3, recompute=recompute).value

    for recompute in (False, True):
        assert torch.autograd.gradcheck(lambda right: value(right, recompute), [right])  # noqa: B023


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 0}, r"memory` should be 1 or more, got 0"),
        ({"regularisation": -1e-3}, r"regularisation` should be 0 or more, got -0\.001"),
        ({"regularisation": float("nan")}, r"got nan"),
        ({"mixing": 0.0}, r"mixing` should be in \(0, 1\], got 0\.0"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Anderson(**options)
