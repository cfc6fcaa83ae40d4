"""Data sets of compressible Euler flows, CE-Gauss and its sisters, at the nodes of one mesh.

All are periodic flows on the unit square with gamma = 1.4 (Poseidon, appendix B) and differ in their initial
data alone, see `irno_graph.data.flows`. A file has RIGNO's layout, so one reader serves generated and published data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irno_graph.data.blocks import write_in_blocks
from irno_graph.data.euler import GAMMA
from irno_graph.data.euler.solver import BreakdownError, solve
from irno_graph.data.euler.spline import PeriodicLinear, PeriodicSpline
from irno_graph.data.flows import DEFAULT, choose_modes, find_flow, trajectory_seeds
from irno_graph.data.points import sample_points

__all__ = [
    "CHANNELS",
    "generate",
    "sample_points",
    "sample_trajectories",
    "snapshot_times",
    "trajectory_seeds",
]

CHANNELS = ("rho", "vx", "vy", "p", "E")


def sample_trajectories(
    seeds: Sequence[int] | np.ndarray,
    points: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    flow: str = DEFAULT,
    modes: int | None = None,
    solver_res: int = 128,
    cfl: float | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Solve a flow for these trajectory seeds and sample it at `points`.

    The flow is computed on solver_res x solver_res cells (`euler.solver.solve`). Its fields (rho, vx, vy, p)
    are interpolated by what `Flow.smooth` chooses, periodic splines of order five or bilinear functions,
    which both keep the values at cell centres; the energy at the points is
    E = p / (gamma - 1) + rho |v|^2 / 2.

    Args:
        seeds: [trajectories], see `trajectory_seeds`.
        points: [points, 2] in the unit square.
        times: increasing, not negative.
        flow: a name in `FLOWS`.
        modes: of the interfaces; default: the flow's.
        solver_res: cells along each side of the solver's grid.
        cfl: Courant number; default: the flow's.
        threads: worker threads; default: the CPUs this process may use.

    Returns:
        Channels rho, vx, vy, p, E as [trajectories, times, points, 5], float32.

    Raises:
        ValueError: for an argument out of its range.
        FloatingPointError: naming the seeds whose density or pressure does not stay positive.
    """
    kind = find_flow(flow)
    modes = choose_modes(flow, modes)
    initial = np.stack([kind.initial(int(seed), solver_res, modes) for seed in seeds])
    try:
        states = solve(initial, times, cfl=kind.cfl if cfl is None else cfl, threads=threads)
    except BreakdownError as error:
        lost = [int(seeds[index]) for index in error.indices]
        raise BreakdownError(f"{kind.title}, trajectory seeds {lost}: {error}", error.indices) from error
    sample = (PeriodicSpline if kind.smooth else PeriodicLinear)(points, solver_res)
    result = np.empty((len(states), len(times), len(points), len(CHANNELS)), dtype=np.float32)
    for state, sampled in zip(states, result, strict=True):  # state: [times, 4, solver_res, solver_res]
        rho, vx, vy, p = np.moveaxis(sample(state), 1, 0)  # each [times, points]
        sampled[:] = np.stack([rho, vx, vy, p, p / (GAMMA - 1) + 0.5 * rho * (vx**2 + vy**2)], axis=-1)
    return result


def generate(
    path: str | os.PathLike[str],
    *,
    trajectories: int,
    flow: str = DEFAULT,
    modes: int | None = None,
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
    """Generate a file of CE-Gauss or another of `irno_graph.data.flows.FLOWS`; it appears at `path` only when complete.

    The HDF5 file holds `u` [trajectories, times, nodes, 5] float32 (rho, vx, vy, p, E), `x` [1, 1, nodes, 2],
    `t` [times], periodic triangles `tri` [triangles, 3], the `seed` [trajectories] of each trajectory, and
    attributes that say how it was made. Its data depend neither on `batch` nor on `threads`. Finished trajectories are
    kept in the folder `PATH.parts` until the file is complete: after an interruption the same call goes on.

    Args:
        path: file to write.
        trajectories: how many.
        flow: a name in `FLOWS`.
        modes: of the interfaces of ce-crp, ce-kh and ce-rpui; default: the flow's.
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
        ValueError: for an argument out of its range, or `PATH.parts` of another call.
        FloatingPointError: naming the seeds whose density or pressure does not stay positive.
        ImportError: when numba is missing.
    """
    for name, value, least in (
        ("trajectories", trajectories, 1),
        ("batch", batch, 1),
        ("solver_res", solver_res, 16),
    ):
        if value < least:
            raise ValueError(f"`{name}` should be at least {least}, got {value}: raise it.")
    kind, modes = find_flow(flow), choose_modes(flow, modes)
    times = snapshot_times(save_every, final_time)
    seeds = trajectory_seeds(seed, trajectories, flow=flow)
    mesh_seed = seed if mesh_seed is None else mesh_seed
    positions, triangles = sample_points(points, nodes, solver_res=solver_res, seed=mesh_seed)
    attributes: dict[str, Any] = {
        "title": kind.title, "flow": flow, "modes": modes, "channels": list(CHANNELS),
        "period": [1.0, 1.0], "gamma": GAMMA,
        "generator": "irno_graph.data.ce_gauss", "points": points, "base_seed": seed,
        "mesh_seed": mesh_seed, "scheme": "finite volumes, WENO5-Z on primitives, HLLC, SSP-RK3, float64",
        "solver_res": solver_res, "cfl": kind.cfl, "sampling": kind.sampling,
        "axes": "x[..., 0] is x, x[..., 1] is y; solver cell centres are at (i + 1/2) / solver_res",
    }  # fmt: skip
    return write_in_blocks(
        path,
        lambda part: sample_trajectories(
            part, positions, times, flow=flow, modes=modes or None, solver_res=solver_res, threads=threads
        ),
        seeds=seeds,
        times=times,
        geometry={"x": positions, "tri": triangles.astype(np.int32)},
        attributes=attributes,
        batch=batch,
        progress=progress,
    )


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
