"""Experiment files: YAML read into dataclasses; a key or type that does not fit is refused by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from irno_graph.bases.rigno import Stepper
from irno_graph.data.flows import FLOWS
from irno_graph.files import existing_file
from irno_graph.training.options import FitOptions

C = TypeVar("C")
LOSSES = ("eigenbasis", "chebyshev", "bands")


class ConfigError(ValueError):
    """An experiment file that does not fit."""


@dataclass
class SetConfig:
    """One generated file: trajectories from `seed` on `nodes` nodes from the same seed, `points` their kind."""

    points: str = "mesh"
    nodes: int = 1024
    trajectories: int = 64
    seed: int = 0


@dataclass
class DataConfig:
    """Where the sets lie and how they are made; a file that is not there is generated."""

    folder: str = "data/ce_gauss"
    flow: str = "ce-gauss"  # or a sister set: ce-rp, ce-crp, ce-kh, ce-rpui
    solver_res: int = 128
    save_every: float = 0.1
    final_time: float = 0.7
    train: list[SetConfig] = field(default_factory=list)
    more: list[SetConfig] = field(default_factory=list)  # what corrector and control train on besides `train`
    valid: list[SetConfig] = field(default_factory=list)
    test: list[SetConfig] = field(default_factory=list)


@dataclass
class FitConfig:
    """One optimisation: length in optimiser steps, batches, learning rate."""

    optimizer_steps: int = 20000
    batch_size: int = 8
    learning_rate: float = 1e-3
    tail: float = 0.2  # part of the schedule that is spent at its low end
    schedule: str = "annealed"  # or "rigno": the shape that RIGNO's authors use
    epoch_batches: int = 500
    validate_every: int = 2
    compiled: bool = False
    precision: str = "32"  # or "bf16"; this and what follows: `training.options.FitOptions`
    accumulate: int = 1  # batches per optimiser step
    gradient_clip: float = 1.0  # largest norm; 0: none
    ema: float = 0.0  # decay of averaged weights, which are validated and saved; 0: none
    patience: int = 0  # validations without a better one that end the run; 0: never
    keep_best: bool = False  # save the weights with the smallest validation error, not the last ones

    def options(self) -> FitOptions:
        """Its part that all runs share.

        Raises:
            ValueError: naming an option whose value is impossible.
        """
        return FitOptions(**{own.name: getattr(self, own.name) for own in fields(FitOptions)})


@dataclass
class BaseConfig:
    """The base operator (RIGNO) and its training."""

    hidden: int = 64
    processor_steps: int = 6
    draws: int = 4
    stepper: str = "derivative"  # or "residual", "output"
    longest_lead: int = 1  # snapshots between input and target, at most; all pairs up to it are trained on
    fractional: bool = False  # whether, late in training, inputs lie between snapshots, too
    edge_masking: float = 0.0  # share of the regional graph's edges left out of each batch
    recompute: bool = False  # less memory in training for more time
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass
class CorrectorConfig:
    """The corrector, the refinement and their training."""

    hidden: int = 64
    layers: int = 1
    levels: int = 4
    edge_hidden: int = 8  # numbers that a layer makes of an edge's geometry
    modes: int = 128  # of the spectral filters; 0 for none
    steps: int = 4
    alpha: float = 0.25
    single_steps: int = 0  # optimiser steps on one refinement step, before all are unrolled
    past_steps: int = 0  # refinement steps beyond `steps` that are trained on, too
    truncate: int = 1  # through how many of those gradients go back
    implicit: bool = False  # train the limit (`steps` + `past_steps` steps) by implicit gradients
    beta_jacobian: float = 0.0  # penalty on the mean squared singular value of a step at the truth
    beta_norm: float = 0.0  # penalty on the largest
    spectral_loss: str = "eigenbasis"  # or "chebyshev" (all modes), "bands" (band filters, for shocks)
    loss_modes: int = 128  # of "eigenbasis"
    beta_spectral: float = 1.0
    beta_fp: float = 0.01
    refresh_every: int = 4
    rollout_trajectories: int = 24  # of each training set, whose base rollouts are trained on
    refresh_trajectories: int = 24  # the same for the model's own rollouts, made anew every so many epochs
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass
class ExperimentConfig:
    """A whole experiment: data, base, corrector and the control (the base trained on)."""

    name: str = "experiment"
    folder: str = "runs/experiment"
    seed: int = 0
    threads: int = 0  # 0: what torch chooses
    start: str = ""  # a trained model: its base is the base, training goes on from its corrector
    base_file: str = ""  # a trained base, where it is not the one in `folder`
    control_start: str = ""  # a trained base that the control goes on from, where it is not the base
    data: DataConfig = field(default_factory=DataConfig)
    base: BaseConfig = field(default_factory=BaseConfig)
    corrector: CorrectorConfig = field(default_factory=CorrectorConfig)


def read_config(path: str | os.PathLike[str], changes: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment file, with changes like "corrector.steps=4".

    Raises:
        ConfigError: naming the file and the key that is unknown or has a wrong type or an impossible value.
        MissingFileError: if there is no file.
    """
    config, file = read_structured(path, ExperimentConfig, changes)
    _check(config, file)
    return config


