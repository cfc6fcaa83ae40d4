"""The hierarchy of coarser graphs, on every kind of graph."""

import hashlib
from itertools import pairwise

import domains
import numpy as np
import pytest
import torch
from hierarchies import FILES, KINDS, SAMPLES, greedy_set, parts_of, sample, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.graph.coarsening import coarsened, independent_set, plain_graph, swept
from irno_graph.graph.hierarchy import SMALLEST, hierarchy, levels_of
from irno_graph.mesh import Mesh, periodic_box, read_mesh
from irno_graph.testing import renumbered

ORDERS = ("position", "intrinsic")


@pytest.fixture(scope="module", params=KINDS)
def graph(request):
    return KINDS[request.param]()


def kept(level):
    """The fine node that each coarse node is: the one at distance 0."""
    links = level.restrict
    own = links.features[:, -2] == 0
    assert torch.equal(links.targets[own], torch.arange(len(links.inverse_degree)))
    return links.sources[own]


def assert_sound(levels):
    """Levels shrink, are connected where the graph is, and every node sends to and takes from the next level."""
    count, part = parts_of(levels[0])
    for fine, coarse in pairwise(levels):
        part = part[kept(fine).numpy()]
        assert coarse.nodes < fine.nodes or fine.nodes == count
        found, own = parts_of(coarse)
        assert found == count == len(set(zip(part, own, strict=True)))
        assert torch.equal(fine.restrict.sources.unique(), torch.arange(fine.nodes))
        assert torch.equal(fine.restrict.targets.unique(), torch.arange(coarse.nodes))
        assert torch.equal(fine.prolong.sources.unique(), torch.arange(coarse.nodes))
        assert torch.equal(fine.prolong.targets.unique(), torch.arange(fine.nodes))
    return part


@pytest.mark.parametrize("order", ORDERS)
def test_every_level_is_connected_where_the_graph_is(graph, order):
    levels = hierarchy(graph, None, order=order)
    assert len(levels) == levels_of(graph, order=order) + 1
    assert np.bincount(assert_sound(levels)).max() <= SMALLEST


@pytest.mark.parametrize("order", ORDERS)
def test_a_level_has_a_half_to_a_tenth_of_the_nodes_of_the_finer_one(order):
    for name in FILES:
        for fine, coarse in pairwise(hierarchy(sample(name), None, order=order)):
            assert fine.nodes < 30 or 1.96 < fine.nodes / coarse.nodes < 10, name


@pytest.mark.parametrize("order", ORDERS)
def test_links_are_sorted_and_pointed_at(graph, order):
    for level in hierarchy(graph, 2, order=order):
        for links in (level.links, level.restrict, level.prolong):
            if links is None:
                continue
            code = links.targets * level.nodes + links.sources
            assert (code.diff() > 0).all()
            degree = links.pointers.diff()
            assert links.pointers.dtype == torch.int64
            assert int(links.pointers[0]) == 0
            assert torch.equal(links.targets, torch.arange(len(degree)).repeat_interleave(degree))
            torch.testing.assert_close(links.inverse_degree, 1.0 / degree.clip(min=1))
            dim = graph.dim
            torch.testing.assert_close(links.features[:, :dim].norm(dim=1), links.features[:, dim])


@pytest.mark.parametrize("order", ORDERS)
def test_nodes_are_chosen_greedily(graph, order):
    plain = plain_graph(graph)
    for _ in range(3):
        sweep = swept(plain, order)
        assert np.array_equal(independent_set(plain, sweep), greedy_set(plain, sweep))
        plain = coarsened(plain, order).graph


def test_the_default_order_goes_by_position(graph):
    plain = plain_graph(graph)
    keys = [(plain.owner[node], *plain.pos[node]) for node in swept(plain, "position")]
    assert keys == sorted(keys)


