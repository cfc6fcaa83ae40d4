"""Shallow water on the sphere: exact and steady flows, order in time, symmetries, the published jet, interruption."""

import itertools
import math
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid

from irno_graph.data.readers import SphereTrajectories
from irno_graph.data.sphere import ShallowWater, generate, shallow_water
from irno_graph.data.sphere import solver as time_stepping
from irno_graph.data.sphere.initial import Jet, balanced_state, initial_state, jet_state
from irno_graph.data.sphere.solver import fields, solver_of, states, step
from irno_graph.graph import Graph
from irno_graph.spectral.sphere import exact_degrees

SMALL = ShallowWater(degrees=6, solver_nlat=16, time_step=1200)  # 11 degrees
FINE, SECONDS_PER_DAY = 64, 86400


@pytest.fixture
def _harmonics():
    pytest.importorskip("torch_harmonics")


needs_harmonics = [pytest.mark.extras, pytest.mark.usefixtures("_harmonics")]


def marked(test):
    for mark in needs_harmonics:
        test = mark(test)
    return test


def start(flow, trajectory=0):
    return initial_state(solver_of(flow), flow, 0, trajectory)


def run(state, flow, steps, time_step):
    for _ in range(steps):
        state = step(solver_of(flow), state, time_step)
    return state


def distance(state, truth):
    return float(((state - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).max())


def in_file(path):
    with h5py.File(path, "r") as file:
        return {name: file[name][...] for name in file}


@marked
def test_mass_is_conserved_to_round_off():
    first, *_, last = states(SMALL, [0.0, 6.0, 48.0], seed=3, trajectory=1)
    assert distance(last[1:], first[1:]) > 0.1
    assert abs(last[0, 0, 0] / first[0, 0, 0] - 1) < 1e-13
    on_grid = fields(last, 16, 32, "legendre-gauss", gravity=9.80616)[..., 0]
    mass = Graph.from_sphere(16, 32, grid="legendre-gauss").mass
    assert abs(float(mass @ on_grid.flatten())) / (4 * math.pi * float(on_grid.abs().max())) < 1e-12


@marked
def test_solid_rotation_in_balance_has_its_exact_height_and_stays():
    """Williamson et al. 1992, case 2: g h = g h_0 - (a Omega u_0 + u_0^2 / 2) sin^2 phi is steady."""
    solver, wind = solver_of(SMALL), 2 * math.pi * 6.37122e6 / (12 * SECONDS_PER_DAY)
    sine = torch.sin(solver.lats)[:, None].expand(16, 32)
    state = balanced_state(solver, solver.grid2spec(2 * wind / solver.radius * sine))
    drop = (solver.radius * solver.omega * wind + wind**2 / 2) / solver.gravity
    exact = -drop * (sine**2 - 1 / 3)
    height = fields(state, 16, 32, "legendre-gauss", gravity=float(solver.gravity))[..., 0]
    torch.testing.assert_close(height, exact, rtol=0, atol=1e-7 * float(drop))
    after = run(state, SMALL, 5 * SECONDS_PER_DAY // 1200, 1200.0)
    # damping alone acts on it: degree 1 at the rate (2 / 110)^4 / 2 hours, 7e-6 in five days
    assert float((after[1] - state[1]).abs().max() / state[1].abs().max()) < 1e-5
    assert distance(after[:1], state[:1]) < 1e-6


@marked
def test_vorticity_of_one_harmonic_moves_westward_as_rossby_waves_do():
    """Small zeta without divergence: d zeta / dt = -beta v = 2 Omega i m / (l (l + 1)) zeta."""
    solver = solver_of(SMALL)
    vorticity = torch.zeros(11, 11, dtype=torch.complex128)
    vorticity[5, 3] = 1e-9
    state = balanced_state(solver, vorticity)
    rate = time_stepping._tendency(solver, state)[1, 5, 3] / state[1, 5, 3]
    damping = (30 / 110) ** 4 / 7200
    assert complex(rate) == pytest.approx(2 * 7.292e-5 * 3j / 30 - damping, rel=1e-4)


@marked
def test_steps_are_of_order_four():
    state = start(SMALL)
    truth = run(state, SMALL, 144, 75.0)
    errors = [distance(run(state, SMALL, 10800 // size, float(size)), truth) for size in (1200, 600, 300)]
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert min(orders) > 3.7
    assert errors[-1] < 1e-4


@marked
def test_the_librarys_own_steps_approach_ours():
    from torch_harmonics.examples import ShallowWaterSolver

    truth = run(start(SMALL), SMALL, 36, 300.0)
    errors = []
    for size in (120.0, 60.0, 30.0):
        library = ShallowWaterSolver(16, 32, size, lmax=11, mmax=11, grid="legendre-gauss", havg=1e4)
        errors.append(distance(library.timestep(start(SMALL), round(10800 / size)), truth))
    assert errors[0] > 1.9 * errors[1] > 3.6 * errors[2]
    assert errors[2] < 2e-3


@marked
def test_a_turn_about_the_axis_commutes_with_the_solver():
    state = start(SMALL)
    turn = torch.exp(-2j * math.pi * 5 / 32 * torch.arange(11, dtype=torch.float64))
    turned = run(state * turn, SMALL, 18, 1200.0)
    plain = fields(run(state, SMALL, 18, 1200.0), 16, 32, "equiangular", gravity=9.8)
    moved = fields(turned, 16, 32, "equiangular", gravity=9.8)
    scale = plain.abs().amax(dim=(0, 1))
    assert float(((moved - plain.roll(5, dims=1)) / scale).abs().max()) < 1e-10


@marked
@pytest.mark.parametrize("grid", ["legendre-gauss", "equiangular", "lobatto"])
def test_truncation_is_the_harmonics_of_low_degree_at_the_coarse_nodes(grid):
    """z (x + i y)^l has degree l + 1: what is kept is exact, what is not leaves no trace."""
    kept = exact_degrees(9, 18, grid)

    def field(pos, degree, phase):
        x, y, z = pos.T
        return (phase * z * torch.complex(x, y) ** (degree - 1)).real

    solver = solver_of(SMALL)
    fine = Graph.from_sphere(16, 32, grid="legendre-gauss").pos
    low, high = kept - 1, kept
    state = torch.zeros(3, 11, 11, dtype=torch.complex128)
    for channel, scale in ((0, 9.8), (1, 1.0), (2, 1.0)):
        values = scale * (field(fine, low, 1 + 2j + channel) + field(fine, high, 3 - 1j))
        state[channel] = solver.grid2spec(values.reshape(16, 32))
    state[0, 0, 0] += math.sqrt(4 * math.pi) * 9.8 * 10_000
    got = fields(state, 9, 18, grid, gravity=9.8).flatten(0, 1)
    coarse = Graph.from_sphere(9, 18, grid=grid).pos
    expected = torch.stack([field(coarse, low, 1 + 2j + channel) for channel in range(3)], dim=1)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


def test_the_published_jet_blows_80_metres_a_second_at_45_degrees():
    latitude = torch.linspace(-math.pi / 2, math.pi / 2, 18001, dtype=torch.float64)
    wind = Jet().zonal_wind(latitude)
    assert float(wind.max()) == pytest.approx(80, rel=1e-7)
    assert float(latitude[wind.argmax()]) == pytest.approx(math.pi / 4, abs=2e-4)
    blowing = torch.rad2deg(latitude[wind > 0])
    assert 25.7 < float(blowing.min()) < 27
    assert 63 < float(blowing.max()) < 64.3
    moved = Jet(wind=70.0, shift=4.0).zonal_wind(latitude)
    assert float(moved.max()) == pytest.approx(70, rel=1e-7)
    assert float(latitude[moved.argmax()]) == pytest.approx(math.radians(49), abs=2e-4)


@marked
def test_the_height_of_the_jet_is_the_integral_of_its_balance():
    """g dh / dphi = -u (a f + u tan phi), integrated by the trapezoidal rule with the mean 10 km."""
    flow = ShallowWater(initial="galewsky", solver_nlat=FINE)
    solver, jet = solver_of(flow), Jet(height=0.0)
    state = jet_state(solver, jet)
    height = fields(state, FINE, 2 * FINE, "legendre-gauss", gravity=9.80616)[:, 0, 0].numpy()
    phi = np.linspace(-np.pi / 2, np.pi / 2, 20001)[1:-1]
    u = jet.zonal_wind(torch.from_numpy(phi)).numpy()
    slope = -u * (2 * 6.37122e6 * 7.292e-5 * np.sin(phi) + u * np.tan(phi)) / 9.80616
    exact = cumulative_trapezoid(slope, phi, initial=0)
    exact -= np.trapezoid(exact * np.cos(phi), phi) / 2
    # 43 degrees resolve the jet to 2 m/s
    assert np.abs(height - np.interp(solver.lats.numpy(), phi, exact)).max() < 0.01 * np.ptp(exact)
    assert float(solver.getuv(state[1:])[0].max()) == pytest.approx(80, abs=3)
    bump = fields(jet_state(solver, Jet()) - state, FINE, 2 * FINE, "legendre-gauss", gravity=9.80616)
    north, east = divmod(int(bump[..., 0].argmax()), 2 * FINE)
    assert east == 0
    assert math.degrees(float(solver.lats[north])) == pytest.approx(45, abs=2.8)
    # narrower than 43 degrees resolve: 120 m cos(45 degrees) = 85 m, less the tails beyond
    assert 65 < float((bump[..., 0] - bump[..., 0].median()).max()) < 87


@marked
def test_random_winds_have_the_strength_asked_for_at_any_resolution():
    coarse, fine = SMALL, ShallowWater(degrees=6, solver_nlat=24, time_step=1200)
    wind = solver_of(fine).getuv(start(fine)[1:])
    mass = Graph.from_sphere(24, 48, grid="legendre-gauss").mass
    square = float(mass @ wind.square().sum(dim=0).flatten()) / (4 * math.pi)
    assert math.sqrt(square) == pytest.approx(20, rel=1e-12)
    torch.testing.assert_close(start(fine)[1, :11, :11], start(coarse)[1], rtol=1e-12, atol=0)
    rate = time_stepping._tendency(solver_of(fine), start(fine))
    assert float(rate[2].abs().max()) < 1e-9 * float(rate[1].abs().max())  # in balance


def small_file(path, trajectories=3, flow=SMALL, seed=5):
    return generate(
        path,
        trajectories=trajectories,
        nlat=12,
        nlon=24,
        coarse=(6, 12),
        save_every=2,
        final_time=6,
        flow=flow,
        seed=seed,
    )


@marked
def test_a_trajectory_is_the_same_alone_among_others_and_on_more_threads(tmp_path):
    flow = ShallowWater(degrees=6, solver_nlat=16, time_step=1200, spin_up=4)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    source = SphereTrajectories(small_file(tmp_path / "three.nc", flow=flow))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    late = list(states(SMALL, [0.0, 4.0, 6.0, 8.0, 10.0], seed=5, trajectory=2))[1:]
    alone = torch.stack([fields(state, 12, 24, "legendre-gauss", gravity=9.80616) for state in late]).float()
    torch.testing.assert_close(source.read(2)[0], alone.flatten(1, 2), rtol=1e-6, atol=1e-10)
    one = in_file(small_file(tmp_path / "one.nc", trajectories=1, flow=flow))
    three = in_file(tmp_path / "three.nc")
    assert all(np.array_equal(one[name][0], three[name][0]) for name in one)
    assert not np.allclose(three["height"][0], three["height"][1])
    coarse = torch.stack([fields(state, 6, 12, "legendre-gauss", gravity=9.80616) for state in late]).float()
    torch.testing.assert_close(source.coarse(2)[0], coarse.flatten(1, 2), rtol=1e-6, atol=1e-10)


@marked
def test_a_killed_run_goes_on_to_the_same_values(tmp_path, monkeypatch):
    undisturbed = in_file(small_file(tmp_path / "whole.nc"))
    path = tmp_path / "killed.nc"
    child = os.fork()
    if child == 0:  # dies within the writing of trajectory 1
        signal.alarm(60)
        save = np.savez

        def killing(target, **parts):
            save(target, **parts)
            if (path.with_name("killed.nc.parts") / "0.npz").exists():
                target.write_bytes(target.read_bytes()[:1000])
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(np, "savez", killing)
        small_file(path)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    parts = tmp_path / "killed.nc.parts"
    assert not path.exists()
    assert (parts / "0.npz").exists()
    assert not (parts / "1.npz").exists()
    with pytest.raises(ValueError, match="differs in seed: repeat that call"):
        small_file(path, seed=6)
    (parts / "2.npz").write_bytes((parts / "0.npz").read_bytes()[:1000])
    solved = []
    original = shallow_water._solve

    def counting(*call):
        solved.append(call[-1])
        return original(*call)

    monkeypatch.setattr(shallow_water, "_solve", counting)
    resumed = in_file(small_file(path))
    assert solved == [1, 2]
    assert all(np.array_equal(resumed[name], undisturbed[name]) for name in undisturbed)
    assert not parts.exists()
    assert sorted(os.listdir(tmp_path)) == ["killed.nc", "whole.nc"]


@marked
def test_trajectory_0_is_the_published_jet_where_asked_for():
    flow = ShallowWater(initial="galewsky", solver_nlat=24, time_step=900, published=True)
    torch.testing.assert_close(start(flow), jet_state(solver_of(flow), Jet()), rtol=0, atol=0)
    drawn = ShallowWater(initial="galewsky", solver_nlat=24, time_step=900)
    assert distance(start(drawn)[:2], start(flow)[:2]) > 0.01
    torch.testing.assert_close(start(drawn, 1), start(flow, 1), rtol=0, atol=0)
    assert distance(start(drawn, 1)[:2], start(drawn, 2)[:2]) > 0.01


@marked
def test_a_flow_that_blows_up_is_named_and_not_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(time_stepping, "step", lambda solver, state, time_step: state * 1e200)
    with pytest.raises(FloatingPointError, match="trajectory 0 of seed 5 is not finite at hour 2: shorten"):
        small_file(tmp_path / "a.nc")
    assert not list(tmp_path.glob("*.nc"))
    assert not list(tmp_path.glob("*.parts/*.npz"))


def test_the_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_harmonics", None)
    solver_of.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'irno-graph\[sphere\]'"):
        small_file(tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": "rest"}, "`initial` should be one of random, galewsky, got 'rest'"),
        ({"published": True}, "initial='galewsky'"),
        ({"solver_nlat": 8}, "`solver_nlat` should be at least 16, got 8"),
        ({"wind": 0.0}, "`wind` should be positive"),
        ({"wind": math.nan}, "`wind` should be positive"),
        ({"degrees": 43}, r"`degrees` should be in 1\.\.42"),
        ({"spin_up": -1.0}, "`spin_up` should not be negative"),
        ({"time_step": 1200.0}, "`time_step` should be positive and at most 897 s"),
        ({"time_step": 0.0}, "`time_step` should be positive"),
    ],
)
def test_bad_flows_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ShallowWater(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trajectories": 0}, "`trajectories` should be at least 1, got 0"),
        ({"seed": -1}, "`seed` should not be negative"),
        ({"nlat": 2}, "`nlat` should be at least 3, got 2"),
        ({"nlon": 3}, "`nlon` should be at least 4, got 3"),
        ({"grid": "healpix"}, "`grid` should be one of"),
        ({"nlat": 65}, "should not be finer than the solver's of 64 x 128"),
        ({"coarse": (33, 64)}, "`coarse` should be coarser than the file's grid of 32 x 64, got 33 x 64"),
        ({"coarse": (32, 64)}, "`coarse` should be coarser"),
        ({"coarse": (2, 8)}, "`nlat` should be at least 3, got 2"),
        ({"final_time": 70.0}, "`final_time` should be a multiple of `save_every` = 6"),
        ({"save_every": 0.0}, "should be positive"),
        (
            {"save_every": 0.1, "final_time": 1.0},
            "`save_every` should be a multiple of the time step of 600 s",
        ),
        ({"flow": ShallowWater(spin_up=0.25)}, "`spin_up` should be a multiple of the time step"),
    ],
)
def test_bad_calls_are_refused_before_anything_is_written(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "a.nc", **({"trajectories": 1} | options))
    assert not list(tmp_path.iterdir())


@marked
def test_the_example_of_the_docs_gives_pairs_of_one_state(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "grids.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```py\n(.*?)```", text, flags=re.S)
    monkeypatch.chdir(tmp_path)
    example = example.replace("trajectories=8", "trajectories=1").replace("final_time=144", "final_time=6")
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["x"].shape == (1, 2, 128, 3)
    assert names["y"].shape == (1, 2, 2048, 3)
    for graph, field in ((names["coarse"], names["x"]), (names["fine"], names["y"])):
        north = (graph.mass * graph.pos[:, 2]) @ field[0, :, :, 0].double().T  # degree 1, on both
        names.setdefault("moments", []).append(north)
    torch.testing.assert_close(*names["moments"], rtol=1e-5, atol=0)
