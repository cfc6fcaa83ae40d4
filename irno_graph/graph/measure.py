"""Means and norms of fields `[..., nodes, channels]` in the mass-weighted inner product, per graph."""

from __future__ import annotations

from torch import Tensor

from irno_graph.graph.cache import per_graph
from irno_graph.graph.calculus import graph_sum
from irno_graph.graph.graph import Graph
from irno_graph.graph.pyg import Batch


def graph_list(graph: Graph) -> list[Graph]:
    """The graphs of a batch in order, or the one graph itself."""
    return _members(graph) if isinstance(graph, Batch) else [graph]


@per_graph
def _members(graph: Graph) -> list[Graph]:
    return graph.to_data_list()


def mass_mean(field: Tensor, graph: Graph) -> Tensor:
    """sum_i M_i u_i / sum_i M_i, `[..., channels]`, on a batch `[..., graphs, channels]`."""
    mass = graph.mass.to(field.dtype).unsqueeze(-1)
    mean = graph_sum(field * mass, graph) / graph_sum(mass, graph)  # [..., graphs, channels]
    return mean if isinstance(graph, Batch) else mean.squeeze(-2)


def mass_norm(field: Tensor, graph: Graph) -> Tensor:
    """Root of the mass-weighted mean square, shaped as `mass_mean`."""
    return mass_mean(field.square(), graph).sqrt()
