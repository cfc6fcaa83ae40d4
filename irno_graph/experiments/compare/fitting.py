"""Training of bases and correctors for an amount of time on the processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from irno_graph.bases import Standardised
from irno_graph.experiments.compare.config import BaseFitConfig, CorrectorFitConfig
from irno_graph.experiments.compare.problem import Pairs, Problem
from irno_graph.graph import Graph, mass_mean
from irno_graph.losses import FFTSpectralLoss, RefinementLoss, SpectralLoss, SphereSpectralLoss
from irno_graph.refine import IRNO, Scaling
from irno_graph.refine.loop import refine
from irno_graph.training.fit import quiet

FIXED_POINT_SHARE = 0.25  # of a batch, whose Phi(x, y) is computed
ANSWERED = 32  # samples that a base answers at once
SPECTRAL: dict[str, Callable[[], nn.Module]] = {
    "fft": FFTSpectralLoss,
    "eigenbasis": SpectralLoss,
    "sphere": SphereSpectralLoss,
}
Loss = Callable[..., Tensor]


class Clock(lightning.Callback):
    """Processor time of the optimiser steps alone; ends the training when `enough` says so."""

    def __init__(self, enough: Callable[[float, int], bool]) -> None:
        self.enough, self.seconds, self._since = enough, 0.0, 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """Start."""
        self._since = time.process_time()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop."""
        self.seconds += time.process_time() - self._since
        trainer.should_stop = trainer.should_stop or self.enough(self.seconds, trainer.global_step)


class Plateau(lightning.Callback):
    """Halves the learning rate on plateaus of the validation error, and keeps the best weights."""

    def __init__(self, settings: BaseFitConfig, error: Callable[[], float], clock: Clock) -> None:
        self.settings, self.error, self.clock = settings, error, clock
        self.best, self.weights = float("inf"), {}  # type: ignore[var-annotated]
        self.curve: list[tuple[float, float]] = []
        self.reached = False

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """The error to begin with."""
        self.schedule = ReduceLROnPlateau(
            trainer.optimizers[0], factor=0.5, patience=self.settings.patience, threshold=1e-3
        )
        self._look(module)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: Any
    ) -> None:
        """Validate every so many steps."""
        if trainer.global_step % self.settings.validate_every:
            return
        self._look(module)
        self.schedule.step(self.curve[-1][1])
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if rate < 0.75 * self.settings.learning_rate * 0.5**self.settings.halvings:
            self.reached = trainer.should_stop = True

    def _look(self, module: lightning.LightningModule) -> None:
        error = self.error()
        self.curve.append((round(self.clock.seconds, 2), error))
        if error < self.best:
            self.best, self.weights = error, deepcopy(module.state_dict())


class Averages(lightning.Callback):
    """Exponential averages of a corrector's weights, kept at two marks."""

    def __init__(self, corrector: nn.Module, settings: CorrectorFitConfig, clock: Clock) -> None:
        self.settings, self.clock, self.corrector = settings, clock, corrector
        average = get_ema_multi_avg_fn(settings.average)
        self.mean = AveragedModel(corrector, multi_avg_fn=average, use_buffers=True)
        self.kept: dict[str, dict[str, Tensor]] = {}
        self.steps: dict[str, int] = {}

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Average, and keep what a mark asks for."""
        self.mean.update_parameters(self.corrector)
        marks = {
            "steps": trainer.global_step >= self.settings.optimizer_steps,
            "time": self.clock.seconds >= self.settings.seconds,
        }
        for name, due in marks.items():
            if due and name not in self.kept:
                self.kept[name] = deepcopy(self.mean.module.state_dict())
                self.steps[name] = trainer.global_step


class Task(lightning.LightningModule):
    """A loss of batches over a module's parameters."""

    def __init__(self, module: nn.Module, loss: Loss, rate: float, weight_decay: float) -> None:
        super().__init__()
        self.module, self.loss = module, loss
        self.rate, self.weight_decay = rate, weight_decay

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Loss of one batch."""
        return self.loss(*batch)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over what is not frozen."""
        free = [own for own in self.module.parameters() if own.requires_grad]
        return torch.optim.AdamW(free, lr=self.rate, weight_decay=self.weight_decay)


