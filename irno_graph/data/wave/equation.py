"""The semi-discrete wave equation and leap-frog in the form of Störmer and Verlet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, diags_array

from irno_graph.graph import Graph
from irno_graph.spectral.laplacian import laplacian
from irno_graph.spectral.recurrence import eigenvalue_bound

SAFETY = 0.9  # of the stability limit


@dataclass(frozen=True, eq=False)
class WaveEquation:
    """M u_tt = -c^2 K u at the nodes, u = 0 at fixed ones: u_tt = c^2 lap u with natural boundaries elsewhere.

    K is `irno_graph.spectral.laplacian` and M the diagonal of the graph's masses. The speed c may vary from node to
    node. Fields are `[nodes, trajectories]`; a trajectory's values do not depend on the others.

    Attributes:
        stiffness: K `[nodes, nodes]`.
        mass: diagonal of M `[nodes]`.
        fixed: whether u = 0 at a node `[nodes]`.
        bound: at least the largest eigenvalue of M^-1 K.
    """

    stiffness: csr_array
    mass: np.ndarray
    fixed: np.ndarray
    bound: float

    @classmethod
    def of(cls, graph: Graph, fixed: np.ndarray | None = None) -> WaveEquation:
        """The equation on a graph.

        Raises:
            ValueError: if `fixed` is not boolean `[nodes]`, or holds every node.
        """
        mass = graph.mass.cpu().numpy()
        held = np.zeros(len(mass), dtype=bool) if fixed is None else np.asarray(fixed)
        if held.dtype != bool or held.shape != mass.shape:
            raise ValueError(
                f"`fixed` should be boolean with shape [{len(mass)}], got {held.dtype} {list(held.shape)}."
            )
        if held.all():
            raise ValueError("`fixed` should leave some nodes free, got all of them: choose fewer tags.")
        stiffness = laplacian(graph)
        scale = diags_array(1 / np.sqrt(mass))
        return cls(stiffness, mass, held, eigenvalue_bound(csr_array(scale @ stiffness @ scale)))

    def stable_step(self, speed: float) -> float:
        """2 / (c sqrt(bound)), above which leap-frog grows, for the largest speed c."""
        return 2 / (speed * math.sqrt(self.bound))

    def steps(self, interval: float, speed: float, *, time_step: float | None = None) -> int:
        """Number of equal steps in `interval` that are stable for the largest speed; fewest at 0.9 of the limit.

        Raises:
            ValueError: if `time_step` does not divide `interval` or is not below the limit.
        """
        limit = self.stable_step(speed)
        if time_step is None:
            return max(1, math.ceil(interval / (SAFETY * limit)))
        if not 0 < time_step < limit:
            raise ValueError(
                f"`time_step` should be positive and below the stability limit {limit:.3g}, got {time_step}: lower it, "
                "or leave it out."
            )
        count = round(interval / time_step)
        if count < 1 or abs(count * time_step - interval) > 1e-9 * interval:
            raise ValueError(
                f"`time_step` should divide the time between snapshots, {interval:g}, got {time_step}: try "
                f"{interval / math.ceil(interval / time_step):.6g}."
            )
        return count

    def acceleration(self, u: np.ndarray, speed: np.ndarray | float) -> np.ndarray:
        """-c^2 M^-1 K u `[nodes, trajectories]`, 0 at fixed nodes; `speed` broadcasts to that shape."""
        found: np.ndarray = self.stiffness @ u
        found *= -np.square(speed) / self.mass[:, None]
        found[self.fixed] = 0.0
        return found

    def march(
        self, u: np.ndarray, v: np.ndarray, *, speed: np.ndarray | float, time_step: float, steps: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """u and v = u_t after every `steps` steps, without end; both should be 0 at fixed nodes.

        v at half steps is v + dt/2 a(u); u moves by dt of it; then v moves by dt/2 a of the new u.
        """
        u, v = u.copy(), v.copy()
        kick = 0.5 * time_step * self.acceleration(u, speed)
        while True:
            for _ in range(steps):
                v += kick
                u += time_step * v
                kick = 0.5 * time_step * self.acceleration(u, speed)
                v += kick
            yield u.copy(), v.copy()

    def energy(
        self, u: np.ndarray, v: np.ndarray, *, speed: np.ndarray | float, time_step: float
    ) -> np.ndarray:
        """What leap-frog keeps `[trajectories]`: (v.Wv + u.Ku - dt^2/4 Ku.W^-1 Ku) / 2, W = M / c^2.

        It is positive below the stability limit, and the energy where dt = 0.
        """
        weight = np.broadcast_to(self.mass[:, None] / np.square(speed), u.shape)
        force = self.stiffness @ u
        force[self.fixed] = 0.0
        kinetic, potential = weight * v**2, u * force - 0.25 * time_step**2 * force**2 / weight
        total: np.ndarray = 0.5 * (kinetic + potential).sum(axis=0)
        return total
