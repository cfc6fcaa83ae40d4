"""Autoregression with refinement in every time step; the module itself is callable: `irno_graph.rollout(...)`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from irno_graph.graph import Graph
from irno_graph.nn.fields import check_field
from irno_graph.refine import IRNO, Status
from irno_graph.refine.irno import finite_samples


class Trajectory(NamedTuple):
    """What a rollout returns.

    Attributes:
        states: `[time_steps + 1, ..., nodes, channels]`, the first one is the start; NaN after a sample has ended.
        times: `[time_steps + 1]`, in the problem's unit.
        steps_taken: refinement steps per time step and sample, `[time_steps, ...]`.
        status: `Status` code per sample, `[...]`.
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
    span = float(getattr(model, "lead_time", 1.0)) if lead_time is None else float(lead_time)
    alive = torch.ones(state.shape[:-2], dtype=torch.bool, device=state.device)
    states, steps_taken, current = [state], [], state
    for number in range(time_steps):
        now = time + number * span
        if isinstance(model, IRNO):
            refined = model(current, graph, steps=steps, time=now, lead_time=lead_time)
            new, taken = refined.value, refined.steps_taken
        else:
            new = model(current, graph, time=now, lead_time=lead_time)
            taken = torch.zeros(state.shape[:-2], dtype=torch.long, device=state.device)
        alive = alive & finite_samples(new)
        over = alive.reshape(*alive.shape, 1, 1)
        states.append(torch.where(over, new, torch.nan))
        steps_taken.append(torch.where(alive, taken, 0))
        current = torch.where(over, new, current)
    times = time + span * torch.arange(time_steps + 1, dtype=torch.float64)
    taken_all = torch.stack(steps_taken) if steps_taken else torch.zeros(0, *alive.shape, dtype=torch.long)
    status = torch.where(alive, int(Status.DONE), int(Status.NOT_FINITE))
    return Trajectory(torch.stack(states), times, taken_all, status)


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Trajectory:
        return rollout(*args, **kwargs)


_CallableModule.__call__.__doc__ = rollout.__doc__
sys.modules[__name__].__class__ = _CallableModule
