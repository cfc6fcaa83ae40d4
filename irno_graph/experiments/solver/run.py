"""The parts of the experiment, each kept in a file of its own, so that a run that was cut off goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from irno_graph.experiments.calibration import Sets
from irno_graph.experiments.config import DataConfig, ExperimentConfig, read_config
from irno_graph.experiments.evaluation import load_model
from irno_graph.experiments.kept import kept
from irno_graph.experiments.provenance import commit
from irno_graph.experiments.sets import Report, read_sets
from irno_graph.experiments.solver.config import SolverConfig
from irno_graph.experiments.solver.long_rollouts import rollout_figures
from irno_graph.experiments.solver.loss_figures import loss_figures
from irno_graph.experiments.solver.one_step import (
    Progress,
    Samples,
    certificate_figures,
    solver_figures,
    step_figures,
)
from irno_graph.experiments.solver.starts import start_figures
from irno_graph.refine import IRNO
from irno_graph.refine.storage import locate

Stage = Callable[[str], Any]  # a sentence to a context that gives progress(done, total)


class _Parts:
    """What each part measures, for one model."""

    def __init__(self, config: SolverConfig, model: IRNO, report: Report) -> None:
        self.config, self.model, self.report = config, model, report

    def _sets(self, data: DataConfig, part: str) -> Sets:
        found = read_sets(ExperimentConfig(data=data), part, "cpu", self.report)
        return [(one.states, one.graph) for one in found]

    def _samples(self, part: str, most: int | None = None) -> Samples:
        truth, graph = self._sets(self.config.data, part)[0]
        return Samples.of(truth[:most], graph, self.config.time_steps)

    def certificates(self, progress: Progress) -> dict[str, Any]:
        truth, graph = self._sets(self.config.data, "test")[0]
        return certificate_figures(
            self.model,
            truth,
            graph,
            certified=self.config.certified,
            time_steps=self.config.time_steps,
            iterations=self.config.iterations,
            progress=progress,
        )

    def steps(self, progress: Progress) -> dict[str, Any]:
        return step_figures(self.model, self._samples("test"), self.config.alphas)

    def solvers(self, progress: Progress) -> dict[str, Any]:
        valid, test = (self._samples(part, self.config.accelerated) for part in ("valid", "test"))
        return solver_figures(self.model, valid, test, self.config.solver_alphas)

    def starts(self, progress: Progress) -> dict[str, Any]:
        return start_figures(
            self.model,
            self._sets(self.config.data, "valid"),
            self._samples("test"),
            rates=self.config.rates,
            noises=self.config.noises,
            seed=self.config.seed,
        )

    def rollouts(self, progress: Progress) -> dict[str, Any]:
        short, graph = self._sets(self.config.data, "test")[0]
        long, far_graph = self._sets(self.config.long, "test")[0]
        if not torch.equal(graph.pos, far_graph.pos):
            raise ValueError(
                "`long.test` should have the mesh of `data.test`: give it the same nodes and seed."
            )
        return rollout_figures(
            self.model,
            self._sets(self.config.data, "valid"),
            short,
            long,
            graph,
            rate=self.config.guard_rate,
        )

    def losses(self, progress: Progress) -> dict[str, Any]:
        truth, graph = self._sets(read_config(self.config.losses_data).data, "test")[0]
        return loss_figures(self.config.losses, truth, graph)


PARTS = ("certificates", "steps", "solvers", "starts", "rollouts", "losses")
SENTENCES = {
    "certificates": "Certificates and biases",
    "steps": "Errors against the number of steps",
    "solvers": "Applications of Phi at equal error",
    "starts": "Corrupted starts",
    "rollouts": "Long rollouts",
    "losses": "Spectral losses on Riemann problems",
}
SETTINGS = {
    "certificates": ("data", "certified", "time_steps", "iterations"),
    "steps": ("data", "time_steps", "alphas"),
    "solvers": ("data", "time_steps", "solver_alphas", "accelerated"),
    "starts": ("data", "time_steps", "rates", "noises"),
    "rollouts": ("data", "long", "guard_rate"),
    "losses": ("losses", "losses_data"),
}


def run_solver(
    config: SolverConfig, *, stage: Stage, report: Report = print, parts: tuple[str, ...] = PARTS
) -> dict[str, Any]:
    """Measure the parts that are not there yet, and give all of them in one dict: `{model: {part: figures}}`.

    A part whose model file and settings have not changed is read from the config's folder.

    Raises:
        ValueError: for a part that is not known, or a model that is missing.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ValueError(f"`parts` should be some of {', '.join(PARTS)}, got {', '.join(unknown)}.")
    if config.threads:
        torch.set_num_threads(config.threads)
    models = {"model": config.model, **({"contracting": config.contracting} if config.contracting else {})}
    result: dict[str, Any] = {"config": asdict(config), "commit": commit(), "models": models}
    for role, name in models.items():
        model = load_model(name)
        measured = _Parts(config, model, report)
        result[role] = {"K": model.steps, "alpha": model.alpha}
        for part in parts:
            if part == "losses" and (role != "model" or not config.losses):
                continue
            known = asdict(config)
            known = {key: known[key] for key in (*SETTINGS[part], "seed", "threads")}
            sources = [locate(name)]
            if part == "losses":
                sources = [Path(file) for group in config.losses.values() for file in group]

            def measure(part: str = part, name: str = name, measured: _Parts = measured) -> dict[str, Any]:
                with stage(f"{SENTENCES[part]} ({name})") as progress:
                    return getattr(measured, part)(progress)

            result[role][part] = kept(Path(config.folder) / f"{part}-{role}.json", known, sources, measure)
    return result
