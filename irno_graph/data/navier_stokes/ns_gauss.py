"""NS-Gauss: incompressible flows from CE-Gauss's vortices, at the nodes of one mesh, in RIGNO's layout."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from irno_graph.data.blocks import write_in_blocks
from irno_graph.data.ce_gauss import snapshot_times
from irno_graph.data.euler.initial import draw_vortices
from irno_graph.data.flows import trajectory_seeds
from irno_graph.data.navier_stokes.spectral import STRENGTH, FourierSampler, PeriodicFlow, vorticity_modes
from irno_graph.data.points import sample_points


def sample_trajectories(
    seeds: Sequence[int] | np.ndarray,
    points: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    solver_res: int = 128,
    viscosity: float | None = None,
    tracer: bool = False,
    time_step: float | None = None,
) -> np.ndarray:
    """Solve NS-Gauss for these trajectory seeds and sample it at `points`.

    The flow starts from the vorticity that CE-Gauss has for the same seed, truncated to the solver's modes. Values at
    points are the trigonometric sums themselves, so velocities stay free of divergence.

    Args:
        seeds: `[trajectories]`, those of `irno_graph.data.flows.trajectory_seeds`.
        points: `[points, 2]` in the unit square.
        times: increasing, not negative.
        solver_res: modes along each side.
        viscosity: kinematic; default: the published spectral viscosity (`PeriodicFlow`).
        tracer: add a passive tracer that starts as (1 - cos(2 pi x)) / 2 and is damped as the vorticity is.
        time_step: longest step; default: by the speed of the flow (`PeriodicFlow.solve`).

    Returns:
        Channels u, v and the tracer `[trajectories, times, points, 2 or 3]`, float32.

    Raises:
        ValueError: for an argument out of its range.
        FloatingPointError: naming the seed of a flow that does not stay finite.
    """
    flow = PeriodicFlow(solver_res, viscosity=viscosity)
    if time_step is not None and not (math.isfinite(time_step) and time_step > 0):
        raise ValueError(f"`time_step` should be positive, got {time_step}: leave it out for the default.")
    sample = FourierSampler(points, flow)
    result = np.empty((len(seeds), len(times), len(points), 3 if tracer else 2), dtype=np.float32)
    with threadpool_limits(1, user_api="blas"):
        for seed, sampled in zip(seeds, result, strict=True):
            start = initial_modes(flow, int(seed), tracer=tracer)
            try:
                for state, values in zip(flow.solve(start, times, time_step=time_step), sampled, strict=True):
                    values[:] = sample(np.concatenate([flow.velocity(state), state[1:]])).T
            except FloatingPointError as error:
                raise FloatingPointError(f"NS-Gauss, trajectory seed {seed}: {error}") from error
    return result


def initial_modes(flow: PeriodicFlow, seed: int, *, tracer: bool = False) -> np.ndarray:
    """The state `[1 or 2, size, size // 2 + 1]` at t = 0 of the trajectory with this seed."""
    state = np.zeros((2 if tracer else 1, *flow.damping.shape), dtype=complex)
    state[0] = vorticity_modes(flow, draw_vortices(seed))
    if tracer:
        state[1, 0, 0], state[1, [1, -1], 0] = 0.5, -0.25
    return state


def generate(
    path: str | os.PathLike[str],
    *,
    trajectories: int,
    nodes: int = 1024,
    points: str = "mesh",
    solver_res: int = 128,
    viscosity: float | None = None,
    tracer: bool = False,
    seed: int = 0,
    mesh_seed: int | None = None,
    save_every: float = 0.1,
    final_time: float = 0.7,
    time_step: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Generate a file of NS-Gauss; it appears at `path` only when complete.

    The HDF5 file holds `u` [trajectories, times, nodes, 2 or 3] float32 (u, v, tracer), `x` [1, 1, nodes, 2], `t`
    [times], periodic triangles `tri` [triangles, 3], the `seed` [trajectories] of each trajectory, and attributes that
    say how it was made. Trajectory i has the seed and the initial vorticity of trajectory i of CE-Gauss. Finished ones
    are kept in the folder `PATH.parts`: after an interruption the same call goes on.

    Args:
        path: file to write.
        trajectories: how many.
        nodes: number of sample points.
        points: `mesh`, `random`, `grid` or `subsample`, see `sample_points`.
        solver_res: modes along each side; 128 as published.
        viscosity: kinematic; default: the published spectral viscosity.
        tracer: add the tracer of `sample_trajectories`.
        seed: base seed of the trajectories.
        mesh_seed: seed of the points; default: `seed`.
        save_every: time between snapshots, the first one is at t = 0.
        final_time: time of the last snapshot, a multiple of `save_every`.
        time_step: longest step; default: by the speed of the flow.
        progress: called as progress(done, total) after every trajectory.

    Raises:
        ValueError: for an argument out of its range, or `PATH.parts` of another call.
        FloatingPointError: naming the seed of a flow that does not stay finite.
    """
    if trajectories < 1:
        raise ValueError(f"`trajectories` should be at least 1, got {trajectories}: raise it.")
    options: dict[str, Any] = {
        "solver_res": solver_res, "viscosity": viscosity, "tracer": tracer, "time_step": time_step,
    }  # fmt: skip
    times = snapshot_times(save_every, final_time)
    sample_trajectories([], np.zeros((0, 2)), times, **options)  # refuses bad options before the first flow
    mesh_seed = seed if mesh_seed is None else mesh_seed
    seeds = trajectory_seeds(seed, trajectories)
    positions, triangles = sample_points(points, nodes, solver_res=solver_res, seed=mesh_seed)
    damping = f"spectral, {STRENGTH:g} / N beyond sqrt(N)" if viscosity is None else float(viscosity)
    attributes: dict[str, Any] = {
        "title": "NS-Gauss", "flow": "ns-gauss", "channels": ["u", "v", "tracer"][: 2 + tracer],
        "period": [1.0, 1.0], "generator": "irno_graph.data.navier_stokes", "points": points,
        "base_seed": seed, "mesh_seed": mesh_seed, "solver_res": solver_res, "viscosity": damping,
        "time_step": "by the speed" if time_step is None else float(time_step),
        "scheme": "Fourier modes of the vorticity, 2/3 rule, integrating-factor RK4, float64",
        "sampling": "trigonometric sums", "axes": "x[..., 0] is x, x[..., 1] is y",
    }  # fmt: skip
    return write_in_blocks(
        path,
        lambda part: sample_trajectories(part, positions, times, **options),
        seeds=seeds,
        times=times,
        geometry={"x": positions, "tri": triangles.astype(np.int32)},
        attributes=attributes,
        batch=1,
        progress=progress,
    )
