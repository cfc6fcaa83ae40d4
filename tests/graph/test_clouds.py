"""Graphs of points in one and three dimensions, and of points that sample a surface."""

import domains
import numpy as np
import pytest
import torch

from irno_graph.graph import Graph, gradient


@pytest.mark.parametrize("period", [None, (2.0,)])
def test_points_on_a_line_are_joined_in_order(period):
    points = np.random.default_rng(0).random((40, 1)) * 2
    graph = Graph.from_points(points, period=period)
    assert graph.num_edges == 2 * (40 if period else 39)
    assert float(graph.mass.sum()) == pytest.approx(2.0 if period else np.ptp(points), rel=1e-12)


@pytest.mark.parametrize("period", [None, (1.0, None, 1.0), (1.0, 1.0, 1.0)])
def test_delaunay_tetrahedra_fill_the_box(period):
    points, _ = domains.lattice(4, 4, 4)
    points = domains.jittered(points, 0.04)
    for axis, length in enumerate(period or ()):
        if length:
            points = points[points[:, axis] < 1]
    if period:  # a regular lattice has many triangulations, which differ between copies
        points = points + np.random.default_rng(1).uniform(-0.02, 0.02, points.shape) * [
            p is not None for p in period
        ]
    graph = Graph.from_points(points, period=period)
    assert float(graph.mass.sum()) == pytest.approx(1.0, rel=1e-9)
    assert graph.mass.min() > 0


def test_a_slab_of_lattice_points_is_filled_or_refused():
    """Cubes may be split differently in different copies: what is then missing, or there twice, is not a graph."""
    refused = 0
    for seed in range(6):
        points, _ = domains.lattice(4, 4, 4)
        points = points[(points[:, 0] < 1) & (points[:, 2] < 1)]
        points = np.random.default_rng(seed).permutation(points)
        try:
            graph = Graph.from_points(points, period=(1.0, None, 1.0))
        except ValueError:
            refused += 1
        else:
            assert float(graph.mass.sum()) == pytest.approx(1.0, rel=1e-9)
    assert refused > 0


def test_the_gradient_of_a_linear_function_is_exact_in_tetrahedra():
    graph = Graph.from_points(np.random.default_rng(0).random((80, 3)))
    slope = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    found = gradient((graph.pos @ slope)[:, None], graph)[:, 0]
    assert (found - slope).abs().max() < 1e-9


def test_every_cell_type_has_exact_gradients_of_linear_functions():
    for make in (
        domains.square_of_quads,
        domains.cube_of_boxes,
        domains.cube_of_wedges,
        domains.cube_of_pyramids,
    ):
        graph = Graph.from_mesh(make(3))
        slope = torch.arange(1.0, graph.dim + 1, dtype=torch.float64)
        found = gradient((graph.pos @ slope)[:, None], graph)[:, 0]
        assert (found - slope).abs().max() < 1e-11


def test_points_of_a_sphere_share_its_area():
    graph = Graph.from_points(domains.sphere_points(2000), "knn", manifold_dim=2)
    assert float(graph.mass.sum()) == pytest.approx(4 * np.pi, rel=0.03)
    assert float(graph.mass.std() / graph.mass.mean()) < 0.05
    with pytest.raises(ValueError, match="cloud of points"):
        gradient(graph.pos, graph)


@pytest.mark.parametrize(
    ("points", "options", "said"),
    [
        (np.zeros((1, 1)), {}, "at least 2 to span a line"),
        (np.eye(3), {}, "at least 4 to span a tetrahedron"),
        (np.random.default_rng(0).random((9, 3)) * [1, 1, 0], {}, "one plane"),
        (np.random.default_rng(0).random((9, 3)), {"period": (1.0, 1.0, 1.0)}, "gaps|half the period"),
        (np.eye(3), {"manifold_dim": 2}, "'knn' or 'radius'"),
        (np.eye(3), {"manifold_dim": 4, "method": "knn"}, "in 1..3"),
    ],
)
def test_points_that_make_no_graph_are_refused(points, options, said):
    with pytest.raises(ValueError, match=said):
        Graph.from_points(points, **options)
