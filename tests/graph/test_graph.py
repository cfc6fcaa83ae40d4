"""Graphs: sorted edges, control areas, builders, what they refuse, batches."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from irno_graph.graph import Graph, graph_sum, minimum_image, node_graph_index
from irno_graph.mesh import Mesh, MeshError, periodic_box, read_mesh, write_mesh

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


@pytest.fixture(scope="module")
def box():
    return periodic_box(100, seed=2, extent=(1.5, 1.0))


@pytest.fixture(scope="module")
def graph(box):
    return Graph.from_mesh(box)


def scattered(nodes=120):
    """Random points of the unit square with its corners and sides."""
    side = np.linspace(0, 1, 9)[:-1]
    rim = np.concatenate([np.stack(pair, axis=1) for pair in ((side, 0 * side), (0 * side + 1, side))])
    rim = np.concatenate([rim, 1 - rim])
    return np.concatenate([rim, np.random.default_rng(0).uniform(0.02, 0.98, (nodes, 2))])


def test_minimum_image_is_at_most_half_the_period():
    delta = torch.from_numpy(np.random.default_rng(0).uniform(-9, 9, (500, 3)))
    image = minimum_image(delta, (1.0, None, 0.3))
    assert image[:, 0].abs().max() <= 0.5 + 1e-12
    assert image[:, 2].abs().max() <= 0.15 + 1e-12
    assert torch.equal(image[:, 1], delta[:, 1])
    wraps = (delta - image)[:, 2] / 0.3
    assert torch.allclose(wraps, wraps.round(), atol=1e-9)


def test_edges_are_sorted_by_target_then_source_and_come_in_both_directions(graph):
    source, target = graph.edge_index
    code = target * graph.num_nodes + source
    assert (code.diff() > 0).all()
    assert torch.equal(torch.unique(source * graph.num_nodes + target), code)
    assert graph.num_edges == 6 * graph.num_nodes  # E = 3 N, twice


def test_edge_attributes_lead_from_target_to_source(graph):
    source, target = graph.edge_index
    vectors = graph.edge_attr[:, :2]
    landed = graph.pos[target] + vectors - graph.pos[source]
    assert torch.allclose(
        minimum_image(landed, graph.period), torch.zeros(1, dtype=torch.float64), atol=1e-12
    )
    assert torch.allclose(vectors.norm(dim=1), graph.edge_attr[:, 2], rtol=1e-15)
    assert graph.edge_attr[:, 2].max() < 0.5


def test_control_areas_add_up_to_the_area(graph):
    assert graph.mass.min() > 0
    assert graph.mass.sum().item() == pytest.approx(1.5, rel=1e-12)
    assert graph.mass.dtype == graph.pos.dtype == graph.edge_attr.dtype == torch.float64


def test_renumbering_the_points_renumbers_the_graph(box, graph):
    order = np.random.default_rng(0).permutation(len(box.points))
    place = np.argsort(order)  # old index -> new index
    other = Graph.from_mesh(
        Mesh(box.points[order], [("triangle", place[box.cells_of("triangle")])], period=box.period)
    )
    assert torch.equal(other.pos, graph.pos[order])
    assert torch.allclose(other.mass, graph.mass[order], rtol=1e-13)
    ours = {
        (*edge, *row)
        for edge, row in zip(place[graph.edge_index].T.tolist(), graph.edge_attr.tolist(), strict=True)
    }
    theirs = {
        (*edge, *row) for edge, row in zip(other.edge_index.T.tolist(), other.edge_attr.tolist(), strict=True)
    }
    assert ours == theirs


def test_a_file_gives_the_same_graph_as_its_mesh(box, graph, tmp_path):
    write_mesh(tmp_path / "box.vtu", box)
    assert Graph.from_mesh(read_mesh(tmp_path / "box.vtu")).key() == graph.key()


def test_keys_tell_graphs_apart_and_survive_copies(box, graph):
    assert graph.clone().to("cpu").key() == graph.key()
    assert graph.to("cpu").period == (1.5, 1.0)
    assert Graph.from_points(box.points + 1e-12, period=box.period).key() != graph.key()
    assert Graph.from_points(box.points, method="knn", period=box.period).key() != graph.key()


def test_a_sphere_of_triangles_has_its_area():
    points = np.random.default_rng(0).standard_normal((500, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    from scipy.spatial import ConvexHull

    graph = Graph.from_mesh(Mesh(points, [("triangle", ConvexHull(points).simplices)]))
    assert graph.mass.sum().item() == pytest.approx(4 * np.pi, rel=0.02)
    assert graph.num_nodes - graph.num_edges // 2 + graph.face.shape[1] == 2


def test_a_quad_has_no_diagonal_edge_and_shares_its_area_equally():
    graph = Graph.from_mesh(
        Mesh([*SQUARE, [2.0, 0.5]], [("quad", [[0, 1, 2, 3]]), ("triangle", [[1, 4, 2]])])
    )
    pairs = {tuple(sorted(pair)) for pair in graph.edge_index.T.tolist()}
    assert pairs == {(0, 1), (1, 2), (2, 3), (0, 3), (1, 4), (2, 4)}
    assert graph.mass[0].item() == pytest.approx(0.25, rel=1e-14)
    assert graph.mass.sum().item() == pytest.approx(1.5, rel=1e-14)


def test_lines_and_vertices_are_ignored():
    mesh = Mesh(SQUARE, [("quad", [[0, 1, 2, 3]]), ("line", [[0, 2]]), ("vertex", [[0]])])
    assert Graph.from_mesh(mesh).num_edges == 8


@pytest.mark.parametrize(
    ("points", "cells", "period", "said"),
    [
        ([*SQUARE, [5, 5]], [("quad", [[0, 1, 2, 3]])], None, r"1 that do not \(first: \[4\]\)"),
        ([[0, 0], [1, 1], [2, 2]], [("triangle", [[0, 1, 2]])], None, "positive area, got 1"),
        (SQUARE[:2], [("triangle", [[0, 1, 1]])], None, "positive area"),
        (SQUARE, [("quad", [[0, 1, 2, 3]])] * 3, None, "at most 2 cells"),
        (SQUARE, [("quad", [[0, 1, 3, 2]])], None, "convex with corners in order, got 1"),
        ([[0, 0], [3, 0], [0.5, 0.5], [0, 3]], [("quad", [[0, 1, 2, 3]])], None, "convex"),
        ([*SQUARE], [("triangle", [[0, 1, 2], [0, 2, 3]])], (2.0, 9.0), "half the period 2.0 of axis 0"),
        (SQUARE, [("tetra", [[0, 1, 2, 3]])], None, "3 coordinates, got 2"),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [("tetra", [[0, 1, 2, 3]])], None, "positive volume"),
        (SQUARE, [("polygon5", [[0, 1, 2, 3, 0]])], None, "got polygon5"),
        (SQUARE, [("vertex", [[0], [1], [2], [3]])], None, "lines, surface or volume cells"),
    ],
)
def test_meshes_without_a_graph_are_refused(points, cells, period, said):
    with pytest.raises(MeshError, match=said):
        Graph.from_mesh(Mesh(points, cells, period=period))


@pytest.mark.parametrize("period", [None, (1.0, 1.0)])
@pytest.mark.parametrize("method", ["delaunay", "knn", "radius"])
def test_every_method_shares_mass_and_triangles(method, period):
    points = scattered() * (0.95 if period else 1.0)
    graph = Graph.from_points(torch.from_numpy(points), method, period=period, radius=0.26, neighbours=5)
    delaunay = Graph.from_points(points, period=period)
    assert torch.equal(graph.face, delaunay.face)
    assert torch.equal(graph.mass, delaunay.mass)
    assert graph.mass.sum().item() == pytest.approx(1.0, rel=1e-12)
    degree = torch.bincount(graph.edge_index[1], minlength=graph.num_nodes)
    if method == "knn":
        assert degree.min() >= 5
    if method == "radius":
        delta = minimum_image(graph.pos[None] - graph.pos[:, None], period).norm(dim=-1)
        near = (delta < 0.26) & ~torch.eye(len(delta), dtype=torch.bool)
        assert torch.equal(near.nonzero().T.flip(0), graph.edge_index)


@pytest.mark.parametrize(
    ("points", "options", "said"),
    [
        (np.zeros((5, 4)), {}, r"dim=1, 2 or 3\], got \[5, 4\]"),
        ([[0, 0], [1, np.nan], [1, 1]], {}, "finite"),
        (SQUARE[:2], {}, "at least 3"),
        ([[0, 0], [1, 1], [2, 2]], {}, "triangulate"),
        (SQUARE + SQUARE[:1], {}, "1 repeated"),
        (SQUARE, {"method": "voronoi"}, "got 'voronoi'"),
        (SQUARE, {"method": "radius"}, "positive"),
        (SQUARE, {"method": "radius", "radius": 0.1}, "4 without"),
        (SQUARE, {"method": "knn", "neighbours": 4}, r"in 1\.\.3, got 4"),
        (SQUARE, {"period": (1.0,)}, "period"),
    ],
)
def test_points_without_a_graph_are_refused(points, options, said):
    with pytest.raises(ValueError, match=said):
        Graph.from_points(points, **options)


def test_a_grid_numbers_rows_first_and_has_four_neighbours():
    graph = Graph.from_grid((3, 5), extent=(4.0, 1.0), period=(None, 1.0))
    assert graph.pos[7].tolist() == [2.0, pytest.approx(1 / 3)]  # iy = 1, ix = 2
    degree = torch.bincount(graph.edge_index[1]).reshape(3, 5)
    assert degree.tolist() == [[3, 4, 4, 4, 3]] * 3
    assert torch.allclose(
        graph.mass.reshape(3, 5)[0] * 3, torch.tensor([0.5, 1, 1, 1, 0.5], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 5), {}),
        ((5, 5, 5, 5), {}),
        ((2, 5), {"period": (1.0, 1.0)}),
        ((4, 4), {"period": (1.0, 1.0), "extent": (2.0, 1.0)}),
        ((4, 4), {"extent": (-1.0, 1.0)}),
        ((4, 4), {"extent": (1.0, 1.0, 1.0)}),
    ],
)
def test_grids_that_do_not_fit_are_refused(shape, options):
    with pytest.raises(ValueError, match="should"):
        Graph.from_grid(shape, **options)


def test_a_batch_of_two_graphs_is_the_two(graph):
    grid = Graph.from_grid((4, 5), extent=(1.0, 2.0))
    batch = Batch.from_data_list([graph, grid])
    assert isinstance(batch, Graph)
    assert batch.period == [(1.5, 1.0), None]
    for index, single in enumerate((graph, grid)):
        back = batch.get_example(index)
        assert back.key() == single.key()
        assert torch.equal(back.cell_vectors, single.cell_vectors)
    first = graph.num_nodes
    assert torch.equal(batch.face[:, graph.face.shape[1] :], grid.face + first)
    assert (batch.edge_index[1].diff() >= 0).all()
    owner, count = node_graph_index(batch)
    assert count == 2
    assert torch.equal(owner, (torch.arange(batch.num_nodes) >= first).long())
    areas = graph_sum(batch.mass[:, None], batch)[:, 0]
    assert areas.tolist() == pytest.approx([1.5, 2.0], rel=1e-12)
    assert graph_sum(torch.ones(3, first, 2), graph).shape == (3, 1, 2)


def test_a_loader_makes_batches(graph):
    (batch,) = DataLoader([graph, graph], batch_size=2)
    assert batch.num_nodes == 2 * graph.num_nodes
    assert batch.mass.sum().item() == pytest.approx(3.0, rel=1e-12)


def test_a_field_of_another_graph_is_refused(graph):
    with pytest.raises(ValueError, match="nodes=100"):
        graph_sum(torch.zeros(2, 99, 1), graph)
