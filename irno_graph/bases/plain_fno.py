"""A Fourier neural operator in torch alone, as a base on grids."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from irno_graph.bases.neuralop import grid_axes
from irno_graph.graph import Graph
from irno_graph.graph.grid_fields import to_grid, to_nodes
from irno_graph.nn.convolution import CONVOLUTIONS
from irno_graph.nn.fields import check_field
from irno_graph.nn.fourier import SpectralConvolution


class PlainFNO(nn.Module):
    """Fourier layers v <- gelu(K v + W v) between pointwise layers, K a `SpectralConvolution`, W a matrix.

    `FNO` is the one of neuraloperator, which has more options and needs an extra; this one needs torch alone. It has no
    coordinates for inputs and pads nothing: it commutes with all shifts of a periodic grid, and the same weights work
    on every grid. Like it, it works on the values as they are given; `Standardised` gives it physical units.
    Source: Li et al., arXiv 2010.08895.

    Args:
        in_channels: of x.
        channels: of h0.
        hidden: channels within.
        modes: frequencies |k| < modes that a layer keeps along each axis; fewer on a grid that does not have them.
        layers: Fourier layers.
        dim: axes of the grids.

    Raises:
        ValueError: if a size is not positive, or `dim` is none of 1, 2, 3.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 24,
        modes: int = 12,
        layers: int = 4,
        dim: int = 2,
    ) -> None:
        super().__init__()
        if dim not in CONVOLUTIONS:
            raise ValueError(f"`dim` should be 1, 2 or 3, got {dim}.")
        sizes = {"hidden": hidden, "modes": modes, "layers": layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"`{name}` should be positive, got {size}.")
        self.in_channels, self.channels, self.hidden, self.modes = in_channels, channels, hidden, modes
        self.dim = dim
        pointwise = CONVOLUTIONS[dim]
        self.first = pointwise(in_channels, hidden, 1)
        self.spectral = nn.ModuleList(SpectralConvolution(hidden, modes, dim) for _ in range(layers))
        self.own = nn.ModuleList(pointwise(hidden, hidden, 1) for _ in range(layers))
        self.mix = pointwise(hidden, 2 * hidden, 1)
        self.last = pointwise(2 * hidden, channels, 1)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """h0 `[..., nodes, channels]` of x `[..., nodes, in_channels]` on a grid, or a batch of grids of one shape.

        It computes in the type of its weights, the answer has the type of x.

        Raises:
            ValueError: if the graph is not a grid of `dim` axes, or x does not fit it.
        """
        check_field(x, graph, self.in_channels, "x")
        shape, periodic = grid_axes(graph)
        if len(shape) != self.dim:
            raise ValueError(f"this base is for grids of {self.dim} axes, got {len(shape)}: pass `dim`.")
        values = to_grid(x.to(self.first.weight.dtype), graph)  # [..., in_channels, *shape]
        field = self.first(values.reshape(-1, self.in_channels, *shape))  # [samples, hidden, *shape]
        for spectral, own in zip(self.spectral, self.own, strict=True):
            field = functional.gelu(spectral(field, periodic) + own(field))
        field = self.last(functional.gelu(self.mix(field)))
        return to_nodes(field.reshape(*values.shape[: -1 - self.dim], *field.shape[1:]), graph).to(x.dtype)

    def config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {
            "in_channels": self.in_channels,
            "channels": self.channels,
            "hidden": self.hidden,
            "modes": self.modes,
            "layers": len(self.spectral),
            "dim": self.dim,
        }

    @staticmethod
    def from_config(config: dict[str, Any]) -> PlainFNO:
        """The base that `config` describes, with new weights."""
        return PlainFNO(**config)
