"""The data sets of an experiment: generated where they are not there, checked, and read into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from irno_graph.data import TrajectoryFile
from irno_graph.data.ce_gauss import generate, snapshot_times
from irno_graph.data.flows import DEFAULT
from irno_graph.data.readers.hdf5 import opened
from irno_graph.data.readers.mesh_trajectories import MeshTrajectories
from irno_graph.data.unstructured import Flow, generate_obstacles
from irno_graph.experiments.config import ConfigError, ExperimentConfig, SetConfig
from irno_graph.training.pairs import TrajectorySet

Report = Callable[[str], None]
CHANNELS = 4  # rho, vx, vy, p; the energy follows from them


def read_sets(config: ExperimentConfig, part: str, device: str, report: Report) -> list[TrajectorySet]:
    """The sets of `part` ("train", "more", "valid", "test") in memory; files that are not there are generated.

    Raises:
        ConfigError: if a file is there that the config's settings did not make.
    """
    found = []
    for number, wanted in enumerate(getattr(config.data, part)):
        path = Path(config.data.folder) / (f"{part}-{number}.nc")
        if not path.is_file():
            report(f"generating {path}: {wanted.trajectories} trajectories on {wanted.nodes} nodes")
            generate_set(config, wanted, path, report)
        file = MeshTrajectories(path) if config.data.walled else TrajectoryFile(path)
        _check_made_by(file, wanted, config)
        found.append(TrajectorySet(file.graph().to(device), file.read()[..., :CHANNELS]))
    return found


def generate_set(config: ExperimentConfig, wanted: SetConfig, path: Path, report: Report = print) -> None:
    """Generate one file of the experiment; around obstacles its geometry, mesh and flows are those of its seed."""
    tell = lambda done, total: report(f"  {done} of {total} trajectories")  # noqa: E731
    if config.data.walled:
        generate_obstacles(
            path,
            trajectories=wanted.trajectories,
            nodes=wanted.nodes,
            holes=wanted.holes,
            flow=Flow(narrowest=config.data.narrowest, fine=config.data.fine),
            seed=wanted.seed,
            save_every=config.data.save_every,
            final_time=config.data.final_time,
            progress=tell,
        )
        return
    generate(
        path,
        trajectories=wanted.trajectories,
        flow=config.data.flow,
        nodes=wanted.nodes,
        points=wanted.points,
        solver_res=config.data.solver_res,
        seed=wanted.seed,
        save_every=config.data.save_every,
        final_time=config.data.final_time,
        progress=tell,
    )


def _check_made_by(
    file: TrajectoryFile | MeshTrajectories, wanted: SetConfig, config: ExperimentConfig
) -> None:
    made: dict[str, Any] = {"flow": DEFAULT} | file.attributes
    expected: dict[str, Any] = {"flow": config.data.flow, "base_seed": wanted.seed}
    if config.data.walled:
        with opened(file.path) as stored:
            made["holes"] = len(stored["holes"]) if "holes" in stored else None
        expected |= {"holes": wanted.holes, "geometry": 0}
        expected |= asdict(Flow(narrowest=config.data.narrowest, fine=config.data.fine))
    else:
        expected |= {
            "mesh_seed": wanted.seed,
            "solver_res": config.data.solver_res,
            "points": wanted.points,
        }
    times = snapshot_times(config.data.save_every, config.data.final_time)
    got: dict[str, Any] = {name: made.get(name) for name in expected} | {
        "nodes": len(file.points),
        "trajectories": len(file),
        "times": np.round(file.times, 9).tolist(),
    }
    expected |= {
        "nodes": wanted.nodes,
        "trajectories": wanted.trajectories,
        "times": np.round(times, 9).tolist(),
    }
    differing = [name for name in expected if got[name] != expected[name]]
    if differing:
        what = "; ".join(f"{name} {got[name]} where the config wants {expected[name]}" for name in differing)
        raise ConfigError(f"`{file.path}` was made with {what}: move the file away.")
