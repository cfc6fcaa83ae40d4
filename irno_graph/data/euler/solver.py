"""Driver of the compressible Euler solver: batches of trajectories, snapshots at given times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from irno_graph.data.euler import GAMMA


class BreakdownError(FloatingPointError):
    """Density or pressure of some trajectories did not stay positive.

    Attributes:
        indices: which trajectories of the batch.
    """

    def __init__(self, message: str, indices: Sequence[int]) -> None:
        super().__init__(message)
        self.indices = tuple(indices)


def to_conserved(primitive: np.ndarray) -> np.ndarray:
    """Density, momenta and energy from density, velocities and pressure, [..., 4, nx, ny] -> same shape.

    E = p / (gamma - 1) + rho |v|^2 / 2. Averages are treated as point values, which is second order in dx.
    """
    density, vx, vy, pressure = np.moveaxis(np.asarray(primitive, dtype=np.float64), -3, 0)
    energy = pressure / (GAMMA - 1) + 0.5 * density * (vx**2 + vy**2)
    return np.stack([density, density * vx, density * vy, energy], axis=-3)


def to_primitive(conserved: np.ndarray) -> np.ndarray:
    """Density, velocities and pressure from density, momenta and energy; the inverse of `to_conserved`."""
    density, mx, my, energy = np.moveaxis(np.asarray(conserved, dtype=np.float64), -3, 0)
    pressure = (GAMMA - 1) * (energy - 0.5 * (mx**2 + my**2) / density)
    return np.stack([density, mx / density, my / density, pressure], axis=-3)


def solve(
    initial: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    extent: tuple[float, float] = (1.0, 1.0),
    cfl: float = 1.4,
    threads: int | None = None,
) -> np.ndarray:
    """March periodic Euler flows from t = 0 and return their primitives at `times`.

        U_t + F(U)_x + G(U)_y = 0,  U = (rho, rho vx, rho vy, E),  gamma = 1.4

    Finite volumes on a uniform grid: WENO5-Z on the primitives dimension by dimension, HLLC fluxes, SSP-RK3
    with dt = cfl / max((|vx| + c) / dx + (|vy| + c) / dy), shortened so that steps land on `times`. Smooth
    flows converge at order two (mid-point fluxes) with a small constant. Values at faces are limited where
    density and pressure would not stay positive otherwise, and such a step is taken again with half the time
    if need be. Every trajectory has its own time step and one thread computes it, so its result depends
    neither on its companions nor on `threads`.

    Args:
        initial: primitives (rho, vx, vy, p) at t = 0, [trajectories, 4, nx, ny]; axis 2 is x, axis 3 is y,
            the cell centres are at (i + 1/2) dx, (j + 1/2) dy.
        times: increasing, not negative.
        extent: lengths of the box along x and y.
        cfl: 1.4 is near the linear stability limit and serves smooth flows; take 0.7 for shocks.
        threads: the number of worker threads; default: the CPUs this process may use.

    Returns:
        Primitives [trajectories, times, 4, nx, ny], float64 (at t = 0 a copy of `initial`).

    Raises:
        ValueError: for input of the wrong shape or sign.
        BreakdownError: a FloatingPointError, when density or pressure stops being positive all the same.
        ImportError: when numba is missing.
    """
    initial = np.asarray(initial, dtype=np.float64)
    moments = np.asarray(times, dtype=np.float64)
    _check(initial, moments, extent, cfl, threads)
    from irno_graph.data.euler import kernels  # compiled on first use

    spacing = (extent[0] / initial.shape[2], extent[1] / initial.shape[3])
    result = np.empty((len(initial), len(moments), *initial.shape[1:]))

    def run(index: int) -> None:
        state, now = np.ascontiguousarray(to_conserved(initial[index])), 0.0
        for place, moment in enumerate(moments):
            if kernels.march(state, moment - now, *spacing, cfl) < 0:
                result[index, place:] = np.nan  # reported below
                return
            result[index, place] = initial[index] if moment == 0 else to_primitive(state)
            now = moment

    workers = min(threads or _available_cpus(), max(1, len(initial)))
    if workers == 1:
        for index in range(len(initial)):
            run(index)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, range(len(initial))))
    healthy = np.isfinite(result).all(axis=(1, 2, 3, 4)) & (result[:, :, [0, 3]] > 0).all(axis=(1, 2, 3, 4))
    if not healthy.all():
        lost = np.flatnonzero(~healthy).tolist()
        raise BreakdownError(
            f"density and pressure should stay positive, trajectories {lost[:8]} lost it: "
            f"lower `cfl` (now {cfl}) or refine the grid.",
            lost,
        )
    return result


def _available_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(
    initial: np.ndarray, times: np.ndarray, extent: tuple[float, float], cfl: float, threads: int | None
) -> None:
    if initial.ndim != 4 or initial.shape[1] != 4 or min(initial.shape[2:]) < 4:
        raise ValueError(
            f"`initial` should have shape [trajectories, 4, nx >= 4, ny >= 4], got {list(initial.shape)}: "
            "stack rho, vx, vy, p on axis 1."
        )
    if not (np.isfinite(initial).all() and (initial[:, [0, 3]] > 0).all()):
        raise ValueError(
            "`initial` should be finite with positive density and pressure, got values that are not: "
            "pass primitives (rho, vx, vy, p)."
        )
    if (
        times.ndim != 1
        or not len(times)
        or not np.isfinite(times).all()
        or times[0] < 0
        or (np.diff(times) <= 0).any()
    ):
        raise ValueError(
            f"`times` should be increasing and >= 0, got {times.tolist()}: sort them from t = 0 on."
        )
    if len(extent) != 2 or not all(np.isfinite(length) and length > 0 for length in extent):
        raise ValueError(
            f"`extent` should be two positive lengths, got {extent}: pass for example (1.0, 1.0)."
        )
    if not 0 < cfl <= 2:
        raise ValueError(f"`cfl` should be in (0, 2], got {cfl}: 1.4 is the default.")
    if threads is not None and threads < 1:
        raise ValueError(f"`threads` should be positive, got {threads}: leave it out to use all CPUs.")
