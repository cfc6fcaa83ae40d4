"""Training for contraction: a penalty on the Jacobian, and gradients at the limit in the memory of one step."""

from __future__ import annotations

from collections.abc import Callable as Function

import torch
from torch import Tensor

from irno_graph.refine.jacobian import Jacobian
from irno_graph.refine.space import Space


def jacobian_penalty(
    phi: Function[[Tensor], Tensor],
    h: Tensor,
    space: Space,
    *,
    alpha: float,
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """An unbiased estimate of |I + alpha dPhi/dh|_F^2 / n at h, per sample and graph `[...]` or `[..., graphs]`.

    The Frobenius norm is that of the inner product of `space`, n the number of nodes times channels: it is an upper
    bound of q^2 / n, differentiable in the weights of Phi. Hutchinson's estimate: v with independent entries of
    variance 1 in an orthonormal basis, E |J* v|^2 = |J|_F^2.

    Args:
        phi: h -> Phi(x, h, graph), as `IRNO.correction` gives it.
        h: `[..., nodes, channels]`, states to penalise at, most often those near the truth.
        space: the inner product.
        alpha: step size.
        probes: random fields.
        generator: of the random fields.
    """
    jacobian = Jacobian(phi, h, space, differentiable=True)
    root = space.weight.sqrt()
    total: Tensor | None = None
    for _ in range(probes):
        noise = torch.randn(h.shape, generator=generator, dtype=torch.float64, device=h.device)
        probe = (noise / root).to(h.dtype)  # unit variance along every W-orthonormal direction
        square = _growth(jacobian, probe, alpha)
        total = square if total is None else total + square
    assert total is not None
    count = space.dot(torch.ones_like(h) / root, torch.ones_like(h) / root)  # nodes times channels, per graph
    return total / (probes * count)


def norm_penalty(
    phi: Function[[Tensor], Tensor],
    h: Tensor,
    space: Space,
    *,
    alpha: float,
    power: int = 2,
    generator: torch.Generator | None = None,
) -> Tensor:
    """An estimate of q^2 = |I + alpha dPhi/dh|^2 at h from below, per sample and graph `[...]` or `[..., graphs]`.

    Power iteration: `power` times J J* turns a random field towards the direction that grows most, and |J* v|^2 of
    that v is differentiable in the weights of Phi. `jacobian_penalty` is the mean over all directions, this the worst.

    Args:
        phi: h -> Phi(x, h, graph), as `IRNO.correction` gives it.
        h: `[..., nodes, channels]`, states to penalise at.
        space: the inner product.
        alpha: step size.
        power: iterations, each costs two products with the Jacobian.
        generator: of the random field.
    """
    jacobian = Jacobian(phi, h, space, differentiable=True)
    noise = torch.randn(h.shape, generator=generator, dtype=torch.float64, device=h.device)
    probe = space.unit(noise.to(h.dtype))
    for _ in range(power):
        image = probe + alpha * jacobian.adjoint(probe).detach()
        probe = space.unit(image + alpha * jacobian.forward(image).detach())
    return _growth(jacobian, probe, alpha)


def _growth(jacobian: Jacobian, v: Tensor, alpha: float) -> Tensor:
    """|(I + alpha J)* v|^2."""
    image = v + alpha * jacobian.adjoint(v)
    return jacobian.space.dot(image, image)


def implicit_limit(
    step: Function[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    adjoint_steps: int | None = None,
) -> Tensor:
    """The state after `steps` of h <- step(h), with gradients as if it were the limit.

    With h* = step(h*), dh*/dw = (I - J)^-1 d(step)/dw: the backward pass solves u = g + J^T u by as many iterations. It
    holds one step in memory, whatever the number of steps. Right where the iteration contracts and `steps` reach its
    limit; the start has no gradient, for the limit does not depend on it.

    Args:
        step: h -> h + alpha Phi(x, h, graph), differentiable in its weights.
        start: `[..., nodes, channels]`.
        steps: iterations to the limit.
        adjoint_steps: iterations of the backward pass, as many by default.

    Source: Bai, Kolter & Koltun, Deep equilibrium models (NeurIPS 2019, arXiv 1909.01377), theorem 1.
    """
    with torch.no_grad():
        limit = start.detach()
        for _ in range(steps):
            limit = step(limit)
    result = step(limit)
    if not result.requires_grad:
        return result
    at = limit.detach().requires_grad_()
    again = step(at)
    count = steps if adjoint_steps is None else adjoint_steps

    def solve(grad: Tensor) -> Tensor:
        found = grad
        for _ in range(count):
            found = grad + torch.autograd.grad(again, at, found, retain_graph=True)[0]
        return found

    result.register_hook(solve)
    return result
