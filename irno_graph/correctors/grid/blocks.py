"""What networks on grids have beside convolutions: norms, and a change of resolution.

Fields are `[samples, channels, *shape]`, the slowest axis first.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.nn.convolution import Periodic, padded

Norm = Literal["layer", "batch", "group"]

GROUPS = 8
BATCH_NORMS: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAXIMA: dict[int, Any] = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class ChannelNorm(nn.LayerNorm):
    """The layer norm over the channels at each point."""

    def forward(self, field: Tensor) -> Tensor:
        """`[samples, channels, *shape]`."""
        return super().forward(field.movedim(1, -1)).movedim(-1, 1)


def norm_of(kind: Norm, channels: int, dim: int) -> nn.Module:
    """A norm over the channels at each point, over samples and points, or over 8 groups of channels and all points.

    Where 8 does not divide the channels there are 4, 2 or 1 groups.

    Raises:
        ValueError: for another name.
    """
    if kind == "layer":
        return ChannelNorm(channels)
    if kind == "batch":
        return BATCH_NORMS[dim](channels)
    if kind == "group":
        groups = GROUPS
        while channels % groups:
            groups //= 2
        return nn.GroupNorm(groups, channels)
    raise ValueError(f"`norm` should be 'layer', 'batch' or 'group', got {kind!r}.")


def halved(field: Tensor) -> Tensor:
    """The maxima of 2 x 2 points; of what is there at the end of an axis with an odd number of points."""
    return MAXIMA[field.dim() - 2](field, 2, ceil_mode=True)


def doubled(field: Tensor, shape: torch.Size, periodic: Periodic, *, align_corners: bool) -> Tensor:
    """`field` interpolated linearly to the finer `shape`.

    A coarse point lies in the middle of the points that `halved` made it of, and values beyond the ends are those of
    `padded`; what overhangs on an axis of odd size is cut. With `align_corners` the first and the last points of both
    grids coincide instead, as on the grids of the official code: on a periodic axis that is a shift that depends on
    the place, and translations no longer commute with it.
    """
    mode = LINEAR[field.dim() - 2]
    if align_corners:
        return functional.interpolate(field, size=shape, mode=mode, align_corners=True)
    fine = functional.interpolate(
        padded(field, 1, periodic), scale_factor=2.0, mode=mode, align_corners=False
    )
    for axis, size in enumerate(shape, start=2):
        fine = fine.narrow(axis, 2, size)
    return fine
