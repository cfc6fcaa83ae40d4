"""Median duals: closure, areas, exact slopes; boxes with holes and finer meshes."""

from __future__ import annotations

import numpy as np
import pytest
from domains import square_of_triangles

from irno_graph.data.unstructured.domain import Domain
from irno_graph.data.unstructured.geometry import MedianDual
from irno_graph.data.unstructured.holes import Holes, box_with_holes
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, MeshError, periodic_box
from irno_graph.mesh.quality import mesh_shapes


def backwards(mesh: Mesh) -> Mesh:
    """Half of the triangles turned over."""
    triangles = mesh.cells_of("triangle")
    triangles[::2] = triangles[::2, ::-1]
    return Mesh(mesh.points, [("triangle", triangles)], period=mesh.period)


def strip() -> Mesh:
    """Triangles between two walls, periodic along x."""
    number = np.arange(24).reshape(6, 4)
    points = np.stack(np.meshgrid(np.arange(6) / 3, np.arange(4) / 3, indexing="ij"), axis=-1).reshape(-1, 2)
    a, b = number[:, :-1].ravel(), np.roll(number, -1, axis=0)[:, :-1].ravel()
    c, d = np.roll(number, -1, axis=0)[:, 1:].ravel(), number[:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return Mesh(points, [("triangle", triangles)], period=(2.0, None))


MESHES = {
    "periodic": lambda: periodic_box(128, seed=3, extent=(2.0, 1.0)),
    "strip": strip,
    "square": lambda: backwards(square_of_triangles(6)),
    "holes": lambda: Domain.drawn(300, holes=3, seed=2).mesh,
    "refined": lambda: Domain.drawn(300, holes=3, seed=2).refined().mesh,
}


@pytest.mark.parametrize("make", MESHES.values(), ids=MESHES.keys())
def test_control_areas_are_closed_and_tile_the_domain(make):
    mesh = make()
    dual = MedianDual.of(mesh)
    outward = np.zeros((len(mesh.points), 2))
    np.add.at(outward, dual.edges[:, 0], dual.normal)
    np.add.at(outward, dual.edges[:, 1], -dual.normal)
    np.add.at(outward, dual.sides.ravel(), np.repeat(dual.half, 2, axis=0))
    assert np.abs(outward).max() < 1e-14
    np.testing.assert_allclose(dual.volume, Graph.from_mesh(mesh).mass.numpy(), rtol=1e-13)
    # The flux of x through all areas is their areas: faces see the middle of edges, halves 5/6 of their own node.
    middle = mesh.points[dual.edges[:, 0]] + 0.5 * dual.offset
    if mesh.period is None:
        flux = np.zeros(len(mesh.points))
        np.add.at(flux, dual.edges[:, 0], dual.normal[:, 0] * middle[:, 0])
        np.add.at(flux, dual.edges[:, 1], -dual.normal[:, 0] * middle[:, 0])
        for one, other in ((0, 1), (1, 0)):
            x = (5 * mesh.points[dual.sides[:, one], 0] + mesh.points[dual.sides[:, other], 0]) / 6
            np.add.at(flux, dual.sides[:, one], dual.half[:, 0] * x)
        np.testing.assert_allclose(flux, dual.volume, rtol=1e-11)


@pytest.mark.parametrize("make", MESHES.values(), ids=MESHES.keys())
def test_slopes_are_exact_for_linear_fields(make):
    dual = MedianDual.of(make())
    first, neighbour, weight = dual.slopes()
    here = np.repeat(np.arange(len(dual.volume)), np.diff(first))
    offset = dual.points[neighbour] - dual.points[here]
    for axis, length in enumerate(dual.period or ()):
        if length is not None:
            offset[:, axis] -= length * np.round(offset[:, axis] / length)
    change = offset @ [3.0, -2.0]
    for axis, slope in enumerate((3.0, -2.0)):
        found = np.bincount(here, weight[:, axis] * change)
        np.testing.assert_allclose(found, slope, rtol=1e-11)


def test_reach_of_an_equilateral_lattice_is_two_over_its_side():
    x, y = np.meshgrid(np.arange(6), np.arange(6), indexing="ij")
    points = np.stack([x + 0.5 * y, np.sqrt(0.75) * y], axis=-1).reshape(-1, 2)
    n = np.arange(36).reshape(6, 6)
    halves = (n[:-1, :-1], n[1:, :-1], n[:-1, 1:]), (n[1:, :-1], n[1:, 1:], n[:-1, 1:])
    cells = np.concatenate([np.stack(corners, axis=-1).reshape(-1, 3) for corners in halves])
    mesh = Mesh(points, [("triangle", cells)])
    reach = MedianDual.of(mesh).reach()[:, 2]
    np.testing.assert_allclose(reach[n[1:-1, 1:-1].ravel()], 2.0, rtol=1e-12)
    np.testing.assert_allclose(reach[n[1:-1, 0]], 2.0, rtol=1e-12)  # half the area, half the faces
    opened = MedianDual.of(mesh, wall=np.zeros(36, dtype=bool)).reach()[:, 2]
    np.testing.assert_allclose(opened[n[1:-1, 0]], 2.0 + 2 / np.sqrt(3), rtol=1e-12)  # and a side


def test_only_sides_with_both_ends_on_a_wall_are_walls():
    mesh = square_of_triangles(4)
    dual = MedianDual.of(mesh, wall=mesh.points[:, 0] == 0)
    assert dual.wall.sum() == 4
    np.testing.assert_array_equal(dual.half[dual.wall], [[-0.125, 0.0]] * 4)
    np.testing.assert_allclose(dual.half.sum(axis=0), 0.0, atol=1e-15)
    with pytest.raises(ValueError, match="both ends of some sides of the boundary, got none"):
        MedianDual.of(mesh, wall=(mesh.points == 0).all(axis=1))
    with pytest.raises(ValueError, match=r"`wall` should be bool \[points=25\], got int64"):
        MedianDual.of(mesh, wall=np.arange(25))


@pytest.mark.parametrize(
    ("points", "cells", "message"),
    [
        ([[0, 0], [1, 0], [1, 1], [0, 1]], [("quad", [[0, 1, 2, 3]])], "triangles in the plane, got .* quad"),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [("triangle", [[0, 1, 2]])], "got 3 coordinates"),
        ([[0, 0], [1, 0], [0, 1], [2, 2]], [("triangle", [[0, 1, 2]])], r"got 1 without \(first: \[3\]\)"),
        ([[0, 0], [1, 0], [2, 0]], [("triangle", [[0, 1, 2]])], "should not be flat, got 1"),
        (
            [[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 2]],
            [("triangle", [[0, 1, 2], [0, 1, 3], [0, 1, 4]])],
            "at most two triangles, got 1",
        ),
    ],
)
def test_meshes_without_a_median_dual_are_refused(points, cells, message):
    with pytest.raises(MeshError, match=message):
        MedianDual.of(Mesh(points, cells))


