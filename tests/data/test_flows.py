"""The sister sets of CE-Gauss: their initial data against the definitions, seeds, files and commands."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest
from scipy import ndimage, stats

pytest.importorskip("numba")

from irno_graph.cli import run
from irno_graph.data.ce_gauss import generate, sample_points, sample_trajectories
from irno_graph.data.euler import piecewise
from irno_graph.data.euler.solver import solve, to_conserved
from irno_graph.data.euler.spline import PeriodicLinear
from irno_graph.data.flows import FLOWS, Flow, trajectory_seeds

SISTERS = [name for name in FLOWS if name != "ce-gauss"]
SMALL: dict[str, Any] = {"nodes": 64, "solver_res": 32, "save_every": 0.05, "final_time": 0.1}
RANGES = {
    piecewise.riemann_problem: [(0.1, 1), (-1, 1), (-1, 1), (0.1, 1)],
    lambda seed: piecewise.curved_riemann_problem(seed, 2): [(0.1, 1), (-1, 1), (-1, 1), (0.1, 1)],
    lambda seed: piecewise.uncertain_riemann_problem(seed, 2): [(1, 3), (-10, 10), (-10, 10), (5, 7)],
}


def read(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}, dict(file.attrs)


@pytest.mark.parametrize(("draw", "ranges"), RANGES.items(), ids=["ce-rp", "ce-crp", "ce-rpui"])
def test_states_are_uniform_and_independent(draw, ranges):
    states = np.stack([draw(seed).states for seed in range(400)])  # [seeds, quadrants, channels]
    for channel, (low, high) in enumerate(ranges):
        for quadrant in range(4):
            unit = (states[:, quadrant, channel] - low) / (high - low)
            assert stats.kstest(unit, "uniform").pvalue > 1e-3
    correlation = np.corrcoef(states.reshape(400, 16).T) - np.eye(16)
    assert np.abs(correlation).max() < 0.2


@pytest.mark.parametrize("resolution", [16, 128])
def test_quadrants_are_exact_on_even_grids(resolution):
    start, half = piecewise.riemann_problem(5), resolution // 2
    cells = start.cell_averages(resolution)
    for quadrant, state in enumerate(start.states):
        i, j = (slice(half * part, half * (part + 1)) for part in divmod(quadrant, 2))
        np.testing.assert_array_equal(cells[:, i, j], np.broadcast_to(state[:, None, None], (4, half, half)))


def test_cut_cells_hold_the_mean_of_mass_momentum_and_energy():
    start = piecewise.riemann_problem(5)
    conserved = to_conserved(start.states.T[:, :, None])[..., 0]
    cells = to_conserved(start.cell_averages(15))
    np.testing.assert_allclose(cells.mean(axis=(1, 2)), conserved.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(cells[:, 7, 7], conserved.mean(axis=1), rtol=1e-13)


def reference_quadrants(seed: int, size: float, first: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The regions of two modes per direction by plain sums; the states are drawn first."""
    generator = np.random.default_rng(seed)
    generator.uniform(size=16)
    warped = []
    for place in (x, y):
        a, b = generator.uniform(-size, size, (2, 2)), generator.uniform(0, 1, (2, 2))
        warp = np.zeros_like(x)
        for i in (0, 1):
            for j in (0, 1):
                warp += a[i, j] * np.sin(2 * np.pi * ((first + i) * x + (first + j) * y + b[i, j]))
        warped.append((place + warp) % 1)
    return 2 * (warped[0] >= 0.5) + (warped[1] >= 0.5)


@pytest.mark.parametrize(
    ("draw", "size", "first"),
    [(piecewise.curved_riemann_problem, 0.1, 1), (piecewise.uncertain_riemann_problem, 0.01, 9)],
)
def test_warped_quadrants_are_those_of_the_sums_and_periodic(draw, size, first):
    x, y = np.random.default_rng(1).uniform(size=(2, 4000))
    for seed in (0, 1, 2):
        region = draw(seed, 2).region
        np.testing.assert_array_equal(region(x, y), reference_quadrants(seed, size, first, x, y))
        assert (region(x + 1, y - 1) == region(x, y)).mean() > 0.999
        assert len(np.unique(region(x, y))) == 4


