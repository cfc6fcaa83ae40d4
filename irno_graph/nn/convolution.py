"""Convolutions on grids of one to three dimensions, padded by the graph's period.

Fields are `[samples, channels, *shape]`, the slowest axis first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Periodic = tuple[bool, ...]

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def padded(field: Tensor, width: int, periodic: Periodic) -> Tensor:
    """`field` with `width` more points at both ends of each axis: around periodic axes, the last value at others.

    >>> padded(torch.tensor([[[1.0, 2.0, 3.0]]]), 1, (True,))
    tensor([[[3., 1., 2., 3., 1.]]])
    >>> padded(torch.tensor([[[1.0, 2.0, 3.0]]]), 1, (False,))
    tensor([[[1., 1., 2., 3., 3.]]])
    """
    wrapped = [own and size >= width for own, size in zip(periodic, field.shape[2:], strict=True)]
    for axis, (own, once) in enumerate(zip(periodic, wrapped, strict=True), start=2):
        if own and not once:  # more than once around
            places = torch.arange(-width, field.shape[axis] + width, device=field.device)
            field = field.index_select(axis, places % field.shape[axis])
    for mode, axes in (("circular", wrapped), ("replicate", [not own for own in periodic])):
        if any(axes) and width:
            widths = [width * own for own in reversed(axes) for _ in range(2)]  # the last axis first
            field = functional.pad(field, widths, mode=mode)
    return field


class Convolution(nn.Module):
    """A convolution of odd width that keeps the shape, padded by the graph's period (see `padded`)."""

    def __init__(
        self, channels: int, out: int, dim: int, *, width: int = 3, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.reach = dilation * (width // 2)
        self.conv = CONVOLUTIONS[dim](channels, out, width, dilation=dilation, groups=groups)

    def forward(self, field: Tensor, periodic: Periodic) -> Tensor:
        """`[samples, out, *shape]`."""
        return self.conv(padded(field, self.reach, periodic))
