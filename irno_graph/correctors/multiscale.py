"""The corrector that passes messages on a hierarchy of coarser graphs: a learned V-cycle."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.correctors.geometry import Floor, Geometry, alike, floors, static_features, waves
from irno_graph.correctors.layers import GraphLayer, SpectralFilter, Steps, Transfer
from irno_graph.correctors.options import Options
from irno_graph.graph import Graph

SHARED = 2  # levels with weights of their own where their number follows the mesh; the last are those of all coarser


class EncodedFloor(NamedTuple):
    """The geometry of the edges of one level, for each layer; `up` and what follows is None at the coarsest."""

    down: tuple[Tensor, ...]
    up: tuple[Tensor, ...] | None
    restrict: Tensor | None
    prolong: Tensor | None


class MultiscaleMessagePassing(GraphCorrector):
    """Message passing down a hierarchy of coarser graphs and up again, with skips: a learned V-cycle.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels of the node latents, at every level.
        layers: steps of message passing at a level, on the way down and again on the way up.
        levels: number of coarser graphs, each with weights of its own. None goes down until three nodes are left of
            every connected part, so that the whole domain is seen on a mesh of any size; all coarser graphs but the
            first then share their weights, and a graph of a batch has the levels that it has alone.
        modes: modes of the graph's Laplacian in two spectral filters, before and after the coarser graphs; 0 for
            none. They carry what travels across the domain within a time step, as sound does.
        dim: coordinates of a node of the graphs.
        options: further inputs, invariance, memory.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 64,
        layers: int = 1,
        levels: int | None = None,
        modes: int = 0,
        dim: int = 2,
        options: Options | None = None,
    ) -> None:
        options = options or Options()
        super().__init__(in_channels, channels, hidden, dim, options)
        if (levels is not None and levels < 1) or modes < 0:
            raise ValueError(
                f"`levels` should be 1 or more or None, and `modes` 0 or more, got {levels} and {modes}."
            )
        self.levels, self.modes, self._layers = levels, modes, layers
        features = options.edge_features(dim)

        def steps() -> Steps:
            return Steps(GraphLayer(hidden, features, options) for _ in range(layers))

        def transfer() -> Transfer:
            return Transfer(hidden, features, options)

        own = SHARED if levels is None else levels
        self.down = nn.ModuleList(steps() for _ in range(own))
        self.bottom = steps()
        self.up = nn.ModuleList(steps() for _ in range(own))
        self.restrict = nn.ModuleList(transfer() for _ in range(own))
        self.prolong = nn.ModuleList(transfer() for _ in range(own))
        self.filters = nn.ModuleList(SpectralFilter(hidden) for _ in range(2 if modes else 0))

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        return {**super().config(), "layers": self._layers, "levels": self.levels, "modes": self.modes}

    def geometry(self, graph: Graph) -> Geometry:
        """The graph's hierarchy, and its eigenbasis where there are spectral filters."""
        static = static_features(graph, self.options, self.last.weight.dtype)
        parts = alike(graph, self.options.invariant) if self.levels is None else ()
        if parts:
            return Geometry((), None, static, tuple(self._geometry(part) for part in parts))
        return self._geometry(graph)._replace(static=static)

    def _geometry(self, graph: Graph) -> Geometry:
        own = waves(graph, self.modes, self.last.weight.dtype) if self.modes else None
        return Geometry(floors(graph, self.levels, self.options.invariant), own, None)

    def encode_edges(self, geometry: Geometry) -> tuple[Any, ...]:
        """The geometry of the edges of each level, for each layer; of each part where there are parts."""
        if geometry.parts:
            return tuple(self.encode_edges(part) for part in geometry.parts)
        return tuple(self._encoded(floor, depth) for depth, floor in enumerate(geometry.floors))

    def _encoded(self, floor: Floor, depth: int) -> EncodedFloor:
        if floor.restrict is None or floor.prolong is None:
            return EncodedFloor(self.bottom.encode(floor.own), None, None, None)
        return EncodedFloor(
            _at(self.down, depth).encode(floor.own),
            _at(self.up, depth).encode(floor.own),
            _at(self.restrict, depth).encode(floor.restrict),
            _at(self.prolong, depth).encode(floor.prolong),
        )

    def process(self, latent: Tensor, geometry: Geometry, encoded: tuple[Any, ...]) -> Tensor:
        """One V-cycle on the graph's hierarchy, with spectral filters around the coarser graphs if there are any."""
        if not geometry.parts:
            return self._cycle(latent, geometry, encoded)
        parts = latent.split([part.nodes for part in geometry.parts])
        return torch.cat([self._cycle(*own) for own in zip(parts, geometry.parts, encoded, strict=True)])

    def _cycle(self, latent: Tensor, geometry: Geometry, encoded: tuple[EncodedFloor, ...]) -> Tensor:
        kept = []
        *finer, coarsest = zip(geometry.floors, encoded, strict=True)
        for depth, (floor, own) in enumerate(finer):
            latent = _at(self.down, depth)(latent, floor.own, own.down)
            if depth == 0 and geometry.waves is not None:
                latent = self.filters[0](latent, geometry.waves)
            kept.append(latent)
            latent = _at(self.restrict, depth)(latent, floor.restrict, own.restrict)
        latent = self.bottom(latent, coarsest[0].own, coarsest[1].down)
        for depth, (floor, own) in reversed(list(enumerate(finer))):
            latent = kept[depth] + _at(self.prolong, depth)(latent, floor.prolong, own.prolong)
            if depth == 0 and geometry.waves is not None:
                latent = self.filters[1](latent, geometry.waves)
            latent = _at(self.up, depth)(latent, floor.own, own.up)
        return latent


def _at(modules: nn.ModuleList, depth: int) -> Any:
    """The module of a level; the last one is that of all coarser levels."""
    return modules[min(depth, len(modules) - 1)]
