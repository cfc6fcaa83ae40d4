"""Correctors by message passing, applied to a graph part by part: the same numbers in the memory of one part.

What normalises (mean lengths of edges, the size of the domain, numbers of neighbours) and the coarser graphs are those
of the whole graph; a part takes its rows of them.
"""

from __future__ import annotations

from collections.abc import Callable as Function
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from irno_graph.correctors.corrector import Given, GraphCorrector, _expanded
from irno_graph.correctors.edge_message_passing import EdgeMessagePassing
from irno_graph.correctors.geometry import Floor, Geometry
from irno_graph.correctors.message_passing import MessagePassing
from irno_graph.correctors.multiscale import MultiscaleMessagePassing
from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph
from irno_graph.graph.cache import per_graph
from irno_graph.graph.partition import Part, Partition, cut
from irno_graph.nn.fields import check_field
from irno_graph.nn.modes import is_transformed
from irno_graph.nn.pieces import OrderedEdges

Correction = Function[[Tensor], Tensor]


class Join(Protocol):
    """Where parts meet: which of them are computed here, and how their results become fields of the whole."""

    def here(self, parts: int) -> Sequence[int]:
        """Numbers of the parts that are computed here."""

    def enter(self, field: Tensor) -> Tensor:
        """`field`, of the whole graph, before parts take their rows of it."""

    def whole(self, values: list[Tensor], owned: Sequence[Tensor], *, shared: bool) -> Tensor:
        """All rows `[..., nodes, channels]` from those of the parts here.

        Args:
            values: `[..., owned, channels]` for each part here.
            owned: which rows those of each part are, here or elsewhere.
            shared: whether what follows is computed alike everywhere, else for the parts there alone.
        """

    def total(self, values: list[Tensor]) -> Tensor:
        """The sum of those of all parts, here or elsewhere; what follows is computed for the parts there alone."""


def check_supported(corrector: nn.Module) -> None:
    """Raise a ValueError that names what cannot be computed in parts."""
    kinds = (MessagePassing, EdgeMessagePassing, MultiscaleMessagePassing)
    if type(corrector) not in kinds:
        raise ValueError(
            f"`corrector` should be {', '.join(kind.__name__ for kind in kinds)} to be computed in parts, got "
            f"{type(corrector).__name__}: what it needs of other parts is not known."
        )


class Known:
    """x, the times and the geometry of the whole graph, from which parts take their rows."""

    def __init__(
        self, corrector: GraphCorrector, x: Tensor, graph: Graph, *, time: Time, lead_time: Time
    ) -> None:
        check_field(x, graph, corrector.in_channels, "x")
        if graph.dim != corrector.dim:
            raise ValueError(
                f"this corrector is for graphs in {corrector.dim} dimensions, got {graph.dim}: pass `dim`."
            )
        self.x, self.graph, self.leading = x, graph, x.shape[:-2]
        self.dtype, self.channels = corrector.last.weight.dtype, corrector.channels
        self.times = corrector._times(self.leading, graph, time, lead_time)
        self.geometry = corrector.geometry(graph)

    def check(self, h: Tensor) -> None:
        """Raise a ValueError unless h is a finite field on the graph with the corrector's channels."""
        check_field(h, self.graph, self.channels, "h")

    def static(self, nodes: Tensor) -> Tensor | None:
        """Features of some nodes."""
        return None if self.geometry.static is None else self.geometry.static[nodes]

    def given(self, corrector: GraphCorrector, nodes: Tensor, geometry: Geometry) -> Given:
        """What the corrector makes once per refinement, for some nodes."""
        x = self.x.index_select(-2, nodes)
        return corrector.given(
            x.reshape(self.leading.numel(), *x.shape[-2:]).to(self.dtype), geometry, self.times
        )

    def flat(self, h: Tensor) -> tuple[Tensor, torch.Size]:
        """h `[samples, nodes, channels]` as the corrector takes it, and its leading dimensions, x's among them."""
        leading = torch.broadcast_shapes(self.leading, h.shape[:-2])
        return h.expand(*leading, *h.shape[-2:]).reshape(leading.numel(), *h.shape[-2:]).to(
            self.dtype
        ), leading


class FlatInParts:
    """h -> Phi(x, h, graph) of a corrector on the graph's own edges.

    `rounds` times Phi may be applied on a part before its halo has to be renewed.
    """

    def __init__(self, corrector: GraphCorrector, known: Known, partition: Partition, rounds: int) -> None:
        self.known, self.corrector = known, corrector
        self.edges = known.geometry.floors[0].own
        alone = isinstance(corrector, MultiscaleMessagePassing)  # on a graph too small for coarser ones
        layers: Any = corrector.bottom if alone else corrector.layers
        self.parts = parts_along(known.graph, partition, self.edges, rounds * len(layers))

    def local(self, part: Part) -> Correction:
        """h `[..., local, channels]` on the part's nodes -> Phi there; of the last hops it is not Phi."""
        known = self.known
        floor = Floor(own_rows(self.edges, part), None, None)
        geometry = Geometry((floor,), None, known.static(part.nodes))
        given = known.given(self.corrector, part.nodes, geometry)

        def phi(h: Tensor) -> Tensor:
            flat, leading = known.flat(h)
            value = self.corrector.compute(flat, _expanded(given, known.leading, leading), geometry)
            return value.reshape(*leading, *value.shape[-2:]).to(h.dtype)

        return phi

    def __call__(self, h: Tensor, join: Join) -> Tensor:
        """Phi on the whole graph, joined from that of its parts."""
        self.known.check(h)
        h = join.enter(h)
        return run(self.parts, h, lambda part, own: self.local(part)(own)[..., : part.reach[0], :], join)


def run(
    parts: Sequence[Part],
    h: Tensor,
    of_part: Function[[Part, Tensor], Tensor],
    join: Join,
) -> Tensor:
    """`of_part(part, h of its nodes)` `[..., owned, channels]` of all parts, as a field of the whole graph.

    Where gradients are wanted, a part is computed again in the backward pass: memory for one part at a time.

    Args:
        parts: all of them.
        h: `[..., nodes, channels]`, as `join.enter` returned it.
        of_part: what is computed.
        join: which parts are computed here.
    """
    values = [
        kept_small(of_part, parts[k], h.index_select(-2, parts[k].nodes)) for k in join.here(len(parts))
    ]
    return join.whole(values, [part.owned for part in parts], shared=True)


def kept_small(work: Function[..., Tensor], *given: object) -> Tensor:
    """work(*given), of which nothing is kept for the backward pass but what is given, where that is possible."""
    if torch.is_grad_enabled() and not is_transformed():
        return checkpoint(work, *given, use_reentrant=False)
    return work(*given)


@per_graph
def parts_along(graph: Graph, partition: Partition, edges: OrderedEdges, hops: int) -> tuple[Part, ...]:
    """The parts with what they depend on within `hops` hops along `edges`, kept as long as the graph.

    Raises:
        ValueError: if the partition is of another graph.
    """
    partition.check(graph)
    senders = edges.senders.cpu().numpy()
    return cut(edges.pointers, senders, partition.members(), hops, graph.pos.device)


def own_rows(edges: OrderedEdges, part: Part) -> OrderedEdges:
    """The edges of a part; made anew each time, so that what layers remember of edges goes with them."""
    features, inverse_degree = edges.features[part.edges], edges.inverse_degree[part.nodes]
    return OrderedEdges(part.senders, part.receivers, features, inverse_degree, part.pointers, None)
