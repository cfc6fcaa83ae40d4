"""Refinement in parts is the refinement of the whole: values, residuals, stopping, gradients; and what is refused."""

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import hierarchies
import pytest
import torch
from corrector_kinds import CORRECTORS, TIMES, with_features
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.correctors import MessagePassing, MultiscaleMessagePassing, Options, UNet
from irno_graph.graph import Graph, Partition
from irno_graph.mesh import periodic_box
from irno_graph.refine import (
    Aitken,
    Anderson,
    Averaged,
    Dirichlet,
    Harmonic,
    PartitionedIRNO,
    Scaling,
    with_answers,
)

MESHES = ["plate_with_holes.msh", "periodic_box.vtu", "torus.stl", "ball.mesh", "mixed.vtk"]
FLAT = [name for name in CORRECTORS if name.startswith(("flat", "edges"))]
MULTISCALE = [name for name in CORRECTORS if not name.startswith(("flat", "edges", "anchored"))]
ALPHA = 0.3
UNITS = {"mean": [0.3, -1.0], "std": [1.5, 0.5], "error": [0.5, 2.0]}


@cache
def graph_of(name):
    return with_features(hierarchies.sample(name))


def first(x, graph):
    return 0.7 * x[..., :2]


def refined(graph, kind="flat", dtype=torch.float64, **settings):
    corrector = CORRECTORS[kind](graph.dim).to(dtype)
    scaling = Scaling(
        input_mean=torch.tensor([0.1, 0.2, 0.3]),
        input_std=torch.tensor([2.0, 1.0, 0.5]),
        **{name: torch.tensor(values) for name, values in UNITS.items()},
    ).to(dtype)
    return ig.IRNO(first, corrector, **{"alpha": ALPHA, "steps": 4, "scaling": scaling, **settings})


def same(found, expected, tolerance=1e-12):
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=tolerance, atol=tolerance)


def draw(graph, *leading, dtype=torch.float64):
    return torch.randn(*leading, graph.num_nodes, 3, dtype=dtype)


@torch.no_grad()
@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("mesh", MESHES)
def test_any_number_of_parts_and_of_steps_between_exchanges_gives_the_whole_result(mesh, parts):
    graph = graph_of(mesh)
    x = draw(graph, 2)
    for kind, exchanges in (("flat", (1, 2, 3)), ("edges", (1, 2)), ("all levels", (1,))):
        model = refined(graph, kind)
        whole = model(x, graph)
        assert (whole.value - whole.states[0]).abs().max() > 0.01
        for exchange in exchanges:
            same(PartitionedIRNO(model, parts, exchange=exchange)(x, graph), whole)


@torch.no_grad()
@pytest.mark.parametrize("kind", [*FLAT, *MULTISCALE])
def test_every_corrector_with_every_option(kind):
    graph = graph_of("plate_with_holes.msh")
    model, x = refined(graph, kind), draw(graph, 2)
    parts = PartitionedIRNO(model, 6, method="bisection", exchange=1 if kind in MULTISCALE else 2)
    same(parts(x, graph, **TIMES), model(x, graph, **TIMES))
    times = {"time": torch.tensor([0.1, 0.9]), "lead_time": torch.tensor([1.0, 2.0])}
    same(parts(x, graph, **times), model(x, graph, **times))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["flat", "edges", "all levels"])
def test_single_precision_agrees_to_rounding(kind):
    graph = graph_of("torus.stl")
    model, x = refined(graph, kind, torch.float32), draw(graph, dtype=torch.float32)
    same(PartitionedIRNO(model, 5)(x, graph), model(x, graph), 2e-6)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["flat", "all levels", "spectral"])
def test_how_the_graph_is_cut_does_not_matter(kind):
    graph, nodes = with_features(Graph.from_mesh(periodic_box(40, seed=0))), 40
    model, x = refined(graph, kind, steps=2), draw(graph)
    whole, owner = model(x, graph), torch.randint(5, (nodes,))
    for partition in (
        Partition(owner, 5),
        Partition(torch.randperm(5)[owner], 5),  # the same parts in another order
        Partition(torch.randperm(nodes), nodes),  # a node each
        Partition(2 * owner, 12),  # parts that own nothing
    ):
        same(PartitionedIRNO(model, partition)(x, graph), whole)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["flat", "three levels", "all levels"])
def test_a_graph_of_parts_that_are_not_connected(kind):
    graph = with_features(Graph.from_mesh(hierarchies.two_squares()))
    model, x = refined(graph, kind), draw(graph)
    for parts in (2, 7):
        same(PartitionedIRNO(model, parts)(x, graph), model(x, graph))


