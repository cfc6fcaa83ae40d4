"""What the correctors on regular grids have in common: fields between nodes and grids, times, the last layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from irno_graph.correctors.geometry import static_features
from irno_graph.correctors.grid.layout import Layout, layout_of
from irno_graph.correctors.options import Options
from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph, node_graph_index
from irno_graph.nn.convolution import CONVOLUTIONS, Periodic
from irno_graph.nn.fields import check_field, per_graph_of_sample


class GridCorrector(nn.Module, ABC):
    """A network on grids `[samples, channels, *shape]` as a corrector on the nodes of grid graphs.

    The network's inputs are x, then the times and static features that `options` asks for, each as channels, then h.
    Graphs may number their nodes in any order; of a batch of grids, those of one shape are computed together. Graphs of
    `Graph.from_sphere` are planes (nlat, nlon), `dim` 2: the longitudes go around, the latitudes end at the first and
    the last one, whose values are repeated. A subclass says what the network is (`network`) and ends it with
    `last_layer`, which starts small.
    """

    def __init__(self, in_channels: int, channels: int, dim: int, options: Options | None) -> None:
        super().__init__()
        options = options or Options()
        if dim not in CONVOLUTIONS:
            raise ValueError(f"`dim` should be 1, 2 or 3 for a grid, got {dim}.")
        if options.invariant:
            raise ValueError(
                "`options.invariant` should be False on grids, whose axes are directions: use `MessagePassing`."
            )
        self.in_channels, self.channels, self.dim, self.options = in_channels, channels, dim, options

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """What `config` describes."""
        return cls(**{**config, "options": Options(**config["options"])})

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        return {
            "in_channels": self.in_channels,
            "channels": self.channels,
            "dim": self.dim,
            "options": self.options.config(),
        }

    @property
    def inputs(self) -> int:
        """Channels of the network's input."""
        return self.in_channels + self.options.times + self.options.node_features(self.dim) + self.channels

    @abstractmethod
    def network(self, field: Tensor, periodic: Periodic) -> Tensor:
        """Phi `[samples, channels, *shape]` of the inputs `[samples, inputs, *shape]`."""

    def last_layer(self, hidden: int) -> nn.Module:
        """A convolution of width 1 to the channels of h, of gain `options.small`."""
        last = CONVOLUTIONS[self.dim](hidden, self.channels, 1)
        nn.init.xavier_uniform_(last.weight, gain=self.options.small)
        nn.init.zeros_(last.bias)
        return last

    def prepare(
        self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Callable[[Tensor], Tensor]:
        """h -> Phi(x, h, graph); x, times and static features are laid out on the grids here, once.

        Args:
            x: `[..., nodes, in_channels]`.
            graph: a graph whose nodes are a regular grid or one of the sphere, or a batch of them.
            time: scalar or `[...]` (of a batch also `[..., graphs]`), where the corrector depends on it.
            lead_time: likewise.

        Raises:
            ValueError: if the graph is not a grid of `dim` axes, x does not fit the graph or the corrector, or a time
                that it depends on is missing.
        """
        check_field(x, graph, self.in_channels, "x")
        layout, leading = layout_of(graph), x.shape[:-2]
        axes = {len(part.shape) for part in layout.parts}
        if axes != {self.dim}:
            found = ", ".join(map(str, sorted(axes)))
            raise ValueError(f"this corrector is for grids of {self.dim} axes, got {found}: pass `dim`.")
        own = next(self.parameters()).dtype
        known = self._known(x.to(own), graph, layout, time, lead_time)

        def phi(h: Tensor) -> Tensor:
            check_field(h, graph, self.channels, "h")
            both = torch.broadcast_shapes(leading, h.shape[:-2])
            state = h.expand(*both, *h.shape[-2:]).reshape(-1, *h.shape[-2:]).to(own)
            if len(state) == 0:
                return h.new_zeros(*both, *h.shape[-2:])
            values = [
                self._of_part(_expanded(given, leading, both), field, part.periodic)
                for given, field, part in zip(known, layout.to_grids(state), layout.parts, strict=True)
            ]
            return layout.to_nodes(values).reshape(*both, *h.shape[-2:]).to(h.dtype)

        return phi

    def forward(
        self, x: Tensor, h: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Tensor:
        """Phi(x, h, graph) `[..., nodes, channels]`.

        Args:
            x: `[..., nodes, in_channels]`, the operator's input.
            h: `[..., nodes, channels]`, the estimate.
            graph: see `prepare`.
            time: see `prepare`.
            lead_time: see `prepare`.

        Raises:
            ValueError: see `prepare`; if h does not fit the graph or the corrector.
        """
        return self.prepare(x, graph, time=time, lead_time=lead_time)(h)

    def _of_part(self, known: Tensor, state: Tensor, periodic: Periodic) -> Tensor:
        """Phi on the grids of one shape, `[samples, grids, channels, *shape]`."""
        inputs = torch.cat([known, state], dim=2)
        value = self.network(inputs.flatten(0, 1), periodic)
        return value.unflatten(0, inputs.shape[:2])

    def _known(self, x: Tensor, graph: Graph, layout: Layout, time: Time, lead_time: Time) -> list[Tensor]:
        """The inputs but for h, `[*leading, grids, channels, *shape]` for each part."""
        leading, nodes = x.shape[:-2], x.shape[-2]
        index, graphs = node_graph_index(graph)
        columns = [x.reshape(-1, *x.shape[-2:])]
        for value in self._times(time, lead_time):
            number = per_graph_of_sample(value, leading, graphs, x)  # [samples or 1, graphs or 1]
            column = number if number.shape[1] == 1 else number[:, index]
            columns.append(column.expand(len(columns[0]), nodes)[..., None])
        static = static_features(graph, self.options, x.dtype)
        if static is not None:
            columns.append(static.transpose(0, 1).expand(len(columns[0]), -1, -1))
        return [grid.reshape(*leading, *grid.shape[1:]) for grid in layout.to_grids(torch.cat(columns, -1))]

    def _times(self, time: Time, lead_time: Time) -> list[Tensor | float]:
        """The times that Phi depends on."""
        found = []
        for name, value, used in (
            ("time", time, self.options.time),
            ("lead_time", lead_time, self.options.lead_time),
        ):
            if used:
                if value is None:
                    raise ValueError(f"this corrector depends on `{name}`, got none: pass `{name}`.")
                found.append(value)
        return found


def _expanded(known: Tensor, leading: torch.Size, both: torch.Size) -> Tensor:
    """`known` of samples `leading` as `[samples, ...]` of samples `both`, to which they broadcast."""
    rest = known.shape[len(leading) :]
    return known.expand(*both, *rest).reshape(-1, *rest)
