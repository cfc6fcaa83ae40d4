"""CE-Gauss files: reproducible trajectories, exact samples, valid triangles, refused arguments."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("numba")

from irno_graph.data import ce_gauss
from irno_graph.data.ce_gauss import generate, sample_points, sample_trajectories, trajectory_seeds
from irno_graph.data.euler.initial import draw_vortices, initial_state
from irno_graph.data.euler.solver import solve

SMALL: dict[str, Any] = {"nodes": 64, "solver_res": 32, "save_every": 0.05, "final_time": 0.1}


def read(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}, dict(file.attrs)


def test_file_has_the_layout_and_says_how_it_was_made(tmp_path):
    calls = []
    path = generate(
        tmp_path / "flow.nc",
        trajectories=3,
        batch=2,
        seed=7,
        progress=lambda *pair: calls.append(pair),
        **SMALL,
    )
    data, attributes = read(path)
    assert {name: (value.shape, value.dtype.str[1:]) for name, value in data.items()} == {
        "u": ((3, 3, 64, 5), "f4"),
        "x": ((1, 1, 64, 2), "f8"),
        "t": ((3,), "f8"),
        "tri": ((128, 3), "i4"),
        "seed": ((3,), "i8"),
    }
    assert calls == [(2, 3), (3, 3)]
    np.testing.assert_array_equal(data["t"], [0.0, 0.05, 0.1])
    np.testing.assert_array_equal(data["seed"], trajectory_seeds(7, 3))
    assert list(attributes["channels"]) == ["rho", "vx", "vy", "p", "E"]
    assert (attributes["base_seed"], attributes["mesh_seed"], attributes["solver_res"]) == (7, 7, 32)
    rho, vx, vy, p, energy = np.moveaxis(data["u"].astype(np.float64), -1, 0)
    np.testing.assert_allclose(energy, p / 0.4 + 0.5 * rho * (vx**2 + vy**2), rtol=1e-6)
    np.testing.assert_array_equal(data["u"][:, 0, :, [0, 3]].std(axis=-1) < 1e-6, True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["flow.nc"]


def test_a_trajectory_depends_neither_on_count_nor_on_batch_nor_on_threads(tmp_path):
    one = generate(tmp_path / "a.nc", trajectories=3, batch=3, threads=2, mesh_seed=1, **SMALL)
    two = generate(tmp_path / "b.nc", trajectories=2, batch=1, threads=1, mesh_seed=1, **SMALL)
    np.testing.assert_array_equal(read(one)[0]["u"][:2], read(two)[0]["u"])


def test_a_file_goes_on_after_a_kill_to_the_same_bytes(tmp_path, monkeypatch):
    options: dict[str, Any] = {"trajectories": 5, "batch": 2, "seed": 4, **SMALL}
    whole, attributes = read(generate(tmp_path / "a.nc", **options))
    solved: list[int] = []

    def killed(initial, *arguments, **settings):
        if len(solved) == 2:
            raise KeyboardInterrupt
        return counted(initial, *arguments, **settings)

    def counted(initial, *arguments, **settings):
        solved.append(len(initial))
        return solve(initial, *arguments, **settings)

    monkeypatch.setattr(ce_gauss, "solve", killed)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "b.nc", **options)
    assert not (tmp_path / "b.nc").exists()
    with pytest.raises(
        ValueError, match=r"b\.nc\.parts` holds .* differs in base_seed, mesh_seed, nodes and"
    ):
        generate(tmp_path / "b.nc", **{**options, "seed": 5})
    monkeypatch.setattr(ce_gauss, "solve", counted)
    again, same = read(generate(tmp_path / "b.nc", **{**options, "batch": 3, "threads": 1}))
    assert solved == [2, 2, 1]
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.nc", "b.nc"}
    assert set(whole) == set(again)
    for name in whole:
        np.testing.assert_array_equal(whole[name], again[name])
    assert {name: str(value) for name, value in attributes.items()} == {
        name: str(value) for name, value in same.items()
    }


def test_trajectory_seeds_are_positive_and_never_shared():
    seeds = np.concatenate([trajectory_seeds(seed, 200) for seed in (0, 1, 2, 2**32 - 1)])
    assert seeds.dtype == np.int64
    assert seeds.min() > 0
    assert len(set(seeds.tolist())) == len(seeds)
    np.testing.assert_array_equal(trajectory_seeds(1, 200)[:50], trajectory_seeds(1, 50))


@pytest.mark.parametrize("kind", ["mesh", "random", "grid", "subsample"])
def test_triangles_tile_the_torus(kind):
    points, triangles = sample_points(kind, 144, solver_res=32, seed=3)
    assert points.shape == (144, 2)
    assert points.min() >= 0
    assert points.max() < 1
    corners = points[triangles]
    corners = corners[:, :1] + (corners - corners[:, :1] + 0.5) % 1.0 - 0.5
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    area = 0.5 * (ax * by - ay * bx)
    assert len(triangles) == 2 * len(points)
    assert area.min() > 0
    assert area.sum() == pytest.approx(1.0, abs=1e-12)
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_subsampled_values_are_those_of_the_solver_cells():
    points, _ = sample_points("subsample", 50, solver_res=32, seed=2)
    flow = solve(initial_state(draw_vortices(11), 32)[None], [0.0, 0.1])[0]  # [times, 4, 32, 32]
    sampled = sample_trajectories([11], points, [0.0, 0.1], solver_res=32)[0]
    i, j = np.floor(points * 32).astype(int).T
    np.testing.assert_allclose(sampled[..., :4], np.moveaxis(flow[:, :, i, j], 1, -1), rtol=1e-6, atol=1e-6)


def test_points_depend_on_their_seed_alone():
    for kind in ("mesh", "random", "subsample"):
        first, again, other = (sample_points(kind, 64, seed=seed)[0] for seed in (4, 4, 5))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trajectories": 0}, "trajectories"),
        ({"batch": 0}, "batch"),
        ({"solver_res": 8}, "solver_res"),
        ({"nodes": 3}, "nodes"),
        ({"points": "line"}, "one of mesh, random, grid, subsample"),
        ({"points": "grid", "nodes": 65}, "64 or 81"),
        ({"points": "subsample", "nodes": 1025}, "at most"),
        ({"seed": -1}, "seed"),
        ({"mesh_seed": 2**32}, "mesh_seed"),
        ({"save_every": 0.0}, "positive"),
        ({"final_time": 0.12}, "multiple"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_arguments_are_refused_and_leave_no_file(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "flow.nc", **{"trajectories": 1, **SMALL, **change})
    assert not any(tmp_path.iterdir())
