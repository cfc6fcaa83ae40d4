"""The node-centred Euler solver: conservation, walls, exact flows, independence of lanes, threads and numbering."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("numba")

from domains import square_of_triangles

from irno_graph.data.euler import GAMMA, initial, spline
from irno_graph.data.euler.solver import BreakdownError, to_conserved
from irno_graph.data.euler.solver import solve as solve_on_grid
from irno_graph.data.unstructured.domain import Domain
from irno_graph.data.unstructured.geometry import MedianDual
from irno_graph.data.unstructured.solver import LostPositivityError, solve
from irno_graph.graph.order import renumbered_mesh
from irno_graph.mesh import Mesh, periodic_box

UNIFORM = np.array([0.3, 1.0, -2.0, 0.7])


def swirls(points: np.ndarray, count: int) -> np.ndarray:
    """Different smooth flows `[count, nodes, 4]`, that of number k whatever `count` is."""
    x, y = points.T
    shift = 0.1 * np.arange(count)[:, None]
    vx, vy = np.sin(2 * np.pi * (y + shift)), np.cos(2 * np.pi * (x - shift)) * (1 + shift)
    return np.stack([0.1 + 0 * vx, vx, vy, 2.5 + 0.1 * vy], axis=-1)


def totals(dual: MedianDual, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integrals of the conserved variables [..., 4], and of their absolute values."""
    conserved = to_conserved(states.swapaxes(-1, -2)[..., None])[..., 0]  # [..., 4, nodes]
    return conserved @ dual.volume, np.abs(conserved) @ dual.volume


@pytest.mark.parametrize("limited", [False, True])
def test_mass_momentum_and_energy_are_conserved_in_a_periodic_box(limited):
    dual = MedianDual.of(periodic_box(144, seed=1))
    states = solve(swirls(dual.points, 2), [0.0, 0.05, 0.1], dual, limited=limited)
    whole, scale = totals(dual, states)
    assert (np.abs(whole - whole[:, :1]) <= 1e-12 * scale).all()
    assert np.abs(states[:, 2] - states[:, 0]).max() > 0.1


def test_mass_and_energy_are_conserved_between_walls_and_momentum_is_not():
    dual = MedianDual.of(Domain.drawn(200, holes=1, seed=0).mesh)
    whole, scale = totals(dual, solve(swirls(dual.points, 2), [0.0, 0.1], dual))
    drift = np.abs(whole[:, 1] - whole[:, 0]) / scale[:, 0]
    assert (drift[:, [0, 3]] <= 1e-12).all()
    assert (drift[:, 1:3] > 1e-3).all()


def test_a_free_stream_stays_in_a_periodic_box_and_through_open_sides():
    for mesh, wall in ((periodic_box(64, seed=2, extent=(2.0, 1.0)), None), (square_of_triangles(5), "none")):
        flags = None if wall is None else np.zeros(len(mesh.points), dtype=bool)
        dual = MedianDual.of(mesh, wall=flags)
        stream = np.broadcast_to(UNIFORM, (1, len(mesh.points), 4))
        np.testing.assert_allclose(solve(stream, [0.3], dual, free=UNIFORM)[0], stream, rtol=1e-12)


def test_fluid_at_rest_stays_at_rest_between_walls():
    dual = MedianDual.of(Domain.drawn(300, holes=3, seed=2).mesh)
    rest = np.broadcast_to(np.array([0.1, 0.0, 0.0, 2.5]), (1, 300, 4))
    end = solve(rest, [0.3], dual)[0, 0]
    np.testing.assert_allclose(end[:, [0, 3]], rest[0][:, [0, 3]], rtol=1e-12)
    assert np.abs(end[:, 1:3]).max() < 1e-12


