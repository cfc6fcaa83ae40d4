"""Whether a refinement started where it was trained to start: a detector, calibrated to a rate of false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from irno_graph.graph import Graph, mass_mean, node_graph_index
from irno_graph.graph.pyg import Batch
from irno_graph.refine.loop import Refinement, Status, finite_samples, over_nodes
from irno_graph.refine.space import Space

FEATURES = ("first_residual", "residual_ratio", "worst_ratio", "energy", "fluctuation")
RATIOS = ("residual_ratio", "worst_ratio")  # small ones are no alarm: the refinement converges
TINY = 1e-30


def features(out: Refinement, space: Space) -> Tensor:
    """What a refinement looks like from outside, in logarithms: `[..., features]`, or `[..., graphs, features]`.

    In the order of `FEATURES`: the first step |h_1 - h_0|; the last step over the first; the largest ratio of two
    steps that follow each other; the sizes of h_0 and of its fluctuation about its mean over the nodes.
    """
    states = out.states
    moved = torch.stack([space.norm(after - before) for before, after in pairwise(states)])
    ratios = moved[1:] / moved[:-1].clamp_min(TINY)  # 0 once a sample has stopped
    worst = ratios.amax(dim=0) if len(ratios) else torch.ones_like(moved[0])
    last = moved[-1] / moved[0].clamp_min(TINY)
    sizes = [space.norm(states[0]), space.norm(states[0] - _mean(states[0], space.graph))]
    return torch.stack([moved[0], last, worst, *sizes], dim=-1).clamp_min(TINY).log()


def _mean(field: Tensor, graph: Graph) -> Tensor:
    """The mass-weighted mean of each channel of each graph, at its nodes."""
    mean = mass_mean(field, graph)
    return mean[..., node_graph_index(graph)[0], :] if isinstance(graph, Batch) else mean.unsqueeze(-2)


@dataclass(frozen=True)
class Guard:
    """Tells starts that a corrector was not trained for; there the base's answer is better trusted.

    A feature is scored by its distance from the middle of the validation samples, in units of their spread on that
    side, ratios of steps above it alone; a sample is outside where its largest score is above `threshold`. The
    threshold is the split-conformal one: of samples like those of the calibration at most the share `rate` is
    outside, in expectation.

    Attributes:
        steps: refinement steps K of the calibration; a refinement is judged by as many.
        middle: median of each feature over the calibration samples.
        below: distance from it to their lower 5 %, `above` to their upper 5 %.
        above: see `below`.
        threshold: largest score of a sample that is inside.
        rate: expected share of false alarms.
    """

    steps: int
    middle: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]
    threshold: float
    rate: float

    @classmethod
    def calibrated(cls, samples: Tensor, rate: float = 0.05, *, steps: int) -> Guard:
        """From the `features` `[samples, features]` of validation samples after `steps`; none was trained on.

        The first half gives middle and spread, the second the threshold.

        Raises:
            ValueError: if the rate is not in (0, 1), or there are too few samples for it.
        """
        if not 0 < rate < 1:
            raise ValueError(f"`rate` should be in (0, 1), got {rate}: 0.05 is one false alarm in twenty.")
        first, second = samples[::2].double(), samples[1::2].double()
        place = math.ceil((len(second) + 1) * (1 - rate))
        if place > len(second) or len(first) < 2:
            needed = 2 * math.ceil(1 / rate)
            raise ValueError(
                f"a rate of {rate} needs {needed} validation samples or more, got {len(samples)}: add samples."
            )
        middle = first.median(dim=0).values
        low, high = first.quantile(0.05, dim=0), first.quantile(0.95, dim=0)
        floor = 1e-6 + 1e-6 * middle.abs()
        below, above = (middle - low).clamp_min(floor), (high - middle).clamp_min(floor)
        spread = tuple(middle.tolist()), tuple(below.tolist()), tuple(above.tolist())
        guard = cls(steps, *spread, math.inf, float(rate))
        return replace(guard, threshold=float(guard.score(second).sort().values[place - 1]))

    @property
    def reach(self) -> float:
        """The most that h_K of a sample that is inside is away from h_0, K being `steps`.

        The first step and the ratios of later ones have upper limits, R and W: |h_K - h_0| <= R (1 + W + ... +
        W^(K-1)). So the error of the answer is at most the base's plus this, whatever the truth.
        """
        limits = dict(zip(FEATURES, zip(self.middle, self.above, strict=True), strict=True))
        first, ratio = (
            math.exp(limits[name][0] + self.threshold * limits[name][1])
            for name in ("first_residual", "worst_ratio")
        )
        return first * sum(ratio**k for k in range(self.steps))

    def score(self, samples: Tensor) -> Tensor:
        """The largest score over the features `[..., features]`; NaN counts as infinite."""
        middle, below, above = (
            torch.tensor(part, dtype=torch.float64, device=samples.device)
            for part in (self.middle, self.below, self.above)
        )
        off = samples.double() - middle
        sizes = torch.tensor([name not in RATIOS for name in FEATURES], device=samples.device)
        scored = torch.where(off < 0, -off / below * sizes, off / above)
        return torch.where(scored.isnan(), torch.inf, scored).amax(dim=-1)

    def applied(self, out: Refinement, space: Space) -> Refinement:
        """`out` with the base's answer h_0 as the value of samples that are outside, and their status saying so.

        A sample whose base is not finite already stays `NOT_FINITE`.

        Raises:
            ValueError: if there were fewer steps than the guard was calibrated with.
        """
        if len(out.states) <= self.steps:
            raise ValueError(
                f"this guard was calibrated with {self.steps} refinement steps, got {len(out.states) - 1}: take as "
                "many or more, or calibrate another one."
            )
        judged = out._replace(states=out.states[: self.steps + 1])
        outside = self.score(features(judged, space)) > self.threshold
        outside = outside & finite_samples(out.states[0], space.graph)
        value = torch.where(over_nodes(outside, space.graph), out.states[0], out.value)
        return out._replace(value=value, status=torch.where(outside, int(Status.OUTSIDE), out.status))
