"""Batches of pairs (x, y) on several graphs, each batch on one graph, in an order that seed and epoch decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh


@dataclass(frozen=True)
class TrajectorySet:
    """Trajectories `states` `[n, times, nodes, channels]` on one graph, in memory."""

    graph: Graph
    states: Tensor

    def pairs(self, longest: int = 1) -> int:
        """Number of pairs of snapshots at most `longest` apart."""
        times = self.states.shape[1]
        return self.states.shape[0] * sum(times - apart for apart in range(1, min(longest, times - 1) + 1))


class Task(NamedTuple):
    """One batch to be: which set, and which of its samples `[batch]`."""

    group: int
    samples: Tensor
    seed: int


class BatchPlan(Dataset[Task]):
    """The batches of one epoch; `set_epoch` shuffles anew, the same way each time for the same epoch.

    Their number stays what the first `sizes` gave: where the sets become smaller batches of a second round follow,
    where they become larger some are left out.
    """

    def __init__(self, sizes: list[int], batch_size: int, seed: int) -> None:
        self.sizes, self.batch_size, self.seed = sizes, batch_size, seed
        self.tasks: list[Task] = []
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Plan the batches of `epoch`; incomplete batches are left out unless a set has only that one."""
        generator = np.random.default_rng((self.seed, epoch))
        count = len(self.tasks)
        tasks = self._round(generator)
        while len(tasks) < count:
            tasks += self._round(generator)
        self.tasks = tasks[: count or None]

    def _round(self, generator: np.random.Generator) -> list[Task]:
        """Every sample once, in batches."""
        tasks = []
        for group, size in enumerate(self.sizes):
            order = torch.from_numpy(generator.permutation(size))
            whole = max(size // self.batch_size, 1)
            tasks += [
                Task(group, part, int(generator.integers(2**31)))
                for part in order[: whole * self.batch_size].split(self.batch_size)
            ]
        return [tasks[i] for i in generator.permutation(len(tasks))]

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index: int) -> Task:
        return self.tasks[index]


def square_symmetries() -> list[Tensor]:
    """The 8 rotations and reflections of the square, as matrices `[2, 2]`.

    >>> len(square_symmetries())
    8
    """
    flips = [torch.tensor([[a, 0.0], [0.0, b]]) for a in (1.0, -1.0) for b in (1.0, -1.0)]
    return flips + [flip.flip(0) for flip in flips]


def turned_graph(graph: Graph, matrix: Tensor) -> Graph:
    """The graph after turning its square, periodic or the box around it, about its centre by a symmetry of it.

    Raises:
        ValueError: if the box is no square, or periodic in one axis alone.
    """
    pos, period = graph.pos.cpu(), graph.period
    low, size = pos.amin(dim=0), pos.amax(dim=0) - pos.amin(dim=0)
    if period is not None and None not in period:
        low, size = torch.zeros(2), torch.tensor(period, dtype=torch.float64)
    if (period is not None and None in period) or not torch.isclose(size[0], size[1], rtol=1e-6):
        raise ValueError(
            f"graphs that are turned in training should fill a square, got {size.tolist()} with period={period}: scale "
            "them."
        )
    centre = (low + size / 2).double()
    pos = (pos - centre) @ matrix.double().cpu().T + centre
    if period is not None:
        pos = torch.remainder(pos, size)
    face = graph.face.T.cpu().numpy()
    if torch.det(matrix) < 0:
        face = face[:, ::-1].copy()
    turned = Graph.from_mesh(Mesh(pos.numpy(), [("triangle", face)], period=graph.period))
    return turned.to(graph.pos.device)


def turned_fields(fields: Tensor, matrix: Tensor, vector: tuple[int, int]) -> Tensor:
    """`fields` `[..., channels]` with the two channels `vector` turned by `matrix`."""
    turned = fields.clone()
    turned[..., list(vector)] = fields[..., list(vector)] @ matrix.to(fields).T
    return turned
