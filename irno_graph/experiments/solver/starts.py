"""Starts that the corrector was not trained for: are they noticed, and what does the guard save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.experiments.calibration import Sets, met_features
from irno_graph.experiments.solver.one_step import Samples, varied
from irno_graph.refine import IRNO, Guard, Status

Corruption = Callable[[Tensor], Tensor]


class _Spoilt(nn.Module):
    """A base whose answers are corrupted."""

    def __init__(self, base: nn.Module, corruption: Corruption) -> None:
        super().__init__()
        self.base, self.corruption = base, corruption

    def forward(self, x: Tensor, graph: Any) -> Tensor:
        return self.corruption(self.base(x, graph))


def corruptions(model: IRNO, samples: Samples, noises: list[float], seed: int) -> dict[str, Corruption]:
    """Names of what is done to h_0, and how; noise is white in space, in units of the base's error per channel."""
    scaling = model.scaling
    if scaling is None:
        raise ValueError("`model` has no scaling that holds the base's error: train it by a config.")
    mean, unit = scaling.mean, scaling.error

    def noisy(size: float) -> Corruption:
        def apply(h: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(h.shape, generator=generator, dtype=torch.float64)
            return h + size * unit * noise.to(h)

        return apply

    return {
        "none": lambda h: h,
        **{f"noise of {size:g} base errors": noisy(size) for size in noises},
        "another sample's answer": lambda h: h.roll(1, dims=0),
        "fluctuations doubled": lambda h: mean + 2 * (h - mean),
        "fluctuations halved": lambda h: mean + 0.5 * (h - mean),
        "zero": torch.zeros_like,
        "the mean state": lambda h: mean.expand(h.shape),
    }


@torch.no_grad()
def start_figures(
    model: IRNO, valid: Sets, test: Samples, *, rates: list[float], noises: list[float], seed: int
) -> dict[str, Any]:
    """Shares of samples that the guard finds outside, and errors over those of the start, with and without it."""
    met = torch.cat([met_features(varied(model), truth, graph) for truth, graph in valid])
    guards = {f"{rate:g}": Guard.calibrated(met, rate, steps=model.steps) for rate in rates}
    found: dict[str, Any] = {"calibrated_on": len(met), "samples": len(test.x), "starts": {}}
    for name, corruption in corruptions(model, test, noises, seed).items():
        spoilt = varied(model)
        spoilt.base = _Spoilt(model.base, corruption).eval()
        out = spoilt(test.x, test.graph)
        space = model.space(test.y, test.graph)
        start = space.norm(out.states[0] - test.y)
        entry: dict[str, Any] = {"without": _ratios(space.norm(out.value - test.y) / start)}
        for rate, guard in guards.items():
            judged = guard.applied(out, space)
            outside = judged.status == int(Status.OUTSIDE)
            entry[rate] = {
                "outside": float(outside.double().mean()),
                **_ratios(space.norm(judged.value - test.y) / start),
            }
        found["starts"][name] = entry
    return found


def _ratios(ratio: Tensor) -> dict[str, float]:
    return {
        "mean_ratio": float(ratio.mean()),
        "largest_ratio": float(ratio.max()),
        "made_worse": float((ratio > 1).double().mean()),
    }
