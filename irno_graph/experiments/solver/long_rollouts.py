"""Rollouts far beyond the trained time, with and without the guard."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irno_graph.experiments.calibration import Sets, met_features
from irno_graph.experiments.solver.one_step import varied
from irno_graph.graph import Graph, mass_mean
from irno_graph.refine import IRNO, Guard, Status
from irno_graph.rollout import rollout


@torch.no_grad()
def rollout_figures(
    model: IRNO, valid: Sets, short: Tensor, long: Tensor, graph: Graph, *, rate: float
) -> dict[str, Any]:
    """Errors against the base's over `short` trajectories, sizes against the truth's over `long` ones.

    Args:
        model: refined operator.
        valid: trajectories that the guard is calibrated on.
        short: test trajectories `[samples, times, nodes, channels]` of the trained length.
        long: test trajectories that go further.
        graph: of both.
        rate: false alarms of the guard per time step.
    """
    guarded = varied(model)
    met = torch.cat([met_features(guarded, truth, own) for truth, own in valid])
    guard = Guard.calibrated(met, rate, steps=model.steps)
    guarded.guard = guard
    runs: dict[str, tuple[IRNO, int | None]] = {
        "base": (varied(model), 0),
        "refined": (varied(model), None),
        "guarded": (guarded, None),
    }
    found: dict[str, Any] = {
        "rate": rate,
        "samples": len(short),
        "long_samples": len(long),
        "time_steps": short.shape[1] - 1,
        "long_time_steps": long.shape[1] - 1,
        "truth_energy": _energy(long.transpose(0, 1), graph),
        "runs": {},
    }
    space = model.space(short[0, 0], graph)
    base_error: Tensor | None = None
    for name, (runner, steps) in runs.items():
        out = rollout(runner, short[:, 0], graph, short.shape[1] - 1, steps=steps)
        error = space.norm(out.states[1:] - short.transpose(0, 1)[1:])  # [time_steps, samples]
        far = rollout(runner, long[:, 0], graph, long.shape[1] - 1, steps=steps)
        base_error = error if base_error is None else base_error
        ratio = error / base_error
        size = space.norm(far.states - _mean(model, long)) / space.norm(long[:, 0] - _mean(model, long))
        found["runs"][name] = {
            "error": error.mean(dim=1).tolist(),
            "largest_ratio": float(ratio.max()),
            "worse_share": float((ratio > 1).double().mean()),
            "outside": int((out.status == int(Status.OUTSIDE)).sum()),
            "energy": _energy(far.states, graph),
            "size": size.amax(dim=1).tolist(),
            "largest_size": float(size.max()),
            "ended": int((far.status == int(Status.NOT_FINITE)).sum()),
            "long_outside": int((far.status == int(Status.OUTSIDE)).sum()),
        }
    return found


def _mean(model: IRNO, like: Tensor) -> Tensor:
    return torch.zeros(like.shape[-1]) if model.scaling is None else model.scaling.mean


def _energy(states: Tensor, graph: Graph) -> list[float]:
    """Mean kinetic energy per time step, of states `[times, samples, nodes, (rho, vx, vy, p)]`."""
    square = states[..., 1:3].double().square().sum(dim=-1, keepdim=True)
    density = 0.5 * states[..., 0:1].double() * square
    return mass_mean(density, graph).squeeze(-1).mean(dim=1).tolist()