@torch.no_grad()
def test_a_mesh_too_small_for_coarser_graphs():
    graph = Graph.from_mesh(ig.Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])]))
    model, x = refined(graph, "all levels"), draw(graph)
    same(PartitionedIRNO(model, 3)(x, graph), model(x, graph))


@torch.no_grad()
@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": Harmonic(0.5, after=2)},
        {"alpha": [0.4, 0.3, 0.2, 0.1].__getitem__},  # ends with the last step
        {"alpha": Averaged(0.4, after=1)},
        {"solver": Anderson()},
        {"solver": Aitken()},
    ],
)
def test_schedules_and_solvers_see_the_whole(box, settings):
    model, x = refined(box, **settings), draw(box, 3)
    exchanges = (1,) if "solver" in settings else (2, 3)
    for exchange in exchanges:
        same(PartitionedIRNO(model, 5, exchange=exchange)(x, box), model(x, box), 1e-11)


@torch.no_grad()
@pytest.mark.parametrize("exchange", [1, 2])
@pytest.mark.parametrize("alpha", [ALPHA, Harmonic(0.6, after=1)])
def test_samples_stop_where_the_residual_of_the_whole_says_so(box, exchange, alpha):
    model, x = (
        refined(box, alpha=alpha),
        draw(box, 5) * torch.tensor([0.01, 1.0, 3.0, 10.0, 100.0]).view(-1, 1, 1),
    )
    norms = model(x, box, steps=8).residuals.norm(dim=-1)
    tolerance = float((norms[2] / norms[0]).sort().values[2]) * 1.001
    whole = model(x, box, steps=8, tolerance=tolerance)
    assert (whole.steps_taken <= 2).sum() >= 3  # these leave the computation
    assert (whole.steps_taken >= 4).any()
    same(PartitionedIRNO(model, 5, exchange=exchange)(x, box, steps=8, tolerance=tolerance), whole)


@torch.no_grad()
@pytest.mark.parametrize("exchange", [1, 2, 3])
def test_a_sample_that_overflows_in_one_part_stops_in_all(box, exchange):
    class Growing(nn.Module):
        def forward(self, x, graph):
            h = 0.7 * x[..., :2]
            h[1, 7] = 8e307  # of one node
            return h

    model, x = refined(box, alpha=1.0, scaling=None), draw(box, 3)
    model.corrector.last.bias[:] = 4e307  # after some steps no number is large enough
    model.base = Growing()
    whole = model(x, box, steps=8)
    assert whole.steps_taken[1] < whole.steps_taken[0] < 8
    parts = PartitionedIRNO(model, 4, exchange=exchange)(x, box, steps=8)
    assert torch.equal(parts.status, whole.status)
    assert torch.equal(parts.steps_taken, whole.steps_taken)
    same(parts, whole)


@torch.no_grad()
@pytest.mark.parametrize("exchange", [1, 2])
@pytest.mark.parametrize("by_channel", [False, True])
def test_fixed_values_are_kept_in_all_parts(box, exchange, by_channel):
    mask = torch.rand(box.num_nodes, 2) < 0.3
    fixed = Dirichlet(mask if by_channel else mask[:, 0], torch.randn(box.num_nodes, 2, dtype=torch.float64))
    model, x = refined(box), draw(box, 2)
    whole = model(x, box, fixed=fixed)
    same(PartitionedIRNO(model, 5, exchange=exchange)(x, box, fixed=fixed), whole)
    assert bool((whole.value == fixed.values)[:, fixed.mask].all())


@torch.no_grad()
def test_a_guard_judges_the_whole(box):
    model, x = refined(box), draw(box, 40)
    model.guard = model.guarded(x, box, rate=0.2)
    odd = torch.cat([x[:3], 30.0 * x[:2]])
    whole, parts = model(odd, box), PartitionedIRNO(model, 3, exchange=2)
    same(parts(odd, box), whole)
    assert len(set(whole.status.tolist())) == 2
    assert parts.guarded(x, box, rate=0.2).threshold == pytest.approx(model.guard.threshold, rel=1e-9)


