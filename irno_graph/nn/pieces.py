"""Edges in the order of their receivers, cut into pieces that fit into a processor's cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PIECE_ROWS = 4096  # of 128 float32 channels: 2 MiB
LARGEST_KEPT = 31 * 2**20  # bytes; glibc looks at blocks up to 32 MiB


@dataclass(frozen=True)
class Piece:
    """Neighbouring receivers of one graph, and all edges to them.

    Attributes:
        receivers: which receivers; `edges` which edges.
        graph: of the receivers.
        senders: `[edges]`; `index` `[edges]` receivers, counted from the first one of the piece.
        inverse: `[receivers]`, 1 / max(number of edges, 1).
    """

    receivers: slice
    edges: slice
    graph: int
    senders: Tensor
    index: Tensor
    inverse: Tensor


@dataclass(frozen=True, eq=False)
class OrderedEdges:
    """Edges sorted by receiver; `pointers` `[receivers + 1]` says where those of each receiver start.

    `row_pointers` are the same as a tensor on the edges' device, there from the start: compilers can read them.
    """

    senders: Tensor
    receivers: Tensor
    features: Tensor
    inverse_degree: Tensor
    pointers: NDArray[np.int64]
    receiver_graph: Tensor | None
    row_pointers: Tensor = field(init=False)

    def __post_init__(self) -> None:
        row_pointers = torch.from_numpy(self.pointers).to(self.receivers.device)
        object.__setattr__(self, "row_pointers", row_pointers)

    def pieces(self, samples: int = 1, *, by_graph: bool = False) -> list[Piece]:
        """All edges, some thousand rows (edges x samples) at a time; if `by_graph`, no piece in more than one graph."""
        key = (max(PIECE_ROWS // max(samples, 1), 1), by_graph)
        if key not in self._cuts:
            self._cuts[key] = self._cut(*key)
        return self._cuts[key]

    @cached_property
    def _cuts(self) -> dict[tuple[int, bool], list[Piece]]:
        return {}

    def _cut(self, most: int, by_graph: bool) -> list[Piece]:
        keep_freed_memory()
        made, borders = [], np.array([0, len(self.pointers) - 1])
        if by_graph and self.receiver_graph is not None:
            borders = np.concatenate([[0], np.cumsum(torch.bincount(self.receiver_graph).numpy())])
        for graph, (first, end) in enumerate(pairwise(borders.tolist())):
            while first < end:
                full = int(np.searchsorted(self.pointers, self.pointers[first] + most, side="right")) - 1
                last = min(max(full, first + 1), first + most, end)
                made.append(self._piece(first, last, graph))
                first = last
        return made

    def _piece(self, first: int, last: int, graph: int) -> Piece:
        receivers, edges = slice(first, last), slice(int(self.pointers[first]), int(self.pointers[last]))
        index, inverse = self.receivers[edges] - first, self.inverse_degree[receivers]
        return Piece(receivers, edges, graph, self.senders[edges], index, inverse)


@cache
def keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of giving it back to the system and asking for it again a moment later.

    It keeps up to twice the largest block that was ever freed (mallopt(3), M_MMAP_THRESHOLD), so free a large one once.
    """
    torch.empty(LARGEST_KEPT, dtype=torch.uint8, device="cpu")


def ordered_edges(
    senders: Tensor,
    receivers: Tensor,
    features: Tensor,
    inverse_degree: Tensor,
    receiver_graph: Tensor | None,
) -> OrderedEdges:
    """Sort edges by receiver; those of one receiver keep their order."""
    counts = torch.bincount(receivers, minlength=len(inverse_degree)).cpu().numpy()
    pointers = np.concatenate([[0], np.cumsum(counts)])
    if not bool((receivers[1:] >= receivers[:-1]).all()):
        order = receivers.argsort(stable=True)
        senders, receivers, features = senders[order], receivers[order], features[order]
    return OrderedEdges(senders, receivers, features, inverse_degree, pointers, receiver_graph)
