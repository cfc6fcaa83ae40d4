"""Correctors by message passing: on the graph alone, and on a hierarchy of coarser graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.correctors.layers import GraphLayer, SpectralFilter, Transfer, Waves, waves
from irno_graph.graph import Graph
from irno_graph.graph.hierarchy import Level, Links, hierarchy
from irno_graph.nn.fields import check_field


class Geometry(NamedTuple):
    """What depends on the graph alone."""

    levels: tuple[Level, ...]
    waves: Waves | None


class _GraphCorrector(nn.Module, ABC):
    """Encoder over (x, h) and decoder whose last layer starts small."""

    def __init__(self, in_channels: int, channels: int, hidden: int, dim: int, small: float) -> None:
        super().__init__()
        self.in_channels, self.channels, self.hidden, self.dim = in_channels, channels, hidden, dim
        self.encode_x = nn.Linear(in_channels, hidden)
        self.encode_h = nn.Linear(channels, hidden, bias=False)
        self.encode = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.decode = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, channels)
        nn.init.xavier_normal_(self.last.weight, gain=small)
        nn.init.zeros_(self.last.bias)

    def latent(self, x: Tensor, h: Tensor) -> Tensor:
        """Node latents `[nodes, samples, hidden]` from x `[samples, nodes, in_channels]` and h likewise."""
        first = self.encode_x(x.transpose(0, 1)) + self.encode_h(h.transpose(0, 1))
        return self.encode(functional.silu(first))

    def correction(self, latent: Tensor) -> Tensor:
        """Phi `[samples, nodes, channels]` from node latents."""
        return self.last(functional.silu(self.decode(self.norm(latent)))).transpose(0, 1)

    @abstractmethod
    def geometry(self, graph: Graph) -> Geometry:
        """What the corrector needs of the graph, computed once per graph."""

    @abstractmethod
    def process(self, latent: Tensor, geometry: Geometry) -> Tensor:
        """Message passing on node latents."""

    def compute(self, x: Tensor, h: Tensor, geometry: Geometry) -> Tensor:
        """Phi `[samples, nodes, channels]` for x and h `[samples, nodes, ...]`: tensors only, fit to be compiled."""
        return self.correction(self.process(self.latent(x, h), geometry))

    def forward(self, x: Tensor, h: Tensor, graph: Graph) -> Tensor:
        """Phi(x, h, graph) `[..., nodes, channels]`.

        Args:
            x: `[..., nodes, in_channels]`, the operator's input.
            h: `[..., nodes, channels]`, the estimate.
            graph: the graph, or a batch of graphs.

        Raises:
            ValueError: if x or h does not fit the graph or the corrector.
        """
        check_field(x, graph, self.in_channels, "x")
        check_field(h, graph, self.channels, "h")
        if graph.dim != self.dim:
            raise ValueError(
                f"this corrector is for graphs in {self.dim} dimensions, got {graph.dim}: pass `dim`."
            )
        leading = torch.broadcast_shapes(x.shape[:-2], h.shape[:-2])
        own = self.last.weight.dtype
        flat_x, flat_h = (
            part.expand(*leading, *part.shape[-2:]).reshape(-1, *part.shape[-2:]).to(own) for part in (x, h)
        )
        value = self.compute(flat_x, flat_h, self.geometry(graph))
        return value.reshape(*leading, *value.shape[-2:]).to(h.dtype)


class Steps(nn.ModuleList):
    """Several layers on one level, one after the other."""

    def forward(self, latent: Tensor, links: Links) -> Tensor:
        """The latents after all layers."""
        for layer in self:
            latent = layer(latent, links)
        return latent


class MessagePassing(_GraphCorrector):
    """`layers` steps of message passing on the graph's own edges.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels of the node latents.
        layers: steps of message passing.
        dim: space dimension of the graphs.
        small: gain of the last layer's initialisation, so that refinement starts near the base.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 64,
        layers: int = 6,
        dim: int = 2,
        small: float = 0.1,
    ) -> None:
        super().__init__(in_channels, channels, hidden, dim, small)
        self.layers = Steps(GraphLayer(hidden, dim) for _ in range(layers))
        self._config = {"hidden": hidden, "layers": layers, "dim": dim, "small": small}

    def config(self) -> dict[str, object]:
        """Constructor arguments."""
        return {"in_channels": self.in_channels, "channels": self.channels, **self._config}

    def geometry(self, graph: Graph) -> Geometry:
        """The graph's edges."""
        return Geometry(hierarchy(graph, 0), None)

    def process(self, latent: Tensor, geometry: Geometry) -> Tensor:
        """Steps on the graph's edges."""
        return self.layers(latent, geometry.levels[0].links)


