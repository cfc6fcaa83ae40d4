"""The CE-Gauss data set: compressible Euler flows from random Gaussian vortices, at the nodes of one mesh.

Definition (Poseidon, appendix B): unit periodic square, gamma = 1.4, rho = 0.1, p = 2.5, velocity of 100
vortices (see `irno_graph.data.euler.initial`). The file has RIGNO's layout, so one reader serves generated
and published data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from irno_graph.data.euler import GAMMA
from irno_graph.data.euler.initial import draw_vortices, initial_state
from irno_graph.data.euler.solver import solve
from irno_graph.data.euler.spline import PeriodicSpline
from irno_graph.files import atomic_path
from irno_graph.mesh import periodic_box, periodic_delaunay

CHANNELS = ("rho", "vx", "vy", "p", "E")
POINT_KINDS = ("mesh", "random", "grid", "subsample")
CFL = 1.4


def trajectory_seeds(seed: int, count: int) -> np.ndarray:
    """Positive 63-bit seeds [count] of trajectories 0 ... count - 1 of the base seed.

    Seed i depends on (seed, i) alone, so a longer set begins with the shorter one, and it is a hash of the
    pair, so sets of different base seeds share no trajectory.

    >>> trajectory_seeds(0, 3)[:2].tolist() == trajectory_seeds(0, 2).tolist()
    True
    """
    _check_seed("seed", seed)
    if count < 0:
        raise ValueError(f"`count` should not be negative, got {count}: pass the number of trajectories.")
    words = [np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0] for index in range(count)]
    return np.array([max(1, int(word) >> 1) for word in words], dtype=np.int64)


def sample_points(
    kind: str, nodes: int, *, solver_res: int = 128, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Points [nodes, 2] in the unit square and periodic triangles [2 nodes, 3] over them.

    Args:
        kind: `mesh` (relaxed random points), `random` (uniform), `grid` (n x n cell centres, n^2 = nodes, at
            ((i + 1/2) / n, (j + 1/2) / n)) or `subsample` (random cell centres of the solver's grid).
        nodes: how many, at least 16; a square number for `grid`.
        solver_res: cells along each side of the solver's grid, for `subsample`.
        seed: of the points.

    Raises:
        ValueError: for another kind, or a number of nodes that the kind does not allow.
    """
    if kind not in POINT_KINDS:
        raise ValueError(
            f"`points` should be one of {', '.join(POINT_KINDS)}, got '{kind}': pick one of these."
        )
    if nodes < 16:
        raise ValueError(f"`nodes` should be at least 16, got {nodes}: 1024 is the default.")
    _check_seed("mesh_seed", seed)
    if kind == "mesh":
        mesh = periodic_box(nodes, seed=seed)
        return mesh.points, np.asarray(mesh.cells[0][1])
    if kind == "grid":
        return _grid(nodes)
    generator = np.random.default_rng(seed)
    if kind == "random":
        points = generator.uniform(0.0, 1.0, (nodes, 2))
    else:
        if nodes > solver_res**2:
            raise ValueError(
                f"`nodes` should be at most solver_res^2 = {solver_res**2} for points='subsample', "
                f"got {nodes}: lower it or raise `solver_res`."
            )
        cells = generator.choice(solver_res**2, nodes, replace=False)
        points = (np.stack([cells // solver_res, cells % solver_res], axis=-1) + 0.5) / solver_res
    return points, np.asarray(periodic_delaunay(points, (1.0, 1.0)))


def sample_trajectories(
    seeds: Sequence[int] | np.ndarray,
    points: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    solver_res: int = 128,
    cfl: float = CFL,
    threads: int | None = None,
) -> np.ndarray:
    """Solve CE-Gauss for these trajectory seeds and sample it at `points`.

    The flow is computed on solver_res x solver_res cells (`euler.solver.solve`). Its fields (rho, vx, vy, p)
    are interpolated by periodic splines of order five, which keep the values at cell centres; the energy at
    the points is E = p / (gamma - 1) + rho |v|^2 / 2.

    Returns:
        Channels rho, vx, vy, p, E as [trajectories, times, points, 5], float32.
    """
    initial = np.stack([initial_state(draw_vortices(int(seed)), solver_res) for seed in seeds])
    flows = solve(
        initial, times, cfl=cfl, threads=threads
    )  # [trajectories, times, 4, solver_res, solver_res]
    spline = PeriodicSpline(points, solver_res)
    result = np.empty((len(flows), len(times), len(points), len(CHANNELS)), dtype=np.float32)
    for flow, sampled in zip(flows, result, strict=True):
        rho, vx, vy, p = np.moveaxis(spline(flow), 1, 0)  # each [times, points]
        sampled[:] = np.stack([rho, vx, vy, p, p / (GAMMA - 1) + 0.5 * rho * (vx**2 + vy**2)], axis=-1)
    return result


def generate(
    path: str | os.PathLike[str],
    *,
    trajectories: int,
    nodes: int = 1024,
    points: str = "mesh",
    solver_res: int = 128,
    seed: int = 0,
    mesh_seed: int | None = None,
    save_every: float = 0.1,
    final_time: float = 0.7,
    batch: int = 16,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Generate a CE-Gauss file; it appears at `path` only when complete.

    The HDF5 file holds `u` [trajectories, times, nodes, 5] float32 (rho, vx, vy, p, E), `x` [1, 1, nodes, 2],
    `t` [times], periodic triangles `tri` [triangles, 3], the `seed` [trajectories] of each trajectory, and
    attributes that say how it was made. Its data depend neither on `batch` nor on `threads`.

    Args:
        path: file to write.
        trajectories: how many.
        nodes: number of sample points.
        points: `mesh`, `random`, `grid` or `subsample`, see `sample_points`.
        solver_res: cells along each side of the solver's grid (64 is fast, 128 good, 256 faithful).
        seed: base seed of the trajectories.
        mesh_seed: seed of the points; default: `seed`.
        save_every: time between snapshots, the first one is at t = 0.
        final_time: time of the last snapshot, a multiple of `save_every`.
        batch: trajectories in memory at once.
        threads: worker threads; default: the CPUs this process may use.
        progress: called as progress(done, total) after every batch.

    Raises:
        ValueError: for an argument out of its range.
        ImportError: when numba is missing.
    """
    for name, value, least in (
        ("trajectories", trajectories, 1),
        ("batch", batch, 1),
        ("solver_res", solver_res, 16),
    ):
        if value < least:
            raise ValueError(f"`{name}` should be at least {least}, got {value}: raise it.")
    times = snapshot_times(save_every, final_time)
    seeds = trajectory_seeds(seed, trajectories)
    mesh_seed = seed if mesh_seed is None else mesh_seed
    positions, triangles = sample_points(points, nodes, solver_res=solver_res, seed=mesh_seed)
    attributes: dict[str, Any] = {
        "title": "CE-Gauss", "channels": list(CHANNELS), "period": [1.0, 1.0], "gamma": GAMMA,
        "generator": "irno_graph.data.ce_gauss", "version": _version(), "points": points, "base_seed": seed,
        "mesh_seed": mesh_seed, "scheme": "finite volumes, WENO5-Z on primitives, HLLC, SSP-RK3, float64",
        "solver_res": solver_res, "cfl": CFL, "sampling": "periodic B-spline of order 5",
        "axes": "x[..., 0] is x, x[..., 1] is y; solver cell centres are at (i + 1/2) / solver_res",
    }  # fmt: skip
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes)
        file["x"], file["t"] = positions[None, None], times
        file["tri"], file["seed"] = triangles.astype(np.int32), seeds
        shape = (len(times), nodes, len(CHANNELS))
        u = file.create_dataset("u", (trajectories, *shape), dtype=np.float32, chunks=(1, *shape))
        for first in range(0, trajectories, batch):
            part = slice(first, min(first + batch, trajectories))
            u[part] = sample_trajectories(
                seeds[part], positions, times, solver_res=solver_res, threads=threads
            )
            if progress is not None:
                progress(part.stop, trajectories)
    return Path(path)


def _grid(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    side = math.isqrt(nodes)
    if side * side != nodes:
        raise ValueError(
            f"`nodes` should be a square number for points='grid', got {nodes}: "
            f"take {side**2} or {(side + 1) ** 2}."
        )
    i, j = (axis.ravel() for axis in np.indices((side, side)))
    east, north = (i + 1) % side, (j + 1) % side
    here, right, across, above = i * side + j, east * side + j, east * side + north, i * side + north
    triangles = np.concatenate([np.stack([here, right, across], -1), np.stack([here, across, above], -1)])
    return (np.stack([i, j], axis=-1) + 0.5) / side, triangles


def snapshot_times(save_every: float, final_time: float) -> np.ndarray:
    """Times 0, save_every, ..., final_time of the snapshots `[times]`.

    Raises:
        ValueError: if `final_time` is not a multiple of `save_every`, or one of them is not positive.
    """
    if not save_every > 0 or not final_time > 0:
        raise ValueError(
            f"`save_every` and `final_time` should be positive, got {save_every} and {final_time}: "
            "try 0.1 and 0.7."
        )
    intervals = round(final_time / save_every)
    if intervals < 1 or abs(intervals * save_every - final_time) > 1e-9 * final_time:
        raise ValueError(
            f"`final_time` should be a multiple of `save_every` = {save_every}, got {final_time}: "
            "change one of them."
        )
    return np.round(np.arange(intervals + 1) * save_every, 12)


def _check_seed(name: str, seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"`{name}` should be in [0, 2^32), got {seed}: pick a smaller one that is not negative."
        )


def _version() -> str:
    try:
        return metadata.version("irno-graph")
    except metadata.PackageNotFoundError:
        return "unknown"
