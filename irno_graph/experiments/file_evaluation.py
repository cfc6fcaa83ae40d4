"""Rollouts of a model from all trajectories of files, measured together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from irno_graph.experiments.evaluation import Evaluation, Progress, compare_rollouts, open_flows, snapshots
from irno_graph.experiments.flow_reports import LastStates
from irno_graph.experiments.wall_flow import WallFlow
from irno_graph.refine import IRNO


def evaluate_files(
    model: IRNO,
    paths: Sequence[str | os.PathLike[str]],
    *,
    stage: Callable[[str], AbstractContextManager[Progress]],
    device: str = "cpu",
    steps: int | None = None,
    control: nn.Module | None = None,
    flow: bool = False,
) -> dict[str, Any]:
    """Errors of rollouts in JSON form, see `Evaluation.to_json`; `data` has the names of the files.

    Where there are walls `through_walls` is `WallFlow.to_json`.

    Args:
        model: on `device`.
        paths: of the files; the samples of all are taken together.
        stage: called with a sentence for each file, gives a context with its progress(done, total).
        device: of the rollouts.
        steps: refinement steps; None is the model's own number.
        control: another model, measured beside it.
        flow: whether `flow` is what `LastStates` says, of one file.

    Raises:
        ValueError: if a file is missing, damaged or does not fit the model or the others, or several are given with
            `flow`.
    """
    if flow and len(paths) > 1:
        raise ValueError(f"--flow should come with one file, got {len(paths)}: bands are those of one graph.")
    parts, walls, last = [], WallFlow(), None
    for path in paths:
        source = open_flows(path)
        truth, graph = snapshots(source, model.lead_time), source.graph().to(device)
        last = LastStates.of_model(model, graph) if flow else None
        if source.period is None:
            walls.use(graph)
        with stage(f"Rolling out {len(truth)} trajectories of {path}") as progress:
            look = last or (walls if source.period is None else None)
            own = compare_rollouts(
                model, truth, graph, steps=steps, control=control, progress=progress, look=look
            )
        parts.append(own)
    names = [str(path) for path in paths]
    result = {**Evaluation.joined(parts).to_json(), "data": names[0] if len(names) == 1 else names}
    if walls.through:
        result["through_walls"] = walls.to_json()
    if last is not None:
        result["flow"] = last.to_json()
    return result