def test_boxes_with_holes_have_their_nodes_walls_and_good_triangles():
    holes = Holes.drawn(3, seed=4, gap=0.15)
    mesh = box_with_holes(400, holes, seed=4)
    assert len(mesh.points) == 400
    shape = mesh_shapes(mesh)
    assert shape.size.min() > 0
    assert shape.quality.min() > 0.35
    assert shape.quality.mean() > 0.85
    away = holes.distance(mesh.points)
    on_hole, on_box = mesh.tagged("holes"), mesh.tagged("box")
    np.testing.assert_array_equal(mesh.boundary, on_hole | on_box)
    np.testing.assert_allclose(away[on_hole], 0.0, atol=1e-12)
    assert away[~on_hole].min() > 1e-3
    np.testing.assert_array_equal(on_box, ((mesh.points == 0) | (mesh.points == 1)).any(axis=1))
    again = box_with_holes(400, holes, seed=4)
    np.testing.assert_array_equal(again.points, mesh.points)
    assert not np.array_equal(box_with_holes(400, holes, seed=5).points, mesh.points)
    middles = np.array([[0.5, 0.5], [0.1, 0.2]])
    assert Holes(middles, np.array([0.1, 0.05])).distance(np.array([[0.5, 0.7]]))[0] == pytest.approx(0.1)


def test_finer_meshes_keep_the_nodes_and_follow_the_holes():
    coarse = Domain.drawn(300, holes=2, seed=1)
    fine = coarse.refined().refined()
    assert fine.holes is not None
    np.testing.assert_array_equal(fine.mesh.points[:300], coarse.mesh.points)
    assert len(fine.mesh.cells_of("triangle")) == 16 * len(coarse.mesh.cells_of("triangle"))
    inner = fine.mesh.boundary & (np.abs(fine.mesh.points - 0.5).max(axis=1) < 0.49)
    np.testing.assert_allclose(fine.holes.distance(fine.mesh.points[inner]), 0.0, atol=1e-12)
    assert mesh_shapes(fine.mesh).quality.min() > 0.3
    exact = 1 - np.pi * (fine.holes.radii**2).sum()
    errors = [MedianDual.of(one.mesh).volume.sum() - exact for one in (coarse, coarse.refined(), fine)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.05)


def test_finer_meshes_keep_periods_and_walls():
    box = Domain.of_mesh(periodic_box(64, seed=0)).refined()
    assert (len(box.mesh.points), box.mesh.period) == (256, (1.0, 1.0))
    assert len(MedianDual.of(box.mesh).sides) == 0
    assert MedianDual.of(box.mesh).volume.sum() == pytest.approx(1.0, rel=1e-13)
    square = square_of_triangles(4)
    sets = {"left": np.flatnonzero(square.points[:, 0] == 0)}
    domain = Domain.of_mesh(Mesh(square.points, square.cells, tags={"point_sets": sets}), walls=("left",))
    fine, place = domain.refined().ordered()
    assert MedianDual.of(fine.mesh, wall=fine.wall).wall.sum() == 8
    np.testing.assert_array_equal(fine.mesh.points[place[:25]], square.points)
    with pytest.raises(MeshError, match="among the mesh's tags"):
        Domain.of_mesh(square, walls=("right",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": 32}, "`nodes` should be at least 64, got 32"),
        ({"holes": -1}, "`holes` should not be negative, got -1"),
        ({"holes": 40}, "got 40 that found no room"),
        ({"nodes": 64, "holes": 2}, "more than the .* on the walls|found no room"),
    ],
)
def test_boxes_that_cannot_be_are_refused(change, message):
    options = {"nodes": 300, "holes": 3, **change}
    with pytest.raises(ValueError, match=message):
        Domain.drawn(options["nodes"], holes=options["holes"])
