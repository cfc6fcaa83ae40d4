"""Shallow water on the sphere: exact and steady flows, order in time, symmetries, the published jet."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid
from sphere_flows import SMALL, needs_harmonics

from irno_graph.data.sphere import ShallowWater
from irno_graph.data.sphere import solver as time_stepping
from irno_graph.data.sphere.initial import Jet, balanced_state, initial_state, jet_state
from irno_graph.data.sphere.solver import fields, solver_of, states, step
from irno_graph.graph import Graph
from irno_graph.spectral.sphere import exact_degrees

FINE, SECONDS_PER_DAY = 64, 86400


def start(flow, trajectory=0):
    return initial_state(solver_of(flow), flow, 0, trajectory)


def run(state, flow, steps, time_step):
    for _ in range(steps):
        state = step(solver_of(flow), state, time_step)
    return state


def distance(state, truth):
    return float(((state - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).max())


@needs_harmonics
def test_mass_is_conserved_to_round_off():
    first, *_, last = states(SMALL, [0.0, 6.0, 48.0], seed=3, trajectory=1)
    assert distance(last[1:], first[1:]) > 0.1
    assert abs(last[0, 0, 0] / first[0, 0, 0] - 1) < 1e-13
    on_grid = fields(last, 16, 32, "legendre-gauss", gravity=9.80616)[..., 0]
    mass = Graph.from_sphere(16, 32, grid="legendre-gauss").mass
    assert abs(float(mass @ on_grid.flatten())) / (4 * math.pi * float(on_grid.abs().max())) < 1e-12


@needs_harmonics
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


@needs_harmonics
def test_vorticity_of_one_harmonic_moves_westward_as_rossby_waves_do():
    """Small zeta without divergence: d zeta / dt = -beta v = 2 Omega i m / (l (l + 1)) zeta."""
    solver = solver_of(SMALL)
    vorticity = torch.zeros(11, 11, dtype=torch.complex128)
    vorticity[5, 3] = 1e-9
    state = balanced_state(solver, vorticity)
    rate = time_stepping._tendency(solver, state)[1, 5, 3] / state[1, 5, 3]
    damping = (30 / 110) ** 4 / 7200
    assert complex(rate) == pytest.approx(2 * 7.292e-5 * 3j / 30 - damping, rel=1e-4)


@needs_harmonics
def test_steps_are_of_order_four():
    state = start(SMALL)
    truth = run(state, SMALL, 144, 75.0)
    errors = [distance(run(state, SMALL, 10800 // size, float(size)), truth) for size in (1200, 600, 300)]
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert min(orders) > 3.7
    assert errors[-1] < 1e-4


@needs_harmonics
def test_the_librarys_own_steps_approach_ours():
    from torch_harmonics.examples import ShallowWaterSolver

    truth = run(start(SMALL), SMALL, 36, 300.0)
    errors = []
    for size in (120.0, 60.0, 30.0):
        library = ShallowWaterSolver(16, 32, size, lmax=11, mmax=11, grid="legendre-gauss", havg=1e4)
        errors.append(distance(library.timestep(start(SMALL), round(10800 / size)), truth))
    assert errors[0] > 1.9 * errors[1] > 3.6 * errors[2]
    assert errors[2] < 2e-3


@needs_harmonics
def test_a_turn_about_the_axis_commutes_with_the_solver():
    state = start(SMALL)
    turn = torch.exp(-2j * math.pi * 5 / 32 * torch.arange(11, dtype=torch.float64))
    turned = run(state * turn, SMALL, 18, 1200.0)
    plain = fields(run(state, SMALL, 18, 1200.0), 16, 32, "equiangular", gravity=9.8)
    moved = fields(turned, 16, 32, "equiangular", gravity=9.8)
    scale = plain.abs().amax(dim=(0, 1))
    assert float(((moved - plain.roll(5, dims=1)) / scale).abs().max()) < 1e-10


@needs_harmonics
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
    state[0, 0, 0] += math.sqrt(4 * math.pi) * 9.8 * 10_002  # 2 m above the depth at rest
    got = fields(state, 9, 18, grid, gravity=9.8).flatten(0, 1)
    coarse = Graph.from_sphere(9, 18, grid=grid).pos
    expected = torch.stack([field(coarse, low, 1 + 2j + channel) for channel in range(3)], dim=1)
    expected[:, 0] += 2
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


@pytest.mark.parametrize(("north", "east"), [(0, 0), (0, 20), (0, -15), (0, 180), (4, 0), (-3, 30)])
def test_the_bump_of_the_jet_is_gaussian_in_both_angles(north, east):
    """Equation 4 of the paper, also across the meridian of Greenwich."""
    jet = Jet(longitude=350.0, latitude=40.0, height=100.0)
    place = torch.tensor([40.0 + north, (350.0 + east) % 360], dtype=torch.float64).deg2rad()
    lam, phi = math.radians(east), math.radians(north)
    expected = 100 * math.cos(float(place[0])) * math.exp(-((3 * lam) ** 2)) * math.exp(-((15 * phi) ** 2))
    assert float(jet.bump(*place)) == pytest.approx(expected, rel=1e-9)


@needs_harmonics
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


@needs_harmonics
def test_no_two_seeds_share_a_trajectory():
    solver = solver_of(SMALL)
    starts = [initial_state(solver, SMALL, *pair) for pair in itertools.product(range(3), repeat=2)]
    assert min(distance(one[:2], two[:2]) for one, two in itertools.combinations(starts, 2)) > 0.01


@needs_harmonics
def test_random_winds_have_the_strength_asked_for_at_any_resolution():
    coarse, fine = SMALL, ShallowWater(degrees=6, solver_nlat=24, time_step=1200)
    wind = solver_of(fine).getuv(start(fine)[1:])
    mass = Graph.from_sphere(24, 48, grid="legendre-gauss").mass
    square = float(mass @ wind.square().sum(dim=0).flatten()) / (4 * math.pi)
    assert math.sqrt(square) == pytest.approx(20, rel=1e-12)
    torch.testing.assert_close(start(fine)[1, :11, :11], start(coarse)[1], rtol=1e-12, atol=0)
    rate = time_stepping._tendency(solver_of(fine), start(fine))
    assert float(rate[2].abs().max()) < 1e-9 * float(rate[1].abs().max())  # in balance


@needs_harmonics
def test_trajectory_0_is_the_published_jet_where_asked_for():
    flow = ShallowWater(initial="galewsky", solver_nlat=24, time_step=900, published=True)
    torch.testing.assert_close(start(flow), jet_state(solver_of(flow), Jet()), rtol=0, atol=0)
    drawn = ShallowWater(initial="galewsky", solver_nlat=24, time_step=900)
    assert distance(start(drawn)[:2], start(flow)[:2]) > 0.01
    torch.testing.assert_close(start(drawn, 1), start(flow, 1), rtol=0, atol=0)
    assert distance(start(drawn, 1)[:2], start(drawn, 2)[:2]) > 0.01
