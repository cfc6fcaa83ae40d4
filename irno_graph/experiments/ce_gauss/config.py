"""The experiment's file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from irno_graph.experiments.config import (
    ConfigError,
    DataConfig,
    ExperimentConfig,
    all_sets,
    read_config,
    read_structured,
)

STAGES = ("base", "control", "corrector")
MAIN = "main"
RESERVED = (MAIN, "shift", "finished")  # names of other files


@dataclass
class Variant:
    """A training that differs from the main one.

    A corrector is trained on the main base of its seed, unless it has a base of its own: the name of another variant,
    whose result, a base or a refined model, is then refined. A control is the main base trained on, a base one of its
    own.
    """

    name: str = ""
    group: str = ""  # the table that it is in
    stage: str = "corrector"  # or "base", "control"
    changes: list[str] = field(default_factory=list)  # of the training's config, such as "corrector.steps=1"
    base: str = ""  # the variant whose result a corrector is trained on
    seeds: list[int] = field(default_factory=list)  # of the training; empty: the first one alone


@dataclass
class Shift:
    """Test data that differ from the training's."""

    name: str = ""
    data: DataConfig = field(default_factory=DataConfig)  # `test` alone: one set
    noise: float = 0.0  # added to the first state, in standard deviations of the training data's channels
    dropout: float = 0.0  # share of the nodes that are left out; the rest is triangulated anew


@dataclass
class Finished:
    """A model that another config trained, measured on the same test flows."""

    model: str = ""  # a shipped model's name, or a model file
    control: str = ""  # the file of its base trained on; empty: none
    about: str = ""  # for the report: what it was trained with


@dataclass
class CEGaussConfig:
    """What is trained and measured; see configs/experiment_cpu.yaml."""

    name: str = "ce-gauss"
    folder: str = "runs/ce_gauss_experiment"
    training: str = ""  # the config of the main training
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    jobs: int = 2  # trainings at once, each on one thread
    test: DataConfig = field(default_factory=DataConfig)  # `test`: one set, no seed of the training's
    time_steps: int = 7  # of the tables; `test` may go on
    alphas: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    most_steps: int = 8
    certified: int = 16  # test trajectories that are certified
    corrector_changes: list[str] = field(
        default_factory=list
    )  # of the variants that are correctors, before their own
    reference: str = (
        ""  # the variant that the others of stage "corrector" are compared with; empty: the main training
    )
    variants: list[Variant] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)


def read_ce_gauss_config(path: str | os.PathLike[str]) -> CEGaussConfig:
    """Read the experiment's file, and check that it fits the training's.

    Raises:
        ConfigError: naming the file and the key that is unknown or has a wrong type or an impossible value, or test
            data with a seed that is trained, validated or tested on elsewhere.
        MissingFileError: if one of the files is not there.
    """
    config, file = read_structured(path, CEGaussConfig)
    training = read_config(config.training)
    names = [variant.name for variant in config.variants]
    wanted = {
        "seeds": (len(set(config.seeds)) == len(config.seeds) > 0, "different numbers, one at least"),
        "jobs": (config.jobs >= 1, "1 or more"),
        "time_steps": (config.time_steps >= 1, "1 or more"),
        "most_steps": (config.most_steps >= 1, "1 or more"),
        "certified": (config.certified >= 2, "2 or more"),
        "alphas": (bool(config.alphas) and all(0 < a <= 1 for a in config.alphas), "numbers in (0, 1]"),
        "test.test": (len(config.test.test) == 1, "one set"),
        "variants.name": (
            len({*names, *RESERVED}) == len(names) + len(RESERVED)
            and all(name and Path(name).name == name for name in names),
            f"different names, fit for a folder, none of {', '.join(RESERVED)}",
        ),
    }
    wanted["reference"] = (
        config.reference in ("", *(own.name for own in config.variants if own.stage == "corrector")),
        "empty or the name of a variant of stage corrector",
    )
    for number, variant in enumerate(config.variants):
        seeds = set(seeds_of(config, variant))
        before = {own.name for own in config.variants[:number] if seeds <= set(seeds_of(config, own))}
        place = f"variants[{number}]"
        wanted[f"{place}.stage"] = (variant.stage in STAGES, "one of " + ", ".join(STAGES))
        wanted[f"{place}.base"] = (
            not variant.base or (variant.base in before and variant.stage == "corrector"),
            "of a corrector, and the name of a variant before it with its seeds",
        )
        wanted[f"{place}.seeds"] = (set(variant.seeds) <= set(config.seeds), f"some of {config.seeds}")
        read_config(config.training, changes_of(config, variant))
    for number, shift in enumerate(config.shifts):
        wanted[f"shifts[{number}].data.test"] = (len(shift.data.test) == 1, "one set")
        wanted[f"shifts[{number}].noise"] = (shift.noise >= 0, "0 or more")
        wanted[f"shifts[{number}].dropout"] = (0 <= shift.dropout < 1, "a number in [0, 1)")
    for key, (fine, expected) in wanted.items():
        if not fine:
            raise ConfigError(f"`{file}`, key `{key}` should be {expected}: change it.")
    _check_unseen(config, training, file)
    return config


def seeds_of(config: CEGaussConfig, variant: Variant) -> list[int]:
    """Those that a variant is trained with."""
    return variant.seeds or config.seeds[:1]


def changes_of(config: CEGaussConfig, variant: Variant) -> list[str]:
    """How its training's config differs from the main one."""
    common = config.corrector_changes if variant.stage == "corrector" else []
    return [*common, *variant.changes]


def _check_unseen(config: CEGaussConfig, training: ExperimentConfig, file: Path) -> None:
    seen = {one.seed for one in all_sets(training.data)}
    for key, data in (("test", config.test), *((shift.name, shift.data) for shift in config.shifts)):
        again = sorted(seen & {one.seed for one in data.test})
        if again:
            raise ConfigError(
                f"`{file}`, `{key}`: seed {again[0]} is one of `{config.training}`: take flows that nothing was "
                "chosen by."
            )
