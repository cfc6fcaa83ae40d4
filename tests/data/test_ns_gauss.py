"""Incompressible flows by Fourier modes: exact solutions, order in time, balances, symmetries, files."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest

from irno_graph.cli import run
from irno_graph.data import TrajectoryFile
from irno_graph.data.euler.initial import draw_vortices, initial_state
from irno_graph.data.flows import trajectory_seeds
from irno_graph.data.navier_stokes import generate, ns_gauss, sample_trajectories
from irno_graph.data.navier_stokes.ns_gauss import initial_modes
from irno_graph.data.navier_stokes.spectral import FourierSampler, PeriodicFlow

SMALL: dict[str, Any] = {"nodes": 36, "solver_res": 16, "save_every": 0.05, "final_time": 0.1}


def angles(flow):
    """2 pi x and 2 pi y of the points of the flow's grid, to be broadcast."""
    axis = 2 * np.pi * np.arange(flow.size) / flow.size
    return axis[:, None], axis


def smooth_state(flow):
    """Vorticity of a few low modes that exchange energy."""
    x, y = angles(flow)
    return flow.modes(
        5 * (np.sin(x) * np.cos(2 * y) + 0.7 * np.cos(3 * x + y) + 0.5 * np.sin(2 * y - x))[None]
    )


def full_state(flow, fields=1):
    """Random amplitudes in every mode that is kept; no means."""
    state = flow.modes(np.random.default_rng(0).standard_normal((fields, flow.size, flow.size)))
    state[:, 0, 0] = 0.0
    return state


def after(flow, state, time, **options):
    return next(flow.solve(state, [time], **options))


def integral(flow, one, other):
    """Integral over the square of the product of two fields, given by their modes."""
    return np.mean(flow.values(one) * flow.values(other))


def energy(flow, state):
    return sum(0.5 * integral(flow, v, v) for v in flow.velocity(state))


@pytest.mark.parametrize("viscosity", [1e-2, 4e-4])
def test_taylor_green_vortices_decay_exactly(viscosity):
    """w = sin(2 pi x) sin(2 pi y) is not changed by its own flow and decays as exp(-8 pi^2 nu t)."""
    flow = PeriodicFlow(16, viscosity=viscosity)
    x, y = angles(flow)
    found = after(flow, flow.modes((3 * np.sin(x) * np.sin(y))[None]), 0.7)
    height = 3 * np.exp(-8 * np.pi**2 * viscosity * 0.7)
    np.testing.assert_allclose(flow.values(found)[0], height * np.sin(x) * np.sin(y), rtol=0, atol=1e-12)
    vx, vy = flow.values(flow.velocity(found))
    np.testing.assert_allclose(vx, height / (4 * np.pi) * np.sin(x) * np.cos(y), rtol=0, atol=1e-12)
    np.testing.assert_allclose(vy, -height / (4 * np.pi) * np.cos(x) * np.sin(y), rtol=0, atol=1e-12)


