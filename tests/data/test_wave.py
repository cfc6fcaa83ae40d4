"""Waves by linear elements and leap-frog: what is kept, exact discrete solutions, orders, images, independence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from domains import cube_of_tetrahedra, disk, square_of_quads
from scipy.linalg import eigh

from irno_graph.data.wave import Domain, WaveEquation, Waves
from irno_graph.data.wave.generate import solve
from irno_graph.data.wave.initial import Draw, gaussians
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box

DOMAINS = {
    "box": lambda: Domain.box(64),
    "disk held at its rim": lambda: Domain.of_mesh(disk(4), dirichlet=("boundary",)),
    "quads": lambda: Domain.of_mesh(square_of_quads(5)),
    "tetrahedra": lambda: Domain.of_mesh(cube_of_tetrahedra(3)),
    "icosphere": lambda: Domain.icosphere(1),
    "sphere grid": lambda: Domain.sphere(6, 12),
}


@pytest.fixture(params=list(DOMAINS.values()), ids=list(DOMAINS))
def domain(request):
    return request.param()


def random_state(equation, columns=2, seed=0):
    u, v = np.random.default_rng(seed).standard_normal((2, len(equation.mass), columns))
    u[equation.fixed] = v[equation.fixed] = 0.0
    return u, v


def after(equation, u, v, steps, **options):
    return next(equation.march(u, v, steps=steps, **options))


def mass_error(equation, found, exact):
    return np.sqrt((equation.mass * (found - exact) ** 2).sum() / (equation.mass * exact**2).sum())


def test_energy_of_leap_frog_is_kept_to_round_off(domain):
    """Kinetic and potential energy are exchanged, their sum with leap-frog's correction is not changed."""
    equation = WaveEquation.of(domain.graph, domain.fixed)
    u, v = random_state(equation)
    speed = np.random.default_rng(1).uniform(1.0, 2.0, u.shape)
    time_step = 0.9 * equation.stable_step(2.0)
    start = equation.energy(u, v, speed=speed, time_step=time_step)
    states = equation.march(u, v, speed=speed, time_step=time_step, steps=40)
    later = [
        equation.energy(*state, speed=speed, time_step=time_step) for state in itertools.islice(states, 5)
    ]
    assert (start > 0).all()
    np.testing.assert_allclose(later, np.broadcast_to(start, (5, 2)), rtol=1e-12)


def test_energy_without_a_step_is_kinetic_and_potential():
    equation = WaveEquation.of(Graph.from_grid((6,), period=(1.5,)))
    u, v = random_state(equation, 1)
    slopes = (np.roll(u, -1, axis=0) - u) / 0.25
    expected = 0.5 * 0.25 * (v**2 / 4 + slopes**2).sum()
    np.testing.assert_allclose(equation.energy(u, v, speed=2.0, time_step=0.0), [expected], rtol=1e-12)


