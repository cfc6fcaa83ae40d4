"""What the solver that made the test flows costs at the error of a rollout: the same flows on coarser grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.ce_gauss import sample_trajectories, snapshot_times
from irno_graph.data.euler.solver import solve
from irno_graph.data.flows import choose_modes, find_flow, trajectory_seeds
from irno_graph.experiments.config import DataConfig
from irno_graph.experiments.evaluation import GROUPS, flow_errors
from irno_graph.graph import Graph

CELLS = (8, 12, 16, 24, 32, 48, 64)
Figures = dict[str, Any]


def solver_figures(
    truth: Tensor,
    graph: Graph,
    mean: Tensor,
    data: DataConfig,
    *,
    flows: int = 8,
    cells: Sequence[int] = CELLS,
    repeats: int = 3,
) -> Figures:
    """Errors and seconds of the solver on grids coarser than the truth's, and on the truth's own.

    Every grid starts from the cell averages of the same initial data and is read at the nodes as the truth was
    (`data.ce_gauss.sample_trajectories`). Errors are those of `experiments.evaluation`, means over the flows. Seconds
    are those of one processor for one flow and time step, the least of `repeats` solutions, without compilation,
    initial data and reading at the nodes.

    Args:
        truth: `[samples, times, nodes, channels=4]`, from the first snapshot on.
        graph: of the nodes.
        mean: state `[4]` that fluctuations are about.
        data: how the truth was made; its one `test` set has the seed of the flows.
        flows: how many of the samples are used, from the first one on, where there are as many.
        cells: along each side of the grids, 4 or more; those that are not coarser than the truth's are left out.
        repeats: of a solution that is timed.

    Returns:
        `flows`, `solver_res`, `time_steps`, and `grids` from the coarsest to the truth's own, each with `cells`,
        `seconds`, and in `groups` the error of each group at every time step.

    Raises:
        ValueError: if `truth` has one time alone or more than `data` says, or no grid is coarser than the truth's.
        FloatingPointError: if density or pressure does not stay positive on one of the grids.
        ImportError: when numba is missing.
    """
    times = snapshot_times(data.save_every, data.final_time)
    if not 2 <= truth.shape[1] <= len(times):
        raise ValueError(
            f"`truth` should have 2 ... {len(times)} times, got {truth.shape[1]}: pass the states of the set in `data`."
        )
    times, flows = times[: truth.shape[1]], min(flows, len(truth))
    coarse = sorted({count for count in cells if count < data.solver_res})
    if not coarse:
        raise ValueError(
            f"`cells` should hold numbers below solver_res = {data.solver_res}, got {list(cells)}: add coarser grids."
        )
    exact, grids = truth[:flows].to(graph.pos), []
    for count in (*coarse, data.solver_res):
        states = grid_states(data, graph, times, flows=flows, cells=count).to(exact)
        errors = flow_errors(states[:, 1:], exact[:, 1:], graph, mean)  # each [flows, time steps]
        grids.append(
            {
                "cells": count,
                "seconds": _seconds(data, times, flows=flows, cells=count, repeats=repeats),
                "groups": {group: errors[group].mean(dim=0).tolist() for group in GROUPS},
            }
        )
    return {
        "flows": flows,
        "solver_res": data.solver_res,
        "time_steps": len(times) - 1,
        "repeats": repeats,
        "grids": grids,
    }


def grid_states(data: DataConfig, graph: Graph, times: np.ndarray, *, flows: int, cells: int) -> Tensor:
    """The first flows of the test set from cells x cells cells at the nodes, `[flows, times, nodes, channels=4]`."""
    seeds = trajectory_seeds(data.test[0].seed, flows, flow=data.flow)
    points = graph.pos.cpu().numpy()
    found = sample_trajectories(seeds, points, times, flow=data.flow, solver_res=cells, threads=1)
    return torch.from_numpy(found[..., :4])


def _seconds(data: DataConfig, times: np.ndarray, *, flows: int, cells: int, repeats: int) -> float:
    """Of one flow and time step; what is compiled has run before."""
    kind, modes = find_flow(data.flow), choose_modes(data.flow, None)
    seeds = trajectory_seeds(data.test[0].seed, flows, flow=data.flow)
    initial = np.stack([kind.initial(int(seed), cells, modes) for seed in seeds])
    taken = []
    for _ in range(repeats):
        began = process_time()
        solve(initial, times, cfl=kind.cfl, threads=1)
        taken.append(process_time() - began)
    return min(taken) / (flows * (len(times) - 1))


def equal_error(found: Mapping[str, Any], main: Mapping[str, Any]) -> Figures:
    """The solver's seconds at the errors of base and refined rollouts of the same flows.

    Args:
        found: what `solver_figures` gives.
        main: for each seed of a training its errors in JSON form (`Evaluation.to_json`), of the same flows first.

    Returns:
        For "base" and "refined" and each group a list over the time steps of `error`, the mean over flows and seeds
        (None where a rollout has ended), `seconds` and `reason` (`seconds_at`).
    """
    return {
        name: {
            group: [
                _at_step(found, group, step, [run["per_sample"][group][name][step] for run in main.values()])
                for step in range(found["time_steps"])
            ]
            for group in GROUPS
        }
        for name in ("base", "refined")
    }


def _at_step(
    found: Mapping[str, Any], group: str, step: int, errors: Sequence[Sequence[float | None]]
) -> Figures:
    error = float(np.mean([np.array(own[: found["flows"]], dtype=float) for own in errors]))
    seconds, reason = seconds_at(found, group, step, error)
    return {"error": error if isfinite(error) else None, "seconds": seconds, "reason": reason}


def seconds_at(
    found: Mapping[str, Any], group: str, step: int, error: float
) -> tuple[float | None, str | None]:
    """The solver's seconds for a time step at this error of a group after `step` + 1 time steps.

    Between grids log(seconds) is linear in log(error). Where errors do not fall from each grid to the next, the finest
    pair of grids that the error lies between counts: all grids finer than that are as good.

    Returns:
        Seconds and None, or None and why the error is outside of what was measured.
    """
    grids = [own for own in found["grids"] if own["cells"] < found["solver_res"]]
    errors, seconds = [own["groups"][group][step] for own in grids], [own["seconds"] for own in grids]
    if not isfinite(error):
        return None, "a rollout has ended"
    if error < errors[-1]:
        return None, f"below that of {grids[-1]['cells']} cells a side, which cost {seconds[-1]:.2g} s"
    if error > max(errors):
        return None, f"above that of {grids[0]['cells']} cells a side, which cost {seconds[0]:.2g} s"
    if error == errors[-1]:
        return seconds[-1], None
    last = max(place for place, own in enumerate(errors) if own >= error)
    share = np.log(error / errors[last]) / np.log(errors[last + 1] / errors[last])
    return float(seconds[last] * (seconds[last + 1] / seconds[last]) ** share), None
