"""Train what a config describes: the base, then the corrector, and the control (the base trained on)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from irno_graph.bases import RIGNO, Stepped
from irno_graph.experiments.config import (
    ExperimentConfig,
    FitConfig,
    read_config,
)
from irno_graph.experiments.evaluation import usable_device
from irno_graph.experiments.parts import new_base, new_corrector, spectral_loss
from irno_graph.experiments.provenance import about, commit
from irno_graph.experiments.sets import Report, read_sets
from irno_graph.experiments.starts import begun_control, begun_model, decisive, finished_base, take_over
from irno_graph.losses import RefinementLoss
from irno_graph.refine import IRNO, save
from irno_graph.refine.hashes import weights_hash
from irno_graph.training.base_task import BaseTask, Curriculum, best_steps
from irno_graph.training.corrector_task import (
    CorrectorTask,
    Refresh,
    error_scaling,
    met_states,
    true_pairs,
)
from irno_graph.training.fit import fit
from irno_graph.training.lead_times import LeadTimes
from irno_graph.training.monitors import Draw, watching
from irno_graph.training.noise import MetInputs
from irno_graph.training.pairs import BatchPlan, TrajectorySet
from irno_graph.training.processes import first_process_first, join_processes, rank_and_size
from irno_graph.training.schedule import Schedule
from irno_graph.training.stepped_task import SteppedTask
from irno_graph.training.unrolling import Unrolling

STAGES = ("base", "control", "corrector")  # their order gives each a seed of its own


def train(
    config_path: str | os.PathLike[str],
    *,
    stage: str = "all",
    device: str = "cpu",
    changes: Sequence[str] = (),
    report: Report = print,
    draw: Draw | None = None,
) -> list[Path]:
    """Run a stage of an experiment, or base and corrector ("all"); a run that was cut off goes on.

    Changes like "corrector.steps=4" win over the file. Processes that `torchrun` started share the batches; the first
    one makes data, writes and reports.

    Returns the model files written: `base.safetensors`, `model.safetensors`, `control.safetensors` in the
    experiment's folder.

    Raises:
        ValueError: for a bad config, an unknown stage, or a stage whose base is not there yet.
    """
    config = read_config(config_path, changes)
    if stage not in (*STAGES, "all"):
        raise ValueError(f"`stage` should be one of {', '.join(STAGES)} or all, got '{stage}'.")
    usable_device(device)
    device = join_processes(device)
    report = report if rank_and_size()[0] == 0 else _silent
    if config.start and stage == "base":
        raise ValueError(f"the config starts from `{config.start}`, which has a base: run another stage.")
    stages = (stage,) if stage != "all" else ("corrector",) if config.start else ("base", "corrector")
    if stage == "control":
        begun_control(config)
    elif "base" not in stages:
        finished_base(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    run: dict[str, Callable[[ExperimentConfig, str, Report], Path]] = {
        "base": train_base,
        "corrector": partial(train_corrector, draw=draw),
        "control": train_control,
    }
    return [run[name](config, device, report) for name in stages]


def curves(config_path: str | os.PathLike[str], changes: Sequence[str] = ()) -> dict[str, list[Path]]:
    """For each stage that has been validated, its metrics.csv files: one, and one more for each resume.

    Nothing in all processes but the first.
    """
    folder = Path(read_config(config_path, changes).folder)
    found: dict[str, list[Path]] = {}
    if rank_and_size()[0] > 0:
        return found
    for stage in STAGES:
        logs = sorted((folder / stage / "csv").rglob("metrics.csv"), key=lambda file: file.stat().st_mtime)
        validated = [
            log for log in logs if "valid_rollout" in log.read_text(encoding="utf-8").partition("\n")[0]
        ]
        if validated:
            found[stage] = validated
    return found


def train_base(config: ExperimentConfig, device: str, report: Report) -> Path:
    """Train the base over its whole schedule."""
    lightning.seed_everything(config.seed, verbose=False)
    sets, valid = _sets(config, ("train", "valid"), device, report)
    base = new_base(config, sets)
    return _fit_base(config, base, sets, valid, config.base.fit, "base", device, report)


def train_control(config: ExperimentConfig, device: str, report: Report) -> Path:
    """Train the finished base, or an earlier control, on for as many optimiser steps as the corrector takes."""
    lightning.seed_everything(config.seed + 1, verbose=False)
    sets, more, valid = _sets(config, ("train", "more", "valid"), device, report)
    base = begun_control(config)
    base.requires_grad_(True)
    settings = replace(config.base.fit, optimizer_steps=config.corrector.fit.optimizer_steps)
    return _fit_base(config, base, sets + more, valid, settings, "control", device, report)


def train_corrector(config: ExperimentConfig, device: str, report: Report, draw: Draw | None = None) -> Path:
    """Train the corrector on the finished base, or train on the corrector of the model that the config starts from."""
    lightning.seed_everything(config.seed + 2, verbose=False)
    sets, more, valid = _sets(config, ("train", "more", "valid"), device, report)
    sets += more
    wanted = config.corrector
    model = _begun_or_new(config).to(device)
    report("the base's answers to the training pairs, and rollouts")
    pairs = [true_pairs(model, part) for part in sets]
    steps = wanted.steps if config.start else 0
    rollouts = [
        met_states(model, part, torch.arange(len(part.states))[: wanted.rollout_trajectories], steps)
        for part in sets
    ]
    if model.scaling is None:
        model.scaling = error_scaling(pairs, sets).to(device)
    task = CorrectorTask(
        model,
        sets,
        valid,
        samples=[pairs, rollouts],
        loss=RefinementLoss(
            spectral_loss(wanted), beta_spectral=wanted.beta_spectral, beta_fp=wanted.beta_fp
        ),
        schedule=_schedule(wanted.fit, weight_decay=1e-5),
        unrolling=Unrolling(**{field.name: getattr(wanted, field.name) for field in fields(Unrolling)}),
        compiled=wanted.fit.compiled,
    )
    task.inputs = MetInputs(wanted.input_noise, wanted.pushforward)
    every, seen = wanted.monitor_every, wanted.monitor_trajectories
    monitors = watching(model, valid, task.spread, every=every, trajectories=seen, draw=draw)
    plan = BatchPlan(task.sizes(), wanted.fit.batch_size, config.seed + 2)
    refresh = Refresh(plan, wanted.refresh_every, wanted.refresh_trajectories, config.seed + 2)
    folder = Path(config.folder) / "corrector"
    report(f"training the corrector: {wanted.fit.optimizer_steps} steps, logs in {folder}")
    settings = {**decisive(model), **asdict(config)}
    options = _fit_options(wanted.fit, device)
    fit(task, plan, folder, callbacks=(refresh, *monitors), settings=settings, **options)
    model.eval()
    model.steps = best_steps(model, valid, task.spread, wanted.steps + wanted.past_steps)
    report(f"refinement steps with the lowest validation error: {model.steps}")
    return _saved(model, Path(config.folder) / "model.safetensors", config, config.start)


def _begun_or_new(config: ExperimentConfig) -> IRNO:
    """The base with a new corrector, or with that of the model that the config starts from."""
    wanted = config.corrector
    corrector = new_corrector(wanted, walls=config.data.walled)
    begun = begun_model(config)
    if begun is not None:
        take_over(corrector, begun, config)
    scaling = None if begun is None else begun.scaling
    return IRNO(finished_base(config), corrector, alpha=wanted.alpha, steps=wanted.steps, scaling=scaling)


def _fit_base(
    config: ExperimentConfig,
    base: RIGNO | Stepped,
    sets: list[TrajectorySet],
    valid: list[TrajectorySet],
    settings: FitConfig,
    name: str,
    device: str,
    report: Report,
) -> Path:
    task = _base_task(config, base, sets, valid, settings)
    sizes = [part.pairs(config.base.longest_lead) for part in sets]
    plan = BatchPlan(sizes, settings.batch_size, config.seed + STAGES.index(name))
    folder = Path(config.folder) / name
    report(f"training the {name}: {settings.optimizer_steps} steps, logs in {folder}")
    options = _fit_options(settings, device)
    callbacks = (Curriculum(plan),) if isinstance(task, BaseTask) else ()
    own = asdict(config) | ({"base_hash": weights_hash(base)} if name == "control" else {})
    fit(task, plan, folder, callbacks=callbacks, settings=own, **options)
    start = config.control_start if name == "control" else config.start
    return _saved(base, Path(config.folder) / f"{name}.safetensors", config, start)


def _base_task(
    config: ExperimentConfig,
    base: RIGNO | Stepped,
    sets: list[TrajectorySet],
    valid: list[TrajectorySet],
    settings: FitConfig,
) -> BaseTask | SteppedTask:
    schedule = _schedule(settings, weight_decay=1e-6)
    if isinstance(base, Stepped):
        return SteppedTask(base, sets, valid, schedule=schedule)
    base.network.recompute = config.base.recompute
    return BaseTask(
        base,
        sets,
        valid,
        schedule=schedule,
        draws=config.base.draws,
        lead_times=LeadTimes(config.base.longest_lead, fractional=config.base.fractional),
        epochs=math.ceil(settings.optimizer_steps * settings.accumulate / settings.epoch_batches),
        edge_masking=config.base.edge_masking,
        compiled=settings.compiled,
    )


def _sets(
    config: ExperimentConfig, parts: Sequence[str], device: str, report: Report
) -> list[list[TrajectorySet]]:
    """Those of each part; the first process makes what is not there."""
    with first_process_first():
        return [read_sets(config, part, device, report) for part in parts]


def _saved(model: nn.Module, path: Path, config: ExperimentConfig, start: str) -> Path:
    """Where the first process wrote the model."""
    with first_process_first() as first:
        if first:
            for half in path.parent.glob(f".{path.stem}-*{path.suffix}"):  # of a process that was killed here
                half.unlink(missing_ok=True)
            save(model.cpu(), path, about=about(config, start))
    return path


def _silent(_: str) -> None: ...


def _schedule(settings: FitConfig, weight_decay: float) -> Schedule:
    return Schedule(
        settings.learning_rate, settings.optimizer_steps, settings.tail, weight_decay, settings.schedule
    )


def _fit_options(settings: FitConfig, device: str) -> dict[str, Any]:
    return {
        "total_steps": settings.optimizer_steps,
        "epoch_batches": settings.epoch_batches,
        "validate_every": settings.validate_every,
        "device": device,
        "options": settings.options(),
        "about": {"commit": commit()},
    }