def test_eigenvectors_oscillate_at_the_frequency_of_leap_frog(domain):
    """K phi = lambda M phi: u_n = cos(n theta) phi with sin(theta / 2) = c sqrt(lambda) dt / 2."""
    equation = WaveEquation.of(domain.graph, domain.fixed)
    free = np.flatnonzero(~equation.fixed)
    stiffness = equation.stiffness.toarray()[np.ix_(free, free)]
    values, vectors = eigh(stiffness, np.diag(equation.mass[free]))
    chosen = [1, len(free) // 2, len(free) - 1]
    phi = np.zeros((len(equation.mass), 3))
    phi[free] = vectors[:, chosen]
    speed, steps = 1.3, 17
    assert values[-1] <= equation.bound * (1 + 1e-12)
    time_step = 0.9 * equation.stable_step(speed)
    theta = 2 * np.arcsin(speed * np.sqrt(values[chosen]) * time_step / 2)
    u, v = after(equation, phi, 0 * phi, steps, speed=speed, time_step=time_step)
    scale = np.abs(phi).max()
    np.testing.assert_allclose(u, np.cos(steps * theta) * phi, rtol=0, atol=1e-10 * scale)
    expected = -np.sin(steps * theta) * np.sin(theta) / time_step * phi
    np.testing.assert_allclose(v, expected, rtol=0, atol=1e-10 * scale / time_step)


def test_time_reversed_leads_back_to_the_start(domain):
    equation = WaveEquation.of(domain.graph, domain.fixed)
    u, v = random_state(equation)
    time_step = 0.9 * equation.stable_step(1.0)
    there = after(equation, u, v, 60, speed=1.0, time_step=time_step)
    assert np.abs(there[0] - u).max() > 0.1
    back = after(equation, there[0], -there[1], 60, speed=1.0, time_step=time_step)
    np.testing.assert_allclose(back[0], u, rtol=0, atol=1e-11)
    np.testing.assert_allclose(back[1], -v, rtol=0, atol=1e-11 * np.abs(there[1]).max())


def test_the_mode_of_degree_two_converges_at_order_two_on_the_sphere():
    """z^2 - 1/3 has the eigenvalue 6, so that u = cos(sqrt(6) t) u_0."""
    errors = []
    for cuts in (2, 3, 4):
        graph = Graph.from_icosphere(cuts)
        equation = WaveEquation.of(graph)
        start = graph.pos.numpy()[:, 2:] ** 2 - 1 / 3
        steps = equation.steps(1.0, 1.0)
        u, _ = after(equation, start, 0 * start, steps, speed=1.0, time_step=1 / steps)
        errors.append(mass_error(equation, u[:, 0], np.cos(6**0.5) * start[:, 0]))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders.min() > 1.85, errors
    assert errors[-1] < 2e-3


@pytest.mark.parametrize("kind", ["grid", "mesh"])
def test_a_plane_wave_converges_at_order_two_in_the_periodic_box(kind):
    errors = []
    for nodes in (256, 1024):
        domain = Domain.box(nodes, points=kind)
        equation = WaveEquation.of(domain.graph)
        phase = 2 * np.pi * domain.graph.pos.numpy().sum(axis=1, keepdims=True)
        speed, frequency = 0.5, 0.5 * 2 * np.pi * 2**0.5
        steps = equation.steps(0.6, speed)
        start = np.cos(phase), frequency * np.sin(phase)
        u, v = after(equation, *start, steps, speed=speed, time_step=0.6 / steps)
        exact = np.cos(phase - 0.6 * frequency), frequency * np.sin(phase - 0.6 * frequency)
        errors.append(
            [mass_error(equation, found[:, 0], true[:, 0]) for found, true in zip((u, v), exact, strict=True)]
        )
    orders = np.log2(np.array(errors[0]) / errors[1])
    # on irregular triangles the values of a wave are not its elliptic projection, which u_t shows
    assert (orders > ([1.8, 1.8] if kind == "grid" else [1.8, 1.2])).all(), errors


def test_walls_reflect_as_mirror_images_do():
    """Waves between walls are those of a doubled periodic box that starts from the mirrored state."""
    inside = WaveEquation.of(Graph.from_grid((5, 6), extent=(1.2, 1.0), centred=True))
    whole = WaveEquation.of(Graph.from_grid((10, 12), period=(2.4, 2.0), centred=True))
    u, v = random_state(inside)

    def mirrored(field):
        plane = field.reshape(5, 6, -1)
        plane = np.concatenate([plane, plane[::-1]])
        return np.concatenate([plane, plane[:, ::-1]], axis=1).reshape(120, -1)

    found = after(inside, u, v, 50, speed=1.0, time_step=0.08)
    images = after(whole, mirrored(u), mirrored(v), 50, speed=1.0, time_step=0.08)
    for one, other in zip(found, images, strict=True):
        np.testing.assert_allclose(mirrored(one), other, rtol=0, atol=1e-11)


def test_fixed_nodes_stay_at_zero_and_the_others_move():
    square = square_of_quads(4)
    left = np.flatnonzero(square.points[:, 0] == 0)
    mesh = Mesh(square.points, square.cells, tags={"point_sets": {"wall": left}})
    domain = Domain.of_mesh(mesh, dirichlet=("wall",))
    assert np.flatnonzero(domain.fixed).tolist() == left.tolist()
    rim = Domain.of_mesh(mesh, dirichlet=("boundary",)).fixed
    np.testing.assert_array_equal(rim, ((square.points == 0) | (square.points == 1)).any(axis=1))
    equation = WaveEquation.of(domain.graph, domain.fixed)
    for initial in ("bumps", "modes"):
        draw = Draw(domain, Waves(initial=initial, modes=4))
        found = solve(equation, draw, np.array([3, 4]), np.array([0.0, 0.5, 1.0]), steps=20)
        np.testing.assert_allclose(found[:, :, domain.fixed], 0.0, rtol=0, atol=1e-15)
        assert np.abs(found[:, 1:, ~domain.fixed]).max(axis=(1, 2)).min() > 1e-3


@pytest.mark.parametrize(
    "waves", [Waves(), Waves(initial="modes", modes=6), Waves(medium=3)], ids=["bumps", "modes", "medium"]
)
def test_a_trajectory_does_not_depend_on_the_others_bit_by_bit(waves):
    domain = Domain.icosphere(1)
    equation, draw, times = WaveEquation.of(domain.graph), Draw(domain, waves), np.array([0.0, 0.3, 0.6])
    seeds = np.array([5, 6, 7])
    together = solve(equation, draw, seeds, times, steps=9)
    for place in range(3):
        alone = solve(equation, draw, seeds[place : place + 1], times, steps=9)
        np.testing.assert_array_equal(alone[0], together[place])
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_gaussians_have_their_integral_and_their_images():
    """Sums over a grid integrate smooth periodic functions to round-off: 2 pi width^2."""
    domain = Domain.box(32**2, points="grid")
    widths = np.array([0.06, 0.156])
    values = gaussians(domain, np.array([[0.02, 0.9], [0.5, 0.31]]), widths)
    np.testing.assert_allclose(values @ domain.graph.mass.numpy(), 2 * np.pi * widths**2, rtol=1e-10)
    moved = gaussians(domain, np.array([[0.02 + 1 / 32, 0.9], [0.5, 0.31 - 1 / 32]]), widths)
    plane = values.reshape(2, 32, 32)
    np.testing.assert_allclose(moved[0].reshape(32, 32), np.roll(plane[0], 1, axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(moved[1].reshape(32, 32), np.roll(plane[1], -1, axis=1), rtol=0, atol=1e-14)


def test_distances_on_the_sphere_are_arcs():
    domain = Domain.icosphere(2)
    north = gaussians(domain, np.array([[0.0, 0.0, 1.0]]), np.array([0.4]))[0]
    colatitude = np.arccos(np.clip(domain.graph.pos.numpy()[:, 2], -1, 1))
    np.testing.assert_allclose(north, np.exp(-0.5 * (colatitude / 0.4) ** 2), rtol=1e-6, atol=1e-12)


def test_speeds_of_media_lie_between_their_bounds_and_set_the_step():
    domain, waves = Domain.box(64), Waves(medium=4, contrast=0.7, speed=2.0)
    speed = Draw(domain, waves)(np.arange(1, 9)).speed
    assert speed.min() >= 2.0
    assert 2.5 < speed.max() <= waves.fastest == pytest.approx(3.4)
    equation = WaveEquation.of(domain.graph)
    steps = equation.steps(0.1, waves.fastest)
    assert 0.1 / steps <= 0.9 * equation.stable_step(3.4) < 0.1 / (steps - 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": -1.0}, "`speed` should be positive, got -1"),
        ({"speed": float("nan")}, "`speed` should be positive"),
        ({"initial": "x"}, "`initial` should be one of bumps, modes"),
        ({"modes": 0}, "`modes` should be at least 1"),
        ({"medium": -1}, "`medium` should not be negative"),
        ({"contrast": -0.1}, "`contrast` should not be negative"),
        ({"time_step": 0.0}, "`time_step` should be positive"),
    ],
)
def test_waves_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Waves(**change)


def test_steps_and_masks_that_do_not_fit_are_refused():
    graph = Graph.from_mesh(periodic_box(32))
    equation = WaveEquation.of(graph)
    limit = equation.stable_step(1.0)
    with pytest.raises(ValueError, match="below the stability limit"):
        equation.steps(1.0, 1.0, time_step=limit)
    with pytest.raises(ValueError, match="should divide the time between snapshots, 1"):
        equation.steps(1.0, 1.0, time_step=1 / (np.ceil(1 / limit) + 0.5))
    assert equation.steps(1.0, 1.0, time_step=1 / 64) == 64
    for fixed, message in (
        (np.zeros(31, bool), r"shape \[32\]"),
        (np.ones(32, bool), "leave some nodes free"),
    ):
        with pytest.raises(ValueError, match=message):
            WaveEquation.of(graph, fixed)
    with pytest.raises(ValueError, match="among the mesh's tags"):
        Domain.of_mesh(square_of_quads(3), dirichlet=("inlet",))
