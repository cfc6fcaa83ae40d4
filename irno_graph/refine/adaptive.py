"""The refinement loop with schedules of step sizes, accelerated steps and stopping per sample."""

from __future__ import annotations

from collections.abc import Callable as Function
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from irno_graph.graph import graph_sum, mass_mean
from irno_graph.graph.pyg import Batch
from irno_graph.refine.loop import Refinement, Status, finite_samples, over_nodes
from irno_graph.refine.solvers import Plain, Solver
from irno_graph.refine.space import Space

Correction = Function[[Tensor], Tensor]


class Problem(NamedTuple):
    """What is refined.

    Attributes:
        correction: h -> Phi(h) on fields `[..., nodes, channels]`.
        of_rows: the same for some of the samples, by their numbers `[rows]`, on fields `[rows, nodes, channels]`;
            None keeps all samples in the computation until the last has stopped.
        space: what residuals are measured in, with the graph.
    """

    correction: Correction
    of_rows: Function[[Tensor], Correction] | None
    space: Space


def refine_adaptively(
    problem: Problem,
    h: Tensor,
    *,
    step_sizes: list[float],
    solver: Solver | None = None,
    tolerance: float | None = None,
    recompute: bool = False,
) -> Refinement:
    """Refine h `[..., nodes, channels]` with one step per step size alpha_k.

    A sample (on a batch, a graph of a sample) stops at h_k where |Phi(h_k)| <= tolerance |Phi(h_0)|. Samples leave the
    computation when half of those that are left have stopped.

    A solver's proposal p is kept if |Phi(p)| <= |Phi(h_k)|. Otherwise the plain step h_k + alpha_k Phi(h_k) is tried
    too, and the one with the smaller residual is kept. So residuals rise only where, and at most as much as, those of
    the plain step would. The last proposal is checked as well: at least `steps + 1` applications of Phi. A sample
    none of whose proposals has a finite residual stops before it.

    With `recompute`, what Phi computes inside is not kept for the backward pass but computed again.
    """
    solver = Plain() if solver is None else solver
    walk = _Walk(problem, h, solver, recompute and torch.is_grad_enabled())
    states, residuals = [walk.whole], []
    for alpha in step_sizes:
        residuals.append(walk.look(tolerance))
        if bool(walk.going.any()):
            walk.step(alpha)
            walk.leave()
        states.append(walk.whole)
    walk.end_converged(tolerance)
    of_each = (*h.shape[:-2], *walk.status.shape[1:])
    channels = (len(residuals), *of_each, h.shape[-1])
    return Refinement(
        value=states[-1].reshape(h.shape),
        states=torch.stack(states).reshape(len(states), *h.shape),
        residuals=torch.stack(residuals).reshape(channels) if residuals else h.new_zeros(channels),
        steps_taken=walk.steps_taken.reshape(of_each),
        status=walk.status.reshape(of_each),
        applications=walk.applications.reshape(of_each),
    )


