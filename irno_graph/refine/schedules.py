"""Step sizes alpha_k of a refinement, and the mean of its late states."""

from __future__ import annotations

import sys
from collections.abc import Callable as Function
from dataclasses import dataclass

import torch
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.refine.loop import Refinement, over_nodes

Schedule = Function[[int], float]  # k -> alpha_k in (0, 1]


@dataclass(frozen=True)
class Constant:
    """alpha_k = alpha.

    >>> Constant(0.25)(7)
    0.25
    """

    alpha: float

    def __post_init__(self) -> None:
        check_alpha("alpha", self.alpha)

    def __call__(self, step: int) -> float:
        """alpha_k of step k."""
        return float(self.alpha)


@dataclass(frozen=True)
class Decaying:
    """alpha_k = alpha for k < after, then alpha rate, alpha rate^2, ...: a finite way from h_after on.

    It is at most alpha |Phi| rate / (1 - rate) long if |Phi| does not rise: where errors rise slowly after the model's
    K steps, as those of many trained correctors do, they rise by that much and no further.

    Args:
        alpha: of the first step, in (0, 1].
        rate: in (0, 1].
        after: steps that are not shortened, 0 or more; with 0 the first is alpha.

    >>> [Decaying(0.5, 0.5)(k) for k in range(3)], [Decaying(0.5, 0.5, after=2)(k) for k in range(4)]
    ([0.5, 0.25, 0.125], [0.5, 0.5, 0.25, 0.125])
    """

    alpha: float
    rate: float
    after: int = 0

    def __post_init__(self) -> None:
        check_alpha("alpha", self.alpha)
        check_alpha("rate", self.rate, "0.9 is a good start")
        if self.after < 0:
            raise ValueError(
                f"`after` should be 0 or more, got {self.after}: the model's own K is a good start."
            )

    def __call__(self, step: int) -> float:
        """alpha_k of step k."""
        return max(self.alpha * self.rate ** max(step - max(self.after - 1, 0), 0), sys.float_info.min)


@dataclass(frozen=True)
class Harmonic:
    """alpha_k = alpha for k < after, then alpha after / (k + 1): sum alpha_k diverges, sum alpha_k^2 converges.

    Such steps reach a fixed point that larger ones circle, and average out noise (Robbins & Monro 1951).

    Args:
        alpha: of the first steps, in (0, 1].
        after: how many they are, 1 or more.

    >>> [Harmonic(0.5, after=2)(k) for k in range(4)]
    [0.5, 0.5, 0.3333333333333333, 0.25]
    """

    alpha: float
    after: int

    def __post_init__(self) -> None:
        check_alpha("alpha", self.alpha)
        if self.after < 1:
            raise ValueError(
                f"`after` should be 1 or more, got {self.after}: the model's own K is a good start."
            )

    def __call__(self, step: int) -> float:
        """alpha_k of step k."""
        return self.alpha * min(1.0, self.after / (step + 1))


@dataclass(frozen=True)
class Averaged:
    """The steps of `alpha`; the estimate after k > `after` of them is the mean of h_after ... h_k.

    The iteration itself is not changed, and neither are residuals: `value` and `states` are the means. As a mean, the
    estimate is never further from the truth than the furthest of the states that it is taken of: once |e_k| does not
    rise, its own error does not, and of states that circle the fixed point the circling is divided by k - after + 1
    (Polyak & Juditsky 1992).

    Args:
        alpha: a step size or a schedule.
        after: the first state that counts, 0 or more.
    """

    alpha: float | Schedule
    after: int

    def __post_init__(self) -> None:
        if isinstance(self.alpha, Averaged):
            raise ValueError(f"`alpha` should be a step size or a schedule, got {self.alpha}: average once.")
        if not callable(self.alpha):
            check_alpha("alpha", self.alpha)
        if self.after < 0:
            raise ValueError(
                f"`after` should be 0 or more, got {self.after}: the model's own K is a good start."
            )

    def __call__(self, step: int) -> float:
        """alpha_k of step k."""
        return self.alpha(step) if callable(self.alpha) else float(self.alpha)


def check_alpha(name: str, value: float | str, advice: str = "0.25 is a good start") -> None:
    """Raise a ValueError unless `value` is in (0, 1]."""
    if isinstance(value, str) or not 0.0 < value <= 1.0:
        raise ValueError(f"`{name}` should be in (0, 1], got {value}: {advice}.")


def step_sizes(alpha: float | Schedule, steps: int) -> list[float]:
    """alpha_0 ... alpha_{steps-1}.

    Raises:
        ValueError: if one of them is not in (0, 1].
    """
    found = [float(alpha(k)) if callable(alpha) else float(alpha) for k in range(steps)]
    for k, size in enumerate(found):
        check_alpha(f"alpha({k})", size, "a schedule gives a step size for every step")
    return found


def averaged(found: Refinement, graph: Graph, after: int) -> Refinement:
    """`found` with the mean of h_after ... h_k in the place of each state h_k that was taken, k > after."""
    states, mean = list(found.states), found.value
    for k in range(after, len(states)):
        fresh = over_nodes(found.steps_taken >= k, graph)
        mean = (
            states[k] if k == after else mean + torch.where(fresh, (states[k] - mean) / (k - after + 1), 0.0)
        )
        states[k] = mean
    means: Tensor = torch.stack(states)
    return found._replace(value=means[-1], states=means)
