"""Features of the boundary against domains whose walls are known."""

import numpy as np
import pytest
import torch
from domains import square_of_quads, square_of_triangles

from irno_graph.data.unstructured import Domain
from irno_graph.graph import Graph
from irno_graph.graph.pyg import Batch
from irno_graph.graph.size import domain_sizes
from irno_graph.graph.walls import features_at, wall_features
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.testing import moved
from irno_graph.training.pairs import square_symmetries, turned_fields, turned_graph


def distances(features, graph):
    return -torch.log(features[:, 1]) * 0.1 * domain_sizes(graph)[0]


@pytest.mark.parametrize("mesh", [square_of_triangles(9), square_of_quads(9)], ids=["triangles", "quads"])
def test_distance_and_direction_in_a_square_are_exact(mesh):
    graph = Graph.from_mesh(mesh)
    found = wall_features(graph)
    walls = torch.cat([graph.pos, 1 - graph.pos], dim=1)  # distances to the sides x = 0, y = 0, x = 1, y = 1
    least = walls.amin(dim=1)
    torch.testing.assert_close(distances(found, graph), least, atol=1e-12, rtol=0)
    assert torch.equal(found[:, 0] == 1, torch.from_numpy(mesh.boundary))
    normals = torch.tensor([[-1.0, 0], [0, -1], [1, 0], [0, 1]], dtype=torch.float64)
    alike = (walls <= least[:, None] + 1e-9).double()
    expected = alike @ normals / alike.sum(dim=1, keepdim=True)
    torch.testing.assert_close(found[:, 2:] / found[:, 1:2], expected, atol=1e-4, rtol=0)


def test_distances_to_holes_converge_at_order_two():
    """A circle is seen as the polygon of its nodes, which lies within h^2 / (8 r) of it."""
    errors = []
    for nodes in (1000, 4000):
        domain = Domain.drawn(nodes, holes=3, seed=4)
        graph = Graph.from_mesh(domain.mesh)
        assert domain.holes is not None
        points = domain.mesh.points
        exact = np.minimum(domain.holes.distance(points), np.minimum(points, 1 - points).min(axis=1))
        found = wall_features(graph)
        errors.append(np.abs(distances(found, graph).numpy() - exact).max())
        assert np.array_equal(found[:, 0] == 1, domain.mesh.boundary)
    assert errors[0] < 2e-3
    assert errors[1] < errors[0] / 3


def test_nodes_of_holes_look_to_the_centres():
    domain = Domain.drawn(2000, holes=2, seed=3)
    found = wall_features(Graph.from_mesh(domain.mesh)).numpy()
    assert domain.holes is not None
    for centre, radius in zip(domain.holes.centres, domain.holes.radii, strict=True):
        away = domain.mesh.points - centre
        length = np.linalg.norm(away, axis=1)
        on_it = np.abs(length - radius) < 1e-9
        assert on_it.sum() >= 12
        np.testing.assert_allclose(found[on_it, 2:], -away[on_it] / length[on_it, None], atol=0.1)
        near = (length > radius + 1e-3) & (length < radius + 0.04)
        np.testing.assert_allclose(
            found[near, 2:] / found[near, 1:2], -away[near] / length[near, None], atol=0.25
        )


def test_they_turn_with_the_graph():
    graph = Graph.from_mesh(Domain.drawn(300, holes=2, seed=1).mesh)
    found = wall_features(graph)
    for matrix in square_symmetries():
        expected = turned_fields(found, matrix, (2, 3))
        torch.testing.assert_close(wall_features(turned_graph(graph, matrix)), expected, atol=1e-9, rtol=0)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    there = moved(graph, turn, torch.tensor([3.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(wall_features(there), turned_fields(found, turn, (2, 3)), atol=1e-9, rtol=0)


def test_the_order_of_corners_does_not_matter():
    mesh = square_of_triangles(6)
    clockwise = Mesh(mesh.points, [("triangle", mesh.cells_of("triangle")[:, ::-1])])
    expected = wall_features(Graph.from_mesh(mesh))
    torch.testing.assert_close(wall_features(Graph.from_mesh(clockwise)), expected, atol=1e-6, rtol=0)


def test_a_periodic_square_has_none_and_a_channel_the_same_at_its_seam():
    assert not wall_features(Graph.from_mesh(periodic_box(100, seed=0))).any()
    count, high = 8, 4
    x, y = np.meshgrid(np.arange(count) / count, np.arange(high + 1) / count)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    number = np.arange(points.shape[0]).reshape(high + 1, count)
    right = np.roll(number, -1, axis=1)
    quads = np.stack([number[:-1], right[:-1], right[1:], number[1:]], axis=-1).reshape(-1, 4)
    found = wall_features(Graph.from_mesh(Mesh(points, [("quad", quads)], period=(1.0, None))))
    rows = found.view(high + 1, count, 4)
    torch.testing.assert_close(rows, rows[:, :1].expand_as(rows))
    torch.testing.assert_close(rows[0, 0, 2:], torch.tensor([0.0, -1.0], dtype=torch.float64))


def test_a_batch_has_those_of_its_graphs_and_places_those_of_the_nodes():
    graphs = [Graph.from_mesh(Domain.drawn(nodes, holes=1, seed=nodes).mesh) for nodes in (200, 250)]
    both = torch.cat([wall_features(graph) for graph in graphs])
    torch.testing.assert_close(wall_features(Batch.from_data_list(graphs)), both)
    torch.testing.assert_close(features_at(graphs[0], graphs[0].pos.numpy()), both[:200])


def test_what_has_no_sides_in_the_plane_is_refused():
    cloud = Graph.from_points(torch.rand(50, 2, dtype=torch.float64), method="knn", manifold_dim=2)
    with pytest.raises(ValueError, match="triangles or quads in the plane"):
        wall_features(cloud)
    with pytest.raises(ValueError, match="got a graph in 3 dimensions"):
        wall_features(Graph.from_icosphere(1))
