"""The whole experiment: data, trainings, figures; what is there already stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from irno_graph.experiments.ce_gauss.config import MAIN, CEGaussConfig
from irno_graph.experiments.ce_gauss.figures import (
    band_figures,
    cost_figures,
    place_figures,
    rollout_figures,
    setting_figures,
    shifted,
    transferred,
)
from irno_graph.experiments.ce_gauss.solver_cost import equal_error, solver_figures
from irno_graph.experiments.ce_gauss.trainings import (
    Training,
    TrainingError,
    all_trainings,
    is_finished,
    model_of,
    train_all,
)
from irno_graph.experiments.config import DataConfig, ExperimentConfig, read_config
from irno_graph.experiments.evaluation import load_model
from irno_graph.experiments.kept import kept
from irno_graph.experiments.provenance import commit
from irno_graph.experiments.sets import Report, read_sets
from irno_graph.experiments.solver.one_step import certificate_figures
from irno_graph.refine import IRNO, load
from irno_graph.refine.storage import locate
from irno_graph.training.pairs import TrajectorySet

Figures = dict[str, Any]


def run_ce_gauss(config: CEGaussConfig, *, so_far: bool = False, report: Report = print) -> Figures:
    """Generate, train and measure what is not there yet, and give all figures.

    With `so_far` nothing is trained: the figures are those of the variants that are finished, and say which are not.

    Raises:
        TrainingError: if a training fails, or, with `so_far`, one of the main ones is not finished.
        ValueError: if files are there that the config's settings did not make.
    """
    make_data(config, report)
    if not so_far:
        train_all(config, report=report)
    return measure_all(config, report=report)


def make_data(config: CEGaussConfig, report: Report) -> None:
    """Generate what is not there: afterwards trainings may start beside one another."""
    training = read_config(config.training)
    for part in ("train", "more", "valid"):
        read_sets(training, part, "cpu", report)
    for data in (config.test, *(shift.data for shift in config.shifts)):
        _test_set(data, report)


def measure_all(config: CEGaussConfig, *, report: Report = print) -> Figures:
    """The figures of finished trainings; those that are known for these models and settings are not measured again.

    Raises:
        TrainingError: if a main training is not finished.
    """
    torch.set_num_threads(1)
    trainings = all_trainings(config)
    finished = [one for one in trainings if is_finished(one, config)]
    missing = [one for one in trainings if one not in finished]
    for one in missing:
        if one.variant == MAIN:
            raise TrainingError(
                f"{one.name} is not finished: run `irno-graph experiment ce-gauss` without --so-far."
            )
    test = _test_set(config.test, report)
    measured = _Measured(config, test, report)
    first = config.seeds[0]
    main: Figures = {str(seed): measured.headline(seed) for seed in config.seeds}
    solver = measured.of_model(
        "solver",
        first,
        ["time_steps"],
        lambda model, truth, graph: solver_figures(truth, graph, model.scaling.mean, config.test),
    )
    return {
        "config": asdict(config),
        "training": asdict(read_config(config.training)),
        "commit": commit(),
        "main": main,
        "variants": [measured.variant(one) for one in finished if one.variant != MAIN],
        "missing": [one.name for one in missing],
        "settings": measured.of_model(
            "settings",
            first,
            ["alphas", "most_steps", "time_steps"],
            lambda model, truth, graph: setting_figures(
                model, truth, graph, alphas=config.alphas, most_steps=config.most_steps
            ),
        ),
        "bands": measured.of_model("bands", first, [], band_figures),
        "places": measured.of_model("places", first, [], place_figures),
        "cost": measured.of_model("cost", first, [], cost_figures),
        "solver": {**solver, "equal": equal_error(solver, main)},
        "certificates": measured.of_model(
            "certificates", first, ["certified", "time_steps"], measured.certificates
        ),
        "shifts": {shift.name: measured.shift(number, first) for number, shift in enumerate(config.shifts)},
        "finished": [measured.finished(number) for number in range(len(config.finished))],
    }


def _test_set(data: DataConfig, report: Report) -> TrajectorySet:
    return read_sets(ExperimentConfig(data=data), "test", "cpu", report)[0]


class _Measured:
    def __init__(self, config: CEGaussConfig, test: TrajectorySet, report: Report) -> None:
        self.config, self.test, self.report = config, test, report
        self.folder = Path(config.folder) / "figures"

    def _kept(self, name: str, settings: Any, models: list[Path], measure: Callable[[], Figures]) -> Figures:
        def said() -> Figures:
            self.report(f"measuring {name}")
            return measure()

        known = {"settings": settings, "test": asdict(self.config.test)}
        return kept(self.folder / f"{name}.json", known, models, said)

    def headline(self, seed: int) -> Figures:
        """The main training's model of a seed on all times of the test flows."""
        file, steps = model_of(self.config, seed), self.config.time_steps
        return self._kept(
            f"main-{seed}",
            steps,
            [file],
            lambda: rollout_figures(load_model(file), self.test.states, self.test.graph, steps),
        )

    def of_model(self, name: str, seed: int, keys: list[str], measure: Callable[..., Figures]) -> Figures:
        """Figures of the main training's model up to `time_steps`, that depend on these keys of the config."""
        file, truth = model_of(self.config, seed), self.test.states[:, : self.config.time_steps + 1]
        settings = {key: getattr(self.config, key) for key in keys}
        return self._kept(name, settings, [file], lambda: measure(load_model(file), truth, self.test.graph))

    def certificates(self, model: Any, truth: torch.Tensor, graph: Any) -> Figures:
        """At the first, the middle and the last time step."""
        last = truth.shape[1] - 2
        return certificate_figures(
            model,
            truth,
            graph,
            certified=self.config.certified,
            time_steps=sorted({0, last // 2, last}),
            iterations=60,
        )

    def variant(self, training: Training) -> Figures:
        """A variant against the main model of its seed; a base also with the main model's corrector on it."""
        main, steps = model_of(self.config, training.seed), self.config.time_steps
        truth, graph = self.test.states[:, : steps + 1], self.test.graph

        def model() -> IRNO:
            own = load(training.file)
            return own if training.stage == "corrector" else transferred(load_model(main), own)

        name, files = f"{training.variant}-{training.seed}", [training.file, main]
        cost = self._kept(f"cost-{name}", None, files, lambda: cost_figures(model(), truth, graph))
        found = self._kept(name, training.stage, files, lambda: rollout_figures(model(), truth, graph, steps))
        group = next(own.group for own in self.config.variants if own.name == training.variant)
        known = {"name": training.variant, "group": group, "stage": training.stage, "seed": training.seed}
        return {**known, "cost": cost, **found}

    def finished(self, number: int) -> Figures:
        """A model that was trained elsewhere, with its control, on all times of the test flows."""
        own, steps = self.config.finished[number], self.config.time_steps
        files = [locate(own.model), *([Path(own.control)] if own.control else [])]

        def measure() -> Figures:
            model, control = load_model(files[0]), load(own.control) if own.control else None
            return rollout_figures(model, self.test.states, self.test.graph, steps, control)

        return {**asdict(own), **self._kept(f"finished-{number}", [asdict(own), steps], files, measure)}

    def shift(self, number: int, seed: int) -> Figures:
        """The main training's model on other flows, nodes or starts."""
        wanted, file = self.config.shifts[number], model_of(self.config, seed)

        def measure() -> Figures:
            model, own = load_model(file), _test_set(wanted.data, self.report)
            truth, graph = shifted(
                own.states, own.graph, model, noise=wanted.noise, dropout=wanted.dropout, seed=number
            )
            steps = min(self.config.time_steps, truth.shape[1] - 1)
            return {"nodes": graph.num_nodes, **rollout_figures(model, truth, graph, steps)}

        return self._kept(f"shift-{number}", [asdict(wanted), self.config.time_steps], [file], measure)