@torch.no_grad()
def test_inputs_and_states_with_other_leading_dimensions(box):
    model = refined(box)
    parts, x, h = PartitionedIRNO(model, 4), draw(box, 3), torch.randn(2, 3, box.num_nodes, 2).double()
    torch.testing.assert_close(parts.phi(x, h, box), model.phi(x, h, box), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(parts.phi(x, h[0, 0], box), model.phi(x, h[0, 0], box), rtol=1e-12, atol=1e-12)
    model.scaling = parts.scaling = None
    assert parts.phi(x, h.float(), box).dtype == torch.float32


@pytest.mark.parametrize("exchange", [1, 2, 3])
@pytest.mark.parametrize("kind", ["flat, static and times", "edges", "all levels", "spectral"])
def test_gradients_are_those_of_the_whole(kind, exchange):
    if exchange > 1 and kind in MULTISCALE:
        pytest.skip("exchanges every step")
    graph = graph_of("plate_with_holes.msh")
    model, x = refined(graph, kind), draw(graph, 2).requires_grad_()
    model.base.function = lambda x, graph: torch.zeros_like(x[..., :2])  # alive in x by Phi alone
    parts = PartitionedIRNO(model, 5, exchange=exchange)
    wanted = [x, *model.corrector.parameters()]

    def gradients(model):
        out = model(x, graph, **TIMES)
        weight = torch.linspace(-1.0, 1.0, graph.num_nodes, dtype=torch.float64).unsqueeze(-1)
        return torch.autograd.grad((out.states * weight).sum() + out.residuals.square().sum(), wanted)

    for own, other in zip(gradients(parts), gradients(model), strict=True):
        assert other.abs().max() > 1e-6
        torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-10)


def test_second_derivatives_are_those_of_the_whole(box):
    """As penalties of the Jacobian and certificates take them."""
    model, x = refined(box), draw(box)
    h, slopes = first(x, box).requires_grad_(), []
    for own in (PartitionedIRNO(model, 4), model):
        (pulled,) = torch.autograd.grad(own.phi(x, h, box).square().sum(), h, create_graph=True)
        wanted = [h, *(weight for name, weight in model.corrector.named_parameters() if name != "last.bias")]
        slopes.append(torch.autograd.grad(pulled.square().sum(), wanted))
    same(slopes[0], slopes[1], 1e-10)


def test_transforms_of_functions_see_the_same_map(box):
    model, x, h = refined(box), draw(box), torch.randn(box.num_nodes, 2).double()
    v, slopes = torch.randn_like(h), []
    for own in (PartitionedIRNO(model, 4), model):
        correction = own.correction(x, box)
        value, pull, *_ = torch.func.vjp(correction, h)
        slopes.append([value, *pull(v), torch.func.jvp(correction, (h,), (v,))[1]])
    same(slopes[0], slopes[1])


@pytest.mark.parametrize("wanted", [False, True])
def test_no_more_than_a_part_with_its_halo_is_computed_at_once_and_halos_are_renewed_when_said(
    wanted, monkeypatch
):
    grid = Graph.from_grid((30, 30))
    model = refined(grid, alpha=Harmonic(0.4, after=2), scaling=None)
    squares = torch.cartesian_prod(torch.arange(30), torch.arange(30)).div(10, rounding_mode="floor")
    cut = Partition(squares @ torch.tensor([3, 1]), 9)
    parts, x, rows, joins = PartitionedIRNO(model, cut, exchange=3), draw(grid), [], []
    model.corrector.get_submodule("decode").register_forward_hook(
        lambda _, given, value: rows.append(len(value))
    )
    join = parts.join.whole

    def counted(*args, **named):
        joins.append(len(args))
        return join(*args, **named)

    monkeypatch.setattr(parts.join, "whole", counted)
    with torch.set_grad_enabled(wanted):
        out = parts(x, grid, steps=7)
    assert len(joins) == 3  # 3 + 3 + 1 steps
    assert len(rows) == 7 * 9
    if wanted:
        out.value.sum().backward()
        assert len(rows) == 2 * 7 * 9  # each part once more
    assert max(rows) == 10 * 10 + 4 * 10 * 6 + 4 * sum(
        range(6)
    )  # 2 hops of 3 steps around the square in the middle


@torch.no_grad()
def test_answers_and_rollouts_take_it_for_the_model_that_it_is(box):
    corrector = MessagePassing(2, 2, hidden=8, layers=1, options=Options(small=1.0)).double()
    model = ig.IRNO(lambda x, graph: 0.9 * x, corrector, alpha=ALPHA, steps=2)
    parts, x = PartitionedIRNO(model, 5), torch.randn(2, box.num_nodes, 2).double()
    h = torch.randn_like(x)
    same(with_answers(parts, h)(x, box), with_answers(model, h)(x, box))
    same(ig.rollout(parts, x, box, time_steps=3)[:1], ig.rollout(model, x, box, time_steps=3)[:1])
    assert type(with_answers(parts, h)) is PartitionedIRNO


