"""What is measured of an answer: errors, errors per band of frequency, time, memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.experiments.compare.fitting import ANSWERED, answers
from irno_graph.experiments.compare.problem import Pairs, Problem
from irno_graph.graph import Graph
from irno_graph.graph.grid_fields import grid_of
from irno_graph.metrics import anomaly_correlation, relative_l2, vrmse
from irno_graph.refine import IRNO
from irno_graph.spectral import EigenBasis
from irno_graph.spectral.grid import grid_band_energy, grid_frequencies
from irno_graph.spectral.sphere import degree_energy, exact_degrees

BANDS = 3  # thirds of the frequencies: low, middle, high
REPEATS = 5


def base_scores(base: nn.Module, pairs: Pairs, problem: Problem) -> dict[str, Any]:
    """Scores of a base's answers."""
    return scores(answers(base, pairs), pairs, problem)


@torch.no_grad()
def refined_scores(model: IRNO, pairs: Pairs, problem: Problem) -> dict[str, Any]:
    """Scores of a model's answers, and its VRMSE at k = 0 ... 2 K."""
    outs = [model(x, pairs.graph, steps=2 * model.steps).states for x in pairs.x.split(ANSWERED)]
    states = torch.cat(outs, dim=1)  # [2 K + 1, samples, nodes, channels]
    curve = [float(vrmse(state, pairs.y, pairs.graph).mean()) for state in states]
    return {**scores(states[model.steps], pairs, problem), "curve": curve}


def scores(answer: Tensor, pairs: Pairs, problem: Problem) -> dict[str, Any]:
    """VRMSE (mean over channels), relative L2 of all channels together, error per band; ACC on the sphere.

    Means over samples. `bands` are the root mean square errors of `band_energies`, low to high frequencies.
    """
    graph, truth = pairs.graph, pairs.y
    std = problem.of_y.std.to(truth)
    found = {
        "vrmse": float(vrmse(answer, truth, graph).mean()),
        "relative_l2": float(relative_l2(answer / std, truth / std, graph, joint=True).mean()),
        "bands": (band_energies((answer - truth) / std, graph).mean(dim=0) / graph.mass.sum())
        .sqrt()
        .tolist(),
    }
    if graph.sphere_shape and len(problem.train.y[0]) == len(truth[0]):
        climatology = problem.train.y.mean(dim=0)
        found["acc"] = float(anomaly_correlation(answer, truth, climatology, graph).mean())
    return found


def band_energies(field: Tensor, graph: Graph) -> Tensor:
    """Energy `[samples, bands]` of `field` `[samples, nodes, channels]` in thirds of the frequencies.

    By the FFT on grids that are periodic along all axes (frequencies are roots of the eigenvalues of the grid's
    Laplacian), by degrees of spherical harmonics on grids of the sphere, in the graph's eigenbasis with all modes
    elsewhere. Channels are summed.
    """
    field = field.double()
    if graph.sphere_shape:
        nlat, nlon = graph.sphere_shape
        degrees = exact_degrees(nlat, nlon, graph.sphere_grid)
        energy = degree_energy(
            field.unflatten(-2, (nlat, nlon)), graph.sphere_grid
        )  # [samples, degrees, channels]
        limits = [degrees * band // BANDS for band in range(BANDS + 1)]
        parts = [energy[:, low:high].sum(dim=(1, 2)) for low, high in pairwise(limits)]
        return torch.stack(parts, dim=-1)
    grid = grid_of(graph)
    if all(grid.periodic):
        top = float(grid_frequencies(grid.shape, grid.extent).max())
        return grid_band_energy(field, grid.shape, grid.extent, _edges(top))[:, :BANDS].sum(dim=-1)
    basis = EigenBasis.compute(graph, len(graph.pos))
    top = float(basis.eigenvalues[-1]) ** 0.5
    return basis.band_energy(field, _edges(top))[:, :BANDS].sum(dim=-1)


def _edges(top: float) -> list[float]:
    return [top * band / BANDS for band in range(BANDS)] + [1.001 * top]


@torch.no_grad()
def seconds_per_sample(run: Callable[[], Any], samples: int) -> float:
    """The shortest of several runs, on the processor's clock."""
    run()
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found) / samples


def kept_bytes(run: Callable[[], Any]) -> int:
    """Bytes that `run` keeps for a backward pass, each storage counted once, parameters among them."""
    storages: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        alive.append(value)
        storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        out = run()
    del out
    return sum(storages.values())


def costs(model: IRNO, pairs: Pairs, batch: int) -> dict[str, float]:
    """Seconds per sample of the base, and of one refinement step; memory per sample of training K steps [bytes]."""
    x, graph = pairs.x[:batch], pairs.graph
    whole = seconds_per_sample(lambda: model(x, graph), len(x))
    base = seconds_per_sample(lambda: model.base(x, graph), len(x))
    kept = kept_bytes(lambda: model(x, graph).value)
    return {
        "base_seconds": base,
        "step_seconds": (whole - base) / model.steps,
        "kept_bytes": kept / len(x),
    }
