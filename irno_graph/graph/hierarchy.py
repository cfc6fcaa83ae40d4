"""Coarser graphs of a graph, and the links between neighbouring levels.

A coarse level keeps a maximal independent set of the nodes of the finer one, chosen in the order of their
positions, so that it does not depend on the numbering. Vectors are summed along paths of the finer level: no
period is needed, a link takes the shortest way that the mesh offers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irno_graph.graph.cache import per_graph
from irno_graph.graph.graph import Graph


@dataclass(frozen=True)
class Links:
    """Directed links `sources -> targets` `[links]` with relative vectors, in units that a network can take.

    Attributes:
        features: `[links, dim + 2]`: vector and length over the graph's mean length, log of length over the
            size of the domain; float32.
        inverse_degree: `[targets]` 1 / max(links that reach a target, 1).
    """

    sources: Tensor
    targets: Tensor
    features: Tensor
    inverse_degree: Tensor


@dataclass(frozen=True)
class Level:
    """One graph of the hierarchy: its own links, and those from and to the next coarser level."""

    nodes: int
    links: Links
    restrict: Links | None  # this level -> coarser
    prolong: Links | None  # coarser -> this level


@dataclass(frozen=True)
class _Plain:
    """A graph in numpy: position, graph number, directed edges with the vector source - target."""

    pos: NDArray[np.floating]
    owner: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    vector: NDArray[np.floating]


@per_graph
def hierarchy(graph: Graph, coarser: int) -> tuple[Level, ...]:
    """The graph and `coarser` coarser ones, from fine to coarse; each connected where the graph is.

    A graph that is down to one node stays so, so that a batch has the levels of its members.
    """
    nodes = int(graph.num_nodes or 0)
    batch = graph.get("batch")
    owner = np.zeros(nodes, dtype=np.int64) if batch is None else batch.cpu().numpy()
    edge_index = graph.edge_index.cpu().numpy()
    dim = graph.pos.shape[1]
    plain = _Plain(
        _in_the_box(graph, owner),
        owner,
        edge_index[0],
        edge_index[1],
        graph.edge_attr[:, :dim].double().cpu().numpy(),
    )
    mass = np.bincount(owner, weights=graph.mass.double().cpu().numpy())
    size = mass ** (1.0 / dim)
    device = graph.pos.device
    levels = []
    for depth in range(coarser + 1):
        own = _links(plain.source, plain.target, plain.vector, plain.owner, size, len(plain.pos), device)
        if depth == coarser:
            levels.append(Level(len(plain.pos), own, None, None))
            break
        kept = _independent_set(plain)
        fine, coarse, vector = _transfer(plain, kept)
        below = _coarse_graph(plain, kept, fine, coarse, vector)
        restrict = _links(fine, coarse, vector, plain.owner[fine], size, len(below.pos), device, by_link=True)
        prolong = _links(coarse, fine, -vector, plain.owner[fine], size, len(plain.pos), device, by_link=True)
        levels.append(Level(len(plain.pos), own, restrict, prolong))
        plain = below
    return tuple(levels)


def _in_the_box(graph: Graph, owner: NDArray[np.int64]) -> NDArray[np.floating]:
    """Positions in the box [0, period), since whole periods do not change a periodic graph."""
    pos = graph.pos.double().cpu().numpy().copy()
    periods = graph.period if isinstance(graph.period, list) else [graph.period]
    for number, period in enumerate(periods):
        for axis, length in enumerate(period or ()):
            if length is not None:
                pos[owner == number, axis] %= length
    return pos


def _independent_set(plain: _Plain) -> NDArray[np.int64]:
    """Nodes of a maximal independent set, greedily in the order of (graph, position)."""
    nodes = len(plain.pos)
    order = np.lexsort((*plain.pos.T[::-1], plain.owner))
    by_target = np.argsort(plain.target, kind="stable")
    neighbours = plain.source[by_target]
    start = np.concatenate([[0], np.cumsum(np.bincount(plain.target, minlength=nodes))])
    free = np.ones(nodes, dtype=bool)
    kept = np.zeros(nodes, dtype=bool)
    for node in order:
        if free[node]:
            kept[node] = True
            free[neighbours[start[node] : start[node + 1]]] = False
            free[node] = False
    return order[kept[order]]


def _transfer(
    plain: _Plain, kept: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]:
    """Pairs (fine node, coarse node) and vectors fine - coarse: each kept node with itself and its neighbours."""
    number = np.full(len(plain.pos), -1)
    number[kept] = np.arange(len(kept))
    from_kept = (number[plain.target] >= 0) & (number[plain.source] < 0)
    fine = np.concatenate([kept, plain.source[from_kept]])
    coarse = np.concatenate([number[kept], number[plain.target[from_kept]]])
    vector = np.concatenate([np.zeros((len(kept), plain.pos.shape[1])), plain.vector[from_kept]])
    return fine, coarse, vector


def _coarse_graph(
    plain: _Plain,
    kept: NDArray[np.int64],
    fine: NDArray[np.int64],
    coarse: NDArray[np.int64],
    vector: NDArray[np.floating],
) -> _Plain:
    """Kept nodes, linked where an edge joins two nodes whose nearest kept nodes they are."""
    nodes, dim = plain.pos.shape
    order = np.lexsort((*plain.pos[kept[coarse]].T, np.linalg.norm(vector, axis=-1), fine))
    first = order[np.unique(fine[order], return_index=True)[1]]
    parent = np.full(nodes, -1)
    offset = np.zeros((nodes, dim))  # node - parent
    parent[fine[first]], offset[fine[first]] = coarse[first], vector[first]
    a, b = parent[plain.target], parent[plain.source]
    way = offset[plain.target] * 1.0 + plain.vector - offset[plain.source]  # parent(source) - parent(target)
    keep = a < b
    a, b, way = a[keep], b[keep], way[keep]
    order = np.lexsort((*way.T, np.linalg.norm(way, axis=-1), b, a))
    pairs, first = np.unique(np.stack([a[order], b[order]], axis=-1), axis=0, return_index=True)
    way = way[order][first]
    target = np.concatenate([pairs[:, 0], pairs[:, 1]])
    source = np.concatenate([pairs[:, 1], pairs[:, 0]])
    vectors = np.concatenate([way, -way])
    order = np.lexsort((source, target))
    return _Plain(plain.pos[kept], plain.owner[kept], source[order], target[order], vectors[order])


def _links(
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    vector: NDArray[np.floating],
    owner: NDArray[np.int64],
    size: NDArray[np.floating],
    targets: int,
    device: torch.device,
    *,
    by_link: bool = False,
) -> Links:
    """Links sorted by target, with features; `owner` is per target node, or per link where `by_link`."""
    order = np.lexsort((source, target))
    source, target, vector = source[order], target[order], vector[order]
    own = owner[order] if by_link else owner[target]
    length = np.linalg.norm(vector, axis=-1)
    long = length > 0
    count = np.bincount(own[long], minlength=len(size)).clip(min=1)
    mean = np.bincount(own[long], weights=length[long], minlength=len(size)) / count
    mean = np.where(mean > 0, mean, size)[own]
    relative = np.where(long, length, mean)
    features = np.concatenate(
        [vector / mean[:, None], (length / mean)[:, None], np.log(relative / size[own])[:, None]], axis=-1
    )
    degree = np.bincount(target, minlength=targets).clip(min=1)
    return Links(
        torch.from_numpy(source).to(device),
        torch.from_numpy(target).to(device),
        torch.from_numpy(features).float().to(device),
        torch.from_numpy(1.0 / degree).float().to(device),
    )