def fit_base(
    base: nn.Module, problem: Problem, settings: BaseFitConfig, seed: int, *, seconds: float | None = None
) -> dict[str, Any]:
    """Train a base until its validation error no longer falls, or for `seconds`; its best weights are kept.

    Returns processor seconds, optimiser steps, how it ended, and the validation errors (seconds, error).
    """
    lightning.seed_everything(seed, verbose=False)
    most = settings.seconds if seconds is None else seconds
    train, std = problem.train, problem.of_y.std
    clock = Clock(lambda spent, _: spent >= most)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return _error(base(x, train.graph), y, std, train.graph).mean()

    plateau = Plateau(settings, lambda: validation_error(base, problem), clock)
    base.train().requires_grad_(True)  # a stored one was loaded for use
    task = Task(base, loss, settings.learning_rate, 1e-6)
    steps = _run(task, (train.x, train.y), settings.batch_size, seed, (clock, plateau))
    task.load_state_dict(plateau.weights)
    base.eval()
    return {
        "seconds": clock.seconds,
        "optimizer_steps": steps,
        "ended": "plateau" if plateau.reached else "time",
        "valid": plateau.curve,
    }


def fit_corrector(
    model: IRNO, problem: Problem, settings: CorrectorFitConfig, seed: int
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Train a model's corrector, and give its averaged weights after so many steps ("steps") and seconds ("time").

    The model's scaling is set from the training pairs and the base's answers to them.
    """
    lightning.seed_everything(seed, verbose=False)
    pairs = problem.train
    h0 = answers(model.base, pairs)
    model.scaling = scaling_of(problem, h0)
    spectral = SPECTRAL[settings.spectral_loss]() if settings.spectral_loss else None
    criterion = RefinementLoss(spectral, beta_spectral=settings.beta_spectral, beta_fp=settings.beta_fp)

    def loss(x: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return _refinement_loss(model, criterion, pairs.graph, x, h, y)

    clock = Clock(lambda spent, steps: spent >= settings.seconds and steps >= settings.optimizer_steps)
    averages = Averages(model.corrector, settings, clock)
    task = Task(model, loss, settings.learning_rate, 1e-5)
    steps = _run(task, (pairs.x, h0, pairs.y), settings.batch_size, seed, (clock, averages))
    about = {"seconds": clock.seconds, "optimizer_steps": steps, "steps_at": averages.steps}
    return averages.kept, about


def _refinement_loss(
    model: IRNO, criterion: RefinementLoss, graph: Graph, x: Tensor, h: Tensor, y: Tensor
) -> Tensor:
    """The loss of h_1 ... h_K in units of the base's error."""
    assert model.scaling is not None
    out = refine(model.correction(x, graph), h, graph, steps=model.steps, alpha=model.alpha)
    some, unit = -(-len(x) // round(1 / FIXED_POINT_SHARE)), model.scaling.error
    defect = model.phi(x[:some], y[:some], graph) / unit if criterion.beta_fp else None
    return criterion(out.states[1:] / unit, y / unit, graph, defect).total


@torch.no_grad()
def answers(base: nn.Module, pairs: Pairs) -> Tensor:
    """The base's answers to all inputs `[samples, nodes, channels]`."""
    return torch.cat([base(x, pairs.graph) for x in pairs.x.split(ANSWERED)])


@torch.no_grad()
def validation_error(base: nn.Module, problem: Problem) -> float:
    """Root mean square error on the validation pairs, channels in units of their standard deviation."""
    valid = problem.valid
    training = base.training
    base.eval()
    error = _error(answers(base, valid), valid.y, problem.of_y.std, valid.graph)
    base.train(training)
    return float(error.mean().sqrt())


def scaling_of(problem: Problem, h0: Tensor) -> Scaling:
    """Units of a corrector: the training pairs' statistics, and the error of the base's answers to them."""
    error = (h0 - problem.train.y).double().square().mean(dim=(0, 1)).sqrt()
    x, y = problem.of_x, problem.of_y
    return Scaling(input_mean=x.mean, input_std=x.std, mean=y.mean, std=y.std, error=error)


def standardised(base: nn.Module, problem: Problem) -> Standardised:
    """A base in physical units."""
    x, y = problem.of_x, problem.of_y
    return Standardised(base, input_mean=x.mean, input_std=x.std, mean=y.mean, std=y.std)


def _error(value: Tensor, truth: Tensor, std: Tensor, graph: Graph) -> Tensor:
    """Mass-weighted mean square errors `[samples, channels]`."""
    return mass_mean(((value - truth) / std.to(value)).square(), graph)


def _run(
    task: Task,
    tensors: tuple[Tensor, ...],
    batch: int,
    seed: int,
    callbacks: tuple[lightning.Callback, ...],
) -> int:
    """Train until a callback ends it; returns the number of optimiser steps."""
    loader = DataLoader(
        TensorDataset(*tensors),
        batch_size=min(batch, len(tensors[0])),
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    with quiet():
        trainer = lightning.Trainer(
            max_epochs=-1,
            accelerator="cpu",
            logger=False,
            callbacks=list(callbacks),
            gradient_clip_val=1.0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, loader)
    return int(trainer.global_step)
