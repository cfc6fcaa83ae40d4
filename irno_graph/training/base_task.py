"""Training a RIGNO base on pairs of snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from irno_graph.bases.rigno import RIGNO, RegionalGraph, Stepper
from irno_graph.bases.rigno.boxed import build
from irno_graph.data import Moments
from irno_graph.graph import mass_norm
from irno_graph.refine import IRNO
from irno_graph.training.lead_times import LeadTimes, pairs_within, part_of_the_way
from irno_graph.training.options import full_precision
from irno_graph.training.pairs import BatchPlan, Task, TrajectorySet, square_symmetries, turned_fields
from irno_graph.training.processes import Share
from irno_graph.training.schedule import Schedule


class PairTask(lightning.LightningModule):
    """A base that is trained on pairs of snapshots: what its tasks validate and optimise.

    Args:
        base: the operator.
        train: training sets.
        valid: validation sets, for the one-step and rollout errors that are logged.
        schedule: optimiser and learning rate.
        vector: the two channels that turn with the square.
    """

    base: nn.Module

    def __init__(
        self,
        base: nn.Module,
        train: list[TrajectorySet],
        valid: list[TrajectorySet],
        schedule: Schedule,
        vector: tuple[int, int],
    ) -> None:
        super().__init__()
        self.base, self.train_sets, self.valid_sets = base, train, valid
        self.schedule, self.vector = schedule, vector
        self.spread = Moments.of(part.states for part in train)

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


class BaseTask(PairTask):
    """Mean square error of the stepper's standardised target, on a few draws of regional nodes per graph.

    Each batch is turned by a random symmetry of the square and, where it is periodic, shifted by a random vector.

    Args:
        base: the operator; its statistics are set from `train`.
        train: training sets.
        valid: validation sets, for the one-step and rollout errors that are logged.
        schedule: optimiser and learning rate.
        draws: regional graphs per training graph.
        lead_times: which pairs of snapshots are trained on.
        epochs: over which they spread, whatever the number of batches in one.
        edge_masking: share of the regional graph's edges that each batch leaves out.
        vector: the two channels that turn with the square.
        compiled: whether the network is compiled by torch.
    """

    base: RIGNO

    def __init__(
        self,
        base: RIGNO,
        train: list[TrajectorySet],
        valid: list[TrajectorySet],
        *,
        schedule: Schedule,
        draws: int = 4,
        lead_times: LeadTimes | None = None,
        epochs: int = 1,
        edge_masking: float = 0.0,
        vector: tuple[int, int] = (1, 2),
        compiled: bool = False,
    ) -> None:
        super().__init__(base, train, valid, schedule, vector)
        self.lead_times = lead_times or LeadTimes()
        self.epoch, self.epochs, self.edge_masking = 0, epochs, edge_masking
        self.regional = [[_draw(base, part, seed) for seed in range(draws)] for part in train]
        self.answer: Callable[..., Tensor] = (
            torch.compile(base.answer, dynamic=True) if compiled else base.answer
        )

    @property
    def longest(self) -> int:
        """The current epoch's longest lead time, in snapshots."""
        return self.lead_times.at(self.epoch, self.epochs)

    def start_epoch(self) -> list[int]:
        """Look at the number of steps taken, and say how many pairs of each training set the epoch has."""
        self.epoch = self.global_step * self.epochs // self.schedule.total_steps
        return [part.pairs(self.longest) for part in self.train_sets]

    def training_step(self, task: Task, _: int) -> Tensor:
        """Loss of one batch, of this process's share of it."""
        share, chance = Share.own(), torch.Generator().manual_seed(task.seed)
        with full_precision(self.device):
            x, y, time, tau, regional = self.drawn(task)
        if self.lead_times.is_fractional(self.epoch, self.epochs):
            masked = regional.thinned(self.edge_masking, chance)
            x, time, tau = part_of_the_way(self.base, x, masked, time, tau, chance)
        x, y, time, tau = (share.of(own) for own in (x, y, time, tau))
        regional = regional.thinned(self.edge_masking, chance)
        answer = self.answer(x, regional, time=time, lead_time=tau).to(x.dtype)
        with full_precision(self.device):
            loss = self.base.loss(answer, x, y, tau)
        self.log("loss", loss.detach())
        return share.weight(len(task.samples)) * loss

    def drawn(self, task: Task) -> tuple[Tensor, Tensor, Tensor, Tensor, RegionalGraph]:
        """x and y `[batch, nodes, channels]`, times and lead times `[batch]`, turned, and the turned regional graph."""
        part = self.train_sets[task.group]
        x, y, start, lead = pair_batch(part, task.samples, self.longest)
        generator = np.random.default_rng(task.seed)
        matrix = square_symmetries()[generator.integers(8)].to(self.device)
        shift = torch.from_numpy(self.base.periodic * generator.uniform(-1.0, 1.0, 2)).float().to(self.device)
        draws = self.regional[task.group]
        regional = draws[generator.integers(len(draws))].to(self.device).moved(matrix, shift)
        x, y = (turned_fields(field.to(self.device), matrix, self.vector) for field in (x, y))
        time, tau = (self.base.lead_time * number.to(self.device, x.dtype) for number in (start, lead))
        return x, y, time, tau, regional


class Curriculum(lightning.Callback):
    """Plan each epoch's batches from the pairs within its longest lead time."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Set the numbers of pairs."""
        assert isinstance(module, BaseTask)
        self.plan.sizes = module.start_epoch()


def pair_batch(part: TrajectorySet, index: Tensor, longest: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x and y `[batch, nodes, channels]` of the pairs numbered `index`, and their snapshots: first, and how many on."""
    pairs, index = pairs_within(part.states.shape[1], longest), index.cpu()
    trajectory = torch.div(index, len(pairs), rounding_mode="floor")
    first, last = pairs[index % len(pairs)].unbind(-1)
    device = part.states.device
    x, y = (part.states[trajectory.to(device), number.to(device)] for number in (first, last))
    return x, y, first, last - first


def set_statistics(base: RIGNO, train: list[TrajectorySet], longest: int = 1) -> None:
    """Set the base's statistics from the training sets, targets over lead times of 1 ... `longest` snapshots."""
    state = Moments.of(part.states for part in train)
    target = target_moments(base.stepper, base.lead_time, train, longest)
    base.set_statistics(state.mean, state.std, target.mean, target.std)


def target_moments(
    stepper: Stepper, lead_time: float, train: list[TrajectorySet], longest: int = 1
) -> Moments:
    """Mean and deviation of a stepper's targets over 1 ... `longest` snapshots, `lead_time` apart."""

    def targets(part: TrajectorySet, apart: int) -> Tensor:
        u, new = part.states[:, :-apart].flatten(0, 1), part.states[:, apart:].flatten(0, 1)
        return stepper.target(u, new, u.new_tensor([apart * lead_time]))

    return Moments.of(targets(part, apart) for apart in range(1, longest + 1) for part in train)


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


def best_steps(model: IRNO, valid: list[TrajectorySet], spread: Moments, most: int) -> int:
    """The number of refinement steps, 1 to `most`, with the lowest error of validation rollouts."""

    def error(steps: int) -> float:
        step = lambda x, graph: model(x, graph, steps=steps).value  # noqa: E731
        return float(validation_errors(step, valid, spread)[1])

    return min(range(1, most + 1), key=error)


def _draw(base: RIGNO, part: TrajectorySet, seed: int) -> RegionalGraph:
    settings = replace(base.regional_settings, seed=seed)
    return build(part.graph, settings, base.periodic, base.domain)