def test_ripples_of_rpui_stay_near_the_straight_interfaces():
    x, y = np.random.default_rng(2).uniform(size=(2, 20000))
    straight = piecewise.riemann_problem(0).region(x, y)
    distance = np.abs((np.stack([x, y]) + 0.25) % 0.5 - 0.25).min(axis=0)  # to x or y = 0, 1/2
    moved = piecewise.uncertain_riemann_problem(7, 2).region(x, y) != straight
    assert moved.any()
    assert distance[moved].max() <= 4 * 0.01


def test_shear_layers_jump_at_the_published_heights():
    seed, modes = 3, 5
    generator = np.random.default_rng(seed)
    (a0, a1), (b0, b1) = generator.uniform(0, 1, (2, 2, modes))
    start = piecewise.shear_layers(seed, modes)
    np.testing.assert_array_equal(start.states, [[1, 0.5, 0, 2.5], [2, -0.5, 0, 2.5]])
    for x in (0.0, 0.31, 0.77):
        lower, upper = (
            level
            + 0.05 * sum(a[j - 1] * np.cos(2 * np.pi * j * (x + b[j - 1])) for j in range(1, 6)) / a.sum()
            for level, a, b in ((0.25, a0, b0), (0.75, a1, b1))
        )
        at = np.array([0.0, lower - 1e-9, lower + 1e-9, 0.5, upper - 1e-9, upper + 1e-9])
        for shift in (0, 1):
            found = start.region(np.full(6, x + shift), at)
            np.testing.assert_array_equal(found, [0, 0, 1, 1, 1, 0])


def test_both_layers_have_half_of_the_square_whatever_their_waves():
    for seed in range(5):
        cells = piecewise.shear_layers(seed, 10).cell_averages(128)
        assert cells[0].mean() == pytest.approx(1.5, abs=2e-3)
        mixed = (cells[0] != 1) & (cells[0] != 2)
        assert 0 < mixed.mean() < 0.04
        height = (np.arange(128) + 0.5) / 128
        assert np.abs(np.abs(height - 0.5) - 0.25)[mixed.any(axis=0)].max() <= 0.05 + 1 / 128
        np.testing.assert_array_equal(cells[3][~mixed], 2.5)


def test_modes_change_the_interfaces_alone():
    for name in ("ce-crp", "ce-rpui"):
        two, three = (FLOWS[name].initial(4, 64, modes) for modes in (2, 3))
        assert 0.02 < (two != three).any(axis=0).mean() < 0.9
        np.testing.assert_allclose(np.unique(two)[[0, -1]], np.unique(three)[[0, -1]])


def test_seeds_of_gauss_are_as_before_and_flows_share_none():
    assert trajectory_seeds(7, 2).tolist() == [8460147692890830636, 3317731564112288844]
    seeds = np.concatenate([trajectory_seeds(base, 100, flow=flow) for flow in FLOWS for base in (0, 7)])
    assert len(set(seeds.tolist())) == len(seeds)


@pytest.mark.parametrize("flow", SISTERS)
def test_files_depend_neither_on_count_nor_on_batch_nor_on_threads(tmp_path, flow):
    one = generate(tmp_path / "a.nc", trajectories=3, flow=flow, batch=3, threads=2, mesh_seed=1, **SMALL)
    two = generate(tmp_path / "b.nc", trajectories=2, flow=flow, batch=1, threads=1, mesh_seed=1, **SMALL)
    (data, attributes), (fewer, _) = read(one), read(two)
    np.testing.assert_array_equal(data["u"][:2], fewer["u"])
    np.testing.assert_array_equal(data["seed"], trajectory_seeds(0, 3, flow=flow))
    assert (attributes["flow"], attributes["title"]) == (flow, FLOWS[flow].title)
    assert (attributes["cfl"], attributes["modes"]) == (0.7, FLOWS[flow].modes or 0)
    assert "bilinear" in attributes["sampling"]
    rho, vx, vy, p, energy = np.moveaxis(data["u"].astype(np.float64), -1, 0)
    assert min(rho.min(), p.min()) > 0
    np.testing.assert_allclose(energy, p / 0.4 + 0.5 * rho * (vx**2 + vy**2), rtol=1e-6)
    assert not np.array_equal(data["u"][0], data["u"][1])


