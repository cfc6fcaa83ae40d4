"""Correctors that were trained with different spectral losses, on the same base and the same unseen trajectories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irno_graph.experiments.evaluation import load_model
from irno_graph.experiments.solver.one_step import Samples, varied
from irno_graph.graph import Graph, mass_mean
from irno_graph.refine import IRNO, Space
from irno_graph.rollout import rollout
from irno_graph.spectral import ChebyshevBank, octaves


@torch.no_grad()
def loss_figures(models: dict[str, list[str]], truth: Tensor, graph: Graph) -> dict[str, Any]:
    """Errors of one time step and of whole rollouts, over those of the base.

    Args:
        models: name of a loss to model files, one per seed.
        truth: test trajectories `[samples, times, nodes, channels]`.
        graph: their graph.

    Raises:
        ValueError: if a file is missing or the models do not share one base.
    """
    found: dict[str, Any] = {"samples": len(truth), "time_steps": truth.shape[1] - 1, "losses": {}}
    hashes = set()
    for name, files in models.items():
        loaded = [load_model(file) for file in files]
        hashes |= {model.base_hash for model in loaded}
        found["losses"][name] = [_one(varied(model), truth, graph) for model in loaded]
    if len(hashes) > 1:
        raise ValueError(
            f"`losses` should name models on one base, got {len(hashes)} of them: train them anew."
        )
    return found


def _one(model: IRNO, truth: Tensor, graph: Graph) -> dict[str, Any]:
    samples = Samples.of(truth, graph, list(range(truth.shape[1] - 1)))
    space = model.space(truth[0, 0], graph)
    outs = [model(x, graph) for x in samples.x.split(16)]
    errors = [torch.cat([out.states[k] for out in outs]) - samples.y for k in (0, -1)]  # base, refined
    rolled = [
        rollout(model, truth[:, 0], graph, truth.shape[1] - 1, steps=steps).states[-1] - truth[:, -1]
        for steps in (0, None)
    ]
    bank = octaves(graph, order=48)
    bands = [_band_energies(bank, error, space) for error in errors]
    return {
        "steps": model.steps,
        "left": _share(*(space.norm(error) for error in errors)),
        "left_L1": _share(*(_absolute(error, space) for error in errors)),
        "left_rollout": _share(*(space.norm(error) for error in rolled)),
        "left_bands": (bands[1] / bands[0]).sqrt().tolist(),
    }


def _share(base: Tensor, refined: Tensor) -> float:
    """Mean over the samples of the refined error over that of the base."""
    return float((refined / base).mean())


def _absolute(error: Tensor, space: Space) -> Tensor:
    unit = space.weight[0].rsqrt() * (space.graph.mass[0] / space.graph.mass.sum()).sqrt()  # channels' units
    return mass_mean((error.double() / unit).abs(), space.graph).sum(dim=-1)


def _band_energies(bank: ChebyshevBank, error: Tensor, space: Space) -> Tensor:
    """Energy of the errors per band `[bands]`, channels in their units, summed over samples."""
    unit = space.weight[0].rsqrt() * (space.graph.mass[0] / space.graph.mass.sum()).sqrt()
    return bank.band_energy(error.double() / unit).sum(dim=(0, -1))
