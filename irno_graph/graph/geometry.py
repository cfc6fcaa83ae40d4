"""Geometry of edges and triangles: minimum images, areas, lumped masses, P1 gradients."""

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


def triangle_areas(corners: Tensor) -> Tensor:
    """Areas `[triangles]` of `corners` `[triangles, 3, dim]`, in the plane or on a surface; never negative.

    >>> triangle_areas(torch.tensor([[[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]]))
    tensor([1.])
    """
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    if corners.shape[-1] == 2:
        return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).abs()
    return 0.5 * torch.linalg.cross(first, second).norm(dim=-1)


def basis_gradients(corners: Tensor) -> Tensor:
    """Gradients `[triangles, 3, dim]` of the P1 hat functions of triangles `corners` `[triangles, 3, dim]`.

    They are tangential to the triangle and sum to zero; hat function c is 1 at corner c and 0 at the others.

    >>> basis_gradients(torch.tensor([[[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]]))
    tensor([[[-0.5000, -1.0000],
             [ 0.5000,  0.0000],
             [ 0.0000,  1.0000]]])
    """
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    aa, ab, bb = (
        (u * v).sum(-1, keepdim=True) for u, v in ((first, first), (first, second), (second, second))
    )
    determinant = aa * bb - ab * ab
    one = (bb * first - ab * second) / determinant
    two = (aa * second - ab * first) / determinant
    return torch.stack([-one - two, one, two], dim=1)


def lumped_mass(face: Tensor, areas: Tensor, nodes: int) -> Tensor:
    """Control areas `[nodes]`: a third of each triangle `face` `[3, triangles]` goes to each corner."""
    mass = torch.zeros(nodes, dtype=areas.dtype, device=areas.device)
    return mass.index_add(0, face.reshape(-1), (areas / 3).repeat(3))
