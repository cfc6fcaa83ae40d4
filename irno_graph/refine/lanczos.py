"""The largest eigenvalue of a self-adjoint operator on fields, for all samples and graphs at once."""

from __future__ import annotations

from collections.abc import Callable as Function
from typing import NamedTuple

import torch
from torch import Tensor

from irno_graph.refine.space import Space

TOLERANCE = 1e-3  # relative residual at which an iteration ends
GONE = 1e-10  # relative size below which a Krylov space is exhausted


class Largest(NamedTuple):
    """An eigenvalue and how far it may be off, `[...]` or `[..., graphs]`."""

    value: Tensor
    residual: Tensor


def largest_eigenvalue(
    apply: Function[[Tensor], Tensor],
    start: Tensor,
    space: Space,
    *,
    steps: int,
    size: Function[[Tensor], Tensor] = torch.abs,
) -> Largest:
    """The largest eigenvalue of a positive semidefinite operator, self-adjoint in `space`, by Lanczos iteration.

    It is never above the true one (up to rounding), and within `residual` of an eigenvalue: |B u - value u| of the
    unit Ritz vector u. A power iteration that uses all its vectors; it ends after `steps`, or when the residual is
    below 1e-3 `size(value)` for every sample (a Ritz value is off by the square of that, over a gap).

    Args:
        apply: B on fields `[..., nodes, channels]`.
        start: where the Krylov space starts, any field with all frequencies.
        space: the inner product.
        steps: applications of B, at most.
        size: what the value is small or large against, by default itself.

    Source: Golub & Van Loan, Matrix Computations, chapter 10; reorthogonalised fully.
    """
    basis: list[Tensor] = []
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    vector = space.unit(start)
    scale: Tensor | None = None
    found = Largest(space.norm(start) * 0, space.norm(start) * 0)
    for _ in range(steps):
        basis.append(vector)
        image = apply(vector)
        diagonal.append(space.dot(vector, image))
        for _twice in range(2):
            for known in basis:
                image = image - space.scaled(known, space.dot(known, image))
        left = space.norm(image)
        found = _ritz(diagonal, beside, left)
        scale = found.value if scale is None else torch.maximum(scale, found.value)
        gone = left <= GONE * scale
        if bool(((found.residual <= TOLERANCE * size(found.value)) | gone).all()):
            break
        vector = space.scaled(image, torch.where(gone, 0.0, 1.0 / left))
        beside.append(torch.where(gone, 0.0, left))
    return found


def _ritz(diagonal: list[Tensor], beside: list[Tensor], left: Tensor) -> Largest:
    matrix = torch.diag_embed(torch.stack(diagonal, dim=-1))  # [..., k, k]
    if beside:
        off = torch.diag_embed(torch.stack(beside, dim=-1), offset=1)
        matrix = matrix + off + off.mT
    values, vectors = torch.linalg.eigh(matrix)
    return Largest(values[..., -1], left * vectors[..., -1, -1].abs())
