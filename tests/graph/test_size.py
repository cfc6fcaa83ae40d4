"""Sizes of domains: the root of the measure in the dimension of the cells."""

import domains
import numpy as np
import pytest
import torch
from hierarchies import sample
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.graph.hierarchy import hierarchy
from irno_graph.graph.size import domain_sizes, manifold_dims
from irno_graph.mesh import Mesh


@pytest.mark.parametrize(
    ("name", "dim", "size", "error"),
    [
        ("helix.vtu", 1, 3 * np.sqrt(4 * np.pi**2 + 1), 2e-3),
        ("icosphere.ply", 2, np.sqrt(4 * np.pi), 0.02),
        ("mixed.vtk", 2, np.sqrt(2.0), 1e-12),
        ("bar.xdmf", 3, 4 ** (1 / 3), 1e-7),
    ],
)
def test_the_dimension_is_that_of_the_cells(name, dim, size, error):
    graph = sample(name)
    assert manifold_dims(graph).tolist() == [dim]
    assert float(domain_sizes(graph)) == pytest.approx(size, rel=error)


def test_a_cloud_says_its_dimension_or_fills_space():
    points = domains.sphere_points(500)
    assert manifold_dims(Graph.from_points(points, "knn", manifold_dim=2)).tolist() == [2]
    assert manifold_dims(Graph.from_points(points, "knn")).tolist() == [3]


def test_graphs_of_a_batch_have_their_own_dimensions():
    sphere, curve = domains.sphere(100), Mesh(np.eye(3), [("line", [[0, 1], [1, 2]])])
    graphs = [Graph.from_mesh(mesh) for mesh in (sphere, curve, domains.cube_of_boxes(2))]
    batch = Batch.from_data_list(graphs)
    assert manifold_dims(batch).tolist() == [2, 1, 3]
    torch.testing.assert_close(domain_sizes(batch), torch.cat([domain_sizes(graph) for graph in graphs]))
    clouds = [Graph.from_points(sphere.points, "knn", manifold_dim=dim) for dim in (1, 2)]
    assert manifold_dims(Batch.from_data_list(clouds)).tolist() == [1, 2]


def test_lengths_over_the_size_do_not_depend_on_units():
    mesh = domains.sphere(200)
    one, other = (
        hierarchy(Graph.from_mesh(Mesh(mesh.points * factor, mesh.cells)), 2) for factor in (1.0, 1000.0)
    )
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.links.features, b.links.features, rtol=1e-5, atol=1e-5)
