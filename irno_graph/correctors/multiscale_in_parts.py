"""The multi-scale corrector part by part: the mesh in parts, the coarser graphs whole."""

from __future__ import annotations

from collections.abc import Callable as Function
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from irno_graph.correctors.corrector import Given, _expanded
from irno_graph.correctors.geometry import Floor, Geometry
from irno_graph.correctors.in_parts import Join, Known, kept_small, own_rows, parts_along, run
from irno_graph.correctors.multiscale import MultiscaleMessagePassing, _at
from irno_graph.graph import Graph
from irno_graph.graph.cache import per_graph
from irno_graph.graph.partition import Integers, Part, Partition, cut, rows
from irno_graph.nn.pieces import OrderedEdges


@dataclass(frozen=True, eq=False)
class Between:
    """Some targets on one level and all edges to them from another.

    Attributes:
        targets: `[targets]` numbers on their level.
        sources: `[sources]` numbers, ascending, of those on the other level that the edges come from.
        edges: `[edges]` their numbers, by target.
        senders: `[edges]` places in `sources`.
        pointers: `[targets + 1]`.
    """

    targets: Tensor
    sources: Tensor
    edges: Tensor
    senders: Tensor
    pointers: Integers

    @staticmethod
    def of(edges: OrderedEdges, targets: Integers) -> Between:
        """Those edges that reach `targets`."""
        number = rows(edges.pointers, targets)
        sources, senders = np.unique(edges.senders.cpu().numpy()[number], return_inverse=True)
        degree = edges.pointers[targets + 1] - edges.pointers[targets]
        device = edges.senders.device
        targets_, sources_, number_, senders_ = (
            torch.from_numpy(part).to(device) for part in (targets, sources, number, senders)
        )
        return Between(targets_, sources_, number_, senders_, np.concatenate([[0], np.cumsum(degree)]))

    def rows(self, edges: OrderedEdges) -> OrderedEdges:
        """The edges with what is known of them."""
        counts = torch.from_numpy(np.diff(self.pointers)).to(self.targets.device)
        receivers = torch.arange(len(self.targets), device=self.targets.device).repeat_interleave(counts)
        features, inverse_degree = edges.features[self.edges], edges.inverse_degree[self.targets]
        return OrderedEdges(self.senders, receivers, features, inverse_degree, self.pointers, None)


@dataclass(frozen=True, eq=False)
class Cuts:
    """A hierarchy's finest level in parts.

    Attributes:
        down: around the nodes that give to the coarse nodes of each part.
        restrict: from them to these coarse nodes.
        up: around the own nodes of each part, as far as the way down and up reaches.
        prolong: from coarse nodes to all nodes of `up`.
        own: around the own nodes of each part, as far as the way down reaches, for spectral filters; else empty.
        arrive: from coarse nodes to the own nodes.
    """

    down: tuple[Part, ...]
    restrict: tuple[Between, ...]
    up: tuple[Part, ...]
    prolong: tuple[Between, ...]
    own: tuple[Part, ...]
    arrive: tuple[Between, ...]


@per_graph
def cuts(graph: Graph, partition: Partition, floor: Floor, layers: int, filtered: bool) -> Cuts:
    """The cuts for `layers` steps down and up on the finest level `floor`, kept as long as the graph.

    Raises:
        ValueError: if the partition is of another graph.
    """
    own, restrict, prolong = floor
    assert restrict is not None
    assert prolong is not None
    up = parts_along(graph, partition, own, 2 * layers)
    senders, owner = restrict.senders.cpu().numpy(), partition.owner.numpy()
    coarse = Partition(torch.from_numpy(owner[senders[restrict.pointers[:-1]]]), partition.parts)
    given = tuple(Between.of(restrict, targets) for targets in coarse.members())
    seeds = [each.sources.cpu().numpy() for each in given]
    down = cut(own.pointers, own.senders.cpu().numpy(), seeds, layers, graph.pos.device)
    near = parts_along(graph, partition, own, layers) if filtered else ()
    arrive = tuple(Between.of(prolong, part.owned.cpu().numpy()) for part in near)
    across = tuple(Between.of(prolong, part.nodes.cpu().numpy()) for part in up)
    return Cuts(down, given, up, across, near, arrive)


