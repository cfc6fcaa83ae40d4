"""One training run: progress, logs, checkpoints, resume."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from irno_graph.files import atomic_path
from irno_graph.training.checkpoints import SafeCheckpoints
from irno_graph.training.keeping import Average, Best, Last, RandomStates
from irno_graph.training.options import PRECISIONS, FitOptions
from irno_graph.training.pairs import BatchPlan
from irno_graph.training.processes import first_process_first, local_size, rank_and_size

PLAIN = FitOptions()


class PlanEpoch(Callback):
    """Shuffle the plan at the start of an epoch, so that a resumed run sees the batches it would have seen."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def on_train_epoch_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Plan the epoch.

        Raises:
            ValueError: if a batch has fewer samples than there are processes.
        """
        self.plan.set_epoch(trainer.current_epoch)
        fewest = min(len(task.samples) for task in self.plan.tasks)
        if fewest < rank_and_size()[1]:
            raise ValueError(
                f"`batch_size` and training sets should give each process a sample of every batch, got {fewest} for "
                f"{rank_and_size()[1]} processes: raise them, or start fewer processes."
            )


class StopAfter(Callback):
    """End the run after so many optimiser steps, in the middle of an epoch without a validation.

    Lightning's `max_steps` makes a run that goes on from the end of an epoch count that epoch twice.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop where due."""
        if trainer.global_step >= self.steps and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            trainer.limit_val_batches = 0
            trainer.should_stop = True


def fit(
    task: lightning.LightningModule,
    plan: BatchPlan,
    folder: Path,
    *,
    total_steps: int,
    epoch_batches: int,
    validate_every: int,
    device: str = "cpu",
    callbacks: tuple[Callback, ...] = (),
    settings: dict[str, Any] | None = None,
    options: FitOptions = PLAIN,
    monitor: str = "valid_rollout",
    about: dict[str, Any] | None = None,
) -> None:
    """Train `task` for `total_steps` optimiser steps, from `folder`/last.ckpt on where there is one.

    Writes csv/version_N/metrics.csv (one more N for each resume) and TensorBoard events to `folder`, and last.ckpt
    (`training.checkpoints`) after each validation, every `validate_every` epochs of `epoch_batches` batches or all of
    `plan`, at the end, and at other ends of epochs once a minute. A run that was cut off ends with the weights of one
    that was not, bit by bit.

    Where `torchrun` started several processes (`processes.join_processes`), the task's steps see parts of the batches.

    Args:
        task: logs `monitor` in validation.
        plan: of the batches.
        folder: for logs and checkpoints.
        total_steps: of the optimiser.
        epoch_batches: length of an epoch at most.
        validate_every: epochs.
        device: "cpu" or "cuda".
        callbacks: run before those that plan the epoch and keep things.
        settings: all that decides the result, as JSON has it.
        options: see `FitOptions`.
        monitor: the validation error that `patience` and `keep_best` look at.
        about: what else the checkpoints say of themselves.

    Raises:
        ValueError: if `folder` holds a run that was started with other `settings`, a checkpoint there is damaged, or
            an epoch has fewer batches than are accumulated.
    """
    batches = _batches(min(epoch_batches, len(plan)), options.accumulate)
    with first_process_first() as first:
        if first:
            _same_settings(folder, settings or {})
            _sweep(folder)
    last = folder / "last.ckpt"
    keeper = Best(folder / "best.ckpt" if options.keep_best else None, monitor, options.patience)
    average = Average(options.ema)
    keeping: list[Callback] = [PlanEpoch(plan), StopAfter(total_steps), RichProgressBar(refresh_rate=10)]
    keeping += [keeper] if options.keep_best or options.patience else []
    keeping += [average] if options.ema else []
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        max_epochs=math.ceil(total_steps * options.accumulate / batches),
        **_machines(device),
        logger=[
            CSVLogger(folder, name="csv", flush_logs_every_n_steps=50),
            TensorBoardLogger(folder, name="", version="tensorboard"),
        ],
        callbacks=[RandomStates(), *callbacks, *keeping, Last(last)],
        plugins=[SafeCheckpoints({"settings": settings, **(about or {})})],
        precision=PRECISIONS[options.precision],
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.gradient_clip or None,
        limit_train_batches=batches,
        check_val_every_n_epoch=validate_every,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        enable_model_summary=False,
    )
    with quiet():
        trainer.fit(
            task,
            train_dataloaders=_loader(plan),
            val_dataloaders=_loader(_OneItem()),
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )
    if options.keep_best:
        keeper.take(task)
    elif options.ema:
        average.take(task)


def _batches(most: int, accumulate: int) -> int:
    """Of an epoch: a multiple of those that are accumulated."""
    if most < accumulate:
        raise ValueError(
            f"`accumulate` should be at most the batches of an epoch, got {accumulate} for {most}: lower it, or the "
            "batch size."
        )
    return most // accumulate * accumulate


def _loader(items: torch.utils.data.Dataset[Any]) -> DataLoader[Any]:
    """One item after the other; with a generator of its own, since it draws a number whenever it starts."""
    return DataLoader(items, batch_size=None, generator=torch.Generator())


def _machines(device: str) -> dict[str, Any]:
    """The trainer's arguments about devices and processes."""
    gpu, index, size = device.startswith("cuda"), torch.device(device).index, rank_and_size()[1]
    if size == 1:
        return {"accelerator": "gpu" if gpu else "cpu", "devices": 1 if index is None else [index]}
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": local_size(),
        "num_nodes": size // local_size(),
        "strategy": DDPStrategy(process_group_backend="nccl" if gpu else "gloo"),
        "use_distributed_sampler": False,
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's messages about workers, logs and modes that are as they should be."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",
            ".*number of training batches.*",
            ".*in eval mode at the start of training.*",
            ".*exists and is not empty.*",
            ".*treespec, LeafSpec.*",
            ".*sync_dist=True.*",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield


def _same_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Keep the settings of a run beside it, and refuse to go on with others."""
    file = folder / "settings.json"
    text = json.dumps(settings, indent=1, sort_keys=True)
    if file.is_file() and (found := file.read_text(encoding="utf-8")) != text:
        raise ValueError(
            f"the run in `{folder}` was started with other settings{_differing(found, json.loads(text))}: move the "
            "folder away, or restore them."
        )
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _differing(found: str, settings: dict[str, Any]) -> str:
    """The first three keys that differ, in words."""
    try:
        before, now = _flat(json.loads(found)), _flat(settings)
    except json.JSONDecodeError:
        return ""
    keys = [key for key in sorted({**before, **now}) if before.get(key, "none") != now.get(key, "none")]
    said = [f"`{key}` was {before.get(key, 'none')}, is {now.get(key, 'none')}" for key in keys[:3]]
    return f" ({'; '.join(said)})" if said else ""


def _flat(tree: Any, key: str = "") -> dict[str, Any]:
    """Leaves by dotted key."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else None
    if items is None:
        return {key: tree}
    return {
        name: leaf for part, own in items for name, leaf in _flat(own, f"{key}.{part}".lstrip(".")).items()
    }


def _sweep(folder: Path) -> None:
    """Delete the halves of files that a process that was killed left."""
    for pattern in (".last-*.ckpt", ".best-*.ckpt", ".settings-*.json"):
        for half in folder.glob(pattern):
            half.unlink(missing_ok=True)


class _OneItem(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        return index
