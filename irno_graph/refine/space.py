"""The inner product of fields that certificates measure in: mass-weighted, per sample and per graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irno_graph.graph import Graph, graph_sum, node_graph_index
from irno_graph.graph.pyg import Batch
from irno_graph.refine.loop import over_nodes


@dataclass(frozen=True, eq=False)
class Space:
    """<u, v> = sum over nodes and channels of mass_i u_ic v_ic / units_c^2, over the mass of the graph.

    Fields are `[..., nodes, channels]`; a product is `[...]`, of a batch `[..., graphs]`, in float64.

    Attributes:
        graph: a graph or a batch of graphs.
        weight: `[nodes, channels]`, float64, positive.
    """

    graph: Graph
    weight: Tensor

    @classmethod
    def of(cls, graph: Graph, units: Tensor) -> Space:
        """With `units` `[channels]`, the sizes that count as 1."""
        mass = graph.mass.double().unsqueeze(-1)
        total = graph_sum(mass, graph)[node_graph_index(graph)[0]]  # of each node's graph
        return cls(graph, mass / total / units.double().square())

    def dot(self, u: Tensor, v: Tensor) -> Tensor:
        """<u, v>."""
        sums = graph_sum(
            (u.double() * v.double() * self.weight).sum(dim=-1, keepdim=True), self.graph
        ).squeeze(-1)
        return sums if isinstance(self.graph, Batch) else sums.squeeze(-1)

    def norm(self, u: Tensor) -> Tensor:
        """|u|."""
        return self.dot(u, u).sqrt()

    def scaled(self, u: Tensor, factor: Tensor) -> Tensor:
        """`u` times one factor per sample and graph."""
        return u * over_nodes(factor, self.graph).to(u.dtype)

    def unit(self, u: Tensor) -> Tensor:
        """u / |u|, zero where |u| is."""
        size = self.norm(u)
        return self.scaled(u, torch.where(size > 0, 1.0 / size, 0.0))

    def adjoint(self, transposed: Tensor) -> Tensor:
        """W^-1 applied: turns J^T (W v) into the adjoint J* v."""
        return (transposed.double() / self.weight).to(transposed.dtype)

    def weighted(self, u: Tensor) -> Tensor:
        """W u."""
        return (u.double() * self.weight).to(u.dtype)
