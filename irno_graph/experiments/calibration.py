"""A step size and a guard for a refined model, from validation trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.refine import IRNO, AlphaChoice, Guard, check_alpha, choose_alpha
from irno_graph.refine.guard import features
from irno_graph.rollout import rollout

Sets = Sequence[tuple[Tensor, Graph]]  # trajectories [samples, times, nodes, channels] and their graphs


class Calibration(NamedTuple):
    """What `calibrate` found.

    Attributes:
        alpha: the step size that the model has now.
        choice: how it was chosen; None where it was given.
        guard: the model's new guard; None without one.
        samples: number of states that it was calibrated on.
    """

    alpha: float
    choice: AlphaChoice | None
    guard: Guard | None
    samples: int


def calibrate(
    model: IRNO,
    sets: Sets,
    *,
    alpha: float | str | None = None,
    rate: float | None = 0.01,
    certified: int = 4,
    iterations: int = 60,
) -> Calibration:
    """Give the model a step size and a guard.

    Args:
        model: changed in place.
        sets: validation trajectories, the model's time step apart.
        alpha: a number, "auto" (`refine.choose_alpha`, on the first time step of the first set), None to keep it.
        rate: false alarms of the guard per time step; None for no guard.
        certified: how many samples a chosen step size is certified on.
        iterations: see `certify`.

    Raises:
        ValueError: if alpha is out of its range, or there are too few trajectories for the rate.
    """
    choice = None
    if alpha == "auto":
        truth, graph = sets[0]
        choice = choose_alpha(model, truth[:certified, 0], graph, truth[:certified, 1], iterations=iterations)
    elif alpha is not None:
        try:
            value = float(alpha)
        except ValueError as error:
            raise ValueError(f"`alpha` should be a number in (0, 1] or auto, got '{alpha}'.") from error
        check_alpha("alpha", value)
        model.alpha, model.schedule = value, None
    samples = 0
    if rate is not None:
        model.guard = None
        met = torch.cat([met_features(model, truth, graph) for truth, graph in sets])
        samples = len(met)
        model.guard = Guard.calibrated(met, rate, steps=model.steps)
    return Calibration(model.alpha, choice, model.guard, samples)


@torch.no_grad()
def met_features(model: IRNO, truth: Tensor, graph: Graph, chunk: int = 16) -> Tensor:
    """The guard's features of all states that refined rollouts meet: `[states, features]`.

    They come in the order in which `Guard.calibrated` takes every second one apart: trajectory by trajectory.
    """
    found = []
    for part in truth.split(chunk):
        states = rollout(
            model, part[:, 0], graph, part.shape[1] - 1
        ).states  # [times, samples, nodes, channels]
        per_step = []
        for x in states[:-1]:
            out = model(x, graph)
            per_step.append(features(out, model.space(out.value, graph)))
        found.append(torch.stack(per_step))  # [time_steps, samples, features]
    joined = torch.cat(found, dim=1)
    even = joined.shape[1] - joined.shape[1] % 2
    return joined[:, :even].flatten(0, 1)
