"""A graph in parts: which part owns each node, and what a part needs of the others to pass messages some hops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from irno_graph.graph.build import COUNTS
from irno_graph.graph.cache import per_graph
from irno_graph.graph.graph import Graph
from irno_graph.graph.pyg import Batch

Method = Literal["metis", "bisection"]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Partition:
    """Which of `parts` parts owns each node; a part may own nothing.

    Attributes:
        owner: `[nodes]`, int64 on the CPU.
        parts: their number.

    Raises:
        ValueError: if `owner` is not such a tensor or names a part that does not exist.

    >>> Partition.of(Graph.from_grid((4, 4)), 2, method="bisection").owner.bincount()
    tensor([8, 8])
    """

    owner: Tensor
    parts: int

    def __post_init__(self) -> None:
        owner = torch.as_tensor(self.owner)
        if owner.dim() != 1 or owner.is_floating_point() or owner.is_complex() or owner.dtype == torch.bool:
            raise ValueError(
                f"`owner` should be whole numbers of shape [nodes], got {owner.dtype} {list(owner.shape)}: give the "
                "number of a part for each node."
            )
        owner = owner.detach().cpu().long()
        if len(owner) and not 0 <= int(owner.min()) <= int(owner.max()) < self.parts:
            raise ValueError(
                f"`owner` should be in 0..{self.parts - 1}, the parts, got {int(owner.min())}..{int(owner.max())}: "
                "raise `parts` or count from 0."
            )
        object.__setattr__(self, "owner", owner)

    @classmethod
    def of(cls, graph: Graph, parts: int, *, method: Method | None = None) -> Partition:
        """Parts of about equally many nodes with few edges between them.

        "metis" cuts as few edges as it can (Karypis and Kumar 1998; needs pymetis, the extra `parts`), "bisection"
        halves the nodes again and again across the longest side of their bounding box. None takes METIS where it is
        installed.

        Raises:
            ValueError: for a batch, fewer than 1 or more parts than nodes, or another method; also for "metis"
                without pymetis.
        """
        nodes = _checked(graph)
        if not 1 <= parts <= nodes:
            raise ValueError(f"`parts` should be in 1..{nodes}, the nodes, got {parts}.")
        if method not in ("metis", "bisection", None):
            raise ValueError(f"`method` should be 'metis', 'bisection' or None, got {method!r}.")
        found = None
        if method != "bisection" and parts > 1:
            found = _by_metis(graph, parts, needed=method == "metis")
        return cls(torch.from_numpy(_bisected(graph, parts) if found is None else found), parts)

    def members(self) -> list[Integers]:
        """The nodes of each part, ascending."""
        owner = self.owner.numpy()
        counts = np.bincount(owner, minlength=self.parts)
        return np.split(np.argsort(owner, kind="stable"), np.cumsum(counts)[:-1])

    def check(self, graph: Graph) -> None:
        """Raise a ValueError unless this is a partition of a single graph with as many nodes."""
        if len(self.owner) != _checked(graph):
            raise ValueError(
                f"`partition` should have an owner for each of {graph.num_nodes} nodes, got {len(self.owner)}: make "
                "it for this graph."
            )


@dataclass(frozen=True, eq=False)
class Part:
    """Some nodes, those that they depend on within some hops, and the edges that carry it.

    Attributes:
        nodes: `[local]` numbers in the whole graph: the own nodes first, then ring after ring of the halo, each
            ascending.
        reach: how many of them are 0, 1, ..., `hops` hops or less away.
        edges: `[edges]` numbers in the whole graph of all edges that reach a node up to `hops` - 1 hops away, sorted
            by target.
        senders: `[edges]`, the source of each as a place in `nodes`.
        pointers: `[local + 1]`: edges `pointers[i]` up to `pointers[i + 1]` reach the node at place i.
    """

    nodes: Tensor
    reach: tuple[int, ...]
    edges: Tensor
    senders: Tensor
    pointers: Integers

    @property
    def owned(self) -> Tensor:
        """Numbers of the own nodes in the whole graph."""
        return self.nodes[: self.reach[0]]

    @property
    def receivers(self) -> Tensor:
        """The target of each edge as a place in `nodes`."""
        counts = torch.from_numpy(np.diff(self.pointers)).to(self.nodes.device)
        return torch.arange(len(self.nodes), device=self.nodes.device).repeat_interleave(counts)

    def graph(self, whole: Graph) -> Graph:
        """The nodes and edges of the part as a graph, all that it holds taken from `whole`.

        Cells are those whose corners are all in the part. Masses and other tensors of nodes are those of the whole,
        so that means over the domain have to be taken there.

        Raises:
            ValueError: if the part is not one of this graph's own edges.
        """
        if len(self.edges) and int(self.edges.max()) >= whole.num_edges:
            raise ValueError(
                "`whole` should be the graph that the part was cut from, got one with fewer edges."
            )
        senders, receivers = self.senders, self.receivers
        order = torch.argsort(receivers * max(len(self.nodes), 1) + senders)  # by target, then source
        place = torch.full((int(whole.num_nodes or 0),), -1, device=self.nodes.device)
        place[self.nodes] = torch.arange(len(self.nodes), device=self.nodes.device)
        return Graph(
            edge_index=torch.stack([senders[order], receivers[order]]),
            edge_attr=whole.edge_attr[self.edges[order]],
            **{name: value[self.nodes] for name, value in _of_nodes(whole).items()},
            **_cells_within(whole, place),
            period=whole.period,
        )


def cut(
    pointers: Integers, senders: Integers, seeds: list[Integers], hops: int, device: torch.device
) -> tuple[Part, ...]:
    """A part around each set of `seeds`, as far as `hops` edges lead against their direction.

    Args:
        pointers: `[nodes + 1]`: edges `pointers[i]` up to `pointers[i + 1]` reach node i.
        senders: `[edges]`, their sources.
        seeds: the own nodes of each part.
        hops: 0 or more.
        device: of the parts' tensors.
    """
    place = np.full(len(pointers) - 1, -1)
    return tuple(_around(pointers, senders, own, hops, place, device) for own in seeds)


@per_graph
def parts_of(graph: Graph, partition: Partition, hops: int) -> tuple[Part, ...]:
    """The parts of a graph with what they depend on within `hops` hops along its edges.

    Raises:
        ValueError: if the partition is of another graph or `hops` is negative.
    """
    partition.check(graph)
    if hops < 0:
        raise ValueError(f"`hops` should be 0 or more, got {hops}.")
    source, target = graph.edge_index.cpu().numpy()
    if len(target) and not (target[1:] >= target[:-1]).all():
        raise ValueError(
            "`graph.edge_index` should be sorted by target, row 1, as `Graph` makes it, got others."
        )
    counts = np.bincount(target, minlength=len(partition.owner))
    pointers = np.concatenate([[0], np.cumsum(counts)])
    return cut(pointers, source, partition.members(), hops, graph.pos.device)


@per_graph
def partition_of(graph: Graph, parts: int, method: Method | None) -> Partition:
    """`Partition.of`, kept as long as the graph."""
    return Partition.of(graph, parts, method=method)


def rows(pointers: Integers, targets: Integers) -> Integers:
    """Numbers of the edges that reach `targets`, one target after the other.

    >>> rows(np.array([0, 2, 3, 6]), np.array([2, 0]))
    array([3, 4, 5, 0, 1])
    """
    counts = pointers[targets + 1] - pointers[targets]
    stop = np.cumsum(counts)
    return np.arange(stop[-1] if len(stop) else 0) + np.repeat(pointers[targets] - stop + counts, counts)


def _around(
    pointers: Integers, senders: Integers, own: Integers, hops: int, place: Integers, device: torch.device
) -> Part:
    """One part; `place` is -1 everywhere, before and after."""
    place[own] = np.arange(len(own))
    rings, edges, reach = [own], [np.empty(0, dtype=np.int64)], [len(own)]
    for _ in range(hops):
        edges.append(rows(pointers, rings[-1]))
        sources = senders[edges[-1]]
        ring = np.unique(sources[place[sources] < 0])
        place[ring] = reach[-1] + np.arange(len(ring))
        rings.append(ring)
        reach.append(reach[-1] + len(ring))
    nodes, number = np.concatenate(rings), np.concatenate(edges)
    local = place[senders[number]]
    place[nodes] = -1
    degree = pointers[nodes + 1] - pointers[nodes]
    degree[reach[-2] if hops else 0 :] = 0  # the outermost ring gives and does not take
    nodes_, number_, local_ = (torch.from_numpy(part).to(device) for part in (nodes, number, local))
    return Part(nodes_, tuple(reach), number_, local_, np.concatenate([[0], np.cumsum(degree)]))


def _checked(graph: Graph) -> int:
    if isinstance(graph, Batch):
        raise ValueError("`graph` should be a single graph, got a batch: it is in parts already.")
    return int(graph.num_nodes or 0)


def _by_metis(graph: Graph, parts: int, *, needed: bool) -> Integers | None:
    try:
        from pymetis import CSRAdjacency, part_graph
    except ModuleNotFoundError:
        if not needed:
            return None
        raise ValueError(
            "`method` 'metis' needs pymetis: pip install 'irno-graph[parts]', or take 'bisection'."
        ) from None
    nodes = int(graph.num_nodes or 0)
    source, target = graph.edge_index[:, graph.edge_index[0] != graph.edge_index[1]].cpu().numpy()
    links = csr_array((np.ones(len(source), dtype=np.int8), (target, source)), shape=(nodes, nodes))
    links = links + links.T  # METIS takes undirected edges
    _, found = part_graph(parts, CSRAdjacency(links.indptr, links.indices))
    return np.asarray(found, dtype=np.int64)


def _bisected(graph: Graph, parts: int) -> Integers:
    pos = graph.pos.cpu().numpy()
    owner = np.zeros(len(pos), dtype=np.int64)
    waiting = [(np.arange(len(pos)), 0, parts)]
    while waiting:
        nodes, first, count = waiting.pop()
        owner[nodes] = first
        if count > 1:
            axis = np.ptp(pos[nodes], axis=0).argmax()
            border = len(nodes) * (count // 2) // count
            order = np.argsort(pos[nodes, axis], kind="stable")
            waiting.append((nodes[order[:border]], first, count // 2))
            waiting.append((nodes[order[border:]], first + count // 2, count - count // 2))
    return owner


def _of_nodes(whole: Graph) -> dict[str, Tensor]:
    """Tensors with a row for each node, but for what depends on the numbering."""
    others = (
        "edge_index",
        "edge_attr",
        "cell_index",
        "cell_vectors",
        "cell_kind",
        "original_index",
        "batch",
        "ptr",
    )
    found = {name: whole[name] for name in whole.keys() if name not in others}  # noqa: SIM118
    nodes = whole.num_nodes
    return {name: own for name, own in found.items() if isinstance(own, Tensor) and own.shape[:1] == (nodes,)}


def _cells_within(whole: Graph, place: Tensor) -> dict[str, Tensor]:
    """The cells of `whole` whose corners all have a place."""
    corner = place[whole.cell_index]
    counts = COUNTS.to(corner.device)[whole.cell_kind.long()]
    cell = torch.arange(len(counts), device=corner.device).repeat_interleave(counts)
    missing = torch.zeros(len(counts), dtype=torch.long, device=corner.device)
    inside = missing.index_add(0, cell, (corner < 0).long()) == 0
    keep = inside[cell]
    return {
        "cell_kind": whole.cell_kind[inside],
        "cell_index": corner[keep],
        "cell_vectors": whole.cell_vectors[keep],
    }
