"""Vorticity and divergence on the mesh: exact where they should be, of their order elsewhere, invariant."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from domains import square_of_quads, square_of_triangles
from flow_sources import MemorySource
from hypothesis import given, settings
from hypothesis import strategies as st
from set_files import moving_file, places

from irno_graph.data.readers import open_data
from irno_graph.data.sets import (
    DIVERGENCE,
    VORTICITY,
    Derived,
    DerivedField,
    PairDataset,
    Pairing,
    WithCoefficients,
    statistics,
)
from irno_graph.graph import Graph, mass_norm
from irno_graph.mesh import Mesh, periodic_box

SLOPES = st.lists(st.floats(-10, 10), min_size=4, max_size=4)


def of_velocity(mesh: Mesh, velocity: np.ndarray) -> MemorySource:
    return MemorySource(velocity[None, None], mesh, ("vx", "vy"))


@pytest.mark.parametrize("make", [square_of_triangles, square_of_quads])
@given(slopes=SLOPES)
@settings(max_examples=10, deadline=None)
def test_linear_velocities_have_their_exact_vorticity_and_divergence(
    make: object, slopes: list[float]
) -> None:
    mesh = make(5)  # type: ignore[operator]
    a, b, c, d = np.asarray(slopes, dtype=np.float32).astype(float)
    velocity = mesh.points @ np.array([[a, b], [c, d]]).T + [1.0, -2.0]  # vx = a x + b y + 1
    found = Derived(of_velocity(mesh, velocity)).read(0)[0, 0]
    # the source has float32: half a unit in the last place of the velocity, over a fifth of the square
    bound = 40 * np.abs(velocity).max() * 2**-24 / 0.2
    assert (found[:, 2] - (c - b)).abs().max() <= bound
    assert (found[:, 3] - (a + d)).abs().max() <= bound


def swirl(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A periodic velocity with its vorticity and divergence."""
    x, y = 2 * np.pi * points.T
    velocity = np.stack([np.sin(x) * np.cos(y) + np.sin(y), np.cos(2 * x) + np.sin(x + y)], axis=-1)
    turn = -2 * np.sin(2 * x) + np.cos(x + y) + np.sin(x) * np.sin(y) - np.cos(y)
    return velocity, 2 * np.pi * turn, 2 * np.pi * (np.cos(x) * np.cos(y) + np.cos(x + y))


def errors_of(graph: Graph) -> tuple[float, float]:
    velocity, turn, spread = swirl(graph.pos.numpy())

    class Grid(MemorySource):
        def graph(self) -> Graph:
            return graph

    found = Derived(Grid(velocity[None, None], channels=("vx", "vy"))).read(0)[0, 0, :, 2:]
    exact = torch.from_numpy(np.stack([turn, spread], axis=-1))
    vorticity, divergence = (mass_norm(found - exact, graph) / mass_norm(exact, graph)).tolist()
    return vorticity, divergence


def test_derived_fields_are_of_order_two_on_regular_periodic_meshes_and_one_on_others() -> None:
    coarse, fine = (errors_of(Graph.from_grid((n, n), period=(1.0, 1.0))) for n in (16, 32))
    for one, two in zip(coarse, fine, strict=True):
        assert np.log2(one / two) == pytest.approx(2, abs=0.1)
        assert two < 0.03
    coarse, fine = (errors_of(Graph.from_mesh(periodic_box(count, seed=2))) for count in (256, 1024))
    for one, two in zip(coarse, fine, strict=True):
        assert 0.8 < np.log2(one / two) < 2.1
        assert two < 0.08