def test_a_tracer_is_carried_along_by_a_shear_flow():
    """vx = cos(2 pi y) / 2 is steady without viscosity; a tracer is q_0(x - vx t)."""
    flow = PeriodicFlow(32, viscosity=0.0)
    x, y = angles(flow)
    start = np.stack(np.broadcast_arrays(np.pi * np.sin(y), 2 + np.sin(x)))
    vorticity, tracer = flow.values(after(flow, flow.modes(start), 0.1, time_step=0.005))
    np.testing.assert_allclose(vorticity, start[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(tracer, 2 + np.sin(x - 0.1 * np.pi * np.cos(y)), rtol=0, atol=1e-8)


@pytest.mark.parametrize("viscosity", [2e-3, None])
def test_errors_in_time_are_of_order_four(viscosity):
    flow = PeriodicFlow(16, viscosity=viscosity)
    start = smooth_state(flow)
    fine, *others = (after(flow, start, 0.2, time_step=0.2 / steps) for steps in (128, 16, 8))
    errors = [np.abs(flow.values(other - fine)).max() for other in others]
    assert 3.7 < np.log2(errors[1] / errors[0]) < 4.5, errors
    assert errors[0] < 1e-3


def test_advection_changes_neither_energy_nor_enstrophy_nor_the_variance_of_tracers():
    """With all modes filled, products that alias would; dE/dt = <psi, w_t> and dZ/dt = <w, w_t> are 0."""
    flow = PeriodicFlow(16, viscosity=0.0)
    state = full_state(flow, fields=2)
    change = flow.advection(state)
    stream = np.divide(state[0], flow.square, out=np.zeros_like(state[0]), where=flow.square > 0)
    for field, rate in ((stream, change[0]), (state[0], change[0]), (state[1], change[1])):
        size = np.sqrt(integral(flow, field, field) * integral(flow, rate, rate))
        assert abs(integral(flow, field, rate)) < 1e-13 * size
    np.testing.assert_array_equal(change[:, 0, 0], 0.0)
    np.testing.assert_array_equal(change[:, ~flow.kept], 0.0)


def test_energy_is_lost_to_viscosity_alone():
    """dE/dt = -2 nu Z: the rate of the scheme, of which E(t) is the integral, and both kept where nu is 0."""
    nu = 3e-3
    flow = PeriodicFlow(16, viscosity=nu)
    state = full_state(flow)
    stream = np.divide(state[0], flow.square, out=np.zeros_like(state[0]), where=flow.square > 0)
    rate = integral(flow, stream, flow.advection(state)[0] - flow.damping * state[0])
    enstrophy = 0.5 * integral(flow, state[0], state[0])
    np.testing.assert_allclose(rate, -2 * nu * enstrophy, rtol=1e-12)
    ideal = PeriodicFlow(16, viscosity=0.0)
    start = smooth_state(ideal)
    later = after(ideal, start, 0.1, time_step=0.1 / 64)
    assert np.abs(ideal.values(later - start)).max() > 0.1
    np.testing.assert_allclose(energy(ideal, later), energy(ideal, start), rtol=1e-9)
    one, other = (integral(ideal, state[0], state[0]) for state in (later, start))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_velocities_have_no_divergence_and_the_vorticity_that_they_came_from():
    flow = PeriodicFlow(16)
    state = after(flow, initial_modes(flow, 3), 0.05)
    velocity = flow.velocity(state)
    slopes = flow.values(flow.slope[:, None] * velocity)  # [d_x or d_y, vx or vy, size, size]
    scale = np.abs(slopes).max()
    np.testing.assert_allclose(slopes[0, 0] + slopes[1, 1], 0.0, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(slopes[0, 1] - slopes[1, 0], flow.values(state[0]), rtol=0, atol=1e-12 * scale)


def test_the_flow_starts_with_the_velocity_of_ce_gauss():
    """Averages over 16 x 16 cells, with all modes that CE-Gauss sums; the flow's own keep some of them."""
    seed = int(trajectory_seeds(4, 1)[0])
    wide = PeriodicFlow(290)
    kx, ky = np.fft.fftfreq(wide.size, 1 / wide.size), np.arange(wide.size // 2 + 1)
    averaged = wide.velocity(initial_modes(wide, seed)) * np.sinc(kx[:, None] / 16) * np.sinc(ky / 16)
    centres = (np.indices((16, 16)).reshape(2, -1).T + 0.5) / 16
    expected = initial_state(draw_vortices(seed), 16)[1:3].reshape(2, -1)
    np.testing.assert_allclose(FourierSampler(centres, wide)(averaged), expected, rtol=0, atol=1e-12)
    narrow = PeriodicFlow(64)
    low = np.ix_(range(2), [*range(32), *range(-31, 0)], range(32))
    kept = narrow.velocity(initial_modes(narrow, seed))
    np.testing.assert_allclose(kept[low], wide.velocity(initial_modes(wide, seed))[low], rtol=0, atol=1e-15)
    sampled = sample_trajectories([seed], centres, [0.0], solver_res=64)[0, 0]
    np.testing.assert_allclose(sampled, FourierSampler(centres, narrow)(kept).T, rtol=1e-6, atol=1e-6)


def test_shifts_by_whole_cells_commute_with_the_flow():
    flow = PeriodicFlow(16)
    start = initial_modes(flow, 8, tracer=True)
    moved = flow.modes(np.roll(flow.values(start), (5, -3), axis=(1, 2)))
    one, other = (flow.values(after(flow, state, 0.1, time_step=0.01)) for state in (start, moved))
    np.testing.assert_allclose(
        np.roll(one, (5, -3), axis=(1, 2)), other, rtol=0, atol=1e-11 * np.abs(one).max()
    )
    assert np.abs(one - flow.values(start)).max() > 0.1 * np.abs(one).max()


def test_values_at_points_are_the_trigonometric_sums():
    flow = PeriodicFlow(16)
    x, y = angles(flow)
    points = np.random.default_rng(0).uniform(size=(40, 2))
    points[20:, 0] = points[:20, 0]  # coordinates that come twice
    fields = np.stack([np.cos(7 * x - 7 * y), 1 + np.sin(7 * y) + 0 * x, np.sin(5 * x + 2 * y)])
    px, py = 2 * np.pi * points.T
    exact = np.stack([np.cos(7 * px - 7 * py), 1 + np.sin(7 * py), np.sin(5 * px + 2 * py)])
    np.testing.assert_allclose(FourierSampler(points, flow)(flow.modes(fields)), exact, rtol=0, atol=1e-12)


def test_the_spectral_viscosity_is_that_of_azeban():
    """0.05 / N beyond the mode sqrt(N), about 4e-4 for N = 128, and next to nothing below."""
    flow = PeriodicFlow(64)
    ratio = (
        np.divide(flow.damping, flow.square, out=np.zeros_like(flow.square), where=flow.square > 0)
        * 64
        / 0.05
    )
    np.testing.assert_allclose(ratio[0, 8], 1 - np.exp(-1), rtol=1e-12)
    np.testing.assert_allclose(ratio[0, 6], 1 - np.exp(-((6 / 8) ** 18)), rtol=1e-9)
    assert ratio[0, 4] < 1e-5
    np.testing.assert_allclose([ratio[-8, 8], ratio[31, 31]], 1.0, rtol=1e-12)


def test_a_trajectory_depends_neither_on_the_others_nor_on_an_interruption(tmp_path, monkeypatch):
    whole = generate(tmp_path / "a.nc", trajectories=3, tracer=True, **SMALL)
    solved = []

    def count(seeds, *arguments, **options):
        solved.extend(seeds)
        return sample_trajectories(seeds, *arguments, **options)

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ns_gauss, "sample_trajectories", count)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "b.nc", trajectories=3, tracer=True, progress=stop, **SMALL)
    assert not (tmp_path / "b.nc").exists()
    with pytest.raises(
        ValueError, match=r"b\.nc\.parts` holds trajectories of a call that differs in viscosity"
    ):
        generate(tmp_path / "b.nc", trajectories=3, tracer=True, viscosity=0.0, **SMALL)
    again = generate(tmp_path / "b.nc", trajectories=3, tracer=True, **SMALL)
    assert solved == trajectory_seeds(0, 3).tolist()
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.nc", "b.nc"}
    with h5py.File(whole) as one, h5py.File(again) as other:
        assert set(one) == set(other) == {"u", "x", "t", "tri", "seed"}
        for name in one:
            np.testing.assert_array_equal(one[name][()], other[name][()])
        points, times = one["x"][0, 0], one["t"][()]
        alone = sample_trajectories(one["seed"][1:2], points, times, solver_res=16, tracer=True)
        np.testing.assert_array_equal(alone[0], one["u"][1])


def test_the_command_writes_what_others_read(tmp_path, capsys):
    out = tmp_path / "flow.nc"
    options = ["--nodes", "36", "--points", "grid", "--solver-res", "16", "--tracer", "--final-time", "0.1"]
    assert run(["data", "ns-gauss", "--out", str(out), "--trajectories", "2", *options]) == 0
    file = TrajectoryFile(out, channels=3)
    assert (len(file), file.period) == (2, (1.0, 1.0))
    np.testing.assert_array_equal(file.seeds, trajectory_seeds(0, 2))
    tracer = file[0][0, :, 2].numpy()
    np.testing.assert_allclose(tracer, (1 - np.cos(2 * np.pi * file.points[:, 0])) / 2, rtol=0, atol=1e-6)
    assert "2 trajectories on 36 nodes" in capsys.readouterr().out
    assert run(["data", "info", str(out)]) == 0
    assert "u, v, tracer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trajectories": 0}, "`trajectories` should be at least 1, got 0"),
        ({"solver_res": 15}, "`solver_res` should be even"),
        ({"solver_res": 8}, "at least 16, got 8"),
        ({"viscosity": -1e-3}, "`viscosity` should not be negative, got -0.001"),
        ({"viscosity": np.nan}, "`viscosity` should not be negative"),
        ({"time_step": 0.0}, "`time_step` should be positive, got 0"),
        ({"nodes": 35, "points": "grid"}, "square number"),
        ({"final_time": 0.12}, "multiple of `save_every`"),
        ({"seed": -1}, "`seed` should be in"),
    ],
)
def test_bad_arguments_leave_no_file(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "flow.nc", **{"trajectories": 1, **SMALL, **change})
    assert not any(tmp_path.iterdir())


def test_a_flow_that_blows_up_is_named():
    with pytest.raises(FloatingPointError, match="trajectory seed 5: the flow is not finite at t = 3"):
        sample_trajectories([5], np.zeros((1, 2)), [0.0, 3.0], solver_res=32, viscosity=0.0, time_step=0.1)
