"""The files of comparisons: which data, bases and correctors, and what each may spend."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irno_graph.data.flows import FLOWS
from irno_graph.experiments.compare.kinds import BASES, WIDTHS
from irno_graph.experiments.config import ConfigError, read_structured

PROBLEMS = ("evolution", "darcy", "super-resolution")
SPHERE = "shallow-water"  # the generator of `irno-graph data shallow-water`
SPECTRAL = ("", "eigenbasis", "fft", "sphere")


@dataclass
class PartConfig:
    """Samples of one file or folder that `data.readers.open_data` knows."""

    path: str = ""
    first: int = 0
    count: int = 0  # 0: all from `first` on
    make: dict[str, Any] = field(default_factory=dict)  # what the generator is told, if the file is not there


@dataclass
class ProblemConfig:
    """What is to be learned: the next snapshot, Darcy's pressure, or fine fields of coarse ones."""

    kind: str = "evolution"
    generator: str = ""  # makes files that are not there: a flow of `irno-graph data`
    apart: int = 1  # snapshots between x and y
    train: PartConfig = field(default_factory=PartConfig)
    valid: PartConfig = field(default_factory=PartConfig)
    tests: dict[str, PartConfig] = field(default_factory=dict)  # the first one counts, others are reported


@dataclass
class BaseFitConfig:
    """Training of bases: the learning rate is halved on plateaus, `halvings` times; `seconds` are the most."""

    seconds: float = 300.0  # of the CPU
    batch_size: int = 16
    learning_rate: float = 3e-3
    validate_every: int = 25  # optimiser steps
    patience: int = 6  # validations without a better one before a halving
    halvings: int = 3


@dataclass
class CorrectorFitConfig:
    """Training of correctors, alike for all: measured after `optimizer_steps` and after `seconds` of the CPU."""

    parameters: int = 40000
    seconds: float = 60.0
    optimizer_steps: int = 300
    batch_size: int = 8
    learning_rate: float = 1e-3
    average: float = 0.99  # of the weights, exponential
    alpha: float = 0.4
    steps: int = 4
    spectral_loss: str = ""  # or "fft" (periodic grids), "eigenbasis", "sphere"
    beta_spectral: float = 1.0
    beta_fp: float = 0.01


@dataclass
class CompareConfig:
    """A whole comparison; see configs/compare_darcy.yaml."""

    name: str = "comparison"
    title: str = ""
    folder: str = "runs/compare"
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    threads: int = 1
    problem: ProblemConfig = field(default_factory=ProblemConfig)
    bases: dict[str, dict[str, Any]] = field(default_factory=dict)
    base: BaseFitConfig = field(default_factory=BaseFitConfig)
    correctors: dict[str, dict[str, Any]] = field(default_factory=dict)
    corrector: CorrectorFitConfig = field(default_factory=CorrectorFitConfig)


def read_compare_config(path: str | os.PathLike[str], changes: tuple[str, ...] = ()) -> CompareConfig:
    """Read a comparison's file, with changes like "corrector.steps=6".

    Raises:
        ConfigError: naming the file and the key that is unknown or has a wrong type or an impossible value.
        MissingFileError: if there is no file.
    """
    config, file = read_structured(path, CompareConfig, changes)
    _check(config, file)
    return config


def _check(config: CompareConfig, file: Path) -> None:
    problem, base, corrector = config.problem, config.base, config.corrector
    unknown = [name for name in config.bases if name not in BASES]
    foreign = [name for name in config.correctors if name not in WIDTHS]
    wanted = {
        "seeds": (
            bool(config.seeds) and len(set(config.seeds)) == len(config.seeds),
            "one number or more, all different",
        ),
        "threads": (config.threads >= 1, "1 or more"),
        "problem.kind": (problem.kind in PROBLEMS, "one of " + ", ".join(PROBLEMS)),
        "problem.generator": (
            problem.generator in ("", SPHERE, *FLOWS),
            "one of " + ", ".join((SPHERE, *FLOWS)),
        ),
        "problem.apart": (problem.apart >= 1, "1 or more"),
        "problem.train.path": (bool(problem.train.path), "a file or folder"),
        "problem.valid.path": (bool(problem.valid.path), "a file or folder"),
        "problem.tests": (
            bool(problem.tests) and all(part.path for part in problem.tests.values()),
            "one test set or more, each with a path",
        ),
        "bases": (bool(config.bases) and not unknown, "some of " + ", ".join(BASES)),
        "correctors": (bool(config.correctors) and not foreign, "some of " + ", ".join(WIDTHS)),
        "corrector.alpha": (0 < corrector.alpha <= 1, "a number in (0, 1]"),
        "corrector.average": (0 <= corrector.average < 1, "a number in [0, 1)"),
        "corrector.spectral_loss": (corrector.spectral_loss in SPECTRAL, "one of " + ", ".join(SPECTRAL[1:])),
    }
    for name, part in (("base", base), ("corrector", corrector)):
        wanted[f"{name}.seconds"] = (part.seconds > 0, "positive")
        wanted[f"{name}.batch_size"] = (part.batch_size >= 1, "1 or more")
        wanted[f"{name}.learning_rate"] = (part.learning_rate > 0, "positive")
    sets = {"train": problem.train, "valid": problem.valid}
    sets |= {f"tests.{name}": own for name, own in problem.tests.items()}
    for name, own in sets.items():
        for key, value in (("first", own.first), ("count", own.count)):
            wanted[f"problem.{name}.{key}"] = (value >= 0, "0 or more")
    for key, value in (
        ("base.validate_every", base.validate_every),
        ("base.patience", base.patience),
        ("base.halvings", base.halvings),
        ("corrector.parameters", corrector.parameters),
        ("corrector.optimizer_steps", corrector.optimizer_steps),
        ("corrector.steps", corrector.steps),
    ):
        wanted[key] = (value >= 1, "1 or more")
    for key, (fine, expected) in wanted.items():
        if not fine:
            raise ConfigError(f"`{file}`, key `{key}` should be {expected}: change it.")
    _check_apart(problem, file)


def _check_apart(problem: ProblemConfig, file: Path) -> None:
    """No sample may be in two parts."""
    parts = {"train": problem.train, "valid": problem.valid, **problem.tests}
    names = list(parts)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            if _overlap(parts[one], parts[other]) and not (one in problem.tests and other in problem.tests):
                raise ConfigError(
                    f"`{file}`: {one} and {other} should have no sample in common, got the same samples of "
                    f"`{parts[one].path}`: set `first` and `count`."
                )


def _overlap(one: PartConfig, other: PartConfig) -> bool:
    if Path(one.path).resolve() != Path(other.path).resolve():
        made = bool(one.make) and bool(other.make)
        return made and one.make.get("seed", 0) == other.make.get("seed", 0)
    (low, end), (first, last) = (
        (part.first, part.first + part.count if part.count else float("inf")) for part in (one, other)
    )
    return low < last and first < end
