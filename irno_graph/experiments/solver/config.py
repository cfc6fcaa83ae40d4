"""The experiment's file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from irno_graph.experiments.config import ConfigError, DataConfig, read_structured


@dataclass
class SolverConfig:
    """What is measured, on which model and data; see configs/solver.yaml."""

    name: str = "solver"
    folder: str = "runs/solver"
    threads: int = 0  # 0: what torch chooses
    seed: int = 0
    model: str = "ce-gauss-small"
    contracting: str = ""  # the same model trained for contraction, measured beside it; "" for none
    data: DataConfig = field(default_factory=DataConfig)  # `valid` and `test`
    certified: int = 16  # test trajectories that are certified, at each of `time_steps`
    time_steps: list[int] = field(default_factory=lambda: [0, 3, 6])
    iterations: int = 60
    alphas: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    accelerated: int = 16  # trajectories that ways of solving are chosen and measured on
    solver_alphas: list[float] = field(default_factory=lambda: [0.1, 0.3, 0.5])
    rates: list[float] = field(default_factory=lambda: [0.05, 0.01])
    guard_rate: float = 0.01  # of the rollouts
    noises: list[float] = field(default_factory=lambda: [1.0, 3.0, 10.0])  # in units of the base's error
    long: DataConfig = field(default_factory=DataConfig)  # `test`: further in time, on the mesh of data.test
    losses: dict[str, list[str]] = field(default_factory=dict)  # name of a loss to model files, a seed each
    losses_data: str = ""  # the config whose test set they are measured on


def read_solver_config(path: str | os.PathLike[str]) -> SolverConfig:
    """Read the experiment's file.

    Raises:
        ConfigError: naming the file and the key that is unknown or has a wrong type or an impossible value.
        MissingFileError: if there is no file.
    """
    config, file = read_structured(path, SolverConfig)
    wanted = {
        "data.valid": (len(config.data.valid) > 0, "at least one set"),
        "data.test": (len(config.data.test) > 0, "at least one set"),
        "certified": (config.certified >= 2, "2 or more"),
        "time_steps": (min(config.time_steps, default=-1) >= 0, "a list of snapshots, from 0 on"),
        "alphas": (bool(config.alphas) and all(0 < a <= 1 for a in config.alphas), "numbers in (0, 1]"),
        "rates": (bool(config.rates) and all(0 < r < 1 for r in config.rates), "numbers in (0, 1)"),
        "guard_rate": (0 < config.guard_rate < 1, "a number in (0, 1)"),
        "long.test": (len(config.long.test) > 0, "at least one set"),
    }
    for key, (fine, expected) in wanted.items():
        if not fine:
            raise ConfigError(f"`{file}`, key `{key}` should be {expected}: change it.")
    return config
