"""Training a corrector on the states that it will meet: true pairs, the base's rollouts, its own rollouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from irno_graph.correctors import MessagePassing, MultiscaleMessagePassing
from irno_graph.data import Moments
from irno_graph.losses import RefinementLoss
from irno_graph.refine import IRNO, Scaling, Space
from irno_graph.training.base_task import validation_errors
from irno_graph.training.pairs import (
    BatchPlan,
    Task,
    TrajectorySet,
    square_symmetries,
    turned_fields,
    turned_graph,
)
from irno_graph.training.schedule import Schedule
from irno_graph.training.unrolling import Unrolling

FIXED_POINT_SHARE = (
    0.25  # of a batch, whose Phi(x, y) is computed: an unbiased estimate at a quarter of the cost
)
PLAIN = Unrolling()
LARGEST_WEIGHT = 3.0  # of a sample, over that of one with the base's mean error


class Samples(NamedTuple):
    """Inputs, the base's answers and truths, each `[samples, nodes, channels]`."""

    x: Tensor
    h0: Tensor
    y: Tensor

    @staticmethod
    def join(parts: list[Samples]) -> Samples:
        """One after the other."""
        return Samples(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


@torch.no_grad()
def true_pairs(model: IRNO, part: TrajectorySet, chunk: int = 32) -> Samples:
    """Every pair of neighbouring snapshots, with the base's answer to the first."""
    device = part.graph.pos.device
    x, y = part.states[:, :-1].flatten(0, 1), part.states[:, 1:].flatten(0, 1)
    h0 = [model.base(own.to(device), part.graph).to(x.device) for own in x.split(chunk)]
    return Samples(x, torch.cat(h0), y)


@torch.no_grad()
def met_states(model: IRNO, part: TrajectorySet, which: Tensor, steps: int, chunk: int = 32) -> Samples:
    """States that a rollout of `steps` refinement steps meets from the second on, for trajectories `which`."""
    device = part.graph.pos.device
    found = []
    for own in which.split(chunk):
        current = part.states[own, 0].to(device)
        for number in range(part.states.shape[1] - 1):
            out = model(current, part.graph, steps=steps)
            if number > 0:
                fields = (current, out.states[0], part.states[own, number + 1])
                found.append(Samples(*(field.to(part.states.device) for field in fields)))
            current = out.value
    return Samples.join(found)


def error_scaling(base_samples: list[Samples], train: list[TrajectorySet]) -> Scaling:
    """Scaling with the training sets' statistics and the base's one-step error on them."""
    state = Moments.of(part.states for part in train)
    squares = torch.stack([(s.h0 - s.y).double().square().mean(dim=(0, 1)) for s in base_samples])
    sizes = torch.tensor([float(len(s.x)) for s in base_samples], dtype=torch.float64)
    error = ((squares * sizes[:, None]).sum(dim=0) / sizes.sum()).sqrt()
    return Scaling(input_mean=state.mean, input_std=state.std, mean=state.mean, std=state.std, error=error)


def best_steps(model: IRNO, valid: list[TrajectorySet], spread: Moments, most: int) -> int:
    """The number of refinement steps, 1 to `most`, with the lowest error of validation rollouts."""

    def error(steps: int) -> float:
        step = lambda x, graph: model(x, graph, steps=steps).value  # noqa: E731
        return float(validation_errors(step, valid, spread)[1])

    return min(range(1, most + 1), key=error)


class CorrectorTask(lightning.LightningModule):
    """The loss of the estimates h_1 ... h_K, in units of the base's error on the sample.

    Late states of a rollout have errors that no correction of one step can undo; in these units they do not
    outweigh the others.

    Args:
        model: base, corrector, alpha and K; its scaling is set.
        train: training sets.
        samples: sources of samples (`true_pairs`, `met_states` of the base), in each one `Samples` per training set.
        valid: validation sets.
        loss: the refinement loss.
        schedule: optimiser and learning rate.
        unrolling: which states are in the loss, and penalties on the Jacobian.
        compiled: whether the corrector is compiled by torch.
    """

    def __init__(
        self,
        model: IRNO,
        train: list[TrajectorySet],
        valid: list[TrajectorySet],
        *,
        samples: list[list[Samples]],
        loss: RefinementLoss,
        schedule: Schedule,
        unrolling: Unrolling = PLAIN,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        assert isinstance(model.corrector, MultiscaleMessagePassing | MessagePassing)
        self.unrolling, self.corrector = unrolling, model.corrector
        self.model, self.train_sets, self.valid_sets = model, train, valid
        self.fixed, self.loss = samples, loss
        self.schedule = schedule
        self.spread = Moments.of(part.states for part in train)
        self.refined: list[Samples] = []
        self.turned = [[turned_graph(part.graph, matrix) for matrix in square_symmetries()] for part in train]
        self.vector = (1, 2)
        self.compute: Callable[..., Tensor] = model.corrector.compute
        if compiled:
            self.compute = torch.compile(self.compute, dynamic=True)

    def sizes(self) -> list[int]:
        """Number of samples of each training set."""
        return [sum(len(part.x) for part in self._parts(group)) for group in range(len(self.train_sets))]

    def _parts(self, group: int) -> list[Samples]:
        return [source[group] for source in (*self.fixed, self.refined) if source]

    def refresh(self, trajectories: int, seed: int) -> None:
        """Replace the samples from the model's own rollouts, of `trajectories` of each training set."""
        generator = np.random.default_rng(seed)
        self.refined = []
        for part in self.train_sets:
            which = torch.from_numpy(generator.permutation(len(part.states))[:trajectories])
            self.refined.append(met_states(self.model, part, which, self.model.steps))

    def batch(self, task: Task) -> Samples:
        """The samples of `task`, from all sources one after the other."""
        sources = self._parts(task.group)
        starts = np.cumsum([0] + [len(source.x) for source in sources])
        samples = task.samples.cpu().numpy()
        number = np.searchsorted(starts, samples, side="right") - 1
        rows = samples - starts[number]
        picked = [
            [sources[source][field][row] for source, row in zip(number, rows, strict=True)]
            for field in range(3)
        ]
        return Samples(*(torch.stack(field).to(self.device) for field in picked))

    def training_step(self, task: Task, _: int) -> Tensor:
        """Loss of one batch, turned by a random symmetry of the square."""
        scaling = self.model.scaling
        assert scaling is not None
        generator = np.random.default_rng(task.seed)
        turn = generator.integers(8)
        matrix = square_symmetries()[turn].to(self.device)
        geometry = self.corrector.geometry(self.turned[task.group][turn])
        x, h0, y = (turned_fields(field, matrix, self.vector) for field in self.batch(task))
        unit = scaling.error / scaling.std
        x, h, y = scaling.input(x), scaling.state(h0), scaling.state(y)
        start = (h - y) / unit
        defect = penalty = None
        given = self.corrector.given(x, geometry)
        if self.global_step < self.unrolling.single_steps:
            h = h + self._way(len(h), generator).to(h) * (y - h)
            states = [(h + unit * self.compute(h, given, geometry)) / unit]
        else:
            alpha = self.model.alpha
            # a compiled function cannot be pulled back through twice
            compute = self.corrector.compute if self.unrolling.implicit else self.compute
            reached = self.unrolling.states(
                lambda h: h + alpha * unit * compute(h, given, geometry), h, self.model.steps
            )
            states = [state / unit for state in reached]
            some = math.ceil(FIXED_POINT_SHARE * len(x))
            few = given.of(some)
            defect = self.compute(y[:some], few, geometry)
            penalty = self.unrolling.penalty(
                lambda h: unit * self.corrector.compute(h, few, geometry),
                y[:some],
                Space.of(self.train_sets[task.group].graph, torch.ones_like(unit)),
                alpha,
                torch.Generator(self.device).manual_seed(task.seed),
            )
        weight = start.square().mean(dim=(1, 2), keepdim=True).rsqrt().clamp(max=LARGEST_WEIGHT)
        terms = self.loss(
            weight * torch.stack(states), weight * y / unit, self.train_sets[task.group].graph, defect
        )
        self.log_dict({f"loss_{name}": value.detach() for name, value in terms._asdict().items()})
        left = (states[-1] - y / unit).detach().square().mean()
        self.log("squared_error_left", left / start.square().mean())
        if penalty is None:
            return terms.total
        self.log("loss_jacobian", penalty.detach())
        return terms.total + penalty

    @staticmethod
    def _way(samples: int, generator: np.random.Generator) -> Tensor:
        """How far from h_0 to y a single step starts `[samples, 1, 1]`: 0 for three samples of four."""
        return torch.from_numpy((4.0 * generator.uniform(size=(samples, 1, 1)) - 3.0).clip(0.0))

    def on_validation_epoch_start(self) -> None:
        """Log errors on the validation sets, refined: after one step from the truth, and rolled out."""
        self.model.eval()
        one, rolled = validation_errors(
            lambda x, graph: self.model(x, graph).value, self.valid_sets, self.spread
        )
        self.log("valid_one_step", one)
        self.log("valid_rollout", rolled)

    def validation_step(self, *_: object) -> None:
        """Everything happens in `on_validation_epoch_start`."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Those of the schedule."""
        return self.schedule.optimizers(self.model.corrector.parameters())


class Refresh(lightning.Callback):
    """Refresh the samples from the model's own rollouts every `every` epochs, and plan the next epoch's batches.

    A resumed run draws them anew, with the weights it resumes from.
    """

    def __init__(self, plan: BatchPlan, every: int, trajectories: int, seed: int) -> None:
        self.plan, self.every, self.trajectories, self.seed = plan, every, trajectories, seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Refresh where due."""
        assert isinstance(module, CorrectorTask)
        epoch = trainer.current_epoch
        if epoch >= self.every and (epoch % self.every == 0 or not module.refined):
            module.refresh(self.trajectories, self.seed + epoch)
            module.train()
        self.plan.sizes = module.sizes()
