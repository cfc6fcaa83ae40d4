"""Where the boundary of a graph is, as features of its nodes: on it or not, how near, and in which direction."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from irno_graph.graph.cache import per_graph
from irno_graph.graph.graph import Graph
from irno_graph.graph.measure import graph_list
from irno_graph.graph.size import domain_sizes

SURFACES = ("triangle", "quad", "pixel")
NEAR = 0.1  # in sizes of the domain
NEAREST = 8  # sides that a distance is taken from, those with the nearest middles
TIE = 1e-9  # in sizes of the domain: sides that are as near as this count alike


class Sides(NamedTuple):
    """Sides of one cell alone: first ends, vectors to the second ones, unit outward normals, each `[sides, 2]`."""

    first: np.ndarray
    along: np.ndarray
    outward: np.ndarray


def wall_channels(dim: int) -> int:
    """How many features `wall_features` has in `dim` dimensions."""
    return 2 + dim


@per_graph
def wall_features(graph: Graph) -> Tensor:
    """Features `[nodes, 4]` float64 of the boundary: 1 on it, e^(-d / l), and e^(-d / l) n.

    d is the distance to the nearest side that belongs to one cell alone, l a tenth of the size of the domain
    (`domain_sizes`). n points to the nearest place of it, outward where a node lies on it; where several sides are
    equally near, as at corners, it is the mean of theirs. On a closed or periodic graph all are 0. They turn with the
    graph, the last two as a vector.

    Raises:
        ValueError: for a graph that is not made of triangles or quads in the plane.
    """
    found = [features_at(own, own.pos.detach().cpu().numpy()) for own in graph_list(graph)]
    return torch.cat(found).to(graph.pos.device)


def features_at(graph: Graph, places: np.ndarray) -> Tensor:
    """The same at `places` `[places, 2]` of one graph."""
    sides = boundary_sides(graph)
    found = np.zeros((len(places), wall_channels(2)))
    if not len(sides.first):
        return torch.from_numpy(found)
    size = float(domain_sizes(graph)[0])
    middles = sides.first + 0.5 * sides.along
    _, near = cKDTree(middles).query(places, k=min(NEAREST, len(middles)))
    near = near.reshape(len(places), -1)
    away, along = places[:, None] - sides.first[near], sides.along[near]  # [places, near, 2]
    share = np.clip((away * along).sum(-1) / (along**2).sum(-1), 0.0, 1.0)
    to_side = share[..., None] * along - away
    distance = np.linalg.norm(to_side, axis=-1)
    on_it = distance <= TIE * size
    direction = np.where(
        on_it[..., None], sides.outward[near], to_side / np.maximum(distance, 1e-300)[..., None]
    )
    least = distance.min(axis=1, keepdims=True)
    alike = distance <= least + TIE * size
    mean = (alike[..., None] * direction).sum(1) / alike.sum(1, keepdims=True)
    nearness = np.exp(-least / (NEAR * size))
    found[:, :1], found[:, 1:2], found[:, 2:] = on_it.any(1, keepdims=True), nearness, nearness * mean
    return torch.from_numpy(found)


def boundary_sides(graph: Graph) -> Sides:
    """The sides of the boundary, with their images where an axis is periodic.

    Raises:
        ValueError: as `wall_features`.
    """
    blocks = [block for block in graph.cells() if block[0] in SURFACES]
    if graph.dim != 2 or not blocks:
        raise ValueError(
            f"walls should be those of triangles or quads in the plane, got a graph in {graph.dim} dimensions with "
            f"cells {[kind for kind, _, _ in graph.cells()]}: build it from a mesh."
        )
    pairs, ends, centres = [], [], []
    for _, corners, vectors in blocks:
        own, relative = corners.cpu().numpy(), vectors.cpu().numpy()
        placed = graph.pos.detach().cpu().numpy()[own[:, :1]] + relative  # unwrapped
        pairs.append(np.sort(np.stack([own, np.roll(own, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1))
        ends.append(np.stack([placed, np.roll(placed, -1, axis=1)], axis=2).reshape(-1, 2, 2))
        centres.append(np.repeat(placed.mean(axis=1), own.shape[1], axis=0))
    _, which, uses = np.unique(np.concatenate(pairs), axis=0, return_index=True, return_counts=True)
    alone = which[uses == 1]
    first, last = np.moveaxis(np.concatenate(ends)[alone], 1, 0)
    along = last - first
    outward = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    inward = ((first - np.concatenate(centres)[alone]) * outward).sum(-1, keepdims=True) < 0
    outward = np.where(inward, -outward, outward)
    images = np.array(
        list(product(*((0.0,) if not own else (-own, 0.0, own) for own in graph.period or (0, 0))))
    )
    count = len(images)
    return Sides(
        (images[:, None] + first).reshape(-1, 2), np.tile(along, (count, 1)), np.tile(outward, (count, 1))
    )
