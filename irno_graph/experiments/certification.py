"""Certificates of a refined model on the trajectories of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.refine import IRNO, Certificate, Verdict, certify

FIGURES = (
    "q",
    "bias",
    "monotonicity",
    "bound",
    "alpha_max",
    "floor",
    "contraction",
    "limit_error",
    "residual",
)


def certificates(
    model: IRNO,
    truth: Tensor,
    graph: Graph,
    *,
    time_step: int = 0,
    with_truth: bool = True,
    iterations: int = 60,
    progress: Callable[[int, int], None] | None = None,
) -> Certificate:
    """Certificates of one time step of `truth` `[samples, time_steps + 1, nodes, channels]`, a sample at a time.

    Raises:
        ValueError: if there is no such time step.
    """
    last = truth.shape[1] - 2
    if not 0 <= time_step <= last:
        raise ValueError(f"`time_step` should be in 0..{last}, got {time_step}: the file ends there.")
    found = []
    for number, sample in enumerate(truth):
        x, y = sample[time_step], sample[time_step + 1] if with_truth else None
        found.append(certify(model, x, graph, y, iterations=iterations))
        if progress is not None:
            progress(number + 1, len(truth))
    parts = {name: torch.stack([getattr(one, name) for one in found]) for name in (*FIGURES, "verdict")}
    return Certificate(**parts, alpha=model.alpha)


def to_json(found: Certificate) -> dict[str, Any]:
    """Every figure per sample, None where one is not finite, and the verdicts in words."""
    figures = {
        name: [value if abs(value) < float("inf") else None for value in getattr(found, name).tolist()]
        for name in FIGURES
    }
    verdicts = [Verdict(number) for number in found.verdict.tolist()]
    return {
        "alpha": found.alpha,
        "samples": len(verdicts),
        **figures,
        "verdict": [verdict.name.lower() for verdict in verdicts],
        "sentences": {verdict.name.lower(): verdict.sentence for verdict in dict.fromkeys(verdicts)},
    }