class _Walk:
    """A refinement under way: what is known of all samples, and the rows of them that are still computed."""

    def __init__(self, problem: Problem, h: Tensor, solver: Solver, recompute: bool) -> None:
        self.problem, self.space, self.recompute = problem, problem.space, recompute
        self.graph = problem.space.graph
        self.run, self.plain = solver.start(self.space), isinstance(solver, Plain)
        self.correction: Correction = lambda rows: problem.correction(rows.reshape(h.shape)).reshape(
            rows.shape
        )
        # Of all samples: [samples, nodes, channels]; [samples] or [samples, graphs].
        self.whole = h.reshape(-1, *h.shape[-2:])
        finite = finite_samples(self.whole, self.graph)
        self.status = torch.where(finite, int(Status.DONE), int(Status.NOT_FINITE))
        self.steps_taken, self.applications = (torch.zeros_like(self.status) for _ in range(2))
        # Of the rows: numbers, who still goes on, h_k, Phi(h_k), its norm, and the norm to reach.
        self.rows, self.going = torch.arange(len(self.whole), device=h.device), finite
        self.h, self.f = self.whole, torch.zeros_like(self.whole)
        self.size, self.goal = (
            self.space.norm(self.f.detach()),
            torch.full_like(finite, torch.nan, dtype=torch.double),
        )
        self.known = False  # whether f is Phi(h)

    def look(self, tolerance: float | None) -> Tensor:
        """End the samples that have converged; the norms of Phi(h_k) per channel of all that had not before."""
        if not bool(self.going.any()):
            return self._spread(torch.zeros_like(self._channel_norms()))
        if not self.known:
            self.f, self.size = self._tried(self.h, self.going)
            self.known = True
        self._end(torch.isinf(self.size), Status.NOT_FINITE)
        found = self._channel_norms()
        self.end_converged(tolerance)
        return self._spread(found)

    def end_converged(self, tolerance: float | None) -> None:
        """End the samples whose residual is known to be small enough."""
        if tolerance is None or not self.known:
            return
        self.goal = torch.where(self.goal.isnan(), tolerance * self.size, self.goal)
        self._end(self.size <= self.goal, Status.CONVERGED)

    def step(self, alpha: float) -> None:
        """From h_k to h_{k+1}."""
        new = self.run.advance(self.h, self.f, alpha)
        if self.plain:
            self._end(~finite_samples(new, self.graph), Status.NOT_FINITE)
        else:
            new, f, size = self._accepted(new, alpha)
            self._end(torch.isinf(size), Status.NOT_FINITE)
            self.f = torch.where(self._there(self.going), f, self.f)
            self.size = torch.where(self.going, size, self.size)
        self.known = not self.plain
        self.h = torch.where(self._there(self.going), new, self.h)
        self.steps_taken[self.rows] += self.going.long()
        self.whole = (
            self.h if len(self.rows) == len(self.whole) else self.whole.index_copy(0, self.rows, self.h)
        )

    def leave(self) -> None:
        """Compute only the rows that go on, once they are at most half of those that are computed."""
        live = self.going if self.going.dim() == 1 else self.going.any(dim=-1)
        count = int(live.sum())
        if self.problem.of_rows is None or count == 0 or 2 * count > len(live):
            return
        keep = live.nonzero().squeeze(-1)
        self.rows, self.going, self.h, self.f, self.size, self.goal = (
            one[keep] for one in (self.rows, self.going, self.h, self.f, self.size, self.goal)
        )
        self.run.keep(keep)
        self.correction = self.problem.of_rows(self.rows)

    def _accepted(self, new: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
        """The proposal or the plain step, Phi there and its norm, infinite where both lead to what is not finite."""
        f, size = self._tried(new, self.going)
        worse = self.going & ~(size <= self.size)
        if bool(worse.any()):
            self.run.forget(worse)
            plain = self.h + alpha * self.f
            again = worse & ~self._same(plain, new)
            if bool(again.any()):
                other_f, other_size = self._tried(plain, again)
                better = again & (other_size < size)
                new, f = (torch.where(self._there(better), *pair) for pair in ((plain, new), (other_f, f)))
                size = torch.where(better, other_size, size)
        return new, f, size

    def _tried(self, h: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Phi(h) and its norm where it is `asked`; where h or Phi(h) is not finite, zero and infinity."""
        asked = asked & finite_samples(h, self.graph)
        self.applications[self.rows] += asked.long()
        usable = torch.where(self._there(asked), h, self._shelter())
        phi = partial(checkpoint, self.correction, use_reentrant=False) if self.recompute else self.correction
        f = phi(usable)
        fine = asked & finite_samples(f, self.graph)
        f = torch.where(self._there(fine), f, 0.0)
        with torch.no_grad():
            size = self.space.norm(f).clamp_max(torch.finfo(torch.float64).max)  # squares overflow first
            size = torch.where(fine, size, torch.inf)
        return f, size

    def _shelter(self) -> Tensor:
        """Where samples wait that are not asked: at their last state, or at 0 if it leads to what is not finite."""
        broken = self.status[self.rows] == int(Status.NOT_FINITE)
        return torch.where(self._there(~broken), self.h, 0.0) if bool(broken.any()) else self.h

    def _channel_norms(self) -> Tensor:
        square = mass_mean(self.f.square(), self.graph)
        positive = (square > 0) & self.going.unsqueeze(-1)
        return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)  # slope 0 at 0

    def _spread(self, values: Tensor) -> Tensor:
        """`values` of the rows, zero for the samples that have left."""
        if len(self.rows) == len(self.whole):
            return values
        return values.new_zeros(len(self.whole), *values.shape[1:]).index_copy(0, self.rows, values)

    def _end(self, samples: Tensor, status: Status) -> None:
        ended = samples & self.going
        self.status[self.rows] = torch.where(ended, int(status), self.status[self.rows])
        self.going = self.going & ~ended

    def _same(self, first: Tensor, second: Tensor) -> Tensor:
        apart = graph_sum((first != second).any(dim=-1, keepdim=True).long(), self.graph).squeeze(-1) == 0
        return apart if isinstance(self.graph, Batch) else apart.squeeze(-1)

    def _there(self, samples: Tensor) -> Tensor:
        return over_nodes(samples, self.graph)