def read_structured(
    path: str | os.PathLike[str], kind: type[C], changes: Sequence[str] = ()
) -> tuple[C, Path]:
    """A YAML file as a dataclass, and its path; a change "key=value" wins over the file.

    Raises:
        ConfigError: naming the file and the key that is unknown or has a wrong type.
        MissingFileError: if there is no file.
    """
    file: Path = existing_file(path)
    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(kind), OmegaConf.load(file), OmegaConf.from_dotlist(list(changes))
        )
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        what = str(error).splitlines()[0]
        raise ConfigError(f"`{file}`, key `{key}`: {what}; compare with the files in configs/.") from error
    except (YAMLError, OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"`{file}` should be a YAML mapping, got: {' '.join(str(error).split())}"
        ) from error
    assert isinstance(config, kind)
    return config, file


def all_sets(data: DataConfig) -> list[SetConfig]:
    """Every set, those for training first."""
    return [*data.train, *data.more, *data.valid, *data.test]


def _check(config: ExperimentConfig, file: Path) -> None:
    wanted = {
        "data.train": (len(config.data.train) > 0, "at least one set"),
        "data.flow": (config.data.flow in FLOWS, "one of " + ", ".join(FLOWS)),
        "data.valid": (len(config.data.valid) > 0, "at least one set"),
        "base.longest_lead": (
            1 <= config.base.longest_lead <= round(config.data.final_time / config.data.save_every),
            "a number of snapshots, 1 up to those after the first one",
        ),
        "base.edge_masking": (0 <= config.base.edge_masking < 1, "a number in [0, 1)"),
        "base.stepper": (config.base.stepper in tuple(Stepper), "one of " + ", ".join(Stepper)),
        "corrector.spectral_loss": (config.corrector.spectral_loss in LOSSES, "one of " + ", ".join(LOSSES)),
        "corrector.truncate": (config.corrector.truncate >= 1, "1 or more"),
        "corrector.alpha": (0 < config.corrector.alpha <= 1, "a number in (0, 1]"),
    }
    for name in (
        "edge_hidden",
        "single_steps",
        "past_steps",
        "beta_spectral",
        "beta_fp",
        "beta_jacobian",
        "beta_norm",
    ):
        wanted[f"corrector.{name}"] = (getattr(config.corrector, name) >= 0, "0 or more")
    counts = {
        "base": ("hidden", "processor_steps", "draws"),
        "corrector": ("hidden", "layers", "levels", "steps", "refresh_every", "loss_modes"),
    }
    for part in ("base", "corrector"):
        for name in counts[part]:
            wanted[f"{part}.{name}"] = (getattr(getattr(config, part), name) >= 1, "1 or more")
        fit: FitConfig = getattr(config, part).fit
        wanted[f"{part}.fit.epoch_batches"] = (fit.epoch_batches >= 1, "1 or more")
        wanted[f"{part}.fit.validate_every"] = (fit.validate_every >= 1, "1 or more")
        wanted[f"{part}.fit.optimizer_steps"] = (fit.optimizer_steps >= 1, "1 or more")
        wanted[f"{part}.fit.batch_size"] = (fit.batch_size >= 1, "1 or more")
        wanted[f"{part}.fit.schedule"] = (fit.schedule in ("annealed", "rigno"), "annealed or rigno")
        wanted[f"{part}.fit.learning_rate"] = (fit.learning_rate > 0, "positive")
    for key, (fine, expected) in wanted.items():
        if not fine:
            raise ConfigError(f"`{file}`, key `{key}` should be {expected}: change it.")
    seeds = [one.seed for one in all_sets(config.data)]
    if len(set(seeds)) != len(seeds):
        raise ConfigError(
            f"`{file}`: every set in `data` needs a seed of its own, got {seeds}: no trajectory twice."
        )
