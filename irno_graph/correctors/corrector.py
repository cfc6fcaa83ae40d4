"""What the correctors by message passing have in common: encoder, decoder, and what is done once per refinement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.correctors.geometry import Geometry
from irno_graph.correctors.options import Options
from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph, node_graph_index
from irno_graph.nn.fields import check_field, per_graph_of_sample


class Given(NamedTuple):
    """What Phi(x, h, graph) depends on besides h, made once per refinement.

    Attributes:
        first: `[nodes, samples, hidden]`, the part of the encoder's first layer that does not see h.
        encoded: the geometry of the edges, for each layer of message passing.
    """

    first: Tensor
    encoded: Any

    def of(self, samples: int) -> Given:
        """That of the first `samples` samples."""
        return self._replace(first=self.first[:, :samples])


class GraphCorrector(nn.Module, ABC):
    """Encoder over (x, h), message passing, and a decoder whose last layer starts small.

    A subclass says what it needs of a graph (`geometry`), what it makes of its edges once per refinement
    (`encode_edges`), and how latents are processed (`process`).
    """

    def __init__(self, in_channels: int, channels: int, hidden: int, dim: int, options: Options) -> None:
        super().__init__()
        self.in_channels, self.channels, self.hidden, self.dim = in_channels, channels, hidden, dim
        self.options = options
        self.encode_x = nn.Linear(in_channels, hidden)
        self.encode_h = nn.Linear(channels, hidden, bias=False)
        known = options.node_features(dim)
        self.encode_static = nn.Linear(known, hidden, bias=False) if known else None
        self.encode_time = (
            nn.Sequential(nn.Linear(options.times, hidden), nn.SiLU(), nn.Linear(hidden, hidden, bias=False))
            if options.times
            else None
        )
        self.encode = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.decode = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, channels)
        nn.init.xavier_normal_(self.last.weight, gain=options.small)
        nn.init.zeros_(self.last.bias)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """What `config` describes."""
        return cls(**{**config, "options": Options(**config["options"])})

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        return {
            "in_channels": self.in_channels,
            "channels": self.channels,
            "hidden": self.hidden,
            "dim": self.dim,
            "options": self.options.config(),
        }

    @abstractmethod
    def geometry(self, graph: Graph) -> Geometry:
        """What the corrector needs of the graph, computed once per graph."""

    @abstractmethod
    def encode_edges(self, geometry: Geometry) -> Any:
        """The geometry of the edges, for each layer."""

    @abstractmethod
    def process(self, latent: Tensor, geometry: Geometry, encoded: Any) -> Tensor:
        """Message passing on node latents `[nodes, samples, hidden]`."""

    def given(self, x: Tensor, geometry: Geometry, times: Tensor | None = None) -> Given:
        """What is made once per refinement, of x `[samples, nodes, in_channels]`.

        `times` is `[samples or 1, nodes or 1, times]`, the time, the lead time, or both.
        """
        first = self.encode_x(x.transpose(0, 1))
        if self.encode_static is not None:
            first = first + self.encode_static(geometry.static)
        if self.encode_time is not None:
            first = first + self.encode_time(times).transpose(0, 1)
        return Given(first, self.encode_edges(geometry))

    def compute(self, h: Tensor, given: Given, geometry: Geometry) -> Tensor:
        """Phi `[samples, nodes, channels]` for h likewise: tensors only, fit to be compiled."""
        latent = self.encode(functional.silu(given.first + self.encode_h(h.transpose(0, 1))))
        latent = self.process(latent, geometry, given.encoded)
        return self.last(functional.silu(self.decode(self.norm(latent)))).transpose(0, 1)

    def prepare(
        self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Callable[[Tensor], Tensor]:
        """h -> Phi(x, h, graph); what does not depend on h is computed here, once.

        Args:
            x: `[..., nodes, in_channels]`.
            graph: the graph, or a batch of graphs.
            time: scalar or `[...]` (of a batch also `[..., graphs]`), where the corrector depends on it.
            lead_time: likewise.

        Raises:
            ValueError: if x does not fit the graph or the corrector, or a time that it depends on is missing.
        """
        check_field(x, graph, self.in_channels, "x")
        if graph.dim != self.dim:
            raise ValueError(
                f"this corrector is for graphs in {self.dim} dimensions, got {graph.dim}: pass `dim`."
            )
        own, leading = self.last.weight.dtype, x.shape[:-2]
        geometry = self.geometry(graph)
        times = self._times(leading, graph, time, lead_time)
        given = self.given(x.reshape(-1, *x.shape[-2:]).to(own), geometry, times)

        def phi(h: Tensor) -> Tensor:
            check_field(h, graph, self.channels, "h")
            both = torch.broadcast_shapes(leading, h.shape[:-2])
            flat = h.expand(*both, *h.shape[-2:]).reshape(-1, *h.shape[-2:]).to(own)
            value = self.compute(flat, _expanded(given, leading, both), geometry)
            return value.reshape(*both, *value.shape[-2:]).to(h.dtype)

        return phi

    def forward(
        self, x: Tensor, h: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Tensor:
        """Phi(x, h, graph) `[..., nodes, channels]`.

        Args:
            x: `[..., nodes, in_channels]`, the operator's input.
            h: `[..., nodes, channels]`, the estimate.
            graph: the graph, or a batch of graphs.
            time: see `prepare`.
            lead_time: see `prepare`.

        Raises:
            ValueError: if x or h does not fit the graph or the corrector, or a time is missing.
        """
        return self.prepare(x, graph, time=time, lead_time=lead_time)(h)

    def _times(self, leading: torch.Size, graph: Graph, time: Time, lead_time: Time) -> Tensor | None:
        """The times that Phi depends on, `[samples or 1, nodes or 1, times]`."""
        wanted = [
            (name, value)
            for name, value, used in (
                ("time", time, self.options.time),
                ("lead_time", lead_time, self.options.lead_time),
            )
            if used
        ]
        if not wanted:
            return None
        index, graphs = node_graph_index(graph)
        columns = []
        for name, value in wanted:
            if value is None:
                raise ValueError(f"this corrector depends on `{name}`, got none: pass `{name}`.")
            own = per_graph_of_sample(value, leading, graphs, self.last.weight)
            columns.append(own if own.shape[1] == 1 else own[:, index])
        return torch.stack(torch.broadcast_tensors(*columns), dim=-1)


def _expanded(given: Given, leading: torch.Size, both: torch.Size) -> Given:
    """`given` of samples `leading` for samples `both`, to which they broadcast."""
    if leading == both:
        return given
    first = given.first
    rows = first.view(len(first), *(1 for _ in both[: len(both) - len(leading)]), *leading, first.shape[-1])
    return given._replace(first=rows.expand(-1, *both, -1).reshape(len(first), -1, first.shape[-1]))