def test_samples_stay_between_the_solver_cells_around():
    points, _ = sample_points("random", 400, seed=3)
    seed = int(trajectory_seeds(0, 1, flow="ce-rp")[0])
    flow = solve(piecewise.riemann_problem(seed).cell_averages(32)[None], [0.0, 0.1], cfl=0.7)[0]
    sampled = sample_trajectories([seed], points, [0.0, 0.1], flow="ce-rp", solver_res=32)[0, ..., :4]
    expected = np.stack(
        [
            ndimage.map_coordinates(field, points.T * 32 - 0.5, order=1, mode="grid-wrap")
            for field in flow.reshape(-1, 32, 32)
        ]
    ).reshape(2, 4, 400)
    np.testing.assert_allclose(sampled, expected.swapaxes(1, 2), rtol=1e-6, atol=1e-6)


def test_bilinear_samples_converge_at_order_two():
    points = np.random.default_rng(0).uniform(size=(200, 2))

    def error(n: int) -> float:
        x, y = (np.indices((n, n)) + 0.5) / n
        wave = [np.sin(2 * np.pi * a) * np.cos(4 * np.pi * b) for a, b in ((x, y), points.T)]
        return float(np.abs(PeriodicLinear(points, n)(wave[0]) - wave[1]).max())

    assert 1.8 < np.log2(error(32) / error(64)) < 2.2


def test_a_breakdown_names_the_seed_and_leaves_no_file(tmp_path, monkeypatch):
    seeds = trajectory_seeds(0, 3, flow="ce-rp").tolist()

    def initial(seed: int, resolution: int, modes: int) -> np.ndarray:
        state = np.ones((4, resolution, resolution))
        state[1] = 1e9 if seed == seeds[2] else 0.0
        return state

    monkeypatch.setitem(FLOWS, "ce-rp", Flow("CE-RP", initial))
    with pytest.raises(FloatingPointError, match=rf"CE-RP, trajectory seeds \[{seeds[2]}\]"):
        generate(tmp_path / "flow.nc", trajectories=3, flow="ce-rp", batch=2, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["flow.nc.parts"]  # what is finished


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": "ce-rm"}, "one of ce-gauss, ce-rp, ce-crp, ce-kh, ce-rpui, got 'ce-rm'"),
        ({"flow": "ce-rp", "modes": 2}, "left out for ce-rp"),
        ({"flow": "ce-gauss", "modes": 2}, "left out for ce-gauss"),
        ({"flow": "ce-kh", "modes": 0}, "1 ... 16, got 0: 10 is the default"),
    ],
)
def test_unknown_flows_and_modes_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "flow.nc", **{"trajectories": 1, **SMALL, **change})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("flow", list(FLOWS))
def test_every_flow_has_a_command_that_passes_on_its_options(tmp_path, monkeypatch, flow):
    calls = []
    monkeypatch.setattr("irno_graph.data.ce_gauss.generate", lambda path, **options: calls.append(options))
    words = f"data {flow} --out {tmp_path}/o.nc --trajectories 3 --nodes 49 --points grid --solver-res 32"
    words += " --seed 5 --mesh-seed 6 --save-every 0.2 --final-time 0.4 --modes 3 --threads 1"
    assert run(words.split()) == 0
    del calls[0]["progress"]
    assert calls == [
        {
            "flow": flow, "trajectories": 3, "nodes": 49, "points": "grid", "solver_res": 32, "seed": 5,
            "mesh_seed": 6, "save_every": 0.2, "final_time": 0.4, "modes": 3, "threads": 1, "batch": 1,
        }
    ]  # fmt: skip
