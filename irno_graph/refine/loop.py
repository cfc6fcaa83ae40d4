"""The refinement loop, for any correction h -> Phi(h)."""

from __future__ import annotations

from collections.abc import Callable as Function
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from irno_graph.graph import Graph, graph_sum, mass_norm, node_graph_index
from irno_graph.graph.pyg import Batch


class Status(IntEnum):
    """How a sample's refinement or rollout ended."""

    DONE = 0
    NOT_FINITE = 1
    CONVERGED = 2
    OUTSIDE = 3

    @property
    def sentence(self) -> str:
        """What to tell a user."""
        return {
            Status.DONE: "all steps were taken",
            Status.NOT_FINITE: "a value became NaN or infinite: only what came before it is returned",
            Status.OUTSIDE: "it started where the corrector was not trained: the base's answer is returned",
            Status.CONVERGED: "the residual fell below the tolerance: no step was needed after that",
        }[self]


class Refinement(NamedTuple):
    """What `IRNO` returns.

    Attributes:
        value: the refined estimate `[..., nodes, channels]`.
        states: h_0 ... h_K, `[steps + 1, ..., nodes, channels]`.
        residuals: mass-weighted root mean square of Phi(h_k), in a plain step (h_{k+1} - h_k) / alpha_k,
            `[steps, ..., channels]` (`[steps, ..., graphs, channels]` on a batch); zero once a sample has stopped.
        steps_taken: refinement steps per sample, `[...]` (`[..., graphs]` on a batch).
        status: `Status` code per sample, likewise.
        applications: how often Phi was evaluated for the sample until it stopped, likewise.
    """

    value: Tensor
    states: Tensor
    residuals: Tensor
    steps_taken: Tensor
    status: Tensor
    applications: Tensor


def refine(
    correction: Function[[Tensor], Tensor],
    h: Tensor,
    graph: Graph,
    *,
    steps: int,
    alpha: float,
    recompute: bool = False,
) -> Refinement:
    """h_{k+1} = h_k + alpha correction(h_k), `steps` times from h `[..., nodes, channels]`.

    A sample that becomes NaN or infinite stops at its last finite state. With `recompute` a step keeps h_k alone for
    the backward pass, which takes the step once more; what `correction` holds gets its gradients either way.
    """

    def advance(h: Tensor, alive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        usable = h if bool(alive.all()) else torch.where(over_nodes(alive, graph), h, 0.0)
        new = usable + alpha * correction(usable)
        alive = alive & finite_samples(new, graph)
        new = torch.where(over_nodes(alive, graph), new, h)
        return new, alive, mass_norm((new - h) / alpha, graph)

    recompute = recompute and torch.is_grad_enabled()
    alive = finite_samples(h, graph)
    steps_taken = applications = torch.zeros_like(alive, dtype=torch.long)
    states, residuals = [h], []
    for _ in range(steps):
        applications = applications + alive.long()
        step = checkpoint(advance, h, alive, use_reentrant=False) if recompute else advance(h, alive)
        h, alive, residual = step
        steps_taken = steps_taken + alive.long()
        states.append(h)
        residuals.append(residual)
    none = mass_norm(h, graph).unsqueeze(0)[:0]
    return Refinement(
        value=h,
        states=torch.stack(states),
        residuals=torch.stack(residuals) if residuals else none,
        steps_taken=steps_taken,
        status=torch.where(alive, int(Status.DONE), int(Status.NOT_FINITE)),
        applications=applications,
    )


def finite_samples(field: Tensor, graph: Graph) -> Tensor:
    """Whether every value of a sample of `field` `[..., nodes, channels]` is finite, `[...]`, or `[..., graphs]`."""
    bad = graph_sum((~torch.isfinite(field)).any(dim=-1, keepdim=True).to(torch.long), graph)
    finite = bad.squeeze(-1) == 0  # [..., graphs]
    return finite if isinstance(graph, Batch) else finite.squeeze(-1)


def over_nodes(samples: Tensor, graph: Graph) -> Tensor:
    """What holds of a sample, `[...]` or `[..., graphs]`, at its nodes: `[..., nodes, 1]`, or `[..., 1, 1]`."""
    if isinstance(graph, Batch):
        return samples[..., node_graph_index(graph)[0]].unsqueeze(-1)
    return samples.reshape(*samples.shape, 1, 1)
