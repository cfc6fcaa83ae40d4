"""Vortices between walls: second-order velocities along the walls, and CE-Gauss's own in periodic boxes."""

from __future__ import annotations

import numpy as np
import pytest
from domains import square_of_triangles

from irno_graph.data.euler.initial import draw_vortices, velocity_modes
from irno_graph.data.unstructured.domain import Domain
from irno_graph.data.unstructured.geometry import MedianDual
from irno_graph.data.unstructured.initial import StreamFunction, initial_state, placed_vortices, vorticity
from irno_graph.mesh import Mesh, periodic_box


def velocity_error(count: int) -> float:
    """Of psi = sin(pi x) sin(2 pi y) in the unit box, w = 5 pi^2 psi."""
    mesh = square_of_triangles(count)
    dual = MedianDual.of(mesh)
    x, y = np.pi * mesh.points.T
    found = StreamFunction(mesh, dual).velocity(5 * np.pi**2 * np.sin(x) * np.sin(2 * y))
    exact = np.pi * np.stack([2 * np.sin(x) * np.cos(2 * y), -np.cos(x) * np.sin(2 * y)], axis=1)
    return float(np.sqrt(((found - exact) ** 2).sum(axis=1) @ dual.volume))


def test_the_velocity_of_a_stream_function_converges_on_irregular_triangles():
    coarse, fine = velocity_error(16), velocity_error(32)
    assert np.log2(coarse / fine) > 1.0
    assert fine < 0.1


def test_the_stream_function_is_the_torsion_of_a_square():
    mesh = square_of_triangles(32)
    psi = StreamFunction(mesh, MedianDual.of(mesh)).stream(np.ones(len(mesh.points)))
    assert psi.max() == pytest.approx(
        0.0736713, rel=3e-3
    )  # Timoshenko: 0.0736713 of w = 1 in the unit square
    assert psi[mesh.boundary].tolist() == [0.0] * int(mesh.boundary.sum())


def test_nothing_flows_through_the_walls_at_the_start():
    domain = Domain.drawn(400, holes=2, seed=0)
    dual = MedianDual.of(domain.mesh)
    w = vorticity(placed_vortices(3, domain.mesh, narrowest=0.03), domain.mesh.points)
    state = initial_state(StreamFunction(domain.mesh, dual), w)
    assert np.ptp(state[:, [0, 3]], axis=0).tolist() == [0.0, 0.0]
    assert np.abs(state[:, 1:3]).max() > 0.3
    normal = np.zeros((400, 2))
    np.add.at(normal, dual.sides.ravel(), np.repeat(dual.half, 2, axis=0))
    assert np.abs((normal * state[:, 1:3]).sum(axis=1)).max() < 1e-14


def test_a_periodic_box_starts_as_ce_gauss():
    mesh = periodic_box(2048, seed=0)
    vortices = placed_vortices(5, mesh, narrowest=0.05)
    stream = StreamFunction(mesh, MedianDual.of(mesh))
    found = stream.velocity(vorticity(vortices, mesh.points, mesh.period))
    kx, ky, *modes = velocity_modes(vortices)
    wave_x, wave_y = (np.exp(2j * np.pi * mesh.points[:, [axis]] * k) for axis, k in enumerate((kx, ky)))
    wave_y[:, 1:] *= 2
    exact = np.stack([((wave_x @ part) * wave_y).sum(axis=1).real for part in modes], axis=1)
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)


def test_vortices_are_those_of_ce_gauss_and_follow_the_box():
    unit = Mesh([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [("triangle", [[0, 1, 2], [0, 2, 3]])])
    drawn, placed = draw_vortices(7), placed_vortices(7, unit)
    for name in ("strength", "width", "centre"):
        np.testing.assert_allclose(getattr(placed, name), getattr(drawn, name), rtol=1e-14)
    wide = placed_vortices(7, unit, narrowest=0.05)
    assert wide.width.min() >= 0.05
    assert wide.width.max() <= 0.1
    moved = Mesh(3.0 * unit.points - 1.0, unit.cells)
    far = placed_vortices(7, moved)
    points = np.random.default_rng(0).uniform(size=(50, 2))
    np.testing.assert_allclose(vorticity(far, 3 * points - 1), vorticity(drawn, points) / 3, rtol=1e-12)
    with pytest.raises(ValueError, match=r"`narrowest` should be in \(0, 0.1\], got 0.2"):
        placed_vortices(7, unit, narrowest=0.2)
