"""Rollouts written to disk as they are made: in the memory of a few states, and gone on with after a kill."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from irno_graph.bases import RIGNO
from irno_graph.data import TrajectoryFile
from irno_graph.experiments.evaluation import load_model
from irno_graph.experiments.records import Records, differences, parts_of
from irno_graph.experiments.rollout_files import SUFFIXES, Finished, finished, take_up, write_finished
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.refine import IRNO
from irno_graph.refine.storage import locate
from irno_graph.rollout import stream

Progress = Callable[[int, int], None]


class Written(NamedTuple):
    """What became of a call.

    Attributes:
        path: of the file.
        status: `Status` code of each sample.
        before: time steps that were there already.
    """

    path: Path
    status: list[int]
    before: int


def stream_to_file(
    path: str | os.PathLike[str],
    model: nn.Module,
    state: Tensor,
    mesh: Mesh,
    time_steps: int,
    *,
    settings: Mapping[str, Any],
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Written:
    """Roll a flow model out and write its states; whatever `time_steps`, only a few of them are in memory.

    Time steps are kept in the folder `PATH.parts` as they come, and the file is made of them at the end. After an
    interruption at any moment the same call goes on behind the last of them and gives the same file, bit by bit on the
    same machine. With more time steps it makes a half-made rollout, or a finished `.nc`, longer.

    Args:
        path: `.xdmf` or `.pvd` for ParaView, or `.nc`; its channels are density, velocity and pressure.
        model: an `IRNO`, or a base alone.
        state: u_0 `[nodes, channels=4]`, or for `.nc` `[samples, nodes, channels=4]`, on the model's device.
        mesh: of the nodes, triangles.
        time_steps: how many the file will hold.
        settings: what decides the states, as JSON holds it: two rollouts with the same settings are taken for one.
        overwrite: replace a file, or parts, of another rollout, or a longer one.
        progress: called as progress(done, time_steps), first with those that were there.
        options: of `irno_graph.rollout`.

    Raises:
        ValueError: for another suffix or several samples in a series; unless told to overwrite it also where the file
            or its parts are of another rollout or hold more time steps, or a finished series should become longer.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise ValueError(f"`out` should end in .xdmf, .pvd or .nc, got '{target}'.")
    if target.suffix != ".nc" and state.dim() > 2:
        raise ValueError(
            f"`{target}` holds one rollout, got {len(state)}: write .nc, or one after the other."
        )
    graph = Graph.from_mesh(mesh).to(state.device)
    snapshots = lambda after: stream(model, after, graph, time_steps, **options)  # noqa: E731
    snapshots(state)  # what does not fit is refused before files are touched
    records = _opened(target, settings, state, time_steps, overwrite)
    there = None if overwrite else _checked(target, records.settings, time_steps)
    if there is not None and there.time_steps == time_steps:
        records.remove()
        return Written(target, there.status, time_steps)
    if there is not None:
        take_up(target, records)
    before = len(records)
    if progress is not None:
        progress(before, time_steps)
    for snapshot in snapshots(records.newest()):
        if snapshot.number > 0:
            records.append(snapshot)
        if progress is not None:
            progress(snapshot.number, time_steps)
    about = write_finished(target, records, mesh, graph, float(options.get("time", 0.0)))
    return Written(target, about.status, before)


def roll_out_file(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    trajectories: Sequence[int] | None = (0,),
    time_steps: int = 7,
    steps: int | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Roll a model file, or a shipped model, out from first snapshots of a trajectory file, see `stream_to_file`.

    Args:
        model: path or name.
        data: trajectories in RIGNO's layout.
        out: file to write.
        trajectories: whose first snapshots to start from, at once; None is all.
        time_steps: how many.
        steps: refinement steps; None is the model's own number.
        device: "cpu" or "cuda".
        overwrite: see `stream_to_file`.
        progress: likewise.

    Raises:
        ValueError: as `stream_to_file`, or if a file is not good or has no such trajectory.
    """
    network = load_model(model, device, kinds=(IRNO, RIGNO))
    source = TrajectoryFile(data)
    chosen = list(range(len(source))) if trajectories is None else list(trajectories)
    if not chosen or not all(0 <= number < len(source) for number in chosen):
        raise ValueError(f"`trajectory` should be in 0..{len(source) - 1} for `{data}`, got {chosen}.")
    start = torch.stack([source[number][0] for number in chosen]).to(device)
    mesh = source.mesh()
    with locate(model).open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    parts = (start.cpu().numpy(), mesh.points, mesh.cells_of("triangle"), np.asarray(source.period))
    flow = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    settings = {"model": weights, "data": flow, "trajectories": chosen, "steps": steps, "version": _version()}
    return stream_to_file(
        out,
        network,
        start[0] if len(chosen) == 1 else start,
        mesh,
        time_steps,
        settings=settings,
        overwrite=overwrite,
        progress=progress,
        steps=steps,
    )


def trajectory_numbers(text: str) -> list[int] | None:
    """The numbers in "0" or "0,3,5"; None, which is all of them, for "all".

    Raises:
        ValueError: for another text, or a number that comes twice.

    >>> trajectory_numbers("0,3"), trajectory_numbers("all")
    ([0, 3], None)
    """
    if text == "all":
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise ValueError(f"`trajectory` should be a number, several as in 0,3,5, or all, got '{text}'.")
    return [int(part) for part in parts]


def _opened(
    target: Path, settings: Mapping[str, Any], state: Tensor, time_steps: int, overwrite: bool
) -> Records:
    """The half-made rollout, which may be none."""
    try:
        records = Records(target, settings, state)
        if len(records) <= time_steps:
            return records
        if not overwrite:
            raise ValueError(
                f"`{records.folder}` holds {len(records)} time steps of this rollout, {time_steps} are asked for: ask "
                "for as many at least, or overwrite them."
            )
    except ValueError:
        if not overwrite:
            raise
    shutil.rmtree(parts_of(target), ignore_errors=True)
    return Records(target, settings, state)


def _checked(target: Path, settings: Mapping[str, Any], time_steps: int) -> Finished | None:
    """What is known of a file that is there; None where there is none."""
    if not target.exists():
        return None
    there = finished(target)
    advice = "give another name, or overwrite it"
    if there is None:
        raise ValueError(f"`{target}` is there and not a rollout that can be gone on with: {advice}.")
    other = differences(settings, there.settings)
    if other:
        raise ValueError(f"`{target}` holds a rollout that differs in {', '.join(other)}: {advice}.")
    if there.time_steps > time_steps:
        raise ValueError(
            f"`{target}` holds {there.time_steps} time steps of this rollout, {time_steps} are asked for: {advice}."
        )
    if there.time_steps < time_steps and target.suffix != ".nc":
        raise ValueError(
            f"`{target}` is finished with {there.time_steps} time steps, and a file for ParaView does not hold all "
            f"that more of them depend on: {advice}, or write .nc, which can become longer."
        )
    return there


def _version() -> str:
    try:
        return metadata.version("irno-graph")
    except metadata.PackageNotFoundError:
        return "unknown"