class MultiscaleInParts:
    """h -> Phi(x, h, graph) of the multi-scale corrector on a graph with coarser ones.

    Latents of the finest level are made part by part, twice: on the way down for the coarse nodes, and again with more
    of the halo for the way up. Coarser levels are computed whole. Each spectral filter needs the amplitudes of all
    nodes first, for which the latents of the own nodes are made once more.
    """

    def __init__(self, corrector: MultiscaleMessagePassing, known: Known, partition: Partition) -> None:
        self.corrector, self.known = corrector, known
        self.floor, *self.coarser = known.geometry.floors
        self.waves = known.geometry.waves
        self.cuts = cuts(known.graph, partition, self.floor, corrector._layers, self.waves is not None)
        self.encoded = [corrector._encoded(floor, depth) for depth, floor in enumerate(self.coarser, start=1)]

    def __call__(self, h: Tensor, join: Join) -> Tensor:
        """Phi on the whole graph, joined from that of its parts."""
        own = self.cuts
        self.known.check(h)
        h = join.enter(h)
        here = join.here(len(own.down))
        first = self._total(join, here, h, self._amplitudes_down)
        given = [
            kept_small(self._restricted, k, h.index_select(-2, own.down[k].nodes), first) for k in here
        ]  # [samples, coarse nodes of a part, hidden]
        latent = join.whole(given, [each.targets for each in own.restrict], shared=False)
        latent = kept_small(self._coarse, latent)
        second = self._total(join, here, h, self._amplitudes_up, first, latent)
        number = {id(part): k for k, part in enumerate(own.up)}
        return run(
            own.up, h, lambda part, own_h: self._phi(number[id(part)], own_h, first, latent, second), join
        )

    def _total(
        self, join: Join, here: Sequence[int], h: Tensor, of_part: Function[..., Tensor], *more: Tensor | None
    ) -> Tensor | None:
        """The amplitudes that a spectral filter sees, of all parts; None without filters."""
        if self.waves is None:
            return None
        nodes = [self.cuts.own[k].nodes for k in here]
        return join.total(
            [
                kept_small(of_part, k, h.index_select(-2, own), *more)
                for k, own in zip(here, nodes, strict=True)
            ]
        )

    def _amplitudes_down(self, k: int, h: Tensor) -> Tensor:
        """Amplitudes `[modes, samples, hidden]` that the own nodes of a part add to those of the first filter."""
        part = self.cuts.own[k]
        latent, _ = self._down(part, h)
        return self._amplitudes(0, part, latent[: part.reach[0]])

    def _amplitudes_up(self, k: int, h: Tensor, first: Tensor, coarse: Tensor) -> Tensor:
        """Likewise of the second filter, on the way up."""
        part = self.cuts.own[k]
        latent = self._filtered(0, self._down(part, h)[0], part, first)[: part.reach[0]]
        return self._amplitudes(1, part, latent + self._arrived(self.cuts.arrive[k], coarse))

    def _amplitudes(self, number: int, part: Part, own_latent: Tensor) -> Tensor:
        assert self.waves is not None
        spectral: Any = self.corrector.filters[number]
        return spectral.amplitudes(own_latent, self.waves.weighted[0][part.owned])

    def _filtered(self, number: int, latent: Tensor, part: Part, amplitudes: Tensor | None) -> Tensor:
        """Latents of a part after a spectral filter, if there are any."""
        if self.waves is None:
            return latent
        spectral: Any = self.corrector.filters[number]
        return spectral.at(latent, amplitudes, self.waves.vectors[0][part.nodes], self.waves.waves[0])

    def _restricted(self, k: int, h: Tensor, first: Tensor | None) -> Tensor:
        """Latents `[samples, coarse nodes, hidden]` that arrive at the coarse nodes of a part."""
        part = self.cuts.down[k]
        edges = self.cuts.restrict[k].rows(self._whole_restrict)
        latent = self._filtered(0, self._down(part, h)[0], part, first)
        transfer: Any = self.corrector.restrict[0]
        return transfer(latent[: part.reach[0]], edges, transfer.encode(edges)).transpose(0, 1)

    def _down(self, part: Part, h: Tensor) -> tuple[Tensor, OrderedEdges]:
        """Latents `[local, samples, hidden]` after the way down on the finest level, and the part's edges."""
        corrector, edges = self.corrector, own_rows(self.floor.own, part)
        given = self.known.given(corrector, part.nodes, Geometry((), None, self.known.static(part.nodes)))
        flat, leading = self.known.flat(h)
        first = _expanded(Given(given.first, None), self.known.leading, leading).first
        latent = corrector.encode(functional.silu(first + corrector.encode_h(flat.transpose(0, 1))))
        steps: Any = corrector.down[0]
        return steps(latent, edges, steps.encode(edges)), edges

    def _coarse(self, latent: Tensor) -> Tensor:
        """The V-cycle below the finest level, `[samples, coarse nodes, hidden]`."""
        corrector, latent, kept = self.corrector, latent.transpose(0, 1), []
        *finer, (floor, own) = zip(self.coarser, self.encoded, strict=True)
        for depth, (level, encoded) in enumerate(finer, start=1):
            latent = _at(corrector.down, depth)(latent, level.own, encoded.down)
            kept.append(latent)
            latent = _at(corrector.restrict, depth)(latent, level.restrict, encoded.restrict)
        latent = corrector.bottom(latent, floor.own, own.down)
        for depth, (level, encoded) in reversed(list(enumerate(finer, start=1))):
            latent = kept[depth - 1] + _at(corrector.prolong, depth)(latent, level.prolong, encoded.prolong)
            latent = _at(corrector.up, depth)(latent, level.own, encoded.up)
        return latent.transpose(0, 1)

    def _arrived(self, between: Between, coarse: Tensor) -> Tensor:
        """What coarse nodes `[samples, coarse nodes, hidden]` send to nodes of the finest level."""
        across = between.rows(self._whole_prolong)
        transfer: Any = self.corrector.prolong[0]
        return transfer(
            coarse.index_select(1, between.sources).transpose(0, 1), across, transfer.encode(across)
        )

    def _phi(self, k: int, h: Tensor, first: Tensor | None, coarse: Tensor, second: Tensor | None) -> Tensor:
        """Phi `[..., owned, channels]` of a part from its h, the latents of all coarse nodes and amplitudes."""
        corrector, part = self.corrector, self.cuts.up[k]
        latent, edges = self._down(part, h)
        latent = self._filtered(0, latent, part, first) + self._arrived(self.cuts.prolong[k], coarse)
        latent = self._filtered(1, latent, part, second)
        steps: Any = corrector.up[0]
        latent = steps(latent, edges, steps.encode(edges))[: part.reach[0]]
        value = corrector.last(functional.silu(corrector.decode(corrector.norm(latent)))).transpose(0, 1)
        leading = torch.broadcast_shapes(self.known.leading, h.shape[:-2])
        return value.reshape(*leading, *value.shape[-2:]).to(h.dtype)

    @property
    def _whole_restrict(self) -> OrderedEdges:
        assert self.floor.restrict is not None
        return self.floor.restrict

    @property
    def _whole_prolong(self) -> OrderedEdges:
        assert self.floor.prolong is not None
        return self.floor.prolong
