"""Training a base on a grid, which answers with the change over a time step, on pairs of neighbouring snapshots."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from irno_graph.bases import OnGrid, PlainFNO, Standardised, Stepped
from irno_graph.bases.rigno import Stepper
from irno_graph.data import Moments
from irno_graph.graph import Graph
from irno_graph.training.base_task import PairTask, pair_batch, target_moments
from irno_graph.training.options import full_precision
from irno_graph.training.pairs import Task, TrajectorySet, square_symmetries, turned_fields, turned_graph
from irno_graph.training.processes import Share
from irno_graph.training.schedule import Schedule


def on_square(network: PlainFNO, train: list[TrajectorySet], *, side: int) -> OnGrid:
    """The network on a grid of `side` cells a side over the periodic square of the training sets.

    The way back to the nodes is by cubic polynomials.

    Raises:
        ValueError: if the graphs have no common period along both axes.
    """
    periods = {part.graph.period for part in train}
    period = next(iter(periods))
    if len(periods) > 1 or period is None or None in period:
        raise ValueError(
            f"the training sets should lie in one periodic square, got the periods {sorted(map(str, periods))}: take "
            "a base on the mesh itself."
        )
    return OnGrid(network, Graph.from_grid((side, side), period=period), order=3)


def standardised_step(
    base: OnGrid, train: list[TrajectorySet], *, stepper: Stepper, lead_time: float
) -> Stepped:
    """`base` between the training sets' units: of the states for x, of the stepper's targets for its answers.

    A standard deviation of 0 becomes 1.
    """
    state = Moments.of(part.states for part in train)
    target = target_moments(stepper, lead_time, train)
    units = {"input_mean": state.mean, "input_std": _positive(state.std)}
    units |= {"mean": target.mean, "std": _positive(target.std)}
    return Stepped(Standardised(base, **units), stepper=stepper, lead_time=lead_time)


class SteppedTask(PairTask):
    """Mean square error of the standardised answer of a `standardised_step`.

    Each batch is turned by a random symmetry of the square, its mesh with it. It is not shifted: the operator on a
    periodic grid commutes with the grid's shifts.

    Args:
        base: the operator, of `standardised_step`.
        train: training sets.
        valid: validation sets, for the one-step and rollout errors that are logged.
        schedule: optimiser and learning rate.
        vector: the two channels that turn with the square.

    Raises:
        ValueError: if `base` is another one, or the graphs do not fill a square.
    """

    base: Stepped

    def __init__(
        self,
        base: Stepped,
        train: list[TrajectorySet],
        valid: list[TrajectorySet],
        *,
        schedule: Schedule,
        vector: tuple[int, int] = (1, 2),
    ) -> None:
        if not isinstance(base.base, Standardised):
            raise ValueError(
                f"`base` should have a Standardised one within, got {type(base.base).__name__}: see "
                "`training.stepped_task.standardised_step`."
            )
        super().__init__(base, train, valid, schedule, vector)
        self.turned = [[turned_graph(part.graph, matrix) for matrix in square_symmetries()] for part in train]

    def training_step(self, task: Task, _: int) -> Tensor:
        """Loss of one batch, of this process's share of it."""
        share, inner = Share.own(), self.base.base
        assert isinstance(inner, Standardised)
        with full_precision(self.device):
            x, y, graph = self.drawn(task)
            x, y = share.of(x), share.of(y)
        answer = inner(x, graph)
        with full_precision(self.device):
            target = self.base.stepper.target(x[..., : y.shape[-1]], y, x.new_full((1,), self.base.lead_time))
            loss = ((answer - target) / inner.std).square().mean()
        self.log("loss", loss.detach())
        return share.weight(len(task.samples)) * loss

    def drawn(self, task: Task) -> tuple[Tensor, Tensor, Graph]:
        """x and y `[batch, nodes, channels]`, turned, and the turned graph."""
        x, y, _, _ = pair_batch(self.train_sets[task.group], task.samples)
        number = int(np.random.default_rng(task.seed).integers(8))
        matrix = square_symmetries()[number].to(self.device)
        x, y = (turned_fields(field.to(self.device), matrix, self.vector) for field in (x, y))
        return x, y, self.turned[task.group][number]


def _positive(std: Tensor) -> Tensor:
    return std.where(std > 0, std.new_ones(()))
