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

from irno_graph.data.ce_gauss import generate
from irno_graph.data.unstructured import Flow, generate_obstacles
from irno_graph.experiments.evaluation import (
    Evaluation,
    Progress,
    compare_rollouts,
    flow_fields,
    load_model,
    open_flows,
    snapshots,
    usable_device,
)
from irno_graph.files import atomic_path
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, write_mesh, write_series
from irno_graph.refine import IRNO
from irno_graph.refine.storage import SHIPPED, describe
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
    begun = _begin(output, model, device, seed)
    with begun.solving(
        stage, f"{trajectories} flows on {solver_res} x {solver_res} cells, for", nodes
    ) as report:
        generate(
            begun.file("data.nc"),
            trajectories=trajectories,
            nodes=nodes,
            points="mesh",
            solver_res=solver_res,
            seed=seed,
            save_every=begun.network.lead_time,
            final_time=TIME_STEPS * begun.network.lead_time,
            batch=os.cpu_count() or 1,
            progress=report,
        )
    return begun.rolled_out(stage, {"nodes": nodes, "solver_res": solver_res})


def run_obstacle_demo(
    output: str | os.PathLike[str],
    *,
    model: str = "obstacles-small",
    device: str = "cpu",
    trajectories: int = 4,
    nodes: int = 1024,
    holes: int = 3,
    seed: int = SEED,
    stage: Stage = quiet_stage,
) -> Demo:
    """The same with flows around obstacles: a box with holes that `model` has not seen, and a mesh of it.

    Args:
        output: as for `run_demo`, and so the files.
        model: likewise.
        device: likewise.
        trajectories: how many flows.
        nodes: points of the mesh, which the solver splits each triangle of in four.
        holes: circular, in the box.
        seed: of flows, holes and mesh.
        stage: as for `run_demo`.

    Raises:
        ValueError: likewise, or if holes find no room.
    """
    begun = _begin(output, model, device, seed)
    with begun.solving(stage, f"{trajectories} flows around {holes} obstacles, on", nodes) as report:
        generate_obstacles(
            begun.file("data.nc"),
            trajectories=trajectories,
            nodes=nodes,
            holes=holes,
            flow=Flow(fine=1),
            seed=seed,
            save_every=begun.network.lead_time,
            final_time=TIME_STEPS * begun.network.lead_time,
            progress=report,
        )
    return begun.rolled_out(stage, {"nodes": nodes, "holes": holes})


@dataclass(frozen=True)
class _Begun:
    """A part of the demonstration whose model is there and has not seen the seed."""

    folder: Path
    model: str
    network: IRNO
    device: str
    seed: int
    known: str
    start: float

    def file(self, name: str) -> Path:
        return self.folder / name

    def solving(self, stage: Stage, what: str, nodes: int) -> AbstractContextManager[Progress]:
        return stage(
            f"Solving {what} a mesh of {nodes} nodes, all of seed {self.seed}, {self.known} (the first time the solver "
            "is compiled)"
        )

    def rolled_out(self, stage: Stage, settings: dict[str, Any]) -> Demo:
        """Roll the model out on the file's flows, and write all that is shown of it."""
        files = {
            "flows on the mesh": self.file("data.nc"),
            "the mesh": self.file("mesh.vtu"),
            "rollout for ParaView": self.file("rollout.xdmf"),
            "all figures": self.file("result.json"),
        }
        network, source = self.network, open_flows(files["flows on the mesh"])
        mesh = source.mesh()
        write_mesh(files["the mesh"], mesh)
        graph = Graph.from_mesh(mesh).to(usable_device(self.device))
        truth = snapshots(source, network.lead_time)
        with stage(
            f"Rolling out {TIME_STEPS} time steps with 0 and with {network.steps} refinement steps"
        ) as report:
            evaluation = compare_rollouts(network, truth, graph, chunk=4, progress=report)
        fields = _first_fields(network, truth, graph)
        series = {f"{run} {name}": values for run, own in fields.items() for name, values in own.items()}
        times = [float(time) for time in source.times]
        write_series(files["rollout for ParaView"], mesh, times, series)
        settings = {"model": self.model, "device": self.device, "seed": self.seed, **settings}
        seconds = round(perf_counter() - self.start, 1)
        write_json(files["all figures"], {**evaluation.to_json(), "settings": settings, "seconds": seconds})
        return Demo(evaluation, mesh, times, fields, files)


def is_shipped(name: str) -> bool:
    """Whether the package has a model of this name."""
    return (SHIPPED / f"{name}.safetensors").is_file()


def write_json(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write `content` as JSON; the file appears whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _begin(output: str | os.PathLike[str], model: str, device: str, seed: int) -> _Begun:
    start, network = perf_counter(), load_model(model, device)
    about = describe(model).get("about") or {}
    seen = [int(number) for number in about.get("trajectory_base_seeds") or []]  # of flows and meshes
    if seed in seen:
        raise ValueError(
            f"`seed` should be one whose flows the model has not seen, got {seed}, which is among {seen}: "
            "pick another."
        )
    known = (
        "which none of the model's data sets used"
        if "trajectory_base_seeds" in about
        else "which it may know"
    )
    return _Begun(Path(output), str(model), network, device, seed, known, start)


def _first_fields(network: IRNO, truth: torch.Tensor, graph: Graph) -> dict[str, dict[str, np.ndarray]]:
    first = truth[0].to(graph.pos.device)  # [times, nodes, channels]
    runs = {
        "truth": first,
        "base": rollout(network, first[0], graph, len(first) - 1, steps=0).states,
        "refined": rollout(network, first[0], graph, len(first) - 1).states,
    }
    return {name: flow_fields(states, graph) for name, states in runs.items()}