@given(angle=st.floats(0, 6.28), shift=st.floats(-3, 3), mirrored=st.booleans(), seed=st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_a_rigid_motion_keeps_the_divergence_and_turns_the_sign_of_the_vorticity_in_a_mirror(
    angle: float, shift: float, mirrored: bool, seed: int
) -> None:
    mesh = square_of_triangles(4)
    velocity = np.random.default_rng(seed).standard_normal((len(mesh.points), 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([1.0, -1.0 if mirrored else 1.0])
    corners = mesh.cells_of("triangle")
    moved = Mesh(
        mesh.points @ turn.T + shift, [("triangle", corners[:, ::-1].copy() if mirrored else corners)]
    )
    one = Derived(of_velocity(mesh, velocity)).read(0)[0, 0, :, 2:]
    two = Derived(of_velocity(moved, velocity @ turn.T)).read(0)[0, 0, :, 2:]
    sign = torch.tensor([-1.0 if mirrored else 1.0, 1.0])
    torch.testing.assert_close(two, one * sign, atol=1e-4, rtol=1e-4)


def test_a_new_numbering_of_nodes_renumbers_the_derived_fields() -> None:
    mesh = periodic_box(80, seed=1)
    velocity = swirl(mesh.points)[0]
    order = np.random.default_rng(3).permutation(80)
    place = np.argsort(order)
    renumbered = Mesh(
        mesh.points[order], [("triangle", place[mesh.cells_of("triangle")])], period=mesh.period
    )
    one = Derived(of_velocity(mesh, velocity)).read(0)[0, 0]
    two = Derived(of_velocity(renumbered, velocity[order])).read(0)[0, 0]
    torch.testing.assert_close(two, one[order], atol=1e-4, rtol=1e-5)


def test_derived_fields_are_channels_and_targets_like_others() -> None:
    mesh = periodic_box(80, seed=1)
    fields = np.stack([swirl(mesh.points)[0] * (1 + step) for step in range(3)])[None]
    source = Derived(MemorySource(fields, mesh, ("u", "v")), [VORTICITY])
    assert source.channels == ("u", "v", "vorticity")
    pairs = PairDataset(source, Pairing.fixed(2), inputs=("u", "v"), targets=("u", "v", "vorticity"))
    pair = pairs[0]
    torch.testing.assert_close(pair.y[:, :2], 3 * pair.x)
    torch.testing.assert_close(pair.y[:, 2], 3 * source.read(0, slice(0, 1))[0, 0, :, 2])
    known = statistics(pairs)
    assert known.groups.names == ("velocity", "vorticity")
    values = source.read()[..., 2].double()
    mass = source.graph().mass
    mean = (values * mass).sum() / (3 * mass.sum())
    torch.testing.assert_close(
        known.deviation[2], (((values - mean) ** 2 * mass).sum() / (3 * mass.sum())).sqrt()
    )
    assert torch.equal(pickle.loads(pickle.dumps(pairs))[0].y, pair.y)


def test_several_samples_on_moving_points_have_each_its_own_mesh(tmp_path: Path) -> None:
    source = open_data(moving_file(tmp_path / "a.nc", places()))
    found = Derived(source, [DIVERGENCE], velocity=["u0", "u1"])  # u0 = x + 10 y + 100 t, u1 constant
    np.testing.assert_allclose(found.read(slice(0, 3))[..., 2], 1.0, atol=2e-2)
    assert found.graph(1).pos.max() == pytest.approx(1.5)
    with pytest.raises(ValueError, match="pass its `index`"):
        found.graph()


def test_coefficients_become_channels_of_every_time(tmp_path: Path) -> None:
    points = places()
    found = WithCoefficients(open_data(moving_file(tmp_path / "a.nc", points)))
    assert found.channels == ("u0", "u1", "c0")
    values = found.read(slice(0, 3), slice(1, 3))
    assert values.shape == (3, 2, 40, 3)
    np.testing.assert_allclose(values[:, 0, :, 2], points[..., 0] ** 2, rtol=1e-6)
    assert torch.equal(values[:, 0, :, 2], values[:, 1, :, 2])
    with pytest.raises(ValueError, match="coefficients c, got none"):
        WithCoefficients(of_velocity(periodic_box(80, seed=1), np.zeros((80, 2))))


def test_what_has_no_velocity_or_has_the_name_already_is_refused() -> None:
    mesh = periodic_box(80, seed=1)
    source = MemorySource(np.zeros((1, 1, 80, 2)), mesh, ("rho", "p"))
    with pytest.raises(ValueError, match=r"velocity of two components, got \[\] of the channels"):
        Derived(source)
    with pytest.raises(ValueError, match=r"got \['rho', 'w'\]"):
        Derived(source, velocity=["rho", "w"])
    with pytest.raises(ValueError, match="new channels"):
        Derived(source, [DerivedField("p", VORTICITY.of)], velocity=["rho", "p"])
