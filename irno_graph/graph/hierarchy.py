"""Coarser graphs of a graph, and the links between neighbouring levels, as a learned V-cycle needs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import get_args

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from irno_graph.graph.cache import per_graph
from irno_graph.graph.coarsening import (
    Coarsening,
    Floats,
    Integers,
    PlainGraph,
    SweepOrder,
    coarsened,
    plain_graph,
    sorted_links,
)
from irno_graph.graph.graph import Graph
from irno_graph.graph.size import domain_sizes

SMALLEST = 3  # nodes per connected part at the coarsest level: two hops pass through any three


@dataclass(frozen=True)
class Links:
    """Directed links `sources -> targets` `[links]`, sorted by target, in units that a network can take.

    Attributes:
        features: `[links, dim + 2]`, float32. Columns `[:dim]`: the vector source - target over the mean length of
            the graph's links of this kind. Column `dim`: its length over the same mean, 0 from a node to itself.
            Column `dim + 1`: log of the length over the size of the domain (see `domain_sizes`), with the mean length
            for a length of 0. Columns `[dim:]` do not change when the mesh is moved, turned or reflected.
        inverse_degree: `[targets]` 1 / max(links that reach a target, 1).
        pointers: `[targets + 1]`, int64: links `pointers[i]` up to `pointers[i + 1]` reach target i.
    """

    sources: Tensor
    targets: Tensor
    features: Tensor
    inverse_degree: Tensor
    pointers: Tensor


@dataclass(frozen=True)
class Level:
    """One graph of the hierarchy: its own links, and those from and to the next coarser level."""

    nodes: int
    links: Links
    restrict: Links | None  # this level -> coarser
    prolong: Links | None  # coarser -> this level


@per_graph
def hierarchy(graph: Graph, coarser: int | None, *, order: SweepOrder = "position") -> tuple[Level, ...]:
    """The graph and `coarser` coarser ones, from fine to coarse; each connected where the graph is.

    A coarser graph keeps a maximal independent set of the nodes. Every kept node takes from and gives to itself and
    its neighbours; every other node has a kept neighbour. A graph that is down to one node stays so, so that a batch
    has the levels of its members. Numbering the nodes otherwise renumbers the finest level and changes nothing else.

    Args:
        graph: a graph or a batch of graphs.
        coarser: number of coarser graphs, None for `levels_of(graph)`.
        order: in which the independent set is chosen: "position", by coordinates, or "intrinsic", by masses and
            lengths of edges. With "intrinsic" a mesh that is moved, turned or reflected has the same hierarchy, up
            to nodes that masses and lengths do not tell apart (those of a lattice): among these the position decides.

    Raises:
        ValueError: if `coarser` is negative or `order` is unknown.
    """
    if coarser is not None and coarser < 0:
        raise ValueError(f"`coarser` should be a number of graphs, 0 or more, or None, got {coarser}.")
    _check_order(order)
    size, device = domain_sizes(graph).cpu().numpy(), graph.pos.device
    plain = plain_graph(graph)
    levels = []
    for step in _descent(plain, order, coarser, SMALLEST):
        own = _links(plain.source, plain.target, plain.vector, plain.owner, plain.owner, size, device)
        nodes, kept = plain.owner, step.graph.owner
        restrict = _links(step.fine, step.coarse, step.vector, nodes, kept, size, device)
        prolong = _links(step.coarse, step.fine, -step.vector, kept, nodes, size, device)
        levels.append(Level(len(plain.pos), own, restrict, prolong))
        plain = step.graph
    own = _links(plain.source, plain.target, plain.vector, plain.owner, plain.owner, size, device)
    return (*levels, Level(len(plain.pos), own, None, None))


@per_graph
def levels_of(graph: Graph, smallest: int = SMALLEST, *, order: SweepOrder = "position") -> int:
    """Number of coarser graphs until no connected part has more than `smallest` nodes; of a batch the largest.

    A connected part of n nodes is passed through in n - 1 hops at most: with the default of 3, two hops at the
    coarsest level, and one per level on the way down and up, take every node's value to all nodes of its part, on
    long and thin domains and curves too.

    Raises:
        ValueError: if `smallest` is below 1 or `order` is unknown.
    """
    if smallest < 1:
        raise ValueError(f"`smallest` should be 1 or more nodes, got {smallest}.")
    _check_order(order)
    return sum(1 for _ in _descent(plain_graph(graph), order, None, smallest))


def _descent(
    plain: PlainGraph, order: SweepOrder, coarser: int | None, smallest: int
) -> Iterator[Coarsening]:
    """`coarser` steps down from `plain`; where that is None, until parts have `smallest` nodes or all nodes stay."""
    part = _parts(plain) if coarser is None else np.empty(0, dtype=np.int64)
    for depth in count():
        if depth == coarser or (coarser is None and np.bincount(part).max() <= smallest):
            return
        step = coarsened(plain, order)
        if coarser is None and len(step.kept) == len(plain.pos):
            return  # edges in one direction only can leave nothing to join
        yield step
        plain = step.graph
        if coarser is None:
            part = part[step.kept]


def _check_order(order: str) -> None:
    if order not in get_args(SweepOrder):
        raise ValueError(f"`order` should be 'position' or 'intrinsic', got '{order}'.")


def _parts(plain: PlainGraph) -> Integers:
    """Connected part of each node `[nodes]`."""
    nodes = len(plain.pos)
    ones = np.ones(len(plain.source), dtype=bool)
    matrix = csr_array((ones, (plain.target, plain.source)), shape=(nodes, nodes))
    return connected_components(matrix, directed=False)[1]


def _links(
    source: Integers,
    target: Integers,
    vector: Floats,
    source_owner: Integers,
    target_owner: Integers,
    size: Floats,
    device: torch.device,
) -> Links:
    """Links sorted by target, then source, with features; the owners are the graphs of the nodes of either end."""
    order = sorted_links(source, target, len(source_owner))
    source, target, vector = source[order], target[order], vector[order]
    own = target_owner[target]
    length = np.linalg.norm(vector, axis=-1)
    long = length > 0
    links = np.bincount(own[long], minlength=len(size)).clip(min=1)
    mean = np.bincount(own[long], weights=length[long], minlength=len(size)) / links
    mean = np.where(mean > 0, mean, size)[own]
    relative = np.where(long, length, mean)
    features = np.concatenate(
        [vector / mean[:, None], (length / mean)[:, None], np.log(relative / size[own])[:, None]], axis=-1
    )
    degree = np.bincount(target, minlength=len(target_owner))
    pointers = np.concatenate([[0], np.cumsum(degree)])
    return Links(
        torch.from_numpy(source).to(device),
        torch.from_numpy(target).to(device),
        torch.from_numpy(features).float().to(device),
        torch.from_numpy(1.0 / degree.clip(min=1)).float().to(device),
        torch.from_numpy(pointers).to(device),
    )
