"""What a run keeps besides its weights: the last checkpoint, the best one, averaged weights, random states."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor

from irno_graph.training.checkpoints import read_checkpoint
from irno_graph.training.processes import rank_and_size

SECONDS = 60.0  # between checkpoints at the ends of epochs without a validation


class Last(Checkpoint):
    """Writes a checkpoint at the end of an epoch with a validation, of the run, and of others once a minute."""

    def __init__(self, path: Path, seconds: float = SECONDS) -> None:
        self.path, self.seconds, self._since, self._validated = path, seconds, time.monotonic(), False

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Remember that there was one."""
        self._validated = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write it, if it is time."""
        over = trainer.should_stop or trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        late = time.monotonic() - self._since > self.seconds
        if trainer.strategy.broadcast(self._validated or over or late):
            trainer.save_checkpoint(self.path)
            self._since, self._validated = time.monotonic(), False


class Best(Callback):
    """Keeps the weights with the smallest validation error in a file, and ends the run when none comes any more.

    Args:
        path: of the file; None keeps nothing.
        monitor: the logged error.
        patience: validations without a smaller error that end the run; 0 never.
    """

    def __init__(self, path: Path | None, monitor: str, patience: int = 0) -> None:
        self.path, self.monitor, self.patience = path, monitor, patience
        self.error, self.step, self.waited = float("inf"), -1, 0

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """A run that had ended stays at its end."""
        trainer.should_stop = self._is_over()

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Look at the error, which is the first process's for all."""
        error = float(trainer.strategy.broadcast(trainer.callback_metrics[self.monitor].item()))
        self.waited += 1
        if error < self.error:
            self.error, self.step, self.waited = error, trainer.global_step, 0
            if self.path is not None:
                trainer.save_checkpoint(self.path, weights_only=True)
        trainer.should_stop |= self._is_over()

    def _is_over(self) -> bool:
        return 0 < self.patience <= self.waited

    def take(self, module: lightning.LightningModule) -> None:
        """Give `module` the weights that were kept.

        Raises:
            ValueError: if the file is damaged, missing, or of another step than the run's best.
            FloatingPointError: if no validation error was finite.
        """
        assert self.path is not None
        if self.step < 0:
            raise FloatingPointError(
                f"`{self.monitor}` should have been finite once, was not: lower the learning rate, or clip gradients."
            )
        kept = read_checkpoint(self.path)
        if kept["global_step"] != self.step:
            raise ValueError(
                f"`{self.path}` should have the weights of step {self.step}, got those of step "
                f"{kept['global_step']}: restore it, or delete the run's folder."
            )
        module.load_state_dict(kept["state_dict"])

    def state_dict(self) -> dict[str, Any]:
        """The best error, its step, and how many validations ago that was."""
        return {"error": self.error, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of `state_dict`."""
        self.error, self.step, self.waited = state["error"], state["step"], state["waited"]


class Average(Callback):
    """Exponential average of the trained weights: a <- decay a + (1 - decay) w after each optimiser step, first a = w.

    Validation sees the average, and `take` puts it in the weights' place. Lightning's own callback copies the module
    with all its data.
    """

    def __init__(self, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: Any
    ) -> None:
        """Average, if the optimiser made a step."""
        if trainer.global_step == self.steps:
            return
        self.steps = trainer.global_step
        for name, own in _trained(module):
            if name not in self.weights:
                self.weights[name] = own.detach().clone()
            self.weights[name] = self.weights[name].to(own.device).lerp_(own, 1.0 - self.decay)

    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Average in the weights' place."""
        self._swap(module)

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Back again."""
        self._swap(module)

    @torch.no_grad()
    def _swap(self, module: lightning.LightningModule) -> None:
        for name, own in _trained(module):
            if name in self.weights:
                kept = own.detach().clone()
                own.copy_(self.weights[name])  # counted as a change of the weight, unlike own.data.copy_
                self.weights[name] = kept

    @torch.no_grad()
    def take(self, module: lightning.LightningModule) -> None:
        """Give `module` the average."""
        for name, own in _trained(module):
            own.copy_(self.weights.get(name, own))

    def state_dict(self) -> dict[str, Any]:
        """The average, and up to which step."""
        return {"weights": dict(self.weights), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of `state_dict`."""
        self.weights, self.steps = state["weights"], state["steps"]


class RandomStates(Callback):
    """Keeps the states of each process's global random numbers in checkpoints, and sets them where a run goes on."""

    def __init__(self) -> None:
        self._due: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Gather them."""
        rank, size = rank_and_size()
        states: list[Any] = [None] * size
        if size > 1:
            torch.distributed.all_gather_object(states, _random_state())
        else:
            states[rank] = _random_state()
        checkpoint["random_states"] = states

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep them for the next epoch: until it starts, numbers may be drawn."""
        states, (rank, size) = checkpoint["random_states"], rank_and_size()
        if len(states) != size:
            raise ValueError(f"the run was of {len(states)} processes, got {size}: start as many.")
        self._due = states[rank]

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Set them, once."""
        if self._due is not None:
            _set_random_state(self._due)
            self._due = None


def _random_state() -> dict[str, Any]:
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].tolist()}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    numpy = state["numpy"]
    key = np.array(numpy["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def _trained(module: lightning.LightningModule) -> Iterator[tuple[str, Tensor]]:
    return ((name, own) for name, own in module.named_parameters() if own.requires_grad)
