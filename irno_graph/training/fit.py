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
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from irno_graph.files import atomic_path
from irno_graph.training.pairs import BatchPlan


class PlanEpoch(Callback):
    """Shuffle the plan at the start of an epoch, so that a resumed run sees the batches it would have seen."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def on_train_epoch_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Plan the epoch."""
        self.plan.set_epoch(trainer.current_epoch)


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
) -> None:
    """Train `task` for `total_steps` optimiser steps, from `folder`/last.ckpt on where there is one.

    Writes csv/version_N/metrics.csv (one more N for each resume) and TensorBoard events to `folder`, and last.ckpt
    after each validation, every `validate_every` epochs of `epoch_batches` batches or all of `plan`.

    Raises:
        ValueError: if `folder` holds a run that was started with other `settings`.
    """
    last = folder / "last.ckpt"
    _same_settings(folder, settings or {})
    index = torch.device(device).index
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        max_steps=total_steps,
        accelerator="gpu" if device.startswith("cuda") else "cpu",
        devices=1 if index is None else [index],
        max_epochs=math.ceil(total_steps / min(epoch_batches, len(plan))),
        logger=[
            CSVLogger(folder, name="csv", flush_logs_every_n_steps=50),
            TensorBoardLogger(folder, name="", version="tensorboard"),
        ],
        callbacks=[
            *callbacks,
            PlanEpoch(plan),
            RichProgressBar(refresh_rate=10),
            ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False),
        ],
        gradient_clip_val=1.0,
        limit_train_batches=epoch_batches,
        check_val_every_n_epoch=validate_every,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        enable_model_summary=False,
    )
    with quiet():
        trainer.fit(
            task,
            train_dataloaders=DataLoader(plan, batch_size=None),
            val_dataloaders=DataLoader(_OneItem(), batch_size=None),
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )


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
        ):
            warnings.filterwarnings("ignore", message=message)
        yield


def _same_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Keep the settings of a run beside it, and refuse to go on with others."""
    file = folder / "settings.json"
    text = json.dumps(settings, indent=1, sort_keys=True)
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"the run in `{folder}` was started with other settings: move the folder away, or restore them."
        )
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


class _OneItem(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        return index
