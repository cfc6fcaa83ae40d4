"""Driver of the node-centred Euler solver: trajectories on one mesh, snapshots at given times."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from irno_graph.data.euler.solver import BreakdownError, to_conserved
from irno_graph.data.unstructured.geometry import MedianDual

CFL = 1.5
MOST_CFL = 2.0
CALL = 32  # time steps between two looks at Python


class LostPositivityError(BreakdownError, ValueError):
    """Density or pressure did not stay positive; `indices` says in which trajectories."""


class Stencil(NamedTuple):
    """What the kernels need of a `MedianDual`."""

    first: np.ndarray
    neighbour: np.ndarray
    weight: np.ndarray
    edges: np.ndarray
    offset: np.ndarray
    unit: np.ndarray
    length: np.ndarray
    volume: np.ndarray
    reach: np.ndarray
    sides: np.ndarray
    half: np.ndarray
    wall: np.ndarray

    @classmethod
    def of(cls, dual: MedianDual) -> Stencil:
        """Slopes and faces of a dual."""
        length = np.linalg.norm(dual.normal, axis=1)
        unit = dual.normal / length[:, None]
        sizes = dual.volume, dual.reach(), dual.sides, dual.half, dual.wall
        return cls(*dual.slopes(), dual.edges, dual.offset, unit, length, *sizes)


def solve(
    initial: np.ndarray,
    times: Sequence[float] | np.ndarray,
    dual: MedianDual,
    *,
    cfl: float = CFL,
    limited: bool = False,
    free: Sequence[float] | np.ndarray | None = None,
    threads: int = 1,
    seeds: Sequence[int] | np.ndarray | None = None,
) -> np.ndarray:
    """March Euler flows on a triangle mesh from t = 0 and return their primitives at `times`.

        d/dt of the integral of U over a node's area = - sum over its faces of the flux through them,
        U = (rho, rho vx, rho vy, E), gamma = 1.4

    Least-squares slopes of the primitives, U-MUSCL with kappa = 1/3, HLLC fluxes, SSP-RK3: smooth flows converge at
    order two. Walls let nothing through but pressure acts on them. A trajectory has its own time step, cfl / max over
    nodes of (|vx| r_x + |vy| r_y + c r) with `MedianDual.reach`, shortened so that steps land on `times`: its result
    does not depend on its companions nor on `threads`, to the last bit.

    Args:
        initial: primitives (rho, vx, vy, p) at t = 0, `[trajectories, nodes, 4]`.
        times: increasing, not negative.
        dual: of the mesh.
        cfl: at most 2.
        limited: whether slopes are limited (van Albada), for flows with shocks.
        free: state (rho, vx, vy, p) far outside of open sides.
        threads: how many; each takes 16 trajectories at once.
        seeds: names of the trajectories in errors `[trajectories]`; default: their numbers.

    Returns:
        Primitives `[trajectories, times, nodes, 4]`, float64 (at t = 0 a copy of `initial`).

    Raises:
        ValueError: for input of the wrong shape or sign, or without `free` where a side is open.
        LostPositivityError: a ValueError that names seed and time, when density or pressure stops being positive.
        ImportError: when numba is missing.
    """
    initial, moments = np.asarray(initial, dtype=np.float64), np.asarray(times, dtype=np.float64)
    _check(initial, moments, dual, cfl, threads)
    if free is None and not dual.wall.all():
        raise ValueError("`free` should be the state (rho, vx, vy, p) outside of the open sides, got None.")
    outside = np.asarray((1.0, 0.0, 0.0, 1.0) if free is None else free, dtype=np.float64)
    _check_free(outside)
    names = np.arange(len(initial)) if seeds is None else np.asarray(seeds)
    from irno_graph.data.unstructured.kernels import LANES  # compiled on first use

    result = np.empty((len(initial), len(moments), *initial.shape[1:]))
    skip = int(moments[0] == 0)
    result[:, :skip] = initial[:, None]
    stencil = Stencil.of(dual)

    def run(start: int) -> list[tuple[int, float]]:
        part = slice(start, start + LANES)
        if len(moments) == skip:
            return []
        lost = _march(initial[part], moments[skip:], result[part, skip:], stencil, cfl, limited, outside)
        return [(start + lane, time) for lane, time in lost]

    with ThreadPoolExecutor(threads) as pool:
        lost = [entry for found in pool.map(run, range(0, len(initial), LANES)) for entry in found]
    if lost:
        what = ", ".join(f"seed {names[index]} at t = {time:.6g}" for index, time in lost[:8])
        raise LostPositivityError(
            f"density and pressure should stay positive, lost for {what}: lower `cfl` (now {cfl}), refine the mesh or "
            "limit the slopes.",
            [index for index, _ in lost],
        )
    return result


def _march(
    initial: np.ndarray,
    times: np.ndarray,
    result: np.ndarray,
    stencil: Stencil,
    cfl: float,
    limited: bool,
    free: np.ndarray,
) -> list[tuple[int, float]]:
    """Fill `result` [lanes, times, nodes, 4]; lanes that lost positivity, and when. Lanes that are missing rest."""
    from irno_graph.data.unstructured.kernels import LANES, march

    count = len(initial)
    lanes = np.minimum(np.arange(LANES), count - 1)
    primitive = initial[lanes].transpose(2, 1, 0)  # [4, nodes, LANES]
    conserved = np.ascontiguousarray(to_conserved(primitive).transpose(1, 0, 2)).ravel()
    now, place = np.zeros(LANES), np.zeros(LANES, dtype=np.int64)
    place[count:] = len(times)
    while march(conserved, now, place, times, result, stencil, cfl, limited, free, CALL):
        pass
    return [(int(lane), float(now[lane])) for lane in np.flatnonzero(place < 0)]


def _check(initial: np.ndarray, times: np.ndarray, dual: MedianDual, cfl: float, threads: int) -> None:
    nodes = len(dual.points)
    if initial.ndim != 3 or not len(initial) or initial.shape[1:] != (nodes, 4):
        raise ValueError(
            f"`initial` should have shape [trajectories, nodes={nodes}, 4], got {list(initial.shape)}: stack rho, vx, "
            "vy, p on the last axis."
        )
    if not (np.isfinite(initial).all() and (initial[..., [0, 3]] > 0).all()):
        raise ValueError(
            "`initial` should be finite with positive density and pressure, got values that are not: pass primitives "
            "(rho, vx, vy, p)."
        )
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or times[0] < 0:
        raise ValueError(f"`times` should be finite and >= 0, got {times.tolist()}.")
    if (np.diff(times) <= 0).any():
        raise ValueError(f"`times` should increase, got {times.tolist()}: sort them.")
    if not 0 < cfl <= MOST_CFL:
        raise ValueError(f"`cfl` should be in (0, {MOST_CFL:g}], got {cfl}: {CFL:g} is the default.")
    if threads < 1:
        raise ValueError(f"`threads` should be at least 1, got {threads}.")


def _check_free(free: np.ndarray) -> None:
    if free.shape != (4,) or not np.isfinite(free).all() or not (free[[0, 3]] > 0).all():
        raise ValueError(
            f"`free` should be finite (rho, vx, vy, p) with positive density and pressure, got {free.tolist()}."
        )
