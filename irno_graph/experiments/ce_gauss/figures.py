"""What is measured of a refined model on flows that nothing was chosen by."""

from __future__ import annotations

from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.experiments.evaluation import Evaluation, compare_rollouts
from irno_graph.experiments.flow_reports import LastStates
from irno_graph.experiments.solver.one_step import varied
from irno_graph.graph import Graph, vorticity
from irno_graph.refine import IRNO, Scaling
from irno_graph.refine.facts import weights_of

QUANTILES = 5  # of |vorticity|, that places are sorted by
BIN_SAMPLES = 16  # trajectories in figures of places and bands
TIMED = 25  # times that a step is computed to time it


def rollout_figures(
    model: IRNO, truth: Tensor, graph: Graph, time_steps: int, control: nn.Module | None = None
) -> dict[str, Any]:
    """Errors of base, refined model and control at every time, and in kinds and bands after `time_steps`.

    Args:
        model: its base alone is measured beside it.
        truth: `[samples, times, nodes, channels]`.
        graph: of the nodes.
        time_steps: of the report of flows (`LastStates`).
        control: another model.
    """
    last = LastStates.of_model(model, graph)
    found = compare_rollouts(
        model,
        truth,
        graph,
        control=control,
        look=lambda name, states, own: last(name, states[:time_steps], own[:time_steps]),
    )
    return {**found.to_json(), "flow": last.to_json()}


def transferred(model: IRNO, base: nn.Module) -> IRNO:
    """The corrector of `model`, in its units, on another base."""
    scaling: Scaling | None = model.scaling
    return IRNO(base, model.corrector, alpha=model.alpha, steps=model.steps, scaling=scaling).eval()


def setting_figures(
    model: IRNO, truth: Tensor, graph: Graph, *, alphas: list[float], most_steps: int
) -> dict[str, Any]:
    """Mean errors of velocity and pressure at the first and the last time, by K and, at the model's K, by alpha."""

    def errors(found: Evaluation, name: str) -> dict[str, list[float]]:
        groups = ("velocity", "pressure")
        return {group: [float(found.error(name, group)[at]) for at in (0, -1)] for group in groups}

    by_steps = {}
    for steps in range(1, most_steps + 1):
        found = compare_rollouts(model, truth, graph, steps=steps)
        by_steps[str(steps)] = errors(found, "refined")
    by_alpha = {
        f"{alpha:g}": errors(compare_rollouts(varied(model, alpha=alpha), truth, graph), "refined")
        for alpha in alphas
    }
    return {
        "base": errors(found, "base"),
        "steps": by_steps,
        "alphas": by_alpha,
        "own": [model.steps, model.alpha],
    }


@torch.no_grad()
def band_figures(model: IRNO, truth: Tensor, graph: Graph) -> dict[str, Any]:
    """Errors of h_0 ... h_2K of one time step in octaves of the frequency, over those of h_0."""
    few = truth[:BIN_SAMPLES]
    x, y = few[:, 0], few[:, 1]
    states = model(x, graph, steps=2 * model.steps).states
    reports = []
    for h in states:
        last = LastStates.of_model(model, graph)
        last("h", h.unsqueeze(0), y.unsqueeze(0))
        reports.append(last.to_json())
    groups = reports[0]["rollouts"]["h"]["bands"]
    return {
        "frequencies": reports[0]["frequencies"],
        "share": reports[0]["share"],
        "error": {group: [one["rollouts"]["h"]["bands"][group] for one in reports] for group in groups},
    }


@torch.no_grad()
def place_figures(model: IRNO, truth: Tensor, graph: Graph) -> dict[str, Any]:
    """Mean square errors of the velocity of one time step at nodes sorted by the truth's |vorticity|, in quantiles."""
    few = truth[:BIN_SAMPLES]
    x, y = few[:, 0], few[:, 1]
    out = model(x, graph)
    strength = vorticity(y[..., 1:3], graph).abs()  # [samples, nodes]
    edges = torch.quantile(strength.flatten(), torch.linspace(0, 1, QUANTILES + 1)[1:-1].to(strength))
    place = torch.bucketize(strength, edges)
    mass = graph.mass.to(y).expand_as(strength)
    rows = {}
    for name, h in (("base", out.states[0]), ("refined", out.value)):
        square = (h - y)[..., 1:3].square().sum(dim=-1)
        rows[name] = [
            float((mass * square)[place == number].sum() / mass[place == number].sum())
            for number in range(QUANTILES)
        ]
    return {"edges": edges.tolist(), **rows}


@torch.no_grad()
def cost_figures(model: IRNO, truth: Tensor, graph: Graph) -> dict[str, Any]:
    """Seconds of one processor for the base's answer to one state, and with refinement; numbers of weights."""
    x = truth[:1, 0]

    def seconds(steps: int) -> float:
        model(x, graph, steps=steps)
        taken = []
        for _ in range(TIMED):
            began = process_time()
            model(x, graph, steps=steps)
            taken.append(process_time() - began)
        return min(taken)

    return {
        "base": seconds(0),
        "refined": seconds(model.steps),
        "repeats": TIMED,
        "steps": model.steps,
        "weights": weights_of(model),
    }


def shifted(
    truth: Tensor, graph: Graph, model: IRNO, *, noise: float, dropout: float, seed: int
) -> tuple[Tensor, Graph]:
    """Flows with noise in their first state, in deviations of the model's training data, or on a part of the nodes."""
    generator = torch.Generator().manual_seed(seed)
    if dropout:
        count = round((1.0 - dropout) * graph.num_nodes)
        kept = torch.randperm(graph.num_nodes, generator=generator)[:count].sort().values
        truth, graph = truth[:, :, kept], Graph.from_points(graph.pos[kept].numpy(), period=graph.period)
    if noise:
        assert model.scaling is not None
        first = truth[:, 0] + noise * model.scaling.std * torch.randn(truth[:, 0].shape, generator=generator)
        first[..., [0, 3]] = torch.maximum(first[..., [0, 3]], 0.1 * truth[:, 0][..., [0, 3]])  # stays a gas
        truth = torch.cat([first.unsqueeze(1), truth[:, 1:]], dim=1)
    return truth, graph
