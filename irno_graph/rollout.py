"""Autoregression with refinement in every time step; the module itself is callable: `irno_graph.rollout(...)`."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from irno_graph.bases import ask, takes
from irno_graph.graph import Graph
from irno_graph.nn.fields import check_field
from irno_graph.refine import IRNO, Dirichlet, Status, finite_samples, over_nodes

ROUNDING = 1e-5  # by which sums of time steps, float32 ones too, may miss `tau_max`


class Trajectory(NamedTuple):
    """What a rollout returns.

    Attributes:
        states: `[time_steps + 1, ..., nodes, channels]`, the first one is the start; NaN after a sample has ended.
        times: `[time_steps + 1]`, in the problem's unit.
        steps_taken: refinement steps per time step and sample, `[time_steps, ...]`.
        status: `Status` code per sample, `[...]` (`[..., graphs]` on a batch): `NOT_FINITE` where a state or a
            refinement was not finite, `OUTSIDE` where a guard returned the base's answer at some step, else `DONE`.
    """

    states: Tensor
    times: Tensor
    steps_taken: Tensor
    status: Tensor


class Snapshot(NamedTuple):
    """A rollout after some of its time steps: what came of it, and all that the following ones depend on.

    Attributes:
        number: time steps taken, 0 at the start.
        time: of the state, in the problem's unit.
        state: `[..., nodes, channels]`; NaN where a sample has ended.
        steps_taken: refinement steps of this time step per sample, `[...]` or `[..., graphs]`; 0 at the start.
        status: `Status` code of the rollout so far, likewise.
        last: the state, and the last finite one of a sample that has ended.
        origin: the state that this time step was predicted from; with `tau_max` the next one may be, too.
        begun: the number of the snapshot whose `last` is `origin`.
    """

    number: int
    time: float
    state: Tensor
    steps_taken: Tensor
    status: Tensor
    last: Tensor
    origin: Tensor
    begun: int


def rollout(
    model: nn.Module,
    state: Tensor,
    graph: Graph,
    time_steps: int | None = None,
    *,
    steps: int | None = None,
    time: float = 0.0,
    lead_time: float | Sequence[float] | Tensor | np.ndarray | None = None,
    tau_max: float | None = None,
    coefficients: Tensor | None = None,
    fixed: Dirichlet | None = None,
    tolerance: float | None = None,
) -> Trajectory:
    """u_{n+1} = model(u_n, graph): each answer, refined, is the next input.

    With `tau_max`, an operator that takes lead times predicts several of them from one state: all times within
    `tau_max` of it directly, the last of which is the next such state. Time steps longer than `tau_max` are taken in
    equal parts. (RIGNO, arXiv 2501.19205, section on autoregressive inference.)

    Args:
        model: an `IRNO`, or a base alone.
        state: u_0 `[..., nodes, channels]` in physical units.
        graph: the graph of `state`.
        time_steps: how many; None is 7, or the length of `lead_time`.
        steps: refinement steps for each answer; None is the model's own number, 0 the base alone.
        time: of u_0.
        lead_time: length of the time steps, one for all or one for each; None is the model's own.
        tau_max: longest lead time that the model is asked for; None asks for one time step at a time.
        coefficients: what the model takes beside the state, `[..., nodes, coefficients]`; they do not change.
        fixed: Dirichlet values of every state after the first, of its own time where they are a function of time.
        tolerance: of the residual at which a sample's refinement stops, see `IRNO`; None takes all steps.

    Raises:
        ValueError: if `state` does not fit the graph or is not finite, `time_steps` is negative or not the length of
            `lead_time`, a time is not positive, lead times are asked of a base that does not take them, `fixed`
            does not fit the states, or steps or a tolerance are given for a base alone.
    """
    options: dict[str, Any] = {"steps": steps, "time": time, "lead_time": lead_time, "tau_max": tau_max}
    options |= {"coefficients": coefficients, "fixed": fixed, "tolerance": tolerance}
    states, times, steps_taken = [], [], []
    for snapshot in stream(model, state, graph, time_steps, **options):
        states.append(snapshot.state)
        times.append(snapshot.time)
        steps_taken.append(snapshot.steps_taken)
    moments = torch.tensor(times, dtype=torch.float64)
    return Trajectory(torch.stack(states), moments, torch.stack(steps_taken)[1:], snapshot.status)


def stream(
    model: nn.Module,
    state: Tensor | Snapshot,
    graph: Graph,
    time_steps: int | None = None,
    *,
    steps: int | None = None,
    time: float = 0.0,
    lead_time: float | Sequence[float] | Tensor | np.ndarray | None = None,
    tau_max: float | None = None,
    coefficients: Tensor | None = None,
    fixed: Dirichlet | None = None,
    tolerance: float | None = None,
) -> Iterator[Snapshot]:
    """The snapshots of `rollout` one by one, the start first; none is kept.

    A `Snapshot` as `state` goes on behind it: with the arguments of the call that it came from, or more time steps, the
    same states follow to the last bit. `time_steps` and `time` count from u_0 all the same.

    Raises:
        ValueError: as `rollout`, or if the snapshot is of a longer rollout than this.
    """
    last = state.last if isinstance(state, Snapshot) else state
    check_field(last, graph, None, "state")
    if coefficients is not None:
        _check_coefficients(coefficients, last, graph)
    for name, value in (("steps", steps), ("tolerance", tolerance)):
        if value and not isinstance(model, IRNO):
            raise ValueError(
                f"`{name}` needs a refined model (IRNO), got a {type(model).__name__} alone: leave it out."
            )
    spans = _spans(model, time_steps, lead_time, tau_max)
    if isinstance(state, Snapshot) and state.number > len(spans):
        raise ValueError(
            f"`state` should be a snapshot of the first {len(spans)} time steps, got one after {state.number}: ask for "
            "as many at least."
        )
    own_lead = lead_time is None and tau_max is None  # the model's
    question = _Question(model, graph, steps, tolerance, own_lead, coefficients, fixed)
    return _snapshots(state, question, _plan(spans, time, tau_max), time)


class _Question(NamedTuple):
    """How the model is asked for the next state."""

    model: nn.Module
    graph: Graph
    steps: int | None
    tolerance: float | None
    own_lead: bool
    coefficients: Tensor | None
    fixed: Dirichlet | None

    def __call__(self, state: Tensor, start: float, end: float, lead: float) -> tuple[Tensor, Any, Tensor]:
        """The next state, and per sample its refinement steps and status; a base takes none."""
        x = state if self.coefficients is None else _with(state, self.coefficients)
        times = {"time": start, "lead_time": None if self.own_lead else lead}
        fixed = None if self.fixed is None else self.fixed.at(end)
        if isinstance(self.model, IRNO):
            found = self.model(
                x, self.graph, steps=self.steps, fixed=fixed, tolerance=self.tolerance, **times
            )
            return found.value, found.steps_taken, found.status
        new = ask(self.model, x, self.graph, **times)
        none = torch.zeros((), dtype=torch.long, device=new.device)
        return new if fixed is None else fixed.impose(new), 0, none


@torch.no_grad()
def _snapshots(
    state: Tensor | Snapshot, question: _Question, plan: Iterator[_Stretch], time: float
) -> Iterator[Snapshot]:
    graph = question.graph
    if isinstance(state, Snapshot):
        now = state
    else:
        done = torch.full_like(finite_samples(state, graph), int(Status.DONE), dtype=torch.long)
        now = Snapshot(0, time, state, torch.zeros_like(done), done, state, state, 0)
        yield now
    alive = finite_samples(now.state, graph)
    outside, broken = (now.status == int(code) for code in (Status.OUTSIDE, Status.NOT_FINITE))
    last, origin, begun = now.last, now.origin, now.begun
    for number, stretch in enumerate(itertools.islice(plan, now.number, None), now.number + 1):
        if stretch.fresh:
            origin, begun = last, number - 1
        new, taken = origin, torch.zeros_like(alive, dtype=torch.long)
        for start, end in itertools.pairwise(stretch.stops):
            new, more, how = question(new, start, end, stretch.lead)
            taken, outside = taken + more, outside | (how == int(Status.OUTSIDE))
            broken = broken | (how == int(Status.NOT_FINITE))
            alive = alive & finite_samples(new, graph)
            new = torch.where(over_nodes(alive, graph), new, last)
        last = new
        fine = torch.where(outside, int(Status.OUTSIDE), int(Status.DONE))
        yield Snapshot(
            number=number,
            time=stretch.stops[-1],
            state=torch.where(over_nodes(alive, graph), new, torch.nan),
            steps_taken=torch.where(alive, taken, 0),
            status=torch.where(alive & ~broken, fine, int(Status.NOT_FINITE)),
            last=last,
            origin=origin,
            begun=begun,
        )


class _Stretch(NamedTuple):
    """How a time step is taken: from the state at the first of `stops` to the last, in parts of `lead`."""

    stops: tuple[float, ...]
    lead: float
    fresh: bool  # whether it starts from the newest state, not from the same one as the time step before it


def _plan(spans: Iterable[float], time: float, tau_max: float | None) -> Iterator[_Stretch]:
    """From which earlier state, and in how many parts, each time step is taken.

    >>> [stretch.stops for stretch in _plan([1.0, 1.0, 1.0], 0.0, 2.0)]
    [(0.0, 1.0), (0.0, 2.0), (2.0, 3.0)]
    """
    start = now = 0.0  # since `time`
    for span in spans:
        before, now = now, now + span
        if tau_max is None or now - start > tau_max * (1 + ROUNDING):
            start = before
        gap = now - start
        parts = 1 if tau_max is None else max(1, math.ceil(gap / tau_max * (1 - ROUNDING)))
        between = [time + start + part * gap / parts for part in range(parts)]
        yield _Stretch((*between, time + now), gap / parts, start == before)
        if parts > 1:
            start = now


def _spans(
    model: nn.Module,
    time_steps: int | None,
    lead_time: float | Sequence[float] | Tensor | np.ndarray | None,
    tau_max: float | None,
) -> list[float]:
    """The length of each time step."""
    if time_steps is not None and time_steps < 0:
        raise ValueError(f"`time_steps` should be 0 or more, got {time_steps}.")
    if lead_time is not None and np.ndim(lead_time) > 0:
        spans = [float(span) for span in lead_time]  # type: ignore[union-attr]
        if time_steps is not None and time_steps != len(spans):
            raise ValueError(
                f"`lead_time` should have one number for each of {time_steps} time steps, got {len(spans)}."
            )
    else:
        own: Any = getattr(model, "lead_time", 1.0) if lead_time is None else lead_time
        spans = [float(own)] * (7 if time_steps is None else time_steps)
    base = model.base if isinstance(model, IRNO) else model
    if not all(span > 0 for span in (*spans, 1.0 if tau_max is None else tau_max)):
        raise ValueError(f"`lead_time` and `tau_max` should be positive, got {lead_time} and {tau_max}.")
    varied = tau_max is not None or len(set(spans)) > 1
    if varied and not takes(base, "lead_time"):
        raise ValueError(
            f"`tau_max` and several lead times need a base that takes `lead_time`, {type(base).__name__} does not: "
            "leave them out."
        )
    return spans


def _check_coefficients(coefficients: Tensor, state: Tensor, graph: Graph) -> None:
    check_field(coefficients, graph, None, "coefficients")
    if len(coefficients.shape) > len(state.shape) or not all(
        own in (1, wanted)
        for own, wanted in zip(coefficients.shape[-3::-1], state.shape[-3::-1], strict=False)
    ):
        raise ValueError(
            f"`coefficients` should be [nodes, coefficients] or have the samples {list(state.shape[:-2])} of "
            f"`state`, got {list(coefficients.shape)}: repeat the state for each of them."
        )


def _with(state: Tensor, coefficients: Tensor) -> Tensor:
    same = coefficients.to(state.dtype).expand(*state.shape[:-1], coefficients.shape[-1])
    return torch.cat([state, same], dim=-1)


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Trajectory:
        return rollout(*args, **kwargs)


_CallableModule.__call__.__doc__ = rollout.__doc__
sys.modules[__name__].__class__ = _CallableModule
