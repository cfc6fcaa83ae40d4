"""Sums and derivatives of fields `[..., nodes, channels]` on a graph or a batch of graphs."""

from __future__ import annotations

import torch
from torch import Tensor

from irno_graph.graph.cache import per_graph
from irno_graph.graph.graph import Graph
from irno_graph.mesh.elements import integrals


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

    At a node: the mean of the gradients of the interpolant in its cells, weighted by their sizes; tangential on curves
    and surfaces. Exact for linear functions; second order on regular periodic meshes, first order on irregular ones.

    Raises:
        ValueError: if the field does not have the nodes of the graph, or the graph has no cells.
    """
    _check_nodes("field", field, graph)
    result = field.new_zeros(*field.shape, graph.pos.shape[-1])
    blocks, total = _cell_gradients(graph)
    for corners, weights in blocks:
        hats = weights.to(field.dtype)
        first = field[..., corners[:, 0], :]
        # The hats' gradients sum to zero: differences to the first corner lose no digits.
        slopes = torch.zeros((), dtype=field.dtype, device=field.device)
        for place in range(1, corners.shape[1]):
            slopes = slopes + (field[..., corners[:, place], :] - first)[..., None] * hats[:, place, None]
        # [..., cells, channels, dim]
        for place in range(corners.shape[1]):
            result = result.index_add(-3, corners[:, place], slopes)
    return result / total.to(field.dtype)[:, None, None]


@per_graph
def _cell_gradients(graph: Graph) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Corners and integrals of the hats' gradients `[cells, corners, dim]` per type; size of the cells at each node."""
    device = graph.pos.device
    total = torch.zeros(len(graph.pos), dtype=torch.float64, device=device)
    blocks = []
    for kind, corners, vectors in graph.cells():
        ordered = corners.sort(dim=1).values
        inner = (ordered.diff(dim=1) > 0).all(dim=1)  # the rim of a grid of centres has no gradient across
        corners, vectors = corners[inner], vectors[inner]
        own = integrals(kind, vectors.cpu().numpy())
        size = torch.from_numpy(own.load.sum(axis=1)).to(device)
        total = total.index_add(0, corners.reshape(-1), size.repeat_interleave(corners.shape[1]))
        blocks.append((corners, torch.from_numpy(own.gradients).to(device)))
    if not blocks:
        raise ValueError("`graph` should have cells for a gradient, got a cloud of points: triangulate it.")
    return blocks, total


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