def assert_renumbers(graph, order, seed=0):
    """A renumbering of the nodes renumbers the finest level, and nothing else."""
    place = torch.from_numpy(
        np.random.default_rng(seed).permutation(graph.num_nodes)
    )  # new node i is place[i]
    levels = hierarchy(graph, None, order=order)
    others = hierarchy(renumbered(graph, place), None, order=order)
    assert len(levels) == len(others)
    same = torch.arange(graph.num_nodes)
    for number, (level, other) in enumerate(zip(levels, others, strict=True)):
        here = place if number == 0 else same
        for name, sources, targets in (
            ("links", here, here),
            ("restrict", here, same),
            ("prolong", same, here),
        ):
            mine, its = getattr(level, name), getattr(other, name)
            if mine is not None:
                code = targets[its.targets] * graph.num_nodes + sources[its.sources]
                back = code.argsort()
                assert torch.equal(mine.targets * graph.num_nodes + mine.sources, code[back]), (number, name)
                torch.testing.assert_close(mine.features, its.features[back], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [name for name in KINDS if name not in ("coincident points", "batch")])
def test_numbering_the_nodes_otherwise_changes_nothing(kind, order):
    assert_renumbers(KINDS[kind](), order)


@settings(max_examples=25, deadline=None)
@given(
    points=st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=12, max_size=60, unique=True),
    neighbours=st.integers(2, 8),
    order=st.sampled_from(ORDERS),
)
def test_points_with_many_ties_make_sound_hierarchies(points, neighbours, order):
    """Points of a lattice: equal lengths and masses everywhere, disconnected parts now and then."""
    graph = Graph.from_points(np.array(points, dtype=float), "knn", neighbours=neighbours, manifold_dim=3)
    assert_sound(hierarchy(graph, None, order=order))
    assert_renumbers(graph, order)


RIGID = {
    "curve in space": lambda: Mesh(
        np.cumsum(np.random.default_rng(0).random((60, 3)), axis=0),
        [("line", np.stack([np.arange(59), np.arange(1, 60)], axis=1))],
    ),
    "triangles": lambda: domains.square_of_triangles(12),
    "quads": lambda: domains.square_of_quads(12),
    "surface": lambda: domains.bumpy_sphere(300),
    "wedges": lambda: domains.cube_of_wedges(4),
    "airfoil": lambda: read_mesh(SAMPLES / "naca0012.su2"),
    "ball": lambda: read_mesh(SAMPLES / "ball.mesh"),
}


def assert_same_but_for_vectors(one, other, dim):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.nodes == b.nodes
        for name in ("links", "restrict", "prolong"):
            mine, its = getattr(a, name), getattr(b, name)
            if mine is not None:
                assert torch.equal(mine.sources, its.sources)
                assert torch.equal(mine.pointers, its.pointers)
                torch.testing.assert_close(
                    mine.features[:, dim:], its.features[:, dim:], rtol=1e-5, atol=1e-5
                )


@pytest.mark.parametrize("kind", RIGID)
def test_a_mesh_moved_turned_and_reflected_has_the_same_intrinsic_hierarchy(kind):
    mesh = RIGID[kind]()
    graph = Graph.from_mesh(mesh)
    levels = hierarchy(graph, None, order="intrinsic")
    for seed in range(4):
        moved = Graph.from_mesh(Mesh(turned(mesh.points, seed), mesh.cells))
        assert_same_but_for_vectors(levels, hierarchy(moved, None, order="intrinsic"), graph.dim)


def test_by_position_the_hierarchy_of_a_turned_mesh_is_another():
    mesh = RIGID["triangles"]()
    graphs = [Graph.from_mesh(Mesh(points, mesh.cells)) for points in (mesh.points, turned(mesh.points))]
    assert not torch.equal(*(kept(hierarchy(graph, 1)[0]).sort().values for graph in graphs))


def test_a_cloud_moved_turned_and_reflected_has_the_same_intrinsic_hierarchy():
    points = domains.bumpy_sphere(500).points
    one, other = (
        hierarchy(Graph.from_points(at, "knn", manifold_dim=2), None, order="intrinsic")
        for at in (points, turned(points))
    )
    assert_same_but_for_vectors(one, other, 3)