def test_a_linear_pressure_accelerates_all_nodes_alike_also_at_walls():
    dual = MedianDual.of(Domain.drawn(300, holes=3, seed=2).mesh)
    start = np.empty((1, 300, 4))
    start[..., 0], start[..., 1:3], start[..., 3] = 2.0, 0.0, 10 + dual.points @ [0.6, -0.4]
    time = 1e-7
    velocity = solve(start, [time], dual)[0, 0, :, 1:3]
    np.testing.assert_allclose(velocity / time, np.broadcast_to([-0.3, 0.2], (300, 2)), rtol=1e-4)


def test_open_sides_let_a_pulse_out_that_walls_keep():
    mesh = square_of_triangles(10)
    start = np.empty((1, len(mesh.points), 4))
    bump = np.exp(-(((mesh.points - 0.5) ** 2).sum(axis=1)) / 0.02)
    start[..., 0], start[..., 1:3], start[..., 3] = 1.0, 0.0, 1.0 + 0.1 * bump
    free = (1.0, 0.0, 0.0, 1.0)
    kept = solve(start, [2.0], MedianDual.of(mesh))[0, 0, :, 3]
    left = solve(start, [2.0], MedianDual.of(mesh, wall=np.zeros(len(bump), dtype=bool)), free=free)[
        0, 0, :, 3
    ]
    assert np.abs(left - 1).max() < 0.1 * np.abs(kept - 1).max()


def vortex(points: np.ndarray, time: float) -> np.ndarray:
    """The isentropic vortex of `euler.exact.isentropic_vortex` at points of the box of side 10 `[nodes, 4]`."""
    x, y = ((points[:, axis] - 5 - speed * time + 5) % 10 - 5 for axis, speed in enumerate((1.0, 0.5)))
    bell = np.exp(0.5 * (1 - x**2 - y**2))
    temperature = 1 - (GAMMA - 1) * 25 / (8 * GAMMA * np.pi**2) * bell**2
    density, swirl = temperature ** (1 / (GAMMA - 1)), 5 / (2 * np.pi) * bell
    return np.stack([density, 1 - swirl * y, 0.5 + swirl * x, density * temperature], axis=-1)


@pytest.mark.parametrize(("limited", "bound"), [(False, 9e-4), (True, 2.6e-3)])
def test_isentropic_vortex_converges_at_order_two_on_irregular_meshes(limited, bound):
    errors = []
    for nodes in (400, 1600):
        dual = MedianDual.of(periodic_box(nodes, seed=1, extent=(10.0, 10.0)))
        found = solve(vortex(dual.points, 0.0)[None], [2.0], dual, limited=limited)[0, 0]
        errors.append(dual.volume @ np.abs(found - vortex(dual.points, 2.0))[:, 0] / 100)
    assert np.log2(errors[0] / errors[1]) >= 1.9
    assert errors[1] < bound


def velocity_at(vortices: initial.Vortices, points: np.ndarray) -> np.ndarray:
    """Exact velocities `[nodes, 2]` of periodic vortices."""
    kx, ky, *modes = initial.velocity_modes(vortices)
    wave_x, wave_y = (np.exp(2j * np.pi * points[:, [axis]] * k) for axis, k in enumerate((kx, ky)))
    wave_y[:, 1:] *= 2
    return np.stack([((wave_x @ part) * wave_y).sum(axis=1).real for part in modes], axis=1)


@pytest.mark.slow
def test_ce_gauss_converges_to_the_structured_solver_at_order_two():
    drawn = initial.draw_vortices(0)
    wide = dataclasses.replace(drawn, width=0.03 + drawn.width)
    grid, times, errors = 128, [0.1], []
    truth = solve_on_grid(initial.initial_state(wide, grid)[None], times)[0, 0]
    for nodes in (1024, 4096):
        dual = MedianDual.of(periodic_box(nodes, seed=0))
        start = np.empty((1, nodes, 4))
        start[..., 0], start[..., 1:3], start[..., 3] = 0.1, velocity_at(wide, dual.points), 2.5
        found = solve(start, times, dual)[0, 0]
        wanted = spline.PeriodicSpline(dual.points, grid)(truth).T
        change = (
            ((found - wanted) ** 2).T @ dual.volume / (((wanted - wanted.mean(axis=0)) ** 2).T @ dual.volume)
        )
        errors.append(np.sqrt(change))  # of rho, vx, vy, p, relative to their fluctuations
    assert (np.log2(errors[0] / errors[1]) >= 1.8).all(), errors
    assert (errors[1] < [0.1, 0.02, 0.02, 0.1]).all(), errors


