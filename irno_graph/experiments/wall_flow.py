"""What goes through walls: the normal velocity of rollouts at the nodes of the boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.graph.walls import wall_features

CORNER = 0.9  # length of the mean of two normals at a node, below which it is a corner


class WallFlow:
    """Sums over rollouts by name; its call is the `look` of `compare_rollouts`.

    Corners are left out: they have no normal. `use` says which graph the next states are of.
    """

    def __init__(self) -> None:
        self.through: dict[str, float] = {}
        self.along = 0.0
        self.nodes, self.normals = torch.zeros(0, dtype=torch.long), torch.zeros(0, 2)

    def use(self, graph: Graph) -> None:
        """What follows is on this graph."""
        normals = wall_features(graph)[:, 2:]
        lengths = normals.norm(dim=1)
        self.nodes = ((wall_features(graph)[:, 0] == 1) & (lengths > CORNER)).nonzero().squeeze(-1)
        self.normals = (normals / lengths[:, None])[self.nodes]

    def __call__(self, rollout: str, states: Tensor, truth: Tensor) -> None:
        """Add `states` `[time_steps, samples, nodes, channels]` (rho, vx, vy, p)."""
        self._add(rollout, states)
        if rollout == "base":
            self._add("truth", truth)
            self.along += float(truth[..., self.nodes, 1:3].double().square().sum())

    def _add(self, name: str, states: Tensor) -> None:
        normal = (states[..., self.nodes, 1:3].double() * self.normals).sum(dim=-1)
        self.through[name] = self.through.get(name, 0.0) + float(normal.square().sum())

    def to_json(self) -> dict[str, float]:
        """Root mean square of the normal velocity, over that of the true velocity, both at walls."""
        return {name: (total / self.along) ** 0.5 for name, total in self.through.items()}
