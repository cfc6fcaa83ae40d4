"""The standard block of MeshGraphNets, with a state on every edge: for comparison, and for those who want it.

Source: Pfaff et al., Learning mesh-based simulation with graph networks (ICLR 2021, arXiv 2010.03409), section 3.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.correctors.geometry import Geometry, floors, static_features
from irno_graph.correctors.options import Options
from irno_graph.graph import Graph
from irno_graph.nn import gather, segment_sum
from irno_graph.nn.pieces import OrderedEdges


class EdgeLayer(nn.Module):
    """e <- e + f(e, h_source, h_target), h <- h + g(h, sum of f over the edges that arrive).

    f and g are perceptrons with one hidden layer and a layer norm at the end.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge, self.node = _perceptron(3 * width, width), _perceptron(2 * width, width)

    def forward(self, h: Tensor, state: Tensor, edges: OrderedEdges) -> tuple[Tensor, Tensor]:
        """Nodes `[nodes, samples, width]` and edges `[edges, samples, width]` after one step."""
        ends = [gather(h, edges.senders), gather(h, edges.receivers), state]
        message = self.edge(torch.cat(ends, dim=-1))
        arrived = segment_sum(message, edges.receivers, h.shape[0], pointers=edges.row_pointers)
        return h + self.node(torch.cat([h, arrived], dim=-1)), state + message


class EdgeMessagePassing(GraphCorrector):
    """`layers` standard blocks on the graph's own edges.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels of the node and edge latents.
        layers: steps of message passing.
        dim: coordinates of a node of the graphs.
        options: further inputs, invariance; `edge_hidden` is the hidden layer of the edge encoder (0: `hidden`), and
            `memory` does not matter.
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
        inner = options.edge_hidden or hidden
        self.encode_edge = nn.Sequential(
            nn.Linear(options.edge_features(dim), inner),
            nn.SiLU(),
            nn.Linear(inner, hidden),
            nn.LayerNorm(hidden),
        )
        self.layers = nn.ModuleList(EdgeLayer(hidden) for _ in range(layers))

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        return {**super().config(), "layers": len(self.layers)}

    def geometry(self, graph: Graph) -> Geometry:
        """The graph's edges."""
        static = static_features(graph, self.options, self.last.weight.dtype)
        return Geometry(floors(graph, 0, self.options.invariant), None, static)

    def encode_edges(self, geometry: Geometry) -> Tensor:
        """The first state of the edges `[edges, 1, hidden]`."""
        features = geometry.floors[0].own.features.to(self.last.weight.dtype)
        return self.encode_edge(features).unsqueeze(1)

    def process(self, latent: Tensor, geometry: Geometry, encoded: Tensor) -> Tensor:
        """Blocks on the graph's edges."""
        state = encoded.expand(-1, latent.shape[1], -1)
        for layer in self.layers:
            latent, state = layer(latent, state, geometry.floors[0].own)
        return latent


def _perceptron(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.LayerNorm(width))
