"""Files made in blocks: damaged and lost trajectories are computed again, other calls are not mixed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from irno_graph.data.blocks import write_in_blocks

POINTS = np.random.default_rng(0).uniform(size=(4, 3))


class Solver:
    """Values that are the seeds; it stops before the one that it is told."""

    def __init__(self, stop: int = -1) -> None:
        self.stop, self.solved = stop, list[int]()

    def __call__(self, seeds: np.ndarray) -> np.ndarray:
        if self.stop in seeds:
            raise KeyboardInterrupt
        self.solved += seeds.tolist()
        return np.broadcast_to(seeds[:, None, None, None], (len(seeds), 2, 4, 1)).astype(float)


def write(path: Path, solver: Callable[[np.ndarray], np.ndarray], **changed: Any) -> Path:
    settings: dict[str, Any] = {
        "seeds": np.arange(1, 6),
        "times": np.array([0.0, 0.5]),
        "geometry": {"x": POINTS, "tri": np.array([[0, 1, 2]])},
        "attributes": {"channels": ["a"], "viscosity": 0.1},
        "batch": 2,
    }
    return write_in_blocks(path, solver, **(settings | changed))


def test_trajectories_are_kept_and_damaged_ones_are_computed_again(tmp_path):
    path, parts = tmp_path / "a.nc", tmp_path / "a.nc.parts"
    with pytest.raises(KeyboardInterrupt):
        write(path, Solver(stop=5))
    assert {entry.name for entry in parts.iterdir()} == {"settings.json", *(f"{n}.npz" for n in range(4))}
    (parts / "0.npz").write_bytes((parts / "1.npz").read_bytes()[:100])
    np.savez(parts / "2.npz", u=np.zeros((2, 5, 1), dtype=np.float32))
    np.savez(parts / "3.npz", v=np.zeros((2, 4, 1), dtype=np.float32))
    solver = Solver()
    calls: list[tuple[int, int]] = []
    write(path, solver, progress=lambda *pair: calls.append(pair))
    assert solver.solved == [1, 3, 4, 5]
    assert calls == [(2, 5), (4, 5), (5, 5)]
    assert not parts.exists()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["u"][:, 1, 3, 0], np.arange(1, 6))
        np.testing.assert_array_equal(file["x"][0, 0], POINTS)
        assert file["u"].dtype == np.float32
        assert set(file.attrs) == {"channels", "viscosity", "version"}


@pytest.mark.parametrize("batch", [1, 2, 3, 9])
def test_more_trajectories_in_other_blocks_take_up_those_of_fewer(tmp_path, batch):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.nc", Solver(stop=3), seeds=np.arange(1, 4))
    solver = Solver()
    write(tmp_path / "a.nc", solver, batch=batch)
    assert solver.solved == [3, 4, 5]
    with h5py.File(tmp_path / "a.nc") as file:
        np.testing.assert_array_equal(file["u"][:, 0, 0, 0], np.arange(1, 6))


def test_what_stops_before_the_first_trajectory_leaves_no_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.nc", Solver(stop=1))
    with pytest.raises(ValueError, match="`batch` should be at least 1, got 0"):
        write(tmp_path / "a.nc", Solver(), batch=0)
    assert not any(tmp_path.iterdir())


def test_a_trajectory_that_is_lost_before_the_file_is_written_is_named(tmp_path):
    def lose(done: int, total: int) -> None:
        if done == total:
            (tmp_path / "a.nc.parts" / "1.npz").unlink()

    with pytest.raises(ValueError, match=r"1\.npz` was lost or damaged: repeat the call"):
        write(tmp_path / "a.nc", Solver(), progress=lose)
    assert not (tmp_path / "a.nc").exists()
    solver = Solver()
    write(tmp_path / "a.nc", solver)
    assert solver.solved == [2]


def test_a_solver_that_gives_another_number_of_trajectories_is_refused(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write(tmp_path / "a.nc", lambda seeds: Solver()(seeds)[1:])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"times": np.array([0.0, 0.6])}, "times"),
        ({"geometry": {"x": POINTS + 1e-9, "tri": np.array([[0, 1, 2]])}}, "nodes and cells"),
        ({"geometry": {"x": POINTS, "tri": np.array([[0, 2, 1]])}}, "nodes and cells"),
        ({"geometry": {"x": POINTS, "line3": np.array([[0, 1, 2]])}}, "nodes and cells"),
        ({"attributes": {"channels": ["a"], "viscosity": 0.2}}, "viscosity"),
    ],
)
def test_trajectories_of_another_call_are_refused_and_stay(tmp_path, changed, named):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.nc", Solver(stop=3))
    before = sorted(entry.name for entry in (tmp_path / "a.nc.parts").iterdir())
    with pytest.raises(ValueError, match=f"a call that differs in {named}: repeat that call, or delete"):
        write(tmp_path / "a.nc", Solver(), **changed)
    assert before == sorted(entry.name for entry in (tmp_path / "a.nc.parts").iterdir())
    assert not (tmp_path / "a.nc").exists()
