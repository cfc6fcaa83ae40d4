from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.bases.rigno import RIGNO, Architecture, RegionalGraph
from irno_graph.correctors import MultiscaleMessagePassing, Options
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.nn import pieces

SMALL = Architecture(processor_steps=2, node_hidden=12, edge_hidden=10, use_time=False)


@pytest.fixture
def base():
    return RIGNO(4, 4, architecture=SMALL).eval()


def test_lead_time_zero_is_the_identity(base, box):
    x = torch.randn(2, box.num_nodes, 4)
    torch.testing.assert_close(base(x, box, lead_time=0.0), x)


def test_the_stepper_integrates_the_network_in_physical_units(base, box):
    """u + tau (sigma y + mu), with y the network's output for standardised u."""
    mean, std = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([2.0, 1.0, 0.5, 0.1])
    base.set_statistics(mean, std, 10 * mean, 10 * std)
    x = torch.randn(3, box.num_nodes, 4)
    with torch.no_grad():
        y = base.network((x - mean) / std, base.regional_graph(box), lead_time=torch.full((3,), 0.2))
        torch.testing.assert_close(base(x, box, lead_time=0.2), x + 0.2 * (10 * std * y + 10 * mean))


def test_lead_times_may_differ_from_sample_to_sample(base, box):
    x = torch.randn(3, box.num_nodes, 4)
    together = base(x, box, lead_time=torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(together[2], base(x[2], box, lead_time=0.3), rtol=1e-4, atol=1e-5)


def test_a_batch_of_graphs_equals_one_by_one(base, box):
    other = Graph.from_mesh(periodic_box(90, seed=8))
    x, z = torch.randn(box.num_nodes, 4), torch.randn(90, 4)
    together = base(torch.cat([x, z]), Batch.from_data_list([box, other]))
    torch.testing.assert_close(together, torch.cat([base(x, box), base(z, other)]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("leading", [(), (2,)])
@pytest.mark.parametrize("piecewise", [False, True])
def test_each_graph_of_a_batch_may_have_its_own_times(box, leading, piecewise):
    base = RIGNO(4, 4, architecture=replace(SMALL, use_time=True), lead_time=0.3).eval()
    base.network.piecewise = piecewise
    other = Graph.from_mesh(periodic_box(90, seed=8))
    x, z = torch.randn(*leading, box.num_nodes, 4), torch.randn(*leading, 90, 4)
    time, lead_time = torch.rand(*leading, 2), torch.rand(*leading, 2)
    batch = Batch.from_data_list([box, other])
    together = base(torch.cat([x, z], dim=-2), batch, time=time, lead_time=lead_time)
    first = base(x, box, time=time[..., 0], lead_time=lead_time[..., 0])
    second = base(z, other, time=time[..., 1], lead_time=lead_time[..., 1])
    torch.testing.assert_close(together, torch.cat([first, second], dim=-2), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"\[3\]: reshape"):
        base(torch.cat([x, z], dim=-2), batch, lead_time=torch.rand(3))


def test_turning_the_features_is_turning_the_points(box):
    """`moved` keeps the edges and turns vectors and coordinates as building from turned points would."""
    points = box.pos.numpy()
    index = torch.randperm(len(points))[: len(points) // 4].numpy()

    def build(at):
        return RegionalGraph.build(
            at, domain=((0.0, 0.0), (1.0, 1.0)), periodic=True, region_index=index, levels=1
        )

    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    moved = build(points).moved(quarter, torch.zeros(2))
    turned = torch.stack([1.0 - box.pos[:, 1], box.pos[:, 0]], dim=-1).numpy() % 1.0
    built = build(turned)
    torch.testing.assert_close(moved.node_features, built.node_features, atol=1e-5, rtol=0)
    for name in ("p2r", "r2p"):
        a, b = getattr(moved, name), getattr(built, name)
        assert torch.equal(a.senders, b.senders)
        assert torch.equal(a.receivers, b.receivers)
        torch.testing.assert_close(a.features, b.features, atol=1e-5, rtol=0)


def test_every_node_is_reached_by_the_decoder():
    """No edge is ever cut off: each node is the receiver of at least one edge from a regional node."""
    points = periodic_box(600, seed=1).points
    for seed in range(5):
        graph = RegionalGraph.build(points, domain=((0.0, 0.0), (1.0, 1.0)), periodic=True, seed=seed)
        assert len(graph.r2p.receivers.unique()) == 600


@pytest.mark.parametrize(
    ("hidden_layers", "correction", "edge_masking"),
    [(0, 16, 0.0), (1, None, 0.5), (1, 16, 0.0), (2, 8, 0.3), (1, 8, 0.9995)],
)
@pytest.mark.parametrize("samples", [1, 3])
def test_pieces_equal_the_whole(box, monkeypatch, hidden_layers, correction, edge_masking, samples):
    """Outputs and gradients, computed some edges at a time, are those of plain operations on all edges."""
    monkeypatch.setattr(pieces, "PIECE_ROWS", 50)
    a = Architecture(2, 12, 10, mlp_hidden_layers=hidden_layers, correction_hidden=correction)
    network = RIGNO(3, 2, architecture=a).double().network
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    other = Graph.from_mesh(periodic_box(90, seed=8))
    base = RIGNO(3, 2, architecture=a)
    regional = base.regional_graph(Batch.from_data_list([box, other])).thinned(edge_masking)
    assert len(regional.r2p.by_receiver.pieces(samples, by_graph=True)) > 4
    u = torch.randn(samples, box.num_nodes + 90, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for times in (torch.rand(samples, dtype=torch.float64), torch.rand(samples, 2, dtype=torch.float64)):
        for network.piecewise, network.recompute in ((True, False), (True, True), (False, False)):
            lead_time = times.clone().requires_grad_()
            out = network(u, regional, time=times, lead_time=lead_time)
            with torch.no_grad():
                torch.testing.assert_close(network(u, regional, time=times, lead_time=lead_time), out)
            inputs = [u, lead_time, *network.parameters()]
            gradients = torch.autograd.grad(out.square().sum(), inputs, retain_graph=True)
            for once, again in zip(gradients, torch.autograd.grad(out.square().sum(), inputs), strict=True):
                torch.testing.assert_close(once, again, rtol=1e-12, atol=1e-12)
            found.append([out.detach(), *gradients])
        for kept, again, whole in zip(*found[-3:], strict=True):
            torch.testing.assert_close(kept, whole, rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(again, whole, rtol=1e-9, atol=1e-10)


def test_transforms_of_functions_go_through_the_network(base, box):
    """Derivatives of `torch.func` along a direction equal central differences; mapped samples equal a batch."""
    base, regional = base.double(), base.regional_graph(box)
    x, direction = torch.randn(2, 2, box.num_nodes, 4, dtype=torch.float64)
    times = {"time": torch.zeros(1).double(), "lead_time": torch.full((1,), 0.2).double()}

    def answer(at):
        return base.answer(at, regional, **times)

    along = torch.func.jvp(answer, (x,), (direction,))[1]
    with torch.no_grad():
        difference = (answer(x + 1e-6 * direction) - answer(x - 1e-6 * direction)) / 2e-6
        mapped = torch.func.vmap(lambda at: answer(at[None])[0])(x)
        torch.testing.assert_close(mapped, answer(x))
    torch.testing.assert_close(along, difference, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_what_is_kept_of_a_graph_follows_the_weights(base, box):
    """Parts that depend on graph and weights alone are kept; every way to change the weights makes them anew."""
    x, network = torch.randn(1, box.num_nodes, 4), base.network
    before = base(x, box)
    kept = network.static(base.regional_graph(box))
    assert network.static(base.regional_graph(box)) is kept
    torch.testing.assert_close(base(x, box), before, rtol=0, atol=0)
    weights = {name: value.clone() for name, value in base.state_dict().items()}
    network.embed_r2p.layers[0].weight.mul_(2.0)
    assert network.static(base.regional_graph(box)) is not kept
    assert not torch.allclose(base(x, box), before)
    base.load_state_dict(weights)
    torch.testing.assert_close(base(x, box), before, rtol=0, atol=0)
    network.decode.message.layers[0].weight.data = torch.zeros_like(network.decode.message.layers[0].weight)
    assert not torch.allclose(base(x, box), before)
    base.load_state_dict(weights, assign=True)
    torch.testing.assert_close(base(x, box), before, rtol=0, atol=0)
    torch.testing.assert_close(base.double()(x.double(), box).float(), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("piecewise", [False, True])
def test_recomputing_gives_the_same_gradients(base, box, piecewise):
    x = torch.randn(3, box.num_nodes, 4)
    found = []
    base.network.piecewise = piecewise
    for recompute in (False, True):
        base.network.recompute = recompute
        base.zero_grad()
        base(x, box, lead_time=torch.tensor([0.1, 0.2, 0.3])).square().sum().backward()
        found.append([parameter.grad.clone() for parameter in base.parameters()])
    for kept, again in zip(*found, strict=True):
        torch.testing.assert_close(kept, again, rtol=0, atol=0)


def test_no_weight_is_dead(base, box):
    base(torch.randn(2, box.num_nodes, 4), box).square().sum().backward()
    dead = [name for name, p in base.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


@torch.no_grad()
def test_mixed_precision_stays_close(base, box):
    x = torch.randn(2, box.num_nodes, 4)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = base(x, box)
    change = base(x, box) - x
    assert 0 < float((mixed - x - change).norm() / change.norm()) < 0.05


@torch.no_grad()
def test_query_points_that_are_nodes_get_the_nodes_answers(base, box):
    x = torch.randn(2, box.num_nodes, 4)
    some = torch.randperm(box.num_nodes)[:20]
    torch.testing.assert_close(
        base(x, box, query=box.pos[some], lead_time=0.2),
        base(x, box, lead_time=0.2)[:, some],
        rtol=1e-4,
        atol=1e-5,
    )


@torch.no_grad()
def test_answers_at_query_points_are_continuous(base, box):
    """Edges to a query point come and go with its place, so only points well inside a neighbour's reach are moved."""
    x, places = torch.randn(box.num_nodes, 4), box.pos[:40]
    jumps = [
        float((base(x, box, query=places + shift) - base(x, box, query=places)).abs().median())
        for shift in (1e-2, 1e-3, 1e-4)
    ]
    assert jumps[0] > jumps[1] > jumps[2]
    assert jumps[2] < 0.05 * jumps[0]


@torch.no_grad()
def test_three_dimensional_points_carry_the_operator():
    """On a periodic cube whole periods change nothing, and points asked as query points answer as nodes do."""
    points = np.random.default_rng(0).uniform(size=(120, 3))
    base = RIGNO(2, 2, architecture=SMALL, dim=3).eval()
    options: dict[str, Any] = {
        "domain": ((0.0,) * 3, (1.0,) * 3),
        "periodic": True,
        "region_index": np.arange(0, 120, 4),
    }
    graph = RegionalGraph.build(points, **options)
    moved = RegionalGraph.build(points + np.array([1.0, -1.0, 2.0]), **options)
    asked = RegionalGraph.build(points, query=points, **options)
    x, times = torch.randn(2, 120, 2), {"time": torch.zeros(2), "lead_time": torch.full((2,), 0.1)}
    expected = base.answer(x, graph, **times)
    torch.testing.assert_close(base.answer(x, moved, **times), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(base.answer(x, asked, **times, at_query=x), expected, rtol=1e-4, atol=1e-5)


def test_bad_input_is_refused(base, box):
    with pytest.raises(ValueError, match="channels=4"):
        base(torch.zeros(box.num_nodes, 3), box)
    with pytest.raises(ValueError, match="periodic in every axis"):
        base(torch.zeros(25, 4), Graph.from_grid((5, 5)))
    framed = RIGNO(4, 4, architecture=SMALL, domain=((0.0, 0.0), (2.0, 2.0)))
    with pytest.raises(ValueError, match=r"periodic box .* got a graph with period=\(1.0, 1.0\)"):
        framed(torch.zeros(box.num_nodes, 4), box)
    walls = RIGNO(4, 4, architecture=SMALL, periodic=False, domain=((0.0, 0.0), (0.5, 0.5)))
    with pytest.raises(ValueError, match="should lie in the box"):
        walls(torch.zeros(box.num_nodes, 4), box)
    with pytest.raises(ValueError, match="for graphs in 3 dimensions, got 2"):
        RIGNO(4, 4, architecture=SMALL, dim=3)(torch.zeros(box.num_nodes, 4), box)
    with pytest.raises(ValueError, match="`stepper` should be one of"):
        RIGNO(4, 4, architecture=SMALL, stepper="forward")
    with pytest.raises(ValueError, match="the last time comes later"):
        RIGNO(4, 4, architecture=SMALL, time_span=(1.0, 1.0))
    both = Batch.from_data_list([box, box])
    with pytest.raises(ValueError, match="batch of graphs"):
        base(torch.zeros(2 * box.num_nodes, 4), both, query=box.pos)
    with pytest.raises(ValueError, match="at least 4 regional nodes"):
        RegionalGraph.build(box.pos.numpy()[:12], domain=((0.0, 0.0), (1.0, 1.0)), periodic=True)


def test_whole_periods_do_not_change_a_periodic_graph(base, box):
    x = torch.randn(box.num_nodes, 4)
    shifted = box.pos.clone()
    shifted[::3] += torch.tensor([1.0, -2.0])
    moved = Graph.from_mesh(Mesh(shifted.numpy(), [("triangle", box.face.T.numpy())], period=box.period))
    torch.testing.assert_close(base(x, moved), base(x, box), rtol=1e-4, atol=1e-4)
    corrector = MultiscaleMessagePassing(4, 4, hidden=8, levels=2, options=Options(small=1.0))
    torch.testing.assert_close(corrector(x, x, moved), corrector(x, x, box), rtol=1e-4, atol=1e-4)
