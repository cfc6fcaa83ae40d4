"""How a training step follows the refinement: K steps, steps past K, or the limit, and penalties on the Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from irno_graph.refine import Space, implicit_limit, jacobian_penalty, norm_penalty
from irno_graph.training.processes import WHOLE, Share


@dataclass(frozen=True)
class Unrolling:
    """Options of `CorrectorTask`.

    Args:
        single_steps: how many optimiser steps, at the start, take one step of size 1 from h_0 or a state between h_0
            and y (Phi(x, h) = y - h is then learned at the cost of one Phi) before the K steps are unrolled.
        past_steps: refinement steps beyond K whose states are in the loss, too; gradients go back through the last
            `truncate` of them at most, so memory for the graph of Phi grows with K + truncate alone.
        truncate: see `past_steps`.
        implicit: the loss is that of the state after K + past_steps steps, with the gradient of the fixed point
            (`refine.implicit_limit`), in the memory of one step.
        beta_jacobian: weight of the mean squared singular value of dT/dh at the truth (`refine.jacobian_penalty`).
        beta_norm: weight of an estimate of the largest (`refine.norm_penalty`).

    Raises:
        ValueError: if a number is negative, or `truncate` is 0.
    """

    single_steps: int = 0
    past_steps: int = 0
    truncate: int = 1
    implicit: bool = False
    beta_jacobian: float = 0.0
    beta_norm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("single_steps", "past_steps", "beta_jacobian", "beta_norm"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` should be 0 or more, got {getattr(self, name)}: 0 is without.")
        if self.truncate < 1:
            raise ValueError(f"`truncate` should be 1 or more, got {self.truncate}: 1 keeps one step.")

    def states(self, step: Callable[[Tensor], Tensor], h: Tensor, steps: int) -> list[Tensor]:
        """The states whose loss is taken: h_1 ... h_{K + past_steps}, K being `steps`, or the limit alone."""
        if self.implicit:
            return [implicit_limit(step, h, steps=steps + self.past_steps)]
        found = []
        for k in range(steps + self.past_steps):
            if k >= steps and (k - steps) % self.truncate == 0:
                h = h.detach()
            h = step(h)
            found.append(h)
        return found

    def penalty(
        self,
        phi: Callable[[Tensor], Tensor],
        h: Tensor,
        space: Space,
        alpha: float,
        generator: torch.Generator,
        share: Share = WHOLE,
    ) -> Tensor | None:
        """The weighted penalties on the Jacobian at h, mean over the samples; None if there is no weight.

        With a `share`, h and `phi` are those of all samples, of which `phi` computes only the share, and the mean over
        all processes is the mean over the samples.
        """
        total = None
        for beta, penalty in ((self.beta_jacobian, jacobian_penalty), (self.beta_norm, norm_penalty)):
            if beta > 0 and share.count(len(h)):
                each = penalty(share.alone(phi), h, space, alpha=alpha, generator=generator)
                value = share.weight(len(h)) * beta * share.of(each).mean()
                total = value if total is None else total + value
        return total
