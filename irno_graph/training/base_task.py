"""Training a RIGNO base on pairs of neighbouring snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from irno_graph.bases.rigno import RIGNO, RegionalGraph
from irno_graph.data import Moments
from irno_graph.graph import mass_norm
from irno_graph.training.pairs import Task, TrajectorySet, square_symmetries, turned_fields
from irno_graph.training.schedule import Schedule


class BaseTask(lightning.LightningModule):
    """Mean square error of the standardised time derivative, on a few draws of regional nodes per graph.

    Each batch is turned by a random symmetry of the periodic square and shifted by a random vector.

    Args:
        base: the operator; its statistics are set from `train`.
        train: training sets.
        valid: validation sets, for the one-step and rollout errors that are logged.
        schedule: optimiser and learning rate.
        draws: regional graphs per training graph.
        vector: the two channels that turn with the square.
        compiled: whether the network is compiled by torch.
    """

    def __init__(
        self,
        base: RIGNO,
        train: list[TrajectorySet],
        valid: list[TrajectorySet],
        *,
        schedule: Schedule,
        draws: int = 4,
        vector: tuple[int, int] = (1, 2),
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.base, self.train_sets, self.valid_sets = base, train, valid
        self.schedule = schedule
        self.vector = vector
        self.spread = Moments.of(part.states for part in train)
        self.regional = [[_draw(base, part, seed) for seed in range(draws)] for part in train]
        self.answer: Callable[..., Tensor] = (
            torch.compile(base.answer, dynamic=True) if compiled else base.answer
        )

    def training_step(self, task: Task, _: int) -> Tensor:
        """Loss of one batch."""
        part = self.train_sets[task.group]
        x, y = pair_batch(part, task.samples)
        generator = np.random.default_rng(task.seed)
        matrix = square_symmetries()[generator.integers(8)].to(self.device)
        shift = torch.from_numpy(generator.uniform(-1.0, 1.0, 2)).float().to(self.device)
        draws = self.regional[task.group]
        regional = draws[generator.integers(len(draws))].to(self.device).moved(matrix, shift)
        x, y = (turned_fields(field.to(self.device), matrix, self.vector) for field in (x, y))
        tau = torch.full((len(x),), self.base.lead_time, device=self.device)
        answer = self.answer(x, regional, time=torch.zeros_like(tau), lead_time=tau)
        loss = self.base.loss(answer, x, y, tau)
        self.log("loss", loss)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Log errors on the validation sets: after one step from the truth, and rolled out."""
        one, rolled = validation_errors(self.base, self.valid_sets, self.spread)
        self.log("valid_one_step", one)
        self.log("valid_rollout", rolled)

    def validation_step(self, *_: object) -> None:
        """Everything happens in `on_validation_epoch_start`."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Those of the schedule."""
        return self.schedule.optimizers(self.base.parameters())


def pair_batch(part: TrajectorySet, index: Tensor) -> tuple[Tensor, Tensor]:
    """x and y `[batch, nodes, channels]` of the pairs numbered `index`."""
    steps, index = part.states.shape[1] - 1, index.to(part.states.device)
    trajectory, start = torch.div(index, steps, rounding_mode="floor"), index % steps
    return part.states[trajectory, start], part.states[trajectory, start + 1]


def set_statistics(base: RIGNO, train: list[TrajectorySet]) -> None:
    """Set the base's statistics from the training sets."""
    state = Moments.of(part.states for part in train)
    rate = Moments.of((part.states[:, 1:] - part.states[:, :-1]) / base.lead_time for part in train)
    base.set_statistics(state.mean, state.std, rate.mean, rate.std)


@torch.no_grad()
def validation_errors(
    step: Callable[..., Tensor], sets: list[TrajectorySet], spread: Moments
) -> tuple[Tensor, Tensor]:
    """Root mean square errors over the channels' standard deviations: one step from the truth, and rolled out.

    Means over channels, time steps, samples and sets; `step` is `(x, graph) -> next`.
    """
    one, rolled = [], []
    for part in sets:
        device = part.graph.pos.device
        states = part.states.to(device)
        scale = spread.std.to(states)
        current = states[:, 0]
        for number in range(states.shape[1] - 1):
            truth = states[:, number + 1]
            one.append((mass_norm(step(states[:, number], part.graph) - truth, part.graph) / scale).mean())
            current = step(current, part.graph)
            rolled.append((mass_norm(current - truth, part.graph) / scale).mean())
    return torch.stack(one).mean(), torch.stack(rolled).mean()


def _draw(base: RIGNO, part: TrajectorySet, seed: int) -> RegionalGraph:
    settings = asdict(base.regional_settings) | {"seed": seed}
    period = part.graph.period
    assert period is not None
    corner = tuple(float(length or 0) for length in period)
    return RegionalGraph.build(
        part.graph.pos.cpu().numpy(), domain=(tuple(0.0 for _ in corner), corner), periodic=True, **settings
    )
