"""The V-cycle: how far it sees, which weights a level has, and what is done once."""

from collections import Counter
from typing import Any

import domains
import pytest
import torch
from corrector_kinds import fields, ragged
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.correctors import MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box

SMALL = Options(small=1.0)


def square(sides):
    return Graph.from_mesh(domains.square_of_triangles(sides))


def test_an_impulse_is_felt_at_every_node_of_two_thousand():
    graph = square(44)
    corrector = MultiscaleMessagePassing(1, 1, hidden=8, options=SMALL).double()
    x, h = torch.randn(2, graph.num_nodes, 1, dtype=torch.float64)
    impulses = torch.zeros(3, graph.num_nodes, 1, dtype=torch.float64)
    for sample, node in enumerate((0, graph.num_nodes // 2, graph.num_nodes - 1)):
        impulses[sample, node] = 10.0
    with torch.no_grad():
        felt = corrector(x, h + impulses, graph) - corrector(x, h, graph)
    assert graph.num_nodes == 2025
    assert bool((felt != 0).all())


def test_levels_follow_the_mesh_and_weights_serve_all_of_them():
    corrector = MultiscaleMessagePassing(1, 1, hidden=4, options=SMALL)
    found = []
    for sides in (21, 89):  # 484 and 8100 nodes
        graph = square(sides)
        found.append(len(corrector.geometry(graph).floors))
        value = corrector(*torch.randn(2, graph.num_nodes, 1), graph)
        assert 0.01 < float(value.detach().std()) < 1.0
    assert found[1] >= found[0] + 2


def unrolled(corrector, levels):
    """The same corrector with `levels` levels that have weights of their own: copies of those that they share."""
    other = MultiscaleMessagePassing(3, 2, hidden=8, levels=levels, options=SMALL).double()
    weights = {}
    for name in other.state_dict():
        group, _, rest = name.partition(".")
        if group in ("down", "up", "restrict", "prolong"):
            level, _, rest = rest.partition(".")
            weights[name] = corrector.state_dict()[f"{group}.{min(int(level), 1)}.{rest}"]
        else:
            weights[name] = corrector.state_dict()[name]
    other.load_state_dict(weights)
    return other


def test_coarser_graphs_share_the_weights_of_the_second(featured_box):
    corrector = MultiscaleMessagePassing(3, 2, hidden=8, options=SMALL).double()
    graph = square(30)
    levels = len(corrector.geometry(graph).floors) - 1
    assert levels > 3
    x, h = fields(graph, 2)
    assert torch.equal(unrolled(corrector, levels)(x, h, graph), corrector(x, h, graph))


@pytest.mark.parametrize("levels", [None, 4])
def test_every_layer_works_at_its_own_level(levels):
    """Down and up alike: the first on the graph itself, the last of levels=None on all coarser ones."""
    corrector = MultiscaleMessagePassing(3, 2, hidden=8, levels=levels, options=SMALL).double()
    seen: dict[str, set[int]] = {}
    for name, module in corrector.named_modules():
        if name.endswith(".norm"):
            group = name.removesuffix(".norm")
            module.register_forward_hook(
                lambda *own, at=group: seen.setdefault(at, set()).add(len(own[1][0]))
            )
    graph = square(12)
    corrector(*fields(graph), graph)
    sizes = [len(floor.own.inverse_degree) for floor in corrector.geometry(graph).floors]
    own = 2 if levels is None else levels
    expected: dict[str, set[int]] = {"bottom.0": {sizes[-1]}}
    for number in range(own):
        these = slice(number, -1 if number == own - 1 else number + 1)
        expected |= {f"{group}.{number}.0": set(sizes[these]) for group in ("down", "up")}
        expected[f"restrict.{number}"] = set(sizes[these])
        expected[f"prolong.{number}"] = set(sizes[1:][number : None if number == own - 1 else number + 1])
    assert seen == expected


def test_a_batch_of_graphs_that_go_down_as_many_levels_is_one_cycle():
    corrector = MultiscaleMessagePassing(3, 2, hidden=8, options=SMALL).double()
    assert len(corrector.geometry(ragged()).parts) == 5
    same = Batch.from_data_list([Graph.from_mesh(periodic_box(90, seed=seed)) for seed in (2, 3)])
    assert not corrector.geometry(same).parts
    assert not corrector.geometry(square(4)).parts
    explicit = MultiscaleMessagePassing(3, 2, hidden=8, levels=2).geometry(ragged())
    assert not explicit.parts


def textbook(message, source, target, edges):
    """mean over edges of W_2 (silu(W_s h_source + W_t h_target + S e) * (1 + G e)), with a bias wherever it stands."""
    features = edges.features.to(source.dtype)
    features = torch.nn.functional.silu(message.embed(features))
    shift, gate = message.geometry(features).chunk(2, dim=-1)
    rows: list[list[torch.Tensor]] = [[] for _ in edges.inverse_degree]
    for place, (j, i) in enumerate(zip(edges.senders.tolist(), edges.receivers.tolist(), strict=True)):
        before = message.source(source[j]) + shift[place]
        if target is not None:
            before = before + message.target(target[i])
        rows[i].append(message.out(torch.nn.functional.silu(before) * (1.0 + gate[place])))
    return torch.stack([torch.stack(row).mean(dim=0) for row in rows])


def test_messages_are_those_of_the_textbook():
    """The last matrix is applied after the mean, the first ones at the nodes: both commute with what comes between."""
    graph = Graph.from_mesh(domains.square_of_triangles(3))
    corrector = MultiscaleMessagePassing(3, 2, hidden=8, options=SMALL).double()
    floor, coarser = corrector.geometry(graph).floors[:2]
    h = torch.randn(graph.num_nodes, 2, 8, dtype=torch.float64)
    layer: Any = corrector.get_submodule("down.0.0.message")
    down: Any = corrector.get_submodule("restrict.0.message")
    own = layer(h, h, floor.own, layer.encode(floor.own))
    torch.testing.assert_close(
        own, textbook(layer, h, h, floor.own), rtol=1e-6, atol=1e-6
    )  # degrees are float32
    sent = down(h, None, floor.restrict, down.encode(floor.restrict))
    assert len(sent) == len(coarser.own.inverse_degree)
    torch.testing.assert_close(sent, textbook(down, h, None, floor.restrict), rtol=1e-6, atol=1e-6)


@pytest.fixture
def counted():
    """A refinement, and how often each part of its corrector was called."""
    corrector = MultiscaleMessagePassing(3, 3, hidden=8, layers=2, options=SMALL)
    calls: Counter[str] = Counter()
    for name, module in corrector.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    return ig.IRNO(lambda x, graph: 0.5 * x, corrector, alpha=0.1, steps=4).eval(), calls


def encoders(calls):
    """Calls of what encodes edges, which is once for each of the graphs that a layer serves."""
    return {name: count for name, count in calls.items() if name.endswith("embed")}


class TestOnce:
    def test_x_is_encoded_once_per_refinement_and_h_in_every_step(self, counted, featured_box):
        model, calls = counted
        for number in range(1, 4):
            model(torch.randn(2, featured_box.num_nodes, 3), featured_box)
            assert (calls["encode_x"], calls["encode_h"]) == (number, 4 * number)

    def test_edges_are_encoded_once_per_graph_in_evaluation(self, counted, featured_box):
        model, calls = counted
        x = torch.randn(2, featured_box.num_nodes, 3)
        with torch.no_grad():
            first = model(x, featured_box).value
            once = encoders(calls)
            assert once["down.0.0.message.embed"] == 1
            assert once["down.1.0.message.embed"] == len(model.corrector.geometry(featured_box).floors) - 2
            assert len(once) == 14  # two layers down and up on two levels and at the bottom, four transfers
            for _ in range(3):
                assert torch.equal(model(x, featured_box).value, first)
                model(torch.randn(5, featured_box.num_nodes, 3), featured_box)
            assert encoders(calls) == once
            other = Graph.from_mesh(periodic_box(60, seed=5))
            model(torch.randn(60, 3), other)
            assert encoders(calls)["down.0.0.message.embed"] == 2
            model(x, featured_box)
            assert encoders(calls)["down.0.0.message.embed"] == 2

    @pytest.mark.parametrize("change", ["written", "loaded", "doubled"])
    def test_edges_are_encoded_again_after_their_weights_change(self, counted, featured_box, change):
        model, calls = counted
        x = torch.randn(2, featured_box.num_nodes, 3)
        embed = model.corrector.down[0][0].message.embed
        with torch.no_grad():
            before = model(x, featured_box).value
            once = encoders(calls)
            if change == "written":
                embed.weight.add_(1.0)
            elif change == "loaded":
                weights = {name: value.clone() for name, value in model.state_dict().items()}
                weights["corrector.down.0.0.message.embed.weight"] += 1.0
                model.load_state_dict(weights)
            else:
                model.double()
            after = model(x, featured_box).value
        assert not torch.equal(after, before)
        assert encoders(calls)["down.0.0.message.embed"] == once["down.0.0.message.embed"] + 1
        with torch.enable_grad():
            torch.testing.assert_close(model(x, featured_box).value, after)

    def test_edges_are_encoded_once_per_refinement_in_training(self, counted, featured_box):
        model, calls = counted
        model.train()
        for number in range(1, 3):
            model(torch.randn(2, featured_box.num_nodes, 3), featured_box)
            assert encoders(calls)["down.0.0.message.embed"] == number

    def test_what_is_kept_goes_with_the_graph(self, counted):
        """No gradient, another graph at the same address: the new one's edges are encoded."""
        model, _ = counted
        values = []
        with torch.no_grad():
            for seed in range(4):
                graph = Graph.from_mesh(periodic_box(40, seed=seed))
                values.append(model(torch.ones(40, 3), graph).value)
                fresh = MultiscaleMessagePassing(3, 3, hidden=8, layers=2, options=SMALL)
                fresh.load_state_dict(model.corrector.state_dict())
                again = ig.IRNO(model.base, fresh, alpha=0.1, steps=4)(torch.ones(40, 3), graph).value
                assert torch.equal(again, values[-1])
                del graph
        assert not torch.equal(values[0], values[1])


def test_flat_correctors_encode_once_per_graph_too(featured_box):
    corrector = MessagePassing(3, 3, hidden=8, layers=2)
    calls: list[int] = []
    for name, module in corrector.named_modules():
        if name.endswith("embed"):
            module.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        for _ in range(3):
            corrector(torch.randn(150, 3), torch.randn(150, 3), featured_box)
    assert len(calls) == 2
