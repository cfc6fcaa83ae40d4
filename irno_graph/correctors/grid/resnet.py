"""A residual network of dilated convolutions on grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from irno_graph.correctors.grid.blocks import ChannelNorm
from irno_graph.correctors.grid.corrector import GridCorrector
from irno_graph.correctors.options import Options
from irno_graph.nn.convolution import Convolution, Periodic


class ResidualBlock(nn.Module):
    """v <- v + C_2 gelu(C_1 gelu(n)), n = layer norm of v, C_1 and C_2 convolutions of width 3."""

    def __init__(self, hidden: int, dim: int, dilation: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(hidden)
        self.first = Convolution(hidden, hidden, dim, dilation=dilation)
        self.second = Convolution(hidden, hidden, dim, dilation=dilation)

    def forward(self, field: Tensor, periodic: Periodic) -> Tensor:
        """`[samples, hidden, *shape]`."""
        inner = self.first(functional.gelu(self.norm(field)), periodic)
        return field + self.second(functional.gelu(inner), periodic)


class ResNet(GridCorrector):
    """Residual blocks at full resolution; commutes with all shifts of a periodic grid.

    Convolutions wrap around periodic axes and repeat the last value on others; on grids of the sphere they wrap around
    the longitudes and repeat the value at the last latitude. A value reaches
    1 + 2 sum(dilations) points far, 31 with the default. About 300,000 weights in the plane.
    Source: He et al., arXiv 1603.05027 (norm and activation before the convolution).

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels of the blocks.
        dilations: distance of the points that a convolution sees, for each block.
        dim: axes of the grid.
        options: further inputs, gain of the last layer.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 64,
        dilations: Sequence[int] = (1, 2, 4, 8),
        dim: int = 2,
        options: Options | None = None,
    ) -> None:
        super().__init__(in_channels, channels, dim, options)
        self.hidden, self.dilations = hidden, tuple(dilations)
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"`dilations` should hold a positive number per block, got {self.dilations}.")
        self.first = Convolution(self.inputs, hidden, dim)
        self.blocks = nn.ModuleList(ResidualBlock(hidden, dim, dilation) for dilation in self.dilations)
        self.norm = ChannelNorm(hidden)
        self.last = self.last_layer(hidden)

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        return {**super().config(), "hidden": self.hidden, "dilations": list(self.dilations)}

    def network(self, field: Tensor, periodic: Periodic) -> Tensor:
        """Blocks between two layers."""
        field = self.first(field, periodic)
        for block in self.blocks:
            field = block(field, periodic)
        return self.last(functional.gelu(self.norm(field)))
