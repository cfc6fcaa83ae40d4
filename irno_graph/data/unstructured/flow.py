"""CE-Gauss between walls: how trajectories start and are solved on a domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irno_graph.data.euler.initial import DENSITY, PRESSURE
from irno_graph.data.unstructured.domain import Domain
from irno_graph.data.unstructured.geometry import MedianDual
from irno_graph.data.unstructured.initial import (
    WIDEST,
    StreamFunction,
    check_widths,
    initial_state,
    placed_vortices,
    vorticity,
)
from irno_graph.data.unstructured.solver import CFL, solve


@dataclass(frozen=True)
class Flow:
    """How trajectories start and are solved.

    Args:
        narrowest: least width of the vortices; CE-Gauss has 0.01, which coarse meshes do not resolve.
        fine: how often each triangle is split in four for the solver.
        limited: whether slopes are limited (van Albada).
        cfl: Courant number.

    Raises:
        ValueError: if `fine` is not in 0 ... 4, or `narrowest` not in (0, 0.1].
    """

    narrowest: float = 0.03
    fine: int = 0
    limited: bool = False
    cfl: float = CFL

    def __post_init__(self) -> None:
        check_widths(self.narrowest, WIDEST)
        if not 0 <= self.fine <= 4:
            raise ValueError(f"`fine` should be in 0 ... 4, got {self.fine}: 1 has four times the triangles.")


class Solver:
    """Trajectories from seeds on one domain; meshes and factors are made on the first call.

    Args:
        domain: whose nodes are written.
        flow: how trajectories start and are solved.
        times: of the snapshots.
        threads: how many.
    """

    def __init__(self, domain: Domain, flow: Flow, times: np.ndarray, *, threads: int = 1) -> None:
        self.flow, self.times, self.threads = flow, times, threads
        for _ in range(flow.fine):
            domain = domain.refined()
        self.domain, self.place = domain.ordered()
        self.dual = MedianDual.of(self.domain.mesh, wall=self.domain.wall)
        self.stream = StreamFunction(self.domain.mesh, self.dual)

    def states(self, seeds: np.ndarray, nodes: int) -> np.ndarray:
        """Primitives of these trajectories at the first `nodes` nodes `[trajectories, times, nodes, 4]`."""
        mesh = self.domain.mesh
        drawn = [placed_vortices(int(seed), mesh, narrowest=self.flow.narrowest) for seed in seeds]
        start = [initial_state(self.stream, vorticity(one, mesh.points, mesh.period)) for one in drawn]
        states = solve(
            np.stack(start),
            self.times,
            self.dual,
            cfl=self.flow.cfl,
            limited=self.flow.limited,
            free=(DENSITY, 0.0, 0.0, PRESSURE),
            threads=self.threads,
            seeds=seeds,
        )
        return np.asarray(states[:, :, self.place[:nodes]])
