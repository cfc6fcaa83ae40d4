"""The comparison: what is trained and measured, in a file each, so that a run that was cut off goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from irno_graph.experiments.compare.config import CompareConfig
from irno_graph.experiments.compare.fitting import fit_base, fit_corrector, standardised
from irno_graph.experiments.compare.kinds import count, make_base, make_corrector, width_for
from irno_graph.experiments.compare.problem import Problem, read_problem
from irno_graph.experiments.compare.scores import base_scores, costs, refined_scores
from irno_graph.experiments.demo import write_json
from irno_graph.experiments.provenance import commit
from irno_graph.refine import IRNO, load, save

MARKS = ("steps", "time")
TIMED = 8  # samples of a batch whose time is measured


class Unit(NamedTuple):
    """One thing to do: train a base, its control or a corrector on it, or measure what was trained."""

    what: str  # "base", "control", "corrector", "seen", "scores", "costs"
    base: str
    seed: int
    corrector: str = ""

    @property
    def name(self) -> str:
        """Of its files."""
        return "-".join(str(part) for part in (self.what, self.base, self.corrector, self.seed) if part != "")


@dataclass(frozen=True)
class Workshop:
    """Does units in the folder of a config."""

    config: CompareConfig

    def problem(self) -> Problem:
        """The data, read once."""
        return _problem(json.dumps(asdict(self.config.problem)))

    def file(self, name: str, suffix: str = ".safetensors") -> Path:
        """In the folder."""
        return Path(self.config.folder) / (name + suffix)

    def do(self, unit: Unit) -> None:
        """Do a unit that was not done with these settings, and write what came of it."""
        torch.set_num_threads(self.config.threads)
        if self.done(unit):
            return
        found = getattr(self, "_" + unit.what)(unit)
        write_json(self.file(unit.name, ".json"), {"key": self.key(unit), "found": found})

    def done(self, unit: Unit) -> bool:
        """Whether the unit was done with these settings."""
        file = self.file(unit.name, ".json")
        return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["key"] == self.key(unit)

    def found(self, unit: Unit) -> Any:
        """What came of a unit."""
        return json.loads(self.file(unit.name, ".json").read_text(encoding="utf-8"))["found"]

    def key(self, unit: Unit) -> str:
        """Changes with the settings that the unit depends on."""
        config = self.config
        trained: dict[str, Any] = {
            "problem": asdict(config.problem) | {"tests": None},
            "base": (config.bases[unit.base], asdict(config.base)),
            "threads": config.threads,
        }
        if unit.what not in ("base", "seen"):
            trained["corrector"] = asdict(config.corrector)
        if unit.corrector:
            trained["kind"] = config.correctors[unit.corrector]
        if unit.what in ("scores", "costs"):
            trained |= {"tests": asdict(config.problem)["tests"], "kinds": config.correctors}
            trained |= {"bases": config.bases, "seeds": config.seeds}
        return hashlib.sha256(json.dumps(trained, sort_keys=True).encode()).hexdigest()

    def widths(self) -> dict[str, tuple[int, int]]:
        """Width and number of parameters of each kind of corrector."""
        return {name: self._width(name) for name in self.config.correctors}

    def _width(self, name: str) -> tuple[int, int]:
        problem, options = self.problem(), self.config.correctors[name]

        def make(width: int) -> nn.Module:
            return make_corrector(name, options, *problem.sizes, problem.train.graph, width=width)

        width = width_for(self.config.corrector.parameters, make)
        return width, count(make(width))

    def model(self, unit: Unit, mark: str) -> IRNO:
        """A trained model."""
        return load(self.file(f"{unit.name}-{mark}"))

    def _base(self, unit: Unit) -> dict[str, Any]:
        problem = self.problem()
        torch.manual_seed(unit.seed)
        options, train = self.config.bases[unit.base], problem.train
        own = make_base(unit.base, options, *problem.sizes, train.graph, coarse=train.coarse)
        base = standardised(own, problem)
        about = fit_base(base, problem, self.config.base, unit.seed)
        save(base, self.file(unit.name), about=about)
        return {**about, "parameters": count(base)}

    def _control(self, unit: Unit) -> dict[str, Any]:
        base = load(self.file(unit._replace(what="base").name))
        about = fit_base(
            base, self.problem(), self.config.base, unit.seed + 1000, seconds=self.config.corrector.seconds
        )
        save(base, self.file(unit.name), about=about)
        return about

    def _corrector(self, unit: Unit) -> dict[str, Any]:
        problem, settings = self.problem(), self.config.corrector
        base = load(self.file(unit._replace(what="base", corrector="").name))
        torch.manual_seed(unit.seed)
        width, parameters = self._width(unit.corrector)
        options = self.config.correctors[unit.corrector]
        corrector = make_corrector(unit.corrector, options, *problem.sizes, problem.train.graph, width=width)
        model = IRNO(base, corrector, alpha=settings.alpha, steps=settings.steps)
        kept, about = fit_corrector(model, problem, settings, unit.seed)
        for mark in MARKS:
            corrector.load_state_dict(kept[mark])
            save(model, self.file(f"{unit.name}-{mark}"), about=about)
        return {**about, "parameters": parameters, "width": width}

    def _seen(self, unit: Unit) -> dict[str, float]:
        """VRMSE of a base on what it was trained on, and on what its training was ended by."""
        problem, base = self.problem(), load(self.file(unit._replace(what="base").name))
        parts = {"train": problem.train, "valid": problem.valid}
        return {name: base_scores(base, pairs, problem)["vrmse"] for name, pairs in parts.items()}

    def _scores(self, unit: Unit) -> dict[str, Any]:
        """Of one base, seed and corrector, or of a base and its control, on all test sets."""
        problem = self.problem()
        found: dict[str, Any] = {}
        for test, pairs in problem.tests.items():
            if not unit.corrector:
                found[test] = {
                    what: base_scores(load(self.file(unit._replace(what=what).name)), pairs, problem)
                    for what in ("base", "control")
                }
                continue
            own = unit._replace(what="corrector")
            found[test] = {mark: refined_scores(self.model(own, mark), pairs, problem) for mark in MARKS}
            found[test]["refines"] = {}
            for other in self.config.bases:
                if other != unit.base:
                    model = self.model(own, "time")
                    model.base = load(self.file(Unit("base", other, unit.seed).name))
                    found[test]["refines"][other] = refined_scores(model, pairs, problem)
        return found

    def _costs(self, unit: Unit) -> dict[str, Any]:
        pairs = next(iter(self.problem().tests.values()))
        return costs(self.model(unit._replace(what="corrector"), "time"), pairs, TIMED)


@lru_cache(maxsize=2)
def _problem(settings: str) -> Problem:
    from omegaconf import OmegaConf

    from irno_graph.experiments.compare.config import ProblemConfig

    merged = OmegaConf.merge(OmegaConf.structured(ProblemConfig), OmegaConf.create(json.loads(settings)))
    config = OmegaConf.to_object(merged)
    assert isinstance(config, ProblemConfig)
    return read_problem(config, report=lambda _: None)


def run_compare(
    config: CompareConfig,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train and measure what is not there yet, and give everything in one dict that JSON can hold.

    Args:
        config: of the comparison.
        workers: processes that train at once, each on `config.threads` threads. Times are measured one after another.
        progress: called as progress(done, total).
        report: gets a sentence for each set of data that is made.

    Raises:
        ValueError: if the data or an option does not fit.
    """
    if workers < 1:
        raise ValueError(f"`workers` should be at least 1, got {workers}.")
    torch.set_num_threads(config.threads)
    read_problem(config.problem, report)  # made, if need be, and checked, before any process needs it
    shop = Workshop(config)
    widths = shop.widths()
    stages = list(_stages(config))
    total, done = sum(len(stage) for stage in stages), 0
    for stage in stages:
        waiting = [unit for unit in stage if not shop.done(unit)]
        done += len(stage) - len(waiting)
        progress(done, total)
        for _ in _each(shop, waiting, 1 if stage[0].what == "costs" else workers):
            done += 1
            progress(done, total)
    return _collected(shop, stages, widths)


