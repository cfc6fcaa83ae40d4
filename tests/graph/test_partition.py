"""Parts of graphs: every node has one owner, halos are what breadth-first search finds, local graphs are cut-outs."""

import builtins

import hierarchies
import numpy as np
import pytest
import torch
from corrector_kinds import with_features
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch_geometric.data import Batch

from irno_graph.graph import Graph, Partition, gradient, parts_of
from irno_graph.graph.partition import partition_of
from irno_graph.mesh import periodic_box

NAMES = [
    *hierarchies.FILES,
    "interval",
    "periodic grid",
    "wedges",
    "two squares",
    "cloud in space",
]


def graph_of(name):
    return Graph.from_mesh(hierarchies.two_squares()) if name == "two squares" else hierarchies.KINDS[name]()


def one_way(seed=0):
    """A graph whose edges run in one direction only, here and there both ways."""
    graph = Graph.from_mesh(periodic_box(90, seed=2))
    keep = torch.from_numpy(np.random.default_rng(seed).random(graph.num_edges) < 0.5)
    graph.edge_index, graph.edge_attr = graph.edge_index[:, keep], graph.edge_attr[keep]
    return graph


def drawn(graph, parts, seed=0):
    """A partition without any order."""
    owner = np.random.default_rng(seed).integers(0, parts, graph.num_nodes)
    return Partition(torch.from_numpy(owner), parts)


def hops_to(graph, owned):
    """From each node the number of edges, in their direction, to the nearest of `owned` `[nodes]`."""
    source, target = graph.edge_index.numpy()
    nodes = graph.num_nodes
    against = csr_array((np.ones(len(source)), (target, source)), shape=(nodes, nodes))
    return dijkstra(against, indices=owned, unweighted=True, min_only=True)


def cut_edges(graph, partition):
    return int((partition.owner[graph.edge_index[0]] != partition.owner[graph.edge_index[1]]).sum())


@pytest.mark.parametrize("method", ["metis", "bisection"])
@pytest.mark.parametrize("name", NAMES)
def test_every_node_has_one_owner_and_the_parts_are_alike(name, method):
    if method == "metis":
        pytest.importorskip("pymetis")
    graph = graph_of(name)
    for count in (1, 2, 3, 7):
        partition = Partition.of(graph, count, method=method)
        sizes = partition.owner.bincount(minlength=count)
        assert len(partition.owner) == graph.num_nodes
        if method == "bisection":
            assert sizes.max() - sizes.min() <= 1
        else:
            assert sizes.max() <= 1.15 * graph.num_nodes / count + 2
        own = [part.owned for part in parts_of(graph, partition, 2)]
        assert torch.equal(torch.cat(own).sort().values, torch.arange(graph.num_nodes))
        assert all(bool((partition.owner[nodes] == k).all()) for k, nodes in enumerate(own))


@pytest.mark.parametrize("name", [*NAMES, "one way"])
def test_halos_are_what_breadth_first_search_finds(name):
    graph = one_way() if name == "one way" else graph_of(name)
    cuts = [drawn(graph, 30), Partition.of(graph, 5, method="bisection")]
    for partition in cuts:
        for hops in (0, 1, 3):
            for part in parts_of(graph, partition, hops):
                if len(part.owned) == 0:
                    continue
                far = hops_to(graph, part.owned.numpy())
                assert len(part.reach) == hops + 1
                for k, count in enumerate(part.reach):
                    assert sorted(part.nodes[:count].tolist()) == np.flatnonzero(far <= k).tolist()
                needed = np.flatnonzero(far[graph.edge_index[1].numpy()] <= hops - 1)
                assert sorted(part.edges.tolist()) == needed.tolist()
                ends = torch.stack([part.nodes[part.senders], part.nodes[part.receivers]])
                assert torch.equal(ends, graph.edge_index[:, part.edges])


@pytest.mark.parametrize(
    "name", ["ball.mesh", "mixed.vtk", "icosphere.ply", "periodic_box.vtu", "periodic grid"]
)
def test_a_local_graph_is_a_cut_out_of_the_whole(name):
    """Gradients at own nodes are those of the whole: the cells around them are there, unwrapped as they were."""
    graph = with_features(graph_of(name))
    field = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    expected = gradient(field, graph)
    for part in parts_of(graph, Partition.of(graph, 4, method="bisection"), 3):
        local = part.graph(graph)
        assert local.period == graph.period
        assert local.grid_shape is None
        for tensor in ("pos", "mass", "static"):
            assert torch.equal(local[tensor], graph[tensor][part.nodes])
        source, target = local.edge_index
        assert bool((target * local.num_nodes + source).diff().gt(0).all())
        pairs = set(map(tuple, part.nodes[local.edge_index].T.tolist()))
        assert pairs == set(map(tuple, graph.edge_index[:, part.edges].T.tolist()))
        place = torch.full((graph.num_nodes,), -1).index_put((part.nodes,), torch.arange(local.num_nodes))
        attribute = dict(zip(map(tuple, graph.edge_index.T.tolist()), graph.edge_attr, strict=True))
        for pair, own in zip(part.nodes[local.edge_index].T.tolist(), local.edge_attr, strict=True):
            assert torch.equal(own, attribute[tuple(pair)])
        assert sum(len(corners) for _, corners, _ in local.cells()) == sum(
            int((place[corners] >= 0).all(dim=1).sum()) for _, corners, _ in graph.cells()
        )
        own = part.reach[0]
        found = gradient(field[part.nodes[: part.reach[3]]], local)[:own]
        torch.testing.assert_close(found, expected[part.owned], rtol=1e-12, atol=1e-12)


