"""Values between the nodes of a graph."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree
from torch import Tensor

from irno_graph.graph.graph import Graph
from irno_graph.graph.pyg import Batch


def interpolate(field: Tensor, graph: Graph, points: Tensor) -> Tensor:
    """`field` `[..., nodes, channels]` at `points` `[points, dim]`, `[..., points, channels]`.

    Linear in the simplices of a Delaunay triangulation of the nodes, which closes over the graph's periods; outside of
    all simplices the value is that of the nearest node. Exact for linear functions, second order for smooth ones.

    Raises:
        ValueError: if the points are not `[points, dim]` finite numbers, the field does not fit the graph, or it is a
            batch of graphs.
    """
    if isinstance(graph, Batch):
        raise ValueError("points lie in one graph, got a batch of graphs: interpolate on each by itself.")
    places = np.asarray(points.detach().cpu(), dtype=np.float64)
    if places.ndim != 2 or places.shape[1] != graph.dim or not np.isfinite(places).all():
        raise ValueError(
            f"`points` should be finite and of shape [points, {graph.dim}], got {list(places.shape)}: check them."
        )
    if field.dim() < 2 or field.shape[-2] != graph.num_nodes:
        raise ValueError(
            f"`field` should be [..., nodes={graph.num_nodes}, channels], got {list(field.shape)}."
        )
    index, weight = _barycentric(graph.pos.cpu().numpy().astype(np.float64), graph.period, places)
    corners = field[..., torch.from_numpy(index).to(field.device), :]  # [..., points, dim + 1, channels]
    return (corners * torch.from_numpy(weight).to(field).unsqueeze(-1)).sum(dim=-2)


def _barycentric(
    nodes: NDArray[np.floating], period: tuple[float | None, ...] | None, places: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Nodes `[points, dim + 1]` around each place, and their weights."""
    number = np.arange(len(nodes))
    if period is not None:
        lengths = np.array([np.inf if length is None else length for length in period])
        wraps = np.isfinite(lengths)
        base = np.where(wraps, nodes.min(axis=0), 0.0)
        nodes, places = nodes.copy(), places.copy()
        for values in (nodes, places):
            values[:, wraps] = base[wraps] + np.mod(values[:, wraps] - base[wraps], lengths[wraps])
        nodes, number = _with_images(nodes, base, lengths, wraps)
    mesh = Delaunay(nodes)
    simplex = mesh.find_simplex(places)
    transform = mesh.transform[simplex]  # [points, dim + 1, dim]
    first = np.einsum("pij,pj->pi", transform[:, :-1], places - transform[:, -1])
    weight = np.concatenate([first, 1.0 - first.sum(axis=1, keepdims=True)], axis=1)
    index = mesh.simplices[simplex].astype(np.int64)
    outside = (simplex < 0) | ~np.isfinite(weight).all(axis=1)
    if outside.any():
        _, nearest = cKDTree(nodes).query(places[outside])
        index[outside] = nearest[:, None]
        weight[outside] = 1.0 / weight.shape[1]
    return number[index], weight


def _with_images(
    nodes: NDArray[np.floating],
    base: NDArray[np.floating],
    lengths: NDArray[np.floating],
    wraps: NDArray[np.bool_],
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """The nodes, their images within half a period around the box, and the number of each one's node."""
    finite = np.where(wraps, lengths, 0.0)
    copies, numbers = [], []
    for shift in product(*((0, -1, 1) if wrap else (0,) for wrap in wraps)):
        moved = nodes + np.array(shift) * finite
        low, high = base - 0.5 * finite, base + 1.5 * finite
        near = (((moved >= low) & (moved <= high)) | ~wraps).all(axis=1)
        copies.append(moved[near])
        numbers.append(np.flatnonzero(near))
    return np.concatenate(copies), np.concatenate(numbers)
