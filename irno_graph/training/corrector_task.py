"""Training a corrector on the states that it will meet: true pairs, the base's rollouts, its own rollouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.data import Moments
from irno_graph.losses import RefinementLoss
from irno_graph.refine import IRNO, Scaling, Space
from irno_graph.training.base_task import validation_errors
from irno_graph.training.noise import AS_THEY_ARE
from irno_graph.training.options import full_precision
from irno_graph.training.pairs import (
    BatchPlan,
    Task,
    TrajectorySet,
    square_symmetries,
    turned_fields,
    turned_graph,
)
from irno_graph.training.processes import Share
from irno_graph.training.schedule import Schedule
from irno_graph.training.unrolling import Unrolling

FIXED_POINT_SHARE = 0.25  # of a batch, whose Phi(x, y) is computed: unbiased at a quarter of the cost
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
    if not len(which):
        return Samples(*[part.states[:0, 0]] * 3)
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

    Attributes:
        inputs: how inputs are changed where a batch is taken; the first source of samples is `true_pairs`.
    """

    inputs = AS_THEY_ARE

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
        assert isinstance(model.corrector, GraphCorrector)
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
        x, h0, y = (torch.stack(field).to(self.device) for field in picked)
        pairs = torch.from_numpy(np.where(number == 0, rows, -1))
        part, own = self.train_sets[task.group], {"numbers": task.samples.cpu(), "pairs": pairs}
        x, h0 = self.inputs.of(self.model, part, (x, h0), **own, seed=task.seed)
        return Samples(x, h0, y)

    def drawn(self, task: Task) -> Samples:
        """What the loss of `task` is of: its samples, turned by a random symmetry of the square."""
        matrix = square_symmetries()[self._turn(task)].to(self.device)
        return Samples(*(turned_fields(field, matrix, self.vector) for field in self.batch(task)))

    @staticmethod
    def _turn(task: Task) -> int:
        return int(np.random.default_rng(task.seed).integers(8))

    def training_step(self, task: Task, _: int) -> Tensor:
        """Loss of one batch, of this process's share of it."""
        share, total = Share.own(), len(task.samples)
        scaling = self.model.scaling
        assert scaling is not None
        unit = scaling.error / scaling.std
        with full_precision(self.device):
            x, h0, y = self.drawn(task._replace(samples=share.of(task.samples)))
            x, h, y = scaling.input(x), scaling.state(h0), scaling.state(y)
        start = (h - y) / unit
        states, defect, penalty = self._states(task, x, h, y, unit)
        weight = start.square().mean(dim=(1, 2), keepdim=True).rsqrt().clamp(max=LARGEST_WEIGHT)
        with full_precision(self.device):
            terms = self.loss(
                weight * torch.stack(states), weight * y / unit, self.train_sets[task.group].graph, defect
            )
        self.log_dict({f"loss_{name}": value.detach() for name, value in terms._asdict().items()})
        left = (states[-1] - y / unit).detach().square().mean()
        self.log("squared_error_left", left / start.square().mean())
        loss = share.weight(total) * terms.total
        if penalty is None:
            return loss
        self.log("loss_jacobian", penalty.detach())
        return loss + penalty

    def _states(
        self, task: Task, x: Tensor, h: Tensor, y: Tensor, unit: Tensor
    ) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
        """The states whose loss is taken, in units of the base's error, Phi(x, y), and penalties on the Jacobian."""
        share, total = Share.own(), len(task.samples)
        generator = np.random.default_rng(task.seed)
        geometry = self.corrector.geometry(self.turned[task.group][generator.integers(8)])
        given = self.corrector.given(x, geometry)
        if self.global_step < self.unrolling.single_steps:
            h = h + share.of(self._way(total, generator)).to(h) * (y - h)
            return [(h + unit * self.compute(h, given, geometry)) / unit], None, None
        alpha = self.model.alpha
        # a compiled function cannot be pulled back through twice
        compute = self.corrector.compute if self.unrolling.implicit else self.compute
        reached = self.unrolling.states(
            lambda h: h + alpha * unit * compute(h, given, geometry), h, self.model.steps
        )
        states = [state / unit for state in reached]
        some = math.ceil(FIXED_POINT_SHARE * total)
        few = share.count(some)
        if not few:
            return states, None, None
        start = given.of(few)
        defect = self.compute(y[:few], start, geometry).to(y.dtype)
        truth = y.new_zeros(some, *y.shape[1:])
        truth[share.rank :: share.size] = y[:few]
        penalty = self.unrolling.penalty(
            lambda h: unit * self.corrector.compute(h, start, geometry),
            truth,
            Space.of(self.train_sets[task.group].graph, torch.ones_like(unit)),
            alpha,
            torch.Generator(self.device).manual_seed(task.seed),
            share,
        )
        return states, defect * math.sqrt(share.weight(some) / share.weight(total)), penalty

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

    Checkpoints have the corrector's weights of the last refresh: a resumed run draws the same samples with them.
    """

    def __init__(self, plan: BatchPlan, every: int, trajectories: int, seed: int) -> None:
        self.plan, self.every, self.trajectories, self.seed = plan, every, trajectories, seed
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Refresh where due."""
        assert isinstance(module, CorrectorTask)
        epoch = trainer.current_epoch
        if epoch >= self.every and epoch % self.every == 0:
            self.epoch, self.weights = epoch, _copied(module.corrector)
            self._refresh(module)
        elif self.epoch >= 0 and not module.refined:
            now = _copied(module.corrector)
            module.corrector.load_state_dict(self.weights)
            self._refresh(module)
            module.corrector.load_state_dict(now)
        self.plan.sizes = module.sizes()

    def _refresh(self, module: CorrectorTask) -> None:
        module.refresh(self.trajectories, self.seed + self.epoch)
        module.train()

    def state_dict(self) -> dict[str, Any]:
        """Epoch and weights of the last refresh."""
        return {"epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of `state_dict`."""
        self.epoch, self.weights = state["epoch"], state["weights"]


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: own.detach().clone() for name, own in module.state_dict().items()}