def test_parts_of_a_single_node_and_parts_of_nothing():
    graph = Graph.from_mesh(periodic_box(40, seed=0))
    single = parts_of(graph, Partition(torch.arange(40).flip(0), 40), 1)
    for k, part in enumerate(single):
        neighbours = graph.edge_index[0, graph.edge_index[1] == 39 - k]
        assert part.nodes.tolist() == [39 - k, *sorted(neighbours.tolist())]
    empty = parts_of(graph, Partition(torch.zeros(40, dtype=torch.long), 2), 2)[1]
    assert len(empty.nodes) == len(empty.edges) == 0
    assert empty.reach == (0, 0, 0)
    assert empty.pointers.tolist() == [0]


def test_metis_cuts_fewer_edges_than_halving_a_winding_domain():
    pytest.importorskip("pymetis")
    for name in ("torus.stl", "plate_with_holes.msh", "l_shape.vtu"):
        graph = graph_of(name)
        by = {kind: cut_edges(graph, Partition.of(graph, 6, method=kind)) for kind in ("metis", "bisection")}
        assert by["metis"] < by["bisection"] < cut_edges(graph, drawn(graph, 6)) / 2


def test_metis_takes_edges_in_one_direction_for_edges():
    pytest.importorskip("pymetis")
    graph = one_way()
    both = graph.clone()
    pairs = torch.cat([graph.edge_index, graph.edge_index.flip(0)], dim=1)
    code = torch.unique(pairs[1] * graph.num_nodes + pairs[0])
    both.edge_index = torch.stack([code % graph.num_nodes, code // graph.num_nodes])
    assert torch.equal(
        Partition.of(graph, 4, method="metis").owner, Partition.of(both, 4, method="metis").owner
    )


def test_without_pymetis_the_default_halves_and_metis_says_what_to_install(monkeypatch):
    graph, real = Graph.from_mesh(periodic_box(60, seed=0)), builtins.__import__

    def none(name, *args, **kwargs):
        if name == "pymetis":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", none)
    found = Partition.of(graph, 4).owner
    assert torch.equal(found, Partition.of(graph, 4, method="bisection").owner)
    with pytest.raises(ValueError, match=r"pip install 'irno-graph\[parts\]'"):
        Partition.of(graph, 4, method="metis")


def test_partitions_and_parts_are_kept_as_long_as_the_graph(box):
    partition = partition_of(box, 3, "bisection")
    assert partition_of(box, 3, "bisection") is partition
    assert parts_of(box, partition, 2) is parts_of(box, partition, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda graph: Partition.of(graph, 0), "in 1..40"),
        (lambda graph: Partition.of(graph, 41), "in 1..40"),
        (lambda graph: Partition.of(graph, 2, method="any"), "or None"),  # type: ignore[arg-type]
        (lambda graph: Partition.of(Batch.from_data_list([graph, graph]), 2), "batch"),
        (lambda graph: Partition(torch.tensor([0, 2]), 2), r"in 0\.\.1"),
        (lambda graph: Partition(torch.tensor([0, -1]), 2), r"in 0\.\.1"),
        (lambda graph: Partition(torch.tensor([0.0, 1.0]), 2), "whole numbers"),
        (lambda graph: Partition(torch.tensor([[0, 1]]), 2), "whole numbers"),
        (lambda graph: parts_of(graph, Partition(torch.tensor([0, 1]), 2), 1), "each of 40 nodes, got 2"),
        (lambda graph: parts_of(graph, Partition.of(graph, 2), -1), "`hops`"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(Graph.from_mesh(periodic_box(40, seed=0)))


def test_edges_out_of_order_and_a_part_of_another_graph_are_refused(box):
    partition = Partition.of(box, 2)
    shuffled = box.clone()
    shuffled.edge_index = box.edge_index.flip(1)
    with pytest.raises(ValueError, match="sorted by target"):
        parts_of(shuffled, partition, 1)
    with pytest.raises(ValueError, match="fewer edges"):
        parts_of(box, partition, 1)[0].graph(Graph.from_mesh(periodic_box(20, seed=0)))
