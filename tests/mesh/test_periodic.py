"""Triangulations of the torus: counts, areas, orientation, symmetry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irno_graph.mesh import Mesh, MeshError, periodic_box, periodic_delaunay
from irno_graph.mesh.periodic import hilbert_order, unwrapped, wrap


def sides(triangles):
    return np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)


def signed_areas(mesh):
    corners = mesh.corner_positions(mesh.cells_of("triangle"))
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(nodes=st.integers(100, 200), seed=st.integers(0, 10**6), length=st.floats(0.7, 1.4))
def test_delaunay_of_the_torus_tiles_it(nodes, seed, length):
    # Euler: V - E + F = 0 and 3 F = 2 E, so F = 2 V and E = 3 V; the areas add up to the box.
    points = np.random.default_rng(seed).random((nodes, 2)) * [length, 1.0]
    triangles = periodic_delaunay(points, (length, 1.0))
    assert len(triangles) == 2 * nodes
    assert len(sides(triangles)) == 3 * nodes
    areas = signed_areas(Mesh(points, [("triangle", triangles)], period=(length, 1.0)))
    assert areas.min() > 0
    assert areas.sum() == pytest.approx(length, rel=1e-12)


def test_no_point_lies_in_a_circumcircle():
    points = np.random.default_rng(0).random((60, 2))
    triangles = periodic_delaunay(points, (1.0, 1.0))
    mesh = Mesh(points, [("triangle", triangles)], period=(1.0, 1.0))
    corners = mesh.corner_positions(triangles)
    edges = corners[:, 1:] - corners[:, :1]
    centre = corners[:, 0] + np.linalg.solve(2 * edges, (edges**2).sum(-1, keepdims=True))[..., 0]
    radius = np.linalg.norm(centre - corners[:, 0], axis=1)
    delta = points[None] - centre[:, None]
    distance = np.linalg.norm(delta - np.round(delta), axis=-1)
    assert (distance > radius[:, None] * (1 - 1e-9)).all()


def test_triangulation_does_not_depend_on_the_origin():
    points = np.random.default_rng(1).random((80, 2))
    moved = wrap(points + np.array([0.37, 0.81]), (1.0, 1.0))
    assert np.array_equal(periodic_delaunay(points, (1.0, 1.0)), periodic_delaunay(moved, (1.0, 1.0)))


def test_clustered_points_are_triangulated_too():
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.random((60, 2)), 0.5 + 0.02 * rng.standard_normal((900, 2))])
    assert len(periodic_delaunay(points, (1.0, 1.0))) == 1920


def test_a_void_of_half_the_period_is_refused():
    points = 0.5 + 0.02 * np.random.default_rng(2).standard_normal((100, 2))
    with pytest.raises(MeshError, match="below half"):
        periodic_delaunay(points, (1.0, 1.0))


def test_cocircular_points_are_split_alike_in_all_copies():
    y, x = np.mgrid[:6, :6] / 6
    triangles = periodic_delaunay(np.stack([x.ravel(), y.ravel()], axis=1), (1.0, 1.0))
    assert len(triangles) == 72
    assert len(sides(triangles)) == 108


def test_one_periodic_axis_gives_an_annulus():
    y, x = np.meshgrid(np.linspace(0, 1, 6), np.arange(8) / 8, indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    triangles = periodic_delaunay(points, (1.0, None))
    assert len(points) - len(sides(triangles)) + len(triangles) == 0
    areas = signed_areas(Mesh(points, [("triangle", triangles)], period=(1.0, None)))
    assert areas.sum() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("count", [6, 8, 9, 12])
@pytest.mark.parametrize("rows", [(0, 0.25, 0.5, 0.75, 1), (0, 0.5, 1), (0, 0.3, 0.6, 0.8, 1)])
def test_strips_of_rows_are_filled_whatever_the_order_of_their_points(count, rows):
    """Copies of cocircular points may be split differently, and a triangle at the end of the strip was lost."""
    for shift in (0.0, 0.03, 0.37):
        grid = np.meshgrid((np.arange(count) + shift) / count, rows, indexing="ij")
        points = np.stack(grid, axis=-1).reshape(-1, 2)
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(points)
            triangles = periodic_delaunay(order, (1.0, None))
            assert len(triangles) == 2 * count * (len(rows) - 1)
            sides = order[triangles[:, 1:]] - order[triangles[:, :1]]
            sides[..., 0] -= np.round(sides[..., 0])
            assert np.isclose(np.linalg.det(sides).sum() / 2, 1.0)


@pytest.mark.parametrize(
    "points", [np.zeros((9, 3)), np.full((9, 2), np.nan), np.zeros((9, 2)), np.eye(2)[:, :2] * 0.3]
)
def test_bad_points_are_refused(points):
    with pytest.raises(MeshError, match="points"):
        periodic_delaunay(points, (1.0, 1.0))


@pytest.mark.parametrize("nodes", [64, 500])
def test_periodic_box_is_well_shaped_and_deterministic(nodes):
    mesh = periodic_box(nodes, seed=4, extent=(2.0, 0.5))
    again = periodic_box(nodes, seed=4, extent=(2.0, 0.5))
    assert np.array_equal(mesh.points, again.points)
    assert np.array_equal(mesh.cells_of("triangle"), again.cells_of("triangle"))
    assert not np.array_equal(mesh.points, periodic_box(nodes, seed=5, extent=(2.0, 0.5)).points)
    assert len(mesh.cells_of("triangle")) == 2 * nodes
    assert (mesh.points >= 0).all()
    assert (mesh.points < [2.0, 0.5]).all()
    areas = signed_areas(mesh)
    assert areas.sum() == pytest.approx(1.0, rel=1e-12)
    assert areas.min() > 0.3 * areas.mean()


def test_nodes_are_numbered_near_their_neighbours():
    steps = np.linalg.norm(np.diff(periodic_box(400, seed=0).points, axis=0), axis=1)
    assert steps.max() < 4 / 20  # four spacings; in random order about one box


def test_hilbert_curve_walks_a_grid_by_single_steps():
    y, x = np.mgrid[:8, :8]
    order = hilbert_order(np.stack([x.ravel(), y.ravel()], axis=1) / 7.0, bits=3)
    steps = np.abs(np.diff(x.ravel()[order])) + np.abs(np.diff(y.ravel()[order]))
    assert (steps == 1).all()


def test_too_few_nodes_are_refused():
    with pytest.raises(MeshError, match="at least 16"):
        periodic_box(9)


def test_unwrapping_copies_the_seam_and_keeps_every_cell():
    mesh = periodic_box(64, seed=0)
    picture, source = unwrapped(mesh)
    assert picture.period is None
    assert np.array_equal(source[:64], np.arange(64))
    assert np.array_equal(source[picture.cells_of("triangle")], mesh.cells_of("triangle"))
    assert np.allclose(wrap(picture.points, mesh.period), mesh.points[source], atol=1e-12)
    assert signed_areas(picture).sum() == pytest.approx(1.0, rel=1e-12)
    assert signed_areas(Mesh(mesh.points, mesh.cells)).sum() != pytest.approx(
        1.0, rel=1e-3
    )  # drawn across the box
