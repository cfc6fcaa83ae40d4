"""Message passing without edge-sized matrix products; tensors are node-first, `[nodes, samples, channels]`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.correctors.geometry import DISTANCES, Waves
from irno_graph.correctors.options import Options
from irno_graph.nn.memory import remembered
from irno_graph.nn.messages import Messages, mean_messages
from irno_graph.nn.pieces import OrderedEdges


class Message(nn.Module):
    """mean over edges of silu(W_s h_source + W_t h_target + S e) * (1 + G e), then W_2 at the target.

    W_2 commutes with the mean and W_s, W_t are applied at the nodes: what remains on the edges is a gather, a
    sum, an activation and a product with numbers that depend on the geometry alone. Those, e, are encoded once.

    Args:
        width: channels of the nodes.
        features: numbers that describe an edge.
        options: of the corrector.
        from_target: whether a message depends on its target.
    """

    def __init__(self, width: int, features: int, options: Options, *, from_target: bool = True) -> None:
        super().__init__()
        hidden = options.edge_hidden
        self.memory = options.memory
        self.source = nn.Linear(width, width)
        self.target = nn.Linear(width, width, bias=False) if from_target else None
        self.embed = nn.Linear(features, hidden) if hidden else None
        self.geometry = nn.Linear(hidden or features, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def encode(self, edges: OrderedEdges) -> Tensor:
        """e `[edges, edge_hidden]`; kept in between where no gradients are wanted and weights do not change."""
        weight = self.geometry.weight if self.embed is None else self.embed.weight
        features = edges.features
        if self.embed is None:
            return features if features.dtype == weight.dtype else features.to(weight.dtype)
        embed = self.embed
        return remembered(
            self,
            edges,
            tuple(embed.parameters()),
            None,
            lambda: functional.silu(embed(features.to(weight.dtype))),
        )

    def forward(self, source: Tensor, target: Tensor | None, edges: OrderedEdges, encoded: Tensor) -> Tensor:
        """What arrives at the targets, `[targets, samples, width]`."""
        received = None if self.target is None or target is None else self.target(target)
        messages = Messages(self.source(source), received, encoded, self.geometry.weight)
        return self.out(mean_messages(messages, edges, self.memory))


class GraphLayer(nn.Module):
    """h <- h + W_4 silu(W_3 n + message(n)), n = layer norm of h."""

    def __init__(self, width: int, features: int, options: Options) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.message = Message(width, features, options)
        self.own = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(width, width)

    def encode(self, edges: OrderedEdges) -> Tensor:
        """The geometry of the edges, as the messages take it."""
        return self.message.encode(edges)

    def forward(self, h: Tensor, edges: OrderedEdges, encoded: Tensor) -> Tensor:
        """One step on the edges of a level."""
        normed = self.norm(h)
        return h + self.mix(functional.silu(self.own(normed) + self.message(normed, normed, edges, encoded)))


class Steps(nn.ModuleList):
    """Several layers on one level, one after the other."""

    def encode(self, edges: OrderedEdges) -> tuple[Tensor, ...]:
        """The geometry of the edges, for each layer."""
        layers: Iterable[Any] = self
        return tuple(layer.encode(edges) for layer in layers)

    def forward(self, latent: Tensor, edges: OrderedEdges, encoded: tuple[Tensor, ...]) -> Tensor:
        """The latents after all layers."""
        for layer, own in zip(self, encoded, strict=True):
            latent = layer(latent, edges, own)
        return latent


class Transfer(nn.Module):
    """What the nodes of one level send to those of the next, `[targets, samples, width]`."""

    def __init__(self, width: int, features: int, options: Options) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.message = Message(width, features, options, from_target=False)

    def encode(self, edges: OrderedEdges) -> Tensor:
        """The geometry of the edges, as the messages take it."""
        return self.message.encode(edges)

    def forward(self, h: Tensor, edges: OrderedEdges, encoded: Tensor) -> Tensor:
        """Messages along `edges`, averaged at their targets."""
        return self.message(self.norm(h), None, edges, encoded)


class SpectralFilter(nn.Module):
    """h <- h + W_2 silu(V g(omega) V^T M W_1 n + W_3 n), n = layer norm of h, g diagonal in the eigenbasis.

    g is a combination of cos(omega s) and sin(omega s): what a wave does that travels the distance s. It is a
    function of the eigenvalue, so neither the signs nor the rotations that an eigensolver picks matter, and the
    same weights serve every mesh.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width, bias=False)
        self.filter = nn.Linear(2 * DISTANCES, width, bias=False)
        self.own = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)

    def forward(self, h: Tensor, graph_waves: Waves) -> Tensor:
        """One step on node latents `[nodes, samples, width]`."""
        normed = self.norm(h)
        sizes = [vectors.shape[0] for vectors in graph_waves.vectors]  # a number that export keeps free
        filtered = [
            self._filtered(self._amplitudes(part, weighted), vectors, kernels)
            for part, vectors, weighted, kernels in zip(
                self.enter(normed).split(sizes),
                graph_waves.vectors,
                graph_waves.weighted,
                graph_waves.waves,
                strict=True,
            )
        ]
        return self._left(h, normed, torch.cat(filtered))

    def amplitudes(self, h: Tensor, weighted: Tensor) -> Tensor:
        """V^T M W_1 n `[modes, samples, width]` of some nodes, whose rows of M V are `weighted`; they add up."""
        return self._amplitudes(self.enter(self.norm(h)), weighted)

    def at(self, h: Tensor, amplitudes: Tensor, vectors: Tensor, kernels: Tensor) -> Tensor:
        """The step at some nodes, whose rows of V are `vectors`, from the amplitudes of all nodes of the graph."""
        return self._left(h, self.norm(h), self._filtered(amplitudes, vectors, kernels))

    @staticmethod
    def _amplitudes(entered: Tensor, weighted: Tensor) -> Tensor:
        flat = entered.flatten(1)  # [nodes, samples * width]
        return (weighted.T @ flat).view(weighted.shape[1], *entered.shape[1:])

    def _filtered(self, amplitudes: Tensor, vectors: Tensor, kernels: Tensor) -> Tensor:
        modes = amplitudes * self.filter(kernels).unsqueeze(1)
        return (vectors @ modes.flatten(1)).view(vectors.shape[0], *amplitudes.shape[1:])

    def _left(self, h: Tensor, normed: Tensor, filtered: Tensor) -> Tensor:
        return h + self.leave(functional.silu(filtered + self.own(normed)))
