"""Experiment files: YAML read into dataclasses; a key or type that does not fit is refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from irno_graph.data.flows import FLOWS, OBSTACLES
from irno_graph.experiments.misfits import Key, dotted, line_of, misfits, parts
from irno_graph.experiments.model_rules import Rule, rules_of_models
from irno_graph.files import existing_file
from irno_graph.training.options import FitOptions

C = TypeVar("C")


class ConfigError(ValueError):
    """An experiment file that does not fit."""


@dataclass
class SetConfig:
    """One generated file: trajectories from `seed` on `nodes` nodes from the same seed, `points` their kind.

    Of flows around obstacles the box with its `holes` is from the same seed, too: a geometry of its own for each set.
    """

    points: str = "mesh"
    holes: int = 3
    nodes: int = 1024
    trajectories: int = 64
    seed: int = 0


@dataclass
class DataConfig:
    """Where the sets lie and how they are made; a file that is not there is generated."""

    folder: str = "data/ce_gauss"
    flow: str = "ce-gauss"  # or a sister set: ce-rp, ce-crp, ce-kh, ce-rpui; or ce-gauss-obstacles
    solver_res: int = 128  # of flows in the periodic square
    narrowest: float = 0.03  # of flows around obstacles: least width of the vortices
    fine: int = 1  # likewise: how often each triangle is split in four for the solver
    save_every: float = 0.1
    final_time: float = 0.7
    train: list[SetConfig] = field(default_factory=list)
    more: list[SetConfig] = field(default_factory=list)  # what corrector and control train on besides `train`
    valid: list[SetConfig] = field(default_factory=list)
    test: list[SetConfig] = field(default_factory=list)

    @property
    def walled(self) -> bool:
        """Whether the flows run between walls, not in the periodic square."""
        return self.flow == OBSTACLES


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
    """The base operator and its training."""

    kind: str = "rigno"  # or "fno": a Fourier neural operator on a grid over the periodic square
    hidden: int = 64
    processor_steps: int = 6  # of "rigno"
    draws: int = 4  # of "rigno"
    grid: int = 32  # of "fno": cells a side; its answers go back to the nodes by cubic polynomials
    modes: int = 12  # of "fno": frequencies along each axis
    layers: int = 4  # of "fno"
    stepper: str = "derivative"  # or "residual", "output"
    longest_lead: int = 1  # of "rigno": snapshots from input to target, at most; all pairs up to it are taken
    fractional: bool = False  # of "rigno": whether, late in training, inputs lie between snapshots, too
    edge_masking: float = 0.0  # of "rigno": share of the regional graph's edges left out of each batch
    recompute: bool = False  # of "rigno": less memory in training for more time
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass
class CorrectorConfig:
    """The corrector, the refinement and their training."""

    kind: str = "multiscale"  # or, on the graph's own edges alone, "flat", "edges" (blocks of MeshGraphNets)
    hidden: int = 64
    layers: int = 1  # of "multiscale" at each level, twice
    levels: int = 4  # of "multiscale"
    edge_hidden: int = 8  # numbers that a layer makes of an edge's geometry
    modes: int = 128  # of the spectral filters of "multiscale"; 0 for none
    steps: int = 4
    alpha: float = 0.25
    single_steps: int = 0  # optimiser steps on one refinement step, before all are unrolled
    past_steps: int = 0  # refinement steps beyond `steps` that are trained on, too
    truncate: int = 1  # through how many of those gradients go back
    implicit: bool = False  # train the limit (`steps` + `past_steps` steps) by implicit gradients
    beta_jacobian: float = 0.0  # penalty on the mean squared singular value of a step at the truth
    beta_norm: float = 0.0  # penalty on the largest
    spectral_loss: str = (
        "eigenbasis"  # or "magnitude", "chebyshev" (all modes), "bands" (band filters, for shocks)
    )
    loss_modes: int = 128  # of "eigenbasis" and "magnitude", which compares the sizes of coefficients alone
    p_start: float = 1.0  # exponent of the spectral loss's weights at the first refinement step
    p_end: float = 2.0  # at the last
    beta_spectral: float = 1.0
    beta_fp: float = 0.01
    input_noise: float = 0.0  # on inputs, in standard deviations; with the next: `training.noise.MetInputs`
    pushforward: float = 0.0  # share of true pairs that begin with the model's own answer
    monitor_every: int = 0  # validations from one look of `training.monitors.Monitor` to the next; 0: none
    monitor_trajectories: int = 4  # of each validation set, that it looks at
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
    base_file: str = ""  # a trained base, where it is not the one in `folder`; or a refined model as one
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
        text = file.read_text(encoding="utf-8")
        given, changed = OmegaConf.load(file), OmegaConf.from_dotlist(list(changes))
        for tree, said in ((given, text), (changed, "")):
            for misfit in misfits(kind, OmegaConf.to_container(tree)):
                raise ConfigError(
                    f"{place(file, misfit.key, said)} {misfit.what}; compare with the files in configs/."
                )
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), given, changed))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        what = str(error).splitlines()[0]
        raise ConfigError(f"`{file}`, key `{key}`: {what}; compare with the files in configs/.") from error
    except (YAMLError, OSError, UnicodeError, TypeError) as error:
        raise ConfigError(
            f"`{file}` should be a YAML mapping, got: {' '.join(str(error).split())}"
        ) from error
    assert isinstance(config, kind)
    return config, file


def place(file: Path, key: Key, text: str | None = None) -> str:
    """File, line and key of something, as messages name it; where the file's text lacks the key, without a line."""
    text = file.read_text(encoding="utf-8") if text is None else text
    line = line_of(text, key)
    return f"`{file}`, {f'line {line}, ' if line else ''}key `{dotted(key) or '(all)'}`"


