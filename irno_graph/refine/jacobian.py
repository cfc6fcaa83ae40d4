"""The Jacobian of a correction, as an operator on fields."""

from __future__ import annotations

from collections.abc import Callable as Function

import torch
from torch import Tensor

from irno_graph.refine.space import Space


class Jacobian:
    """J = dPhi/dh at a field, applied by reverse passes over one evaluation of Phi: u -> J^T u is linear, its slope J.

    Samples and graphs do not see each other: all of them are applied at once.

    Args:
        phi: h -> Phi(x, h, graph), twice differentiable in h.
        at: h `[..., nodes, channels]`.
        space: the inner product of the adjoint.
        differentiable: whether products have gradients in the weights of Phi.

    Attributes:
        value: Phi(x, h, graph) there.
    """

    def __init__(
        self, phi: Function[[Tensor], Tensor], at: Tensor, space: Space, *, differentiable: bool = False
    ) -> None:
        self.space, self.differentiable = space, differentiable
        with torch.enable_grad():
            self._at = at.detach().requires_grad_()
            self.value = phi(self._at)
            self._dual = torch.zeros_like(self.value, requires_grad=True)
            self._pulled: Tensor | None = None

    def forward(self, v: Tensor) -> Tensor:
        """J v."""
        if self._pulled is None:
            self._pulled = _slope(self.value, self._at, self._dual, keep=True)
        return _slope(self._pulled, self._dual, v, keep=self.differentiable)

    def adjoint(self, v: Tensor) -> Tensor:
        """J* v, with <J* v, w> = <v, J w>."""
        return self.space.adjoint(
            _slope(self.value, self._at, self.space.weighted(v), keep=self.differentiable)
        )


def _slope(value: Tensor, at: Tensor, vector: Tensor, *, keep: bool) -> Tensor:
    """J^T vector of value(at), zero where it does not depend on `at`."""
    if not value.requires_grad:
        return 0 * vector
    return torch.autograd.grad(
        value, at, vector, create_graph=keep, retain_graph=True, materialize_grads=True
    )[0]