class MultiscaleMessagePassing(_GraphCorrector):
    """Message passing down a hierarchy of coarser graphs and up again, with skips: a learned V-cycle.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels of the node latents, at every level.
        layers: steps of message passing at a level, on the way down and again on the way up.
        levels: number of coarser graphs; each has a third to a fifth of the nodes of the one above it.
        modes: modes of the graph's Laplacian in two spectral filters, before and after the coarser graphs; 0 for
            none. They carry what travels across the domain within a time step, as sound does.
        dim: space dimension of the graphs.
        small: gain of the last layer's initialisation, so that refinement starts near the base.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 64,
        layers: int = 1,
        levels: int = 4,
        modes: int = 0,
        dim: int = 2,
        small: float = 0.1,
    ) -> None:
        super().__init__(in_channels, channels, hidden, dim, small)
        if levels < 1 or modes < 0:
            raise ValueError(f"`levels` should be 1 or more and `modes` 0 or more, got {levels} and {modes}.")
        self.levels, self.modes = levels, modes

        def steps() -> Steps:
            return Steps(GraphLayer(hidden, dim) for _ in range(layers))

        self.down = nn.ModuleList(steps() for _ in range(levels))
        self.bottom = steps()
        self.up = nn.ModuleList(steps() for _ in range(levels))
        self.restrict = nn.ModuleList(Transfer(hidden, dim) for _ in range(levels))
        self.prolong = nn.ModuleList(Transfer(hidden, dim) for _ in range(levels))
        self.filters = nn.ModuleList(SpectralFilter(hidden) for _ in range(2 if modes else 0))
        self._config = {
            "hidden": hidden,
            "layers": layers,
            "levels": levels,
            "modes": modes,
            "dim": dim,
            "small": small,
        }

    def config(self) -> dict[str, object]:
        """Constructor arguments."""
        return {"in_channels": self.in_channels, "channels": self.channels, **self._config}

    def geometry(self, graph: Graph) -> Geometry:
        """The graph's hierarchy, and its eigenbasis where there are spectral filters."""
        dtype = self.last.weight.dtype
        return Geometry(
            hierarchy(graph, self.levels), waves(graph, self.modes, dtype) if self.modes else None
        )

    def process(self, latent: Tensor, geometry: Geometry) -> Tensor:
        """One V-cycle on the graph's hierarchy, between spectral filters where there are any."""
        levels = geometry.levels
        if geometry.waves is None:
            return self._cycle(latent, levels, 0)
        latent = self.filters[0](self.down[0](latent, levels[0].links), geometry.waves)
        latent = self._around(latent, levels, 0)
        latent = self.filters[1](latent, geometry.waves)
        return self.up[0](latent, levels[0].links)

    def _around(self, latent: Tensor, levels: tuple[Level, ...], depth: int) -> Tensor:
        """To the next coarser level and back, added to `latent`."""
        level = levels[depth]
        assert level.restrict is not None
        assert level.prolong is not None
        coarse = self._cycle(self.restrict[depth](latent, level.restrict), levels, depth + 1)
        return latent + self.prolong[depth](coarse, level.prolong)

    def _cycle(self, latent: Tensor, levels: tuple[Level, ...], depth: int) -> Tensor:
        level = levels[depth]
        if level.restrict is None:
            return self.bottom(latent, level.links)
        latent = self._around(self.down[depth](latent, level.links), levels, depth)
        return self.up[depth](latent, level.links)