def test_step_size_solver_and_mode_are_the_models(box):
    model = refined(box, alpha="auto").eval()
    parts = PartitionedIRNO(model, 2)
    assert math.isnan(parts.alpha)
    assert not parts.training
    assert parts.corrector is model.corrector
    assert "parts=2, exchange=1" in repr(parts)
    assert PartitionedIRNO(refined(box, solver=Anderson(memory=3)), 2).solver == Anderson(memory=3)
    assert PartitionedIRNO(refined(box, alpha=Harmonic(0.5, after=2)), 2).schedule == Harmonic(0.5, after=2)


def answering(h):
    return ig.bases.Callable(lambda x, graph: h)


class Ours(nn.Module):
    def forward(self, x, h, graph):
        return x[..., :2] - h


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda box: PartitionedIRNO(ig.IRNO(first, Ours()), 2), "got Ours: what it needs"),
        (lambda box: PartitionedIRNO(refined(box, "anchored"), 2), "got Anchored"),
        (lambda box: PartitionedIRNO(ig.IRNO(first, UNet(3, 2)), 2), "got UNet"),
        (lambda box: PartitionedIRNO(refined(box), 2, exchange=0), "`exchange` should be 1 or more"),
        (
            lambda box: PartitionedIRNO(refined(box, "all levels"), 2, exchange=2),
            "MultiscaleMessagePassing, got 2",
        ),
        (lambda box: PartitionedIRNO(refined(box, solver=Aitken()), 2, exchange=2), r"Aitken\(\), got 2"),
        (lambda box: PartitionedIRNO(refined(box), 1000)(draw(box), box), "in 1..150"),
        (
            lambda box: PartitionedIRNO(refined(box), Partition(torch.zeros(9).long(), 1))(draw(box), box),
            "got 9",
        ),
        (lambda box: PartitionedIRNO(refined(box), 2)(draw(box)[:9], box), "nodes=150"),
        (lambda box: PartitionedIRNO(refined(box, scaling=None), 2)(draw(box)[:, :2], box), "channels=3"),
        (lambda box: PartitionedIRNO(refined(box, "flat, static and times"), 2)(draw(box), box), "`time`"),
    ],
)
def test_what_would_give_another_answer_is_refused(box, make, message):
    with pytest.raises(ValueError, match=message):
        make(box)


def test_batches_and_graphs_of_another_dimension_are_refused(box):
    both = Batch.from_data_list([box, box])
    parts = PartitionedIRNO(refined(box, scaling=None), 2)
    with pytest.raises(ValueError, match="batch"):
        parts(draw(both), both)
    surface = graph_of("torus.stl")
    with pytest.raises(ValueError, match="2 dimensions, got 3"):
        parts(draw(surface), surface)


@pytest.mark.parametrize(("kind", "exchange"), [("flat", 1), ("flat", 2), ("all levels", 1)])
def test_answers_of_a_base_that_do_not_fit_are_refused(box, kind, exchange):
    parts, x = PartitionedIRNO(refined(box, kind, scaling=None), 3, exchange=exchange), draw(box)
    for h, message in ((x, "channels=2"), (torch.cat([x, x])[:, :2], "nodes=150")):
        parts.base = answering(h)
        with pytest.raises(ValueError, match=message):
            parts(x, box)
    with pytest.raises(ValueError, match="finite"):
        parts.phi(x, x[:, :2] / 0.0, box)


def test_a_solver_that_is_set_later_is_refused_too(box):
    parts = PartitionedIRNO(refined(box), 2, exchange=2)
    parts.solver = Anderson()
    with pytest.raises(ValueError, match="a solver looks at all parts"):
        parts(draw(box), box)


@torch.no_grad()
def test_a_bigger_halo_than_the_mesh_is_no_trouble():
    graph = Graph.from_mesh(periodic_box(30, seed=0))
    corrector = MultiscaleMessagePassing(3, 2, hidden=8, layers=5, options=Options(small=1.0)).double()
    model, x = ig.IRNO(first, corrector, alpha=ALPHA), draw(graph)
    same(PartitionedIRNO(model, 4)(x, graph), model(x, graph))


@torch.no_grad()
def test_what_the_docs_show(box):
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {
        "ig": ig,
        "base": first,
        "in_channels": 3,
        "channels": 2,
        "x": draw(box).float(),
        "graph": box,
    }
    exec(re.findall(r"```python\n(.*?)```", text, flags=re.S)[0], names)
    same(names["out"], names["model"](names["x"], box), 2e-6)