def test_whole_periods_change_nothing():
    mesh = periodic_box(200, seed=1)
    whole = np.random.default_rng(0).integers(
        -2, 3, mesh.points.shape
    )  # of each point another number of periods
    moved = Mesh(mesh.points + whole, mesh.cells, period=mesh.period)
    one, other = (hierarchy(Graph.from_mesh(each), 3) for each in (mesh, moved))
    assert_same_but_for_vectors(one, other, 2)


@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_has_the_levels_of_its_members(order):
    graphs = [Graph.from_mesh(mesh) for mesh in (periodic_box(80), domains.disk(3), domains.disk(9))]
    batch = Batch.from_data_list(graphs)
    assert levels_of(batch, order=order) == max(levels_of(graph, order=order) for graph in graphs)
    together = hierarchy(batch, None, order=order)
    members = [hierarchy(graph, len(together) - 1, order=order) for graph in graphs]
    for number, level in enumerate(together):
        own = [member[number] for member in members]
        assert level.nodes == sum(each.nodes for each in own)
        features = torch.cat([each.links.features for each in own])
        torch.testing.assert_close(level.links.features, features, rtol=1e-6, atol=1e-6)
        if number + 1 < len(together):
            assert level.restrict is not None
            features = torch.cat([each.restrict.features for each in own if each.restrict is not None])
            torch.testing.assert_close(level.restrict.features, features, rtol=1e-6, atol=1e-6)
    assert members[1][-1].nodes == 1


# File: nodes of each level; SHA-256 of all sources and targets; sums of the sizes of the features, by column.
AS_SHIPPED = {
    "periodic_box.vtu": ((400, 107, 28, 8, 2), "6112c58b19894040", -14092.997188),
    "cylinder_channel.msh": ((571, 165, 51, 19, 8), "75acf8acba09ec19", -21554.098017),
    "naca0012.su2": ((628, 178, 55, 17, 6), "1a56745e9be224b1", -31651.773981),
    "mixed.vtk": ((153, 61, 22, 7, 3), "eea5f01e0c4a4b90", -4218.495821),
}


@pytest.mark.parametrize("name", AS_SHIPPED)
def test_the_default_order_stays_as_shipped_weights_know_it(name):
    nodes, hashed, logs = AS_SHIPPED[name]
    levels = hierarchy(sample(name), 4)
    digest, total = hashlib.sha256(), 0.0
    for level in levels:
        for links in (level.links, level.restrict, level.prolong):
            if links is not None:
                digest.update(links.sources.numpy().tobytes() + links.targets.numpy().tobytes())
                total += float(links.features[:, 3].double().sum())
    assert tuple(level.nodes for level in levels) == nodes
    assert digest.hexdigest()[:16] == hashed
    assert total == pytest.approx(logs, rel=1e-8)


def test_a_graph_of_few_nodes_has_no_coarser_ones_unless_asked_for():
    graph = KINDS["one cell"]()
    assert levels_of(graph) == 0
    assert [level.nodes for level in hierarchy(graph, 3)] == [3, 1, 1, 1]
    assert [level.links.sources.shape[0] for level in hierarchy(graph, 3)] == [6, 0, 0, 0]


def test_edges_in_one_direction_end_the_levels_too():
    graph = KINDS["interval"]()
    forward = graph.edge_index[0] < graph.edge_index[1]
    graph.edge_index, graph.edge_attr = graph.edge_index[:, forward], graph.edge_attr[forward]
    assert levels_of(graph) == 0


def test_what_makes_no_hierarchy_is_refused(box):
    with pytest.raises(ValueError, match="0 or more, or None, got -1"):
        hierarchy(box, -1)
    with pytest.raises(ValueError, match="'position' or 'intrinsic', got 'random'"):
        hierarchy(box, 1, order="random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 or more nodes, got 0"):
        levels_of(box, 0)
