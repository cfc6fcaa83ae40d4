"""What is known of a refinement near its limit: does it contract, how fast, and how far from the truth it ends.

Source: "Iterative Refinement Neural Operators are Learned Fixed-Point Solvers" (arXiv 2605.24041). With e = y - h,
Phi(x, h) = b + A e + R, b = Phi(x, y), A = -dPhi/dh: |e_{k+1}| <= q |e_k| + alpha |b| + O(|e_k|^2), q = |I - alpha A|.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph
from irno_graph.nn.fields import check_field
from irno_graph.refine.irno import IRNO
from irno_graph.refine.jacobian import Jacobian
from irno_graph.refine.lanczos import Largest, largest_eigenvalue
from irno_graph.refine.loop import refine
from irno_graph.refine.space import Space

FAR = 8  # times the model's own steps to the limit
LATE = 0.5  # share of the steps to the limit after which contraction is observed


class Verdict(IntEnum):
    """What a certificate says of a sample."""

    CONTRACTS = 0
    SMALLER_STEP = 1
    OBSERVED = 2
    DIVERGES = 3

    @property
    def sentence(self) -> str:
        """What to tell a user."""
        return {
            Verdict.CONTRACTS: "a contraction (q < 1): the error ends below the floor, wherever it starts nearby",
            Verdict.SMALLER_STEP: "no contraction at this alpha, but one at every alpha below alpha_max",
            Verdict.OBSERVED: "steps were seen to shrink, but no contraction is proven: trust it where the guard does",
            Verdict.DIVERGES: "steps grow: do not refine this sample beyond the trained number of steps",
        }[self]


class Certificate(NamedTuple):
    """Per sample and graph, `[...]` on one graph, `[..., graphs]` on a batch; norms are those of `refine.space.Space`.

    Attributes:
        q: |I - alpha A|, the operator norm of dT/dh.
        bias: |Phi(x, y)|; without a truth |Phi(x, h*)| at the limit h*.
        monotonicity: m, the smallest <A e, e> over |e| = 1.
        bound: M_A = |A|.
        alpha_max: 2 m / M_A^2, below which every alpha contracts; 0 where m <= 0.
        floor: alpha |b| / (1 - q), infinite where q >= 1.
        contraction: |h_{k+1} - h_k| / |h_k - h_{k-1}|, mean over the later steps to the limit.
        limit_error: |y - h*|, NaN without a truth.
        residual: largest relative residual of the three eigenvalues behind q, m and M_A.
        verdict: a `Verdict`.
        alpha: the step size that was judged.
    """

    q: Tensor
    bias: Tensor
    monotonicity: Tensor
    bound: Tensor
    alpha_max: Tensor
    floor: Tensor
    contraction: Tensor
    limit_error: Tensor
    residual: Tensor
    verdict: Tensor
    alpha: float


def certify(
    model: IRNO,
    x: Tensor,
    graph: Graph,
    truth: Tensor | None = None,
    *,
    time: Time = None,
    lead_time: Time = None,
    iterations: int = 60,
    seed: int = 0,
) -> Certificate:
    """Judge the refinement of x `[..., nodes, in_channels]`, linearised at the truth, or at the limit without one.

    q, m and M_A come from Lanczos iterations on J*J and on A's symmetric part, by Jacobian products:
    they are norms in the mass-weighted inner product, with channels in the units of the model's scaling.

    Args:
        model: the refined operator.
        x: inputs, in physical units.
        graph: of x, or a batch of graphs.
        truth: `[..., nodes, channels]`, in physical units.
        time: as the model takes it.
        lead_time: likewise.
        iterations: products with J and J* for each of the three, at most.
        seed: of the random field that the iterations start from.

    Raises:
        ValueError: if x or the truth does not fit the graph.
    """
    phi = model.correction(x, graph, time=time, lead_time=lead_time)
    with torch.no_grad():
        start = model(x, graph, steps=0, time=time, lead_time=lead_time).value
        out = refine(phi, start, graph, steps=FAR * max(model.steps, 1), alpha=model.alpha)
    limit = out.value
    if truth is not None:
        check_field(truth, graph, limit.shape[-1], "truth")
    space = model.space(limit, graph)
    at = limit if truth is None else truth.to(limit.dtype).expand(limit.shape)
    jacobian = Jacobian(phi, at, space)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(limit.shape, generator=generator, dtype=torch.float64).to(limit)
    norms = _norms(jacobian, noise, model.alpha, iterations)
    with torch.no_grad():
        bias = space.norm(jacobian.value)
    seen = contraction(out.states, space)
    q, monotonicity, bound = (part.value for part in norms)
    alpha_max = torch.where(monotonicity > 0, 2 * monotonicity / bound.square(), 0.0)
    return Certificate(
        q=q,
        bias=bias,
        monotonicity=monotonicity,
        bound=bound,
        alpha_max=alpha_max,
        floor=torch.where(q < 1, model.alpha * bias / (1 - q), torch.inf),
        contraction=seen,
        limit_error=torch.full_like(q, torch.nan) if truth is None else space.norm(at - limit),
        residual=torch.stack([part.residual for part in norms]).amax(dim=0),
        verdict=_verdict(q, alpha_max, seen),
        alpha=model.alpha,
    )


def _norms(
    jacobian: Jacobian, start: Tensor, alpha: float, iterations: int
) -> tuple[Largest, Largest, Largest]:
    """q, m and M_A with relative residuals (of m: relative to M_A), so that 1 - q and m have digits, too."""
    space, forward, adjoint = jacobian.space, jacobian.forward, jacobian.adjoint  # A = -J

    def step(v: Tensor) -> Tensor:  # (I - alpha A)* (I - alpha A)
        inner = v + alpha * forward(v)
        return inner + alpha * adjoint(inner)

    def square(v: Tensor) -> Tensor:
        return adjoint(forward(v))

    bound = _root(largest_eigenvalue(square, start, space, steps=iterations))
    shift = 1.01 * bound.value

    def shifted(v: Tensor) -> Tensor:  # shift - (A + A*) / 2, which is positive
        return space.scaled(v, shift) + 0.5 * (forward(v) + adjoint(v))

    lowest = largest_eigenvalue(
        shifted, start, space, steps=iterations, size=lambda value: (shift - value).abs()
    )
    monotonicity = Largest(shift - lowest.value, lowest.residual / bound.value)
    q = largest_eigenvalue(
        step, start, space, steps=iterations, size=lambda value: torch.minimum(value, (1 - value).abs())
    )
    return _root(q), monotonicity, bound


def _root(square: Largest) -> Largest:
    """Of an eigenvalue of J*J the norm of J, with its relative residual."""
    value = square.value.clamp_min(0).sqrt()
    return Largest(value, square.residual / (2 * square.value.clamp_min(1e-300)))


def contraction(states: Tensor, space: Space) -> Tensor:
    """Geometric mean of the later ratios |h_{k+1} - h_k| / |h_k - h_{k-1}|, before steps are lost in rounding."""
    moved = torch.stack([space.norm(after - before) for before, after in pairwise(states)])
    size = torch.stack([space.norm(state) for state in states[1:]]).amax(dim=0)
    eps = torch.finfo(states.dtype).eps
    more_than_rounding = moved > 100 * eps * size
    seen = more_than_rounding.to(torch.long).cumprod(dim=0).sum(dim=0)
    last = (seen - 1).clamp_min(0)
    first = (LATE * last).floor().long()
    ends = [moved.gather(0, place.unsqueeze(0)).squeeze(0) for place in (first, last)]
    ratio = ends[1] / ends[0].clamp_min(torch.finfo(moved.dtype).tiny)
    return torch.where(last > first, ratio ** (1.0 / (last - first).clamp_min(1)), 0.0)


def _verdict(q: Tensor, alpha_max: Tensor, contraction: Tensor) -> Tensor:
    verdict = torch.where(contraction < 1, int(Verdict.OBSERVED), int(Verdict.DIVERGES))
    verdict = torch.where(alpha_max > 0, int(Verdict.SMALLER_STEP), verdict)
    return torch.where(q < 1, int(Verdict.CONTRACTS), verdict)
