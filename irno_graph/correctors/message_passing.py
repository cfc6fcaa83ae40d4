"""The corrector that passes messages on the graph's own edges."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.correctors.geometry import Geometry, floors, static_features
from irno_graph.correctors.layers import GraphLayer, Steps
from irno_graph.correctors.options import Options
from irno_graph.graph import Graph


class MessagePassing(GraphCorrector):
    """`layers` steps of message passing on the graph's own edges.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels of the node latents.
        layers: steps of message passing.
        dim: coordinates of a node of the graphs.
        options: further inputs, invariance, memory.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 64,
        layers: int = 6,
        dim: int = 2,
        options: Options | None = None,
    ) -> None:
        options = options or Options()
        super().__init__(in_channels, channels, hidden, dim, options)
        self.layers = Steps(GraphLayer(hidden, options.edge_features(dim), options) for _ in range(layers))

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        return {**super().config(), "layers": len(self.layers)}

    def geometry(self, graph: Graph) -> Geometry:
        """The graph's edges."""
        static = static_features(graph, self.options, self.last.weight.dtype)
        return Geometry(floors(graph, 0, self.options.invariant), None, static)

    def encode_edges(self, geometry: Geometry) -> tuple[Tensor, ...]:
        """The geometry of the edges, for each layer."""
        return self.layers.encode(geometry.floors[0].own)

    def process(self, latent: Tensor, geometry: Geometry, encoded: tuple[Tensor, ...]) -> Tensor:
        """Steps on the graph's edges."""
        return self.layers(latent, geometry.floors[0].own, encoded)
