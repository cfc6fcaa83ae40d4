"""A ConvNeXt at one resolution."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from irno_graph.correctors.grid.blocks import ChannelNorm
from irno_graph.correctors.grid.corrector import GridCorrector
from irno_graph.correctors.options import Options
from irno_graph.nn.convolution import CONVOLUTIONS, Convolution, Periodic


class ConvNeXtBlock(nn.Module):
    """v <- v + W_2 gelu(W_1 n), n = layer norm of a convolution of each channel with itself alone."""

    def __init__(self, hidden: int, dim: int, width: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = Convolution(hidden, hidden, dim, width=width, groups=hidden)
        self.norm = ChannelNorm(hidden)
        self.widen = CONVOLUTIONS[dim](hidden, expansion * hidden, 1)
        self.narrow = CONVOLUTIONS[dim](expansion * hidden, hidden, 1)

    def forward(self, field: Tensor, periodic: Periodic) -> Tensor:
        """`[samples, hidden, *shape]`."""
        inner = self.norm(self.depthwise(field, periodic))
        return field + self.narrow(functional.gelu(self.widen(inner)))


class ConvNeXt(GridCorrector):
    """ConvNeXt blocks at full resolution, without layer scale; commutes with all shifts of a periodic grid.

    Convolutions wrap around periodic axes and repeat the last value on others; on grids of the sphere they wrap around
    the longitudes and repeat the value at the last latitude. A value reaches
    1 + blocks (width - 1) / 2 points far. About 220,000 weights in the plane.
    Source: Liu et al., arXiv 2201.03545.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels between the blocks.
        blocks: how many.
        width: points of the convolution along each axis, odd.
        expansion: channels within a block, in units of `hidden`.
        dim: axes of the grid.
        options: further inputs, gain of the last layer.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 64,
        blocks: int = 6,
        width: int = 7,
        expansion: int = 4,
        dim: int = 2,
        options: Options | None = None,
    ) -> None:
        super().__init__(in_channels, channels, dim, options)
        if width < 1 or width % 2 == 0:
            raise ValueError(f"`width` should be odd and positive, got {width}.")
        self.hidden, self.width, self.expansion = hidden, width, expansion
        self.first = Convolution(self.inputs, hidden, dim)
        self.blocks = nn.ModuleList(ConvNeXtBlock(hidden, dim, width, expansion) for _ in range(blocks))
        self.norm = ChannelNorm(hidden)
        self.last = self.last_layer(hidden)

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        own = {"hidden": self.hidden, "width": self.width, "expansion": self.expansion}
        return {**super().config(), **own, "blocks": len(self.blocks)}

    def network(self, field: Tensor, periodic: Periodic) -> Tensor:
        """Blocks between two layers."""
        field = self.first(field, periodic)
        for block in self.blocks:
            field = block(field, periodic)
        return self.last(self.norm(field))
