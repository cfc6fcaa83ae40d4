"""Sums and derivatives of fields `[..., nodes, channels]` on a graph or a batch of graphs."""

from __future__ import annotations

import torch
from torch import Tensor

from irno_graph.graph.geometry import basis_gradients, triangle_areas
from irno_graph.graph.graph import Graph


def node_graph_index(graph: Graph) -> tuple[Tensor, int]:
    """The graph `[nodes]` of each node, and the number of graphs; zeros and 1 for a single graph."""
    batch = getattr(graph, "batch", None)
    if batch is None:
        return torch.zeros(len(graph.pos), dtype=torch.long, device=graph.pos.device), 1
    return batch, int(graph.num_graphs)


def graph_sum(values: Tensor, graph: Graph) -> Tensor:
    """Sum of `values` `[..., nodes, channels]` over the nodes of each graph, `[..., graphs, channels]`."""
    _check_nodes("values", values, graph)
    index, count = node_graph_index(graph)
    if count == 1:
        return values.sum(dim=-2, keepdim=True)
    sums = values.new_zeros(*values.shape[:-2], count, values.shape[-1])
    return sums.index_add(-2, index, values)


def gradient(field: Tensor, graph: Graph) -> Tensor:
    """Gradient `[..., nodes, channels, dim]` of `field` `[..., nodes, channels]`.

    At a node: the mean of the gradients of the P1 interpolant in its triangles, weighted by their areas.
    Exact for linear functions; second order on regular periodic meshes, first order on irregular ones.

    Raises:
        ValueError: if the field does not have the nodes of the graph.
    """
    _check_nodes("field", field, graph)
    areas = triangle_areas(graph.corner_vectors)
    hats = basis_gradients(graph.corner_vectors)  # [triangles, 3, dim]
    weights = (hats * areas[:, None, None]).to(field.dtype)
    first = field[..., graph.face[0], :]
    # The hats' gradients sum to zero: differences to the first corner lose no digits.
    second, third = (field[..., graph.face[corner], :] - first for corner in (1, 2))
    slopes = second[..., None] * weights[:, 1, None] + third[..., None] * weights[:, 2, None]
    # [..., triangles, channels, dim]
    total = torch.zeros(len(graph.pos), dtype=areas.dtype, device=areas.device)
    total = total.index_add(0, graph.face.reshape(-1), areas.repeat(3))
    result = field.new_zeros(*field.shape, graph.corner_vectors.shape[-1])
    for corner in range(3):
        result = result.index_add(-3, graph.face[corner], slopes)
    return result / total.to(field.dtype)[:, None, None]


def vorticity(velocity: Tensor, graph: Graph) -> Tensor:
    """d v_y / d x - d v_x / d y, `[..., nodes]`, of a plane `velocity` `[..., nodes, 2]`."""
    slopes = gradient(_plane(velocity, graph), graph)
    return slopes[..., 1, 0] - slopes[..., 0, 1]


def divergence(velocity: Tensor, graph: Graph) -> Tensor:
    """d v_x / d x + d v_y / d y, `[..., nodes]`, of a plane `velocity` `[..., nodes, 2]`."""
    slopes = gradient(_plane(velocity, graph), graph)
    return slopes[..., 0, 0] + slopes[..., 1, 1]


def _plane(velocity: Tensor, graph: Graph) -> Tensor:
    if velocity.shape[-1] != 2 or graph.pos.shape[-1] != 2:
        raise ValueError(
            f"`velocity` should have shape [..., nodes, 2] on a plane graph, got {list(velocity.shape)} "
            f"on a graph in {graph.pos.shape[-1]} dimensions."
        )
    return velocity


def _check_nodes(name: str, values: Tensor, graph: Graph) -> None:
    if values.ndim < 2 or values.shape[-2] != len(graph.pos):
        raise ValueError(
            f"`{name}` should have shape [..., nodes={len(graph.pos)}, channels], got {list(values.shape)}: "
            "reorder or rebuild the graph."
        )