def test_a_trajectory_depends_neither_on_its_companions_nor_on_threads_to_the_last_bit():
    dual = MedianDual.of(Domain.drawn(100, holes=0, seed=3).mesh)
    start, times = swirls(dual.points, 19), [0.02, 0.05]
    together = solve(start, times, dual, threads=2)
    np.testing.assert_array_equal(solve(start, times, dual, threads=1), together)
    np.testing.assert_array_equal(solve(start[[7]], times, dual)[0], together[7])
    np.testing.assert_array_equal(solve(start[[18, 7, 3]], times, dual)[[0, 2]], together[[18, 3]])
    assert not np.array_equal(together[17], together[18])
    # A step that ends at another time changes the next ones, but not by more than the order of the scheme.
    np.testing.assert_allclose(solve(start[[0]], [0.05], dual)[0, 0], together[0, 1], rtol=1e-2, atol=1e-2)


def test_the_numbering_of_the_nodes_does_not_matter():
    mesh = Domain.drawn(100, holes=0, seed=3).mesh
    order = np.random.default_rng(0).permutation(100)
    start = swirls(mesh.points, 1)
    found = solve(start, [0.05], MedianDual.of(mesh))[0, 0]
    turned = solve(start[:, order], [0.05], MedianDual.of(renumbered_mesh(mesh, order)))[0, 0]
    np.testing.assert_allclose(turned, found[order], rtol=1e-10, atol=1e-10)


def test_snapshots_at_the_start_are_copies_and_no_steps_are_taken_for_them():
    dual = MedianDual.of(periodic_box(36, seed=0))
    start = swirls(dual.points, 1)
    np.testing.assert_array_equal(solve(start, [0.0], dual)[:, 0], start)


def test_lost_positivity_names_seed_and_time():
    dual = MedianDual.of(periodic_box(64, seed=0))
    start = swirls(dual.points, 3)
    start[1, :, 1] = 1e12 * dual.points[:, 0]  # the pressure is lost in the round-off of the energy
    with pytest.raises(
        LostPositivityError, match=r"lost for seed 22 at t = [0-9.e-]+: lower `cfl`"
    ) as caught:
        solve(start, [0.0, 0.1], dual, seeds=[11, 22, 33])
    assert caught.value.indices == (1,)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BreakdownError)
    np.testing.assert_array_equal(solve(start[[0, 2]], [0.01], dual)[0], solve(start[[0]], [0.01], dual)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial": np.ones((1, 35, 4))}, r"\[trajectories, nodes=36, 4\], got \[1, 35, 4\]"),
        ({"initial": np.ones((0, 36, 4))}, "initial"),
        ({"initial": -np.ones((1, 36, 4))}, "positive density"),
        ({"initial": np.full((1, 36, 4), np.nan)}, "finite"),
        ({"times": [0.2, 0.1]}, "`times` should increase"),
        ({"times": [-0.1]}, "`times` should be finite and >= 0"),
        ({"times": []}, "times"),
        ({"cfl": 0.0}, r"`cfl` should be in \(0, 2\], got 0.0"),
        ({"threads": 0}, "threads"),
        ({"free": (1.0, 0.0, 0.0, -1.0)}, "`free` should be finite"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {
        "initial": np.ones((1, 36, 4)),
        "times": [0.1],
        "dual": MedianDual.of(periodic_box(36)),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        solve(**arguments)


def test_open_sides_need_a_state_outside():
    mesh: Mesh = square_of_triangles(2)
    dual = MedianDual.of(mesh, wall=np.zeros(9, dtype=bool))
    with pytest.raises(ValueError, match="`free` should be the state"):
        solve(np.ones((1, 9, 4)), [0.1], dual)
