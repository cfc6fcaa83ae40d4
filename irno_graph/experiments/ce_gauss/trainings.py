"""All trainings of the experiment, each a command of its own, those that wait for another after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from irno_graph.experiments.ce_gauss.config import MAIN, CEGaussConfig, changes_of, seeds_of
from irno_graph.experiments.config import ExperimentConfig, read_config
from irno_graph.files import atomic_path
from irno_graph.refine.storage import StorageError, describe

FILES = {"base": "base.safetensors", "corrector": "model.safetensors", "control": "control.safetensors"}
Report = Callable[[str], None]


class TrainingError(ValueError):
    """A training that failed, or that is not there."""


@dataclass(frozen=True)
class Training:
    """One stage of a training with one seed.

    Attributes:
        variant: its name, `MAIN` for the main one.
        stage: "base", "corrector" or "control".
        seed: of the training.
        changes: of the training's config.
        folder: of its files.
        needs: the model file that it starts from, made by another training; None for none.
    """

    variant: str
    stage: str
    seed: int
    changes: tuple[str, ...]
    folder: Path
    needs: Path | None

    @property
    def file(self) -> Path:
        """The model file that it writes."""
        return self.folder / FILES[self.stage]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.variant}, {self.stage}, seed {self.seed}"

    def settings(self) -> tuple[str, ...]:
        """All changes of the training's config."""
        own = (f"folder={self.folder}", f"seed={self.seed}", "threads=1")
        needs = () if self.needs is None else (f"base_file={self.needs}",)
        return (*self.changes, *own, *needs)


def model_of(config: CEGaussConfig, seed: int, variant: str = MAIN, stage: str = "corrector") -> Path:
    """The file of a variant's result."""
    return Path(config.folder) / f"{variant}-{seed}" / FILES[stage]


def all_trainings(config: CEGaussConfig) -> list[Training]:
    """Bases first, the main training before the variants."""

    def training(variant: str, stage: str, seed: int, changes: list[str], needs: Path | None) -> Training:
        folder = Path(config.folder) / f"{variant}-{seed}"
        return Training(variant, stage, seed, tuple(changes), folder, needs)

    found = [training(MAIN, "base", seed, [], None) for seed in config.seeds]
    found += [
        training(MAIN, "corrector", seed, [], model_of(config, seed, stage="base")) for seed in config.seeds
    ]
    stages = {MAIN: "base", **{own.name: own.stage for own in config.variants}}
    for own in config.variants:
        source = own.base or MAIN
        for seed in seeds_of(config, own):
            needs = None if own.stage == "base" else model_of(config, seed, source, stages[source])
            found.append(training(own.name, own.stage, seed, changes_of(config, own), needs))
    return found


def is_finished(training: Training, config: CEGaussConfig) -> bool:
    """Whether its file is there, made with these settings and from the base that is there now."""
    if not training.file.is_file():
        return False
    try:
        about = describe(training.file)["about"]
    except (StorageError, KeyError):
        return False
    wanted = read_config(config.training, training.settings())
    if _decisive(about.get("config"), training.stage) != _decisive(asdict(wanted), training.stage):
        return False
    return training.needs is None or _noted_base(training) == _present_base(training)


def _decisive(config: Any, stage: str) -> dict[str, Any] | None:
    """What a stage's result depends on, with the defaults of keys that a config from an older version lacks.

    None for a config that does not fit.
    """
    if not isinstance(config, dict):
        return None
    try:
        whole = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ExperimentConfig), config))
    except (OmegaConfBaseException, ValueError):
        return None
    assert isinstance(whole, ExperimentConfig)
    unused = {"test": None, "more": None} if stage == "base" else {"test": None}
    found: dict[str, Any] = {"seed": whole.seed, "data": asdict(whole.data) | unused}
    if stage == "corrector":
        return found | {"corrector": asdict(whole.corrector)}
    steps = whole.corrector.fit.optimizer_steps if stage == "control" else None
    return found | {"base": asdict(whole.base), "steps": steps}


def _noted_base(training: Training) -> str:
    """What is kept of the base that a training started from."""
    file = training.folder / "started_from.json"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _present_base(training: Training) -> str:
    assert training.needs is not None
    if not training.needs.is_file():
        return "missing"
    return json.dumps({"base": str(training.needs), "weights": describe(training.needs)["weights_hash"]})


def train_all(config: CEGaussConfig, *, report: Report = print) -> list[Training]:
    """Run what is not finished, `config.jobs` at once; what was cut off goes on where it was.

    Raises:
        TrainingError: if a training fails, with the last lines of its log; those that run are waited for.
    """
    trainings = all_trainings(config)
    waiting, done = list(trainings), set[Path]()
    running: dict[Future[None], Training] = {}
    with ThreadPoolExecutor(config.jobs) as pool:
        while waiting or running:
            for one in [one for one in waiting if one.needs is None or one.needs in done]:
                if is_finished(one, config):
                    done.add(one.file)
                elif len(running) < config.jobs:
                    report(f"training {one.name}: {len(waiting) + len(running)} to go")
                    running[pool.submit(_run, one, config)] = one
                else:
                    continue
                waiting.remove(one)
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                done.add(running.pop(future).file)
    return trainings


def _run(training: Training, config: CEGaussConfig) -> None:
    training.folder.mkdir(parents=True, exist_ok=True)
    if training.needs is not None:
        with atomic_path(training.folder / "started_from.json") as temporary:
            temporary.write_text(_present_base(training), encoding="utf-8")
    changes = [part for change in training.settings() for part in ("--set", change)]
    log = training.folder / f"{training.stage}.log"
    code = launch(["train", config.training, "--stage", training.stage, *changes], log)
    if code:
        raise TrainingError(
            f"{training.name} failed with code {code}, see `{log}`: "
            f"{log.read_text(encoding='utf-8', errors='replace')[-1000:]}"
        )


def launch(arguments: list[str], log: Path) -> int:
    """The exit code of `irno-graph` with these arguments on one thread; what it prints is added to `log`."""
    command = [sys.executable, "-m", "irno_graph", *arguments]
    with log.open("a", encoding="utf-8") as file:
        environment: dict[str, Any] = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