def all_sets(data: DataConfig) -> list[SetConfig]:
    """Every set, those for training first."""
    return [*data.train, *data.more, *data.valid, *data.test]


def _check(config: ExperimentConfig, file: Path) -> None:
    """Refuse impossible values."""
    for key, fine, expected in (*_of_data(config.data), *rules_of_models(config)):
        if not fine:
            came: Any = config
            for part in parts(key):
                came = came[part] if isinstance(part, int) else getattr(came, part)
            raise ConfigError(f"{place(file, parts(key))} should be {expected}, got {came!r}: change it.")
    for name in ("base", "corrector"):
        try:
            getattr(config, name).fit.options()
        except ValueError as error:
            option = str(error).split("`")[1]
            what = str(error).partition("` ")[2]
            raise ConfigError(f"{place(file, (name, 'fit', option))} {what}") from error
    seeds = [one.seed for one in all_sets(config.data)]
    if len(set(seeds)) != len(seeds):
        raise ConfigError(
            f"`{file}`: every set in `data` needs a seed of its own, got {seeds}: no trajectory twice."
        )


def _of_data(data: DataConfig) -> Iterator[Rule]:
    yield "data.train", len(data.train) > 0, "a list of at least one set"
    yield "data.valid", len(data.valid) > 0, "a list of at least one set"
    flows = (*FLOWS, OBSTACLES)
    yield "data.flow", data.flow in flows, "one of " + ", ".join(flows)
    yield "data.solver_res", data.solver_res >= 1, "1 or more"
    yield "data.save_every", data.save_every > 0, "positive"
    yield "data.final_time", data.final_time >= data.save_every, "at least `save_every`"
    yield "data.narrowest", 0 < data.narrowest <= 0.1, "in (0, 0.1]"
    yield "data.fine", 0 <= data.fine <= 4, "in 0 ... 4"
    for part in ("train", "more", "valid", "test"):
        for number, one in enumerate(getattr(data, part)):
            for name in ("nodes", "trajectories"):
                yield f"data.{part}[{number}].{name}", getattr(one, name) >= 1, "1 or more"
            yield f"data.{part}[{number}].holes", one.holes >= 0, "0 or more"
            if data.walled:
                yield f"data.{part}[{number}].points", one.points == "mesh", f"mesh with the flow {OBSTACLES}"
