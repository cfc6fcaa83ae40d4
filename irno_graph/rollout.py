"""Autoregression with refinement in every time step; the module itself is callable: `irno_graph.rollout(...)`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from irno_graph.bases import ask
from irno_graph.graph import Graph
from irno_graph.nn.fields import check_field
from irno_graph.refine import IRNO, Status
from irno_graph.refine.irno import finite_samples, over_nodes


class Trajectory(NamedTuple):
    """What a rollout returns.

    Attributes:
        states: `[time_steps + 1, ..., nodes, channels]`, the first one is the start; NaN after a sample has ended.
        times: `[time_steps + 1]`, in the problem's unit.
        steps_taken: refinement steps per time step and sample, `[time_steps, ...]`.
        status: `Status` code per sample, `[...]` (`[..., graphs]` on a batch): whether all steps were taken and
            all refined.
    """

    states: Tensor
    times: Tensor
    steps_taken: Tensor
    status: Tensor


@torch.no_grad()
def rollout(
    model: nn.Module,
    state: Tensor,
    graph: Graph,
    time_steps: int = 7,
    *,
    steps: int | None = None,
    time: float = 0.0,
    lead_time: float | None = None,
) -> Trajectory:
    """u_{n+1} = model(u_n, graph): each answer, refined, is the next input.

    Args:
        model: an `IRNO`, or a base alone.
        state: u_0 `[..., nodes, channels]` in physical units.
        graph: the graph of `state`.
        time_steps: how many.
        steps: refinement steps in each time step; None is the model's own number, 0 the base alone.
        time: of u_0.
        lead_time: length of a time step; None is the model's own.

    Raises:
        ValueError: if `state` does not fit the graph or is not finite, or `time_steps` is negative.
    """
    if time_steps < 0:
        raise ValueError(f"`time_steps` should be 0 or more, got {time_steps}.")
    check_field(state, graph, None, "state")
    if steps and not isinstance(model, IRNO):
        raise ValueError(
            f"`steps` needs a refined model (IRNO), got a {type(model).__name__} alone: leave it out."
        )
    span = float(getattr(model, "lead_time", 1.0)) if lead_time is None else float(lead_time)
    alive = finite_samples(state, graph)
    refined_all = alive
    states, steps_taken, current = [state], [], state
    for number in range(time_steps):
        now = time + number * span
        if isinstance(model, IRNO):
            refined = model(current, graph, steps=steps, time=now, lead_time=lead_time)
            new, taken = refined.value, refined.steps_taken
            refined_all = refined_all & (refined.status == int(Status.DONE))
        else:
            new = ask(model, current, graph, time=now, lead_time=lead_time)
            taken = torch.zeros_like(alive, dtype=torch.long)
        alive = alive & finite_samples(new, graph)
        over = over_nodes(alive, graph)
        states.append(torch.where(over, new, torch.nan))
        steps_taken.append(torch.where(alive, taken, 0))
        current = torch.where(over, new, current)
    times = time + span * torch.arange(time_steps + 1, dtype=torch.float64)
    taken_all = torch.stack(steps_taken) if steps_taken else torch.zeros(0, *alive.shape, dtype=torch.long)
    status = torch.where(alive & refined_all, int(Status.DONE), int(Status.NOT_FINITE))
    return Trajectory(torch.stack(states), times, taken_all, status)


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Trajectory:
        return rollout(*args, **kwargs)


_CallableModule.__call__.__doc__ = rollout.__doc__
sys.modules[__name__].__class__ = _CallableModule