def _stages(config: CompareConfig) -> Iterator[list[Unit]]:
    """Units in the order of what depends on what."""
    pairs = [(base, seed) for seed in config.seeds for base in config.bases]
    yield [Unit("base", *pair) for pair in pairs]
    trained = [Unit("control", *pair) for pair in pairs]
    yield trained + [Unit("corrector", *pair, kind) for pair in pairs for kind in config.correctors]
    measured = [Unit(what, *pair) for what in ("seen", "scores") for pair in pairs]
    yield measured + [Unit("scores", *pair, kind) for pair in pairs for kind in config.correctors]
    first = config.seeds[0]
    yield [Unit("costs", base, first, kind) for base in config.bases for kind in config.correctors]


def _each(shop: Workshop, units: list[Unit], workers: int) -> Iterator[None]:
    """Do all, one result per unit as they end."""
    if workers == 1 or len(units) < 2:
        for unit in units:
            shop.do(unit)
            yield
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(units)), mp_context=context) as pool:
        yield from pool.map(shop.do, units)


def _collected(
    shop: Workshop, stages: list[list[Unit]], widths: dict[str, tuple[int, int]]
) -> dict[str, Any]:
    config = shop.config
    result: dict[str, Any] = {
        "config": asdict(config),
        "commit": commit(),
        "hardware": {"processor": _processor(), "threads": config.threads, "torch": torch.__version__},
        "samples": {name: len(pairs) for name, pairs in shop.problem().tests.items()},
        "channels": list(shop.problem().channels),
        "correctors": {
            name: {"width": width, "parameters": parameters} for name, (width, parameters) in widths.items()
        },
    }
    for stage in stages:
        for unit in stage:
            place = result.setdefault(unit.what, {}).setdefault(unit.base, {})
            place.setdefault(unit.corrector or "base", {})[str(unit.seed)] = shop.found(unit)
    return result


def _processor() -> str:
    """Its name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
