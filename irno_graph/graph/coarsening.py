"""One step from a graph to a coarser one, in numpy.

The coarser graph keeps a maximal independent set of the nodes, chosen greedily in an order that does not depend on
the numbering. Vectors are summed along paths of the finer graph: no period is needed, a link takes the shortest way
that the mesh offers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from irno_graph.graph.graph import Graph

SweepOrder = Literal["position", "intrinsic"]
SAME = 1e-9  # relative difference below which intrinsic quantities count as equal
Integers = NDArray[np.int64]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class PlainGraph:
    """A graph in numpy, its directed edges sorted by target.

    Attributes:
        pos: `[nodes, dim]`, in the box where the graph is periodic.
        owner: graph of the batch that a node belongs to `[nodes]`.
        mass: `[nodes]`; on a coarse graph of all the nodes that a node stands for.
        source: `[edges]`.
        target: `[edges]`.
        vector: source - target `[edges, dim]`.
    """

    pos: Floats
    owner: Integers
    mass: Floats
    source: Integers
    target: Integers
    vector: Floats


@dataclass(frozen=True)
class Coarsening:
    """A coarser graph, and the pairs of a fine and a coarse node between which values go.

    Attributes:
        graph: the coarser graph.
        kept: fine node that each coarse node is `[coarse nodes]`.
        fine: `[pairs]`; each kept node comes with itself and with its neighbours.
        coarse: `[pairs]`.
        vector: fine - coarse `[pairs, dim]`.
    """

    graph: PlainGraph
    kept: Integers
    fine: Integers
    coarse: Integers
    vector: Floats


def plain_graph(graph: Graph) -> PlainGraph:
    """The finest level: `graph` or a batch of graphs."""
    nodes = int(graph.num_nodes or 0)
    batch = graph.get("batch")
    owner = np.zeros(nodes, dtype=np.int64) if batch is None else batch.cpu().numpy()
    source, target = graph.edge_index.cpu().numpy()
    vector = graph.edge_attr[:, : graph.dim].double().cpu().numpy()
    order = sorted_links(source, target, nodes)
    mass = graph.mass.double().cpu().numpy()
    return PlainGraph(_in_the_box(graph, owner), owner, mass, source[order], target[order], vector[order])


def coarsened(plain: PlainGraph, order: SweepOrder) -> Coarsening:
    """The next coarser graph, connected where `plain` is; its nodes are numbered as the sweep meets them."""
    sweep = swept(plain, order)
    kept = sweep[independent_set(plain, sweep)[sweep]]
    fine, coarse, vector = _pairs(plain, kept)
    if order == "position":  # equally near kept nodes: the one with the smallest coordinates, the last first
        preference = _ranks(np.lexsort((np.arange(len(kept)), *plain.pos[kept].T)))
        parents = _nearest(fine, coarse, vector, preference, 0.0)
    else:
        parents = _nearest(fine, coarse, vector, np.arange(len(kept)), SAME)
    return Coarsening(_coarse_graph(plain, kept, *parents), kept, fine, coarse, vector)


def sorted_links(source: Integers, target: Integers, sources: int) -> Integers | slice:
    """What sorts links by target, then by source, their numbers being below `sources`."""
    code = target * sources + source
    if (code[1:] >= code[:-1]).all():
        return slice(None)
    return np.argsort(code, kind="stable")


def independent_set(plain: PlainGraph, sweep: Integers) -> NDArray[np.bool_]:
    """Whether a node `[nodes]` is in the maximal independent set that takes, in the order `sweep`, what it can."""
    nodes = len(plain.pos)
    rank = _ranks(sweep)
    later = rank[plain.source] > rank[plain.target]
    neighbours = plain.source[later].tolist()
    count = np.bincount(plain.target[later], minlength=nodes)
    stop = np.cumsum(count)
    first, last = (stop - count).tolist(), stop.tolist()
    free = bytearray(b"\1") * nodes
    for node in sweep.tolist():
        if free[node]:
            for neighbour in neighbours[first[node] : last[node]]:
                free[neighbour] = 0
    return np.frombuffer(free, dtype=np.bool_)


def _in_the_box(graph: Graph, owner: Integers) -> Floats:
    """Positions in the box [0, period), since whole periods do not change a periodic graph."""
    pos = graph.pos.double().cpu().numpy().copy()
    periods = graph.period if isinstance(graph.period, list) else [graph.period]
    for number, period in enumerate(periods):
        for axis, length in enumerate(period or ()):
            if length is not None:
                pos[owner == number, axis] %= length
    return pos


def _ranks(order: Integers) -> Integers:
    """Place of each element in `order`."""
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks


def _sums(place: Integers, values: Floats, places: int) -> Floats:
    """Sum of the `values` at each place `[places]`."""
    return np.bincount(place, weights=values, minlength=places).astype(np.float64, copy=False)


def swept(plain: PlainGraph, order: SweepOrder) -> Integers:
    """Nodes in the order of (graph, position), or of (graph, what no rigid motion changes, position).

    Small masses first: where the mesh is fine, the coarse nodes are as close as they can be.
    """
    by_position = np.lexsort((*plain.pos.T[::-1], plain.owner))
    places, owners = plain.pos[by_position], plain.owner[by_position]
    apart = (places[1:] != places[:-1]).any(axis=1) | (owners[1:] != owners[:-1])
    if order == "position" and apart.all():
        return by_position
    number = np.empty(len(by_position), dtype=np.int64)  # equal for nodes at one place
    number[by_position] = np.concatenate([[0], np.cumsum(apart)])
    nodes = len(plain.pos)
    length = np.linalg.norm(plain.vector, axis=-1)
    kinds = [  # the first decides first
        plain.mass,
        *(_sums(plain.target, values, nodes) for values in (length, length**2, plain.mass[plain.source])),
    ]
    classes = [_classes(kind, plain.owner) for kind in kinds]
    if order == "position":
        return np.lexsort((*classes[::-1], number))
    return np.lexsort((number, *classes[::-1], plain.owner))


def _classes(values: Floats, owner: Integers) -> Integers:
    """Numbers `[nodes]` that order the values of each graph and are equal where these differ by rounding."""
    order = np.lexsort((values, owner))
    ordered, owners = values[order], owner[order]
    apart = (np.diff(ordered) > SAME * np.abs(ordered[1:])) | (owners[1:] != owners[:-1])
    classes = np.empty_like(order)
    classes[order] = np.concatenate([[0], np.cumsum(apart)])
    return classes


def _pairs(plain: PlainGraph, kept: Integers) -> tuple[Integers, Integers, Floats]:
    """Pairs (fine node, coarse node) and vectors fine - coarse: each kept node with itself and its neighbours."""
    number = np.full(len(plain.pos), -1)
    number[kept] = np.arange(len(kept))
    from_kept = number[plain.target] >= 0  # no neighbour of a kept node is kept
    fine = np.concatenate([kept, plain.source[from_kept]])
    coarse = np.concatenate([number[kept], number[plain.target[from_kept]]])
    vector = np.concatenate([np.zeros((len(kept), plain.pos.shape[1])), plain.vector[from_kept]])
    return fine, coarse, vector


def _nearest(
    fine: Integers, coarse: Integers, vector: Floats, preference: Integers, tolerance: float
) -> tuple[Integers, Floats]:
    """The nearest kept node of every fine node `[nodes]`, and the vector fine - coarse to it `[nodes, dim]`.

    Of those that are as near, up to the relative `tolerance`, the one of smallest `preference` is taken.
    """
    order = np.argsort(fine * len(preference) + preference[coarse], kind="stable")
    nodes, distance = fine[order], np.linalg.norm(vector[order], axis=-1)
    start = np.flatnonzero(np.diff(nodes, prepend=-1))
    near = distance <= np.minimum.reduceat(distance, start)[nodes] * (1.0 + tolerance)
    found = order[near]
    found = found[np.diff(fine[found], prepend=-1) > 0]  # the first of each node, and no node is left out
    return coarse[found], vector[found]


def _coarse_graph(plain: PlainGraph, kept: Integers, parent: Integers, offset: Floats) -> PlainGraph:
    """Kept nodes, linked where an edge joins two nodes whose nearest kept nodes they are."""
    a, b = parent[plain.target], parent[plain.source]
    across = a < b
    a, b, target, source = a[across], b[across], plain.target[across], plain.source[across]
    way = offset[target] + plain.vector[across] - offset[source]  # parent(source) - parent(target)
    code = a * len(kept) + b
    first = _shortest(code, way)
    a, b, way = a[first], b[first], way[first]
    target, source = np.concatenate([a, b]), np.concatenate([b, a])
    vector = np.concatenate([way, -way])
    order = sorted_links(source, target, len(kept))
    mass = _sums(parent, plain.mass, len(kept))
    return PlainGraph(plain.pos[kept], plain.owner[kept], mass, source[order], target[order], vector[order])


def _shortest(code: Integers, way: Floats) -> Integers:
    """Place of the shortest of the ways of each code, by code; of the equally long the one of least components."""
    chosen = np.argsort(code, kind="stable")
    for values in (np.linalg.norm(way, axis=-1), *way.T[::-1]):
        fresh = np.diff(code[chosen], prepend=-1) > 0
        if fresh.all():
            break
        least = np.minimum.reduceat(values[chosen], np.flatnonzero(fresh))
        chosen = chosen[values[chosen] == least[np.cumsum(fresh) - 1]]
    return chosen[np.diff(code[chosen], prepend=-1) > 0]
