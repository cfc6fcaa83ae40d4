"""The Euler solver: conservation, symmetries, exact flows, independence of batch and threads."""

from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

from irno_graph.data.euler import exact, spline
from irno_graph.data.euler.initial import draw_vortices, initial_state, velocity_modes
from irno_graph.data.euler.solver import BreakdownError, solve, to_conserved, to_primitive

SOD = ((1.0, 0.0, 1.0), (0.125, 0.0, 0.1))
QUICK = 32


def gauss_flow(count: int = 1, resolution: int = QUICK) -> np.ndarray:
    return np.stack([initial_state(draw_vortices(seed), resolution) for seed in range(count)])


def test_mass_momentum_and_energy_are_conserved():
    flow = to_conserved(solve(gauss_flow(2), [0.0, 0.1, 0.3]))
    totals = flow.mean(axis=(-2, -1))  # [trajectories, times, 4]
    scale = np.abs(flow).mean(axis=(-2, -1))
    assert (np.abs(totals - totals[:, :1]) <= 1e-12 * scale).all()


def test_free_stream_is_preserved_and_each_axis_has_its_extent():
    uniform = np.broadcast_to(np.array([0.3, 1.0, -2.0, 0.7])[:, None, None], (1, 4, 8, 20)).copy()
    np.testing.assert_allclose(solve(uniform, [0.5], extent=(2.0, 1.0))[:, 0], uniform, rtol=1e-12)


def vortex_error(resolution: int) -> float:
    flow = solve(exact.isentropic_vortex(resolution, 0.0)[None], [0.7, 2.0], extent=(10.0, 10.0))[0, 1]
    return float(np.abs(flow - exact.isentropic_vortex(resolution, 2.0))[0].mean())


def test_isentropic_vortex_converges_at_order_two():
    coarse, fine = vortex_error(64), vortex_error(128)
    assert np.log2(coarse / fine) >= 1.9
    assert fine < 5e-5


