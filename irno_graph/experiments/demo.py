"""The demonstration: unseen flows on an unseen mesh, rolled out with and without refinement."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from irno_graph.data import TrajectoryFile
from irno_graph.data.ce_gauss import generate
from irno_graph.experiments.evaluation import (
    Evaluation,
    Progress,
    compare_rollouts,
    flow_fields,
    load_model,
    snapshots,
    usable_device,
)
from irno_graph.files import atomic_path
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, write_mesh, write_series
from irno_graph.refine import IRNO
from irno_graph.refine.storage import describe
from irno_graph.rollout import rollout

TIME_STEPS = 7
SEED = 20_250_901  # of the flows and of the mesh; far from those of any training, validation or test set
Stage = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Demo:
    """What `run_demo` found and wrote.

    Attributes:
        evaluation: errors over all trajectories.
        mesh: the unseen mesh.
        times: `[time_steps + 1]` of the snapshots.
        fields: "truth", "base" and "refined" to the fields of the first trajectory (see `flow_fields`).
        files: what the files hold, to their paths.
    """

    evaluation: Evaluation
    mesh: Mesh
    times: list[float]
    fields: dict[str, dict[str, np.ndarray]]
    files: dict[str, Path]


@contextmanager
def quiet_stage(_: str) -> Iterator[Progress]:
    """A stage that shows nothing."""
    yield lambda done, total: None


def run_demo(
    output: str | os.PathLike[str],
    *,
    model: str = "ce-gauss-small",
    device: str = "cpu",
    trajectories: int = 4,
    nodes: int = 1024,
    solver_res: int = 128,
    seed: int = SEED,
    stage: Stage = quiet_stage,
) -> Demo:
    """Generate unseen CE-Gauss flows on an unseen mesh and roll `model` out with and without refinement.

    Writes data.nc, mesh.vtu, rollout.xdmf with rollout.h5 (first trajectory) and result.json to `output`.

    Args:
        output: folder, made where it is missing.
        model: a shipped model's name or a file.
        device: where the model runs, "cpu" or "cuda".
        trajectories: how many flows.
        nodes: points of the mesh.
        solver_res: cells along each side of the solver's grid.
        seed: of flows and mesh.
        stage: called with a sentence for each long part, gives a context with its progress(done, total).

    Raises:
        ValueError: if the model or the device is not there, or the seed is one that the model was made with.
    """
    start, folder = perf_counter(), Path(output)
    network = load_model(model, device)
    about = describe(model).get("about") or {}
    _refuse_seen(about, seed)
    files = {
        "flows on the mesh": folder / "data.nc",
        "the mesh": folder / "mesh.vtu",
        "rollout for ParaView": folder / "rollout.xdmf",
        "all figures": folder / "result.json",
    }
    known = (
        "which none of the model's data sets used"
        if "trajectory_base_seeds" in about
        else "which it may know"
    )
    sentence = (
        f"Solving {trajectories} flows on {solver_res} x {solver_res} cells, for a mesh of {nodes} nodes, "
        f"both of seed {seed}, {known} (the first time the solver is compiled)"
    )
    with stage(sentence) as report:
        source = _generated(
            files["flows on the mesh"], network.lead_time, trajectories, nodes, solver_res, seed, report
        )
    mesh = source.mesh()
    write_mesh(files["the mesh"], mesh)
    graph = Graph.from_mesh(mesh).to(usable_device(device))
    truth = snapshots(source, network.lead_time)
    with stage(
        f"Rolling out {TIME_STEPS} time steps with 0 and with {network.steps} refinement steps"
    ) as report:
        evaluation = compare_rollouts(network, truth, graph, chunk=4, progress=report)
    fields = _first_fields(network, truth, graph)
    series = {f"{run} {name}": values for run, own in fields.items() for name, values in own.items()}
    times = [float(time) for time in source.times]
    write_series(files["rollout for ParaView"], mesh, times, series)
    settings = {"model": str(model), "device": device, "nodes": nodes, "solver_res": solver_res, "seed": seed}
    result = {**evaluation.to_json(), "settings": settings, "seconds": round(perf_counter() - start, 1)}
    write_json(files["all figures"], result)
    return Demo(evaluation, mesh, times, fields, files)


def write_json(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write `content` as JSON; the file appears whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _refuse_seen(about: dict[str, Any], seed: int) -> None:
    seen = [int(number) for number in about.get("trajectory_base_seeds") or []]  # of flows and meshes
    if seed in seen:
        raise ValueError(
            f"`seed` should be one whose flows the model has not seen, got {seed}, which is among {seen}: "
            "pick another."
        )


def _generated(
    path: Path, lead_time: float, trajectories: int, nodes: int, solver_res: int, seed: int, report: Progress
) -> TrajectoryFile:
    generate(
        path,
        trajectories=trajectories,
        nodes=nodes,
        points="mesh",
        solver_res=solver_res,
        seed=seed,
        save_every=lead_time,
        final_time=TIME_STEPS * lead_time,
        batch=os.cpu_count() or 1,
        progress=report,
    )
    return TrajectoryFile(path)


def _first_fields(network: IRNO, truth: torch.Tensor, graph: Graph) -> dict[str, dict[str, np.ndarray]]:
    first = truth[0].to(graph.pos.device)  # [times, nodes, channels]
    runs = {
        "truth": first,
        "base": rollout(network, first[0], graph, len(first) - 1, steps=0).states,
        "refined": rollout(network, first[0], graph, len(first) - 1).states,
    }
    return {name: flow_fields(states, graph) for name, states in runs.items()}
