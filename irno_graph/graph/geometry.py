"""Geometry of edges: minimum images."""

from __future__ import annotations

import torch
from torch import Tensor

from irno_graph.mesh.mesh import Period


def minimum_image(delta: Tensor, period: Period) -> Tensor:
    """The shortest of the vectors `delta + k * period`, k integer per axis; `delta` is `[..., dim]`.

    Every component on a periodic axis is at most half the period.

    >>> minimum_image(torch.tensor([[0.9, 0.9]]), (1.0, None))
    tensor([[-0.1000,  0.9000]])
    """
    if period is None:
        return delta
    lengths = torch.tensor([length or 0.0 for length in period], dtype=delta.dtype, device=delta.device)
    wraps = torch.where(lengths > 0, torch.round(delta / lengths.clamp(min=1e-300)), 0.0)
    return delta - wraps * lengths