def sod_tube(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Two mirrored shock tubes on a periodic line of length two, and the positions of the cells.

    Everything also moves along the tube's wall with speed one, which must change nothing.
    """
    x = (np.arange(2 * cells) + 0.5) / cells
    inside = (x > 0.5) & (x < 1.5)
    line = np.where(inside, *(np.array([r, u, 1.0, p])[:, None] for r, u, p in SOD))
    return np.broadcast_to(line[None, :, :, None], (1, 4, 2 * cells, 4)).copy(), x


def test_sod_matches_the_exact_riemann_solution_in_x_and_in_y():
    cells, time = 128, 0.2
    tube, x = sod_tube(cells)
    along_x = solve(tube, [time], extent=(2.0, 1.0), cfl=0.7)[0, 0]
    along_y = solve(tube[:, [0, 2, 1, 3]].swapaxes(2, 3), [time], extent=(1.0, 2.0), cfl=0.7)[0, 0]
    np.testing.assert_array_equal(along_y[[0, 2, 1, 3]].swapaxes(1, 2), along_x)
    np.testing.assert_allclose(along_x[0, ::-1], along_x[0], rtol=1e-12)
    np.testing.assert_allclose(along_x[2], 1.0, rtol=1e-12)
    right = slice(cells, None)
    truth = exact.riemann(*SOD, (x[right] - 1.5) / time)
    error = np.abs(along_x[[0, 1, 3]][:, right, 0] - truth).mean(axis=1)
    assert (error < [3.8e-3, 7.2e-3, 3e-3]).all(), error
    assert along_x[0].max() <= 1.0 + 1e-3
    assert along_x[0].min() >= 0.125 - 1e-3


def test_riemann_solution_of_sod_has_the_tabulated_middle_states():
    density, velocity, pressure = exact.riemann(*SOD, np.array([0.5, 1.2]))
    np.testing.assert_allclose(density, [0.42632, 0.26557], atol=1e-5)
    np.testing.assert_allclose(velocity, 0.92745, atol=1e-5)
    np.testing.assert_allclose(pressure, 0.30313, atol=1e-5)


def test_riemann_solution_satisfies_the_mirror_symmetry():
    speed = np.linspace(-3, 3, 41)
    forward = exact.riemann(*SOD, speed)
    backward = exact.riemann(SOD[1], SOD[0], -speed)
    np.testing.assert_allclose(backward * np.array([1, -1, 1])[:, None], forward, atol=1e-12)


def test_solver_commutes_with_rotation_and_reflection_to_the_last_bit():
    start = gauss_flow()
    turned = np.rot90(start, axes=(2, 3))[:, [0, 2, 1, 3]] * np.array([1, -1, 1, 1])[:, None, None]
    mirrored = start[:, :, ::-1] * np.array([1, -1, 1, 1])[:, None, None]
    end = solve(start, [0.2])[:, 0]
    np.testing.assert_array_equal(
        solve(turned, [0.2])[:, 0],
        np.rot90(end, axes=(2, 3))[:, [0, 2, 1, 3]] * np.array([1, -1, 1, 1])[:, None, None],
    )
    np.testing.assert_array_equal(
        solve(mirrored, [0.2])[:, 0], end[:, :, ::-1] * np.array([1, -1, 1, 1])[:, None, None]
    )


def test_result_is_bitwise_the_same_for_any_batch_and_number_of_threads():
    start = gauss_flow(3)
    together = solve(start, [0.1, 0.2], threads=2)
    np.testing.assert_array_equal(solve(start, [0.1, 0.2], threads=1), together)
    np.testing.assert_array_equal(solve(start[2:], [0.1, 0.2], threads=3)[0], together[2])


def test_conserved_and_primitive_are_inverse_to_each_other():
    flow = gauss_flow()
    np.testing.assert_allclose(to_primitive(to_conserved(flow)), flow, rtol=1e-13)


def test_initial_velocity_is_divergence_free_and_has_the_vorticity_of_the_vortices():
    resolution = 320  # all modes of the definition are below its Nyquist frequency
    vortices = draw_vortices(5)
    density, vx, vy, pressure = initial_state(vortices, resolution)
    k = 2j * np.pi * np.fft.fftfreq(resolution, 1 / resolution)
    divergence = np.fft.ifft2(k[:, None] * np.fft.fft2(vx) + k * np.fft.fft2(vy)).real
    vorticity = np.fft.ifft2(k[:, None] * np.fft.fft2(vy) - k * np.fft.fft2(vx)).real
    assert np.abs(divergence).max() < 1e-11 * np.abs(vorticity).max()
    assert (np.ptp(density), np.ptp(pressure)) == (0.0, 0.0)

    centre = (np.arange(resolution) + 0.5) / resolution
    expected = np.zeros_like(vorticity)
    for shift_x in (-1, 0, 1):
        for shift_y in (-1, 0, 1):
            for strength, width, (x, y) in zip(*vars(vortices).values(), strict=True):
                far_x, far_y = (centre - x - shift_x) ** 2, (centre - y - shift_y) ** 2
                expected += strength / width * np.exp(-(far_x[:, None] + far_y) / (2 * width**2))
    expected -= expected.mean()
    # cell averages differ from point values by dx^2 / 24 times the Laplacian
    assert np.abs(vorticity - expected).max() < 0.02 * np.abs(expected).max()


def test_initial_state_on_a_coarse_grid_is_the_average_of_a_fine_one():
    fine = initial_state(draw_vortices(1), 64)
    averaged = fine.reshape(4, 32, 2, 32, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(initial_state(draw_vortices(1), 32), averaged, atol=1e-13)


def test_velocity_modes_decay_to_round_off():
    _, _, vx, vy = velocity_modes(draw_vortices(2))
    for modes in (vx, vy):
        assert max(np.abs(modes[[0, -1]]).max(), np.abs(modes[:, -1]).max()) < 1e-16


def spline_error(resolution: int) -> float:
    points = np.random.default_rng(0).uniform(size=(200, 2))

    def wave(x, y):
        return np.sin(2 * np.pi * x) * np.cos(4 * np.pi * y + 1)

    centre = (np.arange(resolution) + 0.5) / resolution
    sampled = spline.PeriodicSpline(points, resolution)(wave(centre[:, None], centre))
    return float(np.abs(sampled - wave(*points.T)).max())


def test_spline_interpolates_at_order_six():
    assert np.log2(spline_error(16) / spline_error(32)) > 5.7


def test_spline_keeps_the_values_at_cell_centres_of_odd_and_even_grids():
    for resolution in (15, 16):
        field = np.random.default_rng(1).normal(size=(2, resolution, resolution))
        index = np.indices((resolution, resolution)).reshape(2, -1).T
        sampled = spline.PeriodicSpline((index + 0.5) / resolution, resolution)(field)
        np.testing.assert_allclose(sampled, field.reshape(2, -1), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial": np.ones((4, 8, 8))}, "initial"),
        ({"initial": np.ones((1, 3, 8, 8))}, "initial"),
        ({"initial": -np.ones((1, 4, 8, 8))}, "positive density"),
        ({"initial": np.full((1, 4, 8, 8), np.nan)}, "finite"),
        ({"times": [0.2, 0.1]}, "times"),
        ({"times": [-0.1]}, "times"),
        ({"times": []}, "times"),
        ({"extent": (1.0, 0.0)}, "extent"),
        ({"cfl": 0.0}, "cfl"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"initial": np.ones((1, 4, 8, 8)), "times": [0.1], **change}
    with pytest.raises(ValueError, match=message):
        solve(**arguments)


def test_breakdown_names_the_trajectories():
    fast = np.ones((3, 4, 16, 4))
    fast[1, 1] = 1e9  # the pressure is lost in the round-off of the energy
    with pytest.raises(BreakdownError, match="trajectories \\[1\\] lost it") as caught:
        solve(fast, [0.0, 0.5])
    assert caught.value.indices == (1,)
    assert isinstance(caught.value, FloatingPointError)


def test_missing_numba_is_explained(monkeypatch):
    real = builtins.__import__

    def without_numba(name, *args, **kwargs):
        if name == "numba":
            raise ModuleNotFoundError("No module named 'numba'")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "irno_graph.data.euler.kernels", raising=False)
    monkeypatch.delattr("irno_graph.data.euler.kernels", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_numba)
    with pytest.raises(ImportError, match=r"irno-graph\[datagen\]"):
        solve(np.ones((1, 4, 8, 8)), [0.1])
