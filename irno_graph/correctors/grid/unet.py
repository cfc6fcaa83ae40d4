"""The U-Net that the paper refines with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.correctors.grid.blocks import Norm, doubled, halved, norm_of
from irno_graph.correctors.grid.corrector import GridCorrector
from irno_graph.correctors.grid.official import Official, read_official
from irno_graph.correctors.options import Options
from irno_graph.nn.convolution import Convolution, Periodic


class DoubleConvolution(nn.Module):
    """Twice a convolution of width 3, a norm and a GELU."""

    def __init__(self, channels: int, out: int, norm: Norm, dim: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([Convolution(channels, out, dim), Convolution(out, out, dim)])
        self.norms = nn.ModuleList([norm_of(norm, out, dim) for _ in range(2)])

    def forward(self, field: Tensor, periodic: Periodic) -> Tensor:
        """`[samples, out, *shape]`."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            field = functional.gelu(norm(convolution(field, periodic)))
        return field


class UNet(GridCorrector):
    """A U-Net: `depth` times down to half the resolution and twice the channels, and up again with skips.

    Convolutions wrap around the axes on which the graph is periodic and repeat the last value on others; on grids of
    the sphere they wrap around the longitudes and repeat the value at the last latitude. Grids may have any size:
    where a side is odd, the last maximum is over what is there, and what the way up has too much is cut. On periodic
    grids whose sides are multiples of 2^depth, Phi commutes with shifts by 2^depth points, unless `align_corners`.
    About 2.2 million weights in the plane with the paper's 16 channels and depth 4.
    Source: arXiv 2605.24041, section on the corrector; Ronneberger et al., arXiv 1505.04597.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        base_channels: channels at full resolution.
        depth: how often the resolution is halved.
        norm: "layer" over the channels of a point, "batch" over samples and points, whose statistics are those of all
            steps of the refinements in training, or "group" over 8 groups of channels and all points.
        align_corners: how the official code interpolates on the way up, see `doubled`.
        dim: axes of the grid.
        options: further inputs, gain of the last layer.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        base_channels: int = 16,
        depth: int = 4,
        norm: Norm = "layer",
        align_corners: bool = False,
        dim: int = 2,
        options: Options | None = None,
    ) -> None:
        super().__init__(in_channels, channels, dim, options)
        if base_channels < 1 or depth < 1:
            raise ValueError(
                f"`base_channels` and `depth` should be positive, got {base_channels} and {depth}."
            )
        self.base_channels, self.depth, self.norm, self.align_corners = (
            base_channels,
            depth,
            norm,
            align_corners,
        )
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.encoders = nn.ModuleList(
            DoubleConvolution(above, width, norm, dim)
            for above, width in zip([self.inputs, *widths], widths[:-1], strict=False)
        )
        self.bottleneck = DoubleConvolution(widths[-2], widths[-1], norm, dim)
        self.rises = nn.ModuleList(Convolution(2 * width, width, dim) for width in widths[-2::-1])
        self.decoders = nn.ModuleList(
            DoubleConvolution(2 * width, width, norm, dim) for width in widths[-2::-1]
        )
        self.last = self.last_layer(base_channels)

    @classmethod
    def from_official(
        cls,
        checkpoint: str | os.PathLike[str] | Mapping[str, Any] | Official,
        *,
        in_channels: int | None = None,
        trust: bool = False,
    ) -> Self:
        """The U-Net of a checkpoint of the official code, in evaluation mode; see `read_official` for its layout.

        The first channels that it was trained on are x, the last ones h, in the order of its data and in its units.
        It gives the same numbers on grids that are periodic along both axes.

        Args:
            checkpoint: path, loaded dict, or what `read_official` returns.
            in_channels: channels of x, to be checked; None takes what the checkpoint has beside those of h.
            trust: see `read_official`.

        Raises:
            ValueError: see `read_official`; if `in_channels` is not the checkpoint's.
        """
        found = checkpoint if isinstance(checkpoint, Official) else read_official(checkpoint, trust=trust)
        if in_channels not in (None, found.in_channels):
            raise ValueError(
                f"`in_channels` should be {found.in_channels}, the channels of the checkpoint's input beside the "
                f"{found.channels} of h, got {in_channels}."
            )
        model = cls(
            found.in_channels,
            found.channels,
            base_channels=found.base_channels,
            depth=found.depth,
            norm=found.norm,
            align_corners=True,
        )
        model.to(found.tensors["last.weight"].dtype).load_state_dict(found.tensors)
        return model.eval()

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        own = {name: getattr(self, name) for name in ("base_channels", "depth", "norm", "align_corners")}
        return {**super().config(), **own}

    def network(self, field: Tensor, periodic: Periodic) -> Tensor:
        """Down, and up again with skips."""
        skips = []
        for encoder in self.encoders:
            skips.append(encoder(field, periodic))
            field = halved(skips[-1])
        field = self.bottleneck(field, periodic)
        for rise, decoder, skip in zip(self.rises, self.decoders, reversed(skips), strict=True):
            fine = doubled(field, skip.shape[2:], periodic, align_corners=self.align_corners)
            field = decoder(torch.cat([rise(fine, periodic), skip], dim=1), periodic)
        return self.last(field)
