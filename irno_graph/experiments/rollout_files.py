"""Files of finished rollouts: `.nc` as `TrajectoryFile` reads it, `.xdmf` and `.pvd` for ParaView."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from irno_graph.experiments.evaluation import CHANNELS, flow_fields
from irno_graph.experiments.records import Records
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.mesh.series import series_writer
from irno_graph.refine import Status
from irno_graph.rollout import Snapshot

SUFFIXES = (".xdmf", ".pvd", ".nc")
NOTE = "irno_graph.rollout"
HEAD = 2**16  # bytes of a file for ParaView that its note is looked for in


class Finished(NamedTuple):
    """What a finished file says of itself.

    Attributes:
        settings: of its rollout.
        time_steps: that it holds.
        status: `Status` code per sample.
    """

    settings: dict[str, Any]
    time_steps: int
    status: list[int]


def finished(path: Path) -> Finished | None:
    """What the file says; None where it is not one of this kind."""
    try:
        if path.suffix == ".nc":
            with h5py.File(path) as file:
                text = str(file.attrs[NOTE])
        else:
            with path.open(encoding="utf-8", errors="replace") as head:
                found = re.search(f"<!--{re.escape(NOTE)} (.*?)-->", head.read(HEAD))
            text = "" if found is None else found[1]
        return Finished(**json.loads(text))
    except (OSError, KeyError, ValueError, TypeError):
        return None


def write_finished(path: Path, records: Records, mesh: Mesh, graph: Graph, time: float) -> Finished:
    """Make the file of the start, at `time`, and of all records; it appears whole, or not at all."""
    folder = records.folder / "finished"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that ended here
    folder.mkdir(parents=True)
    newest = records.newest()
    samples = records.start.shape[:-2].numel()
    status = (
        newest.status.reshape(-1).tolist() if isinstance(newest, Snapshot) else samples * [int(Status.DONE)]
    )
    about = Finished(records.settings, len(records), status)
    text = json.dumps(about._asdict()).replace("--", "-\\u002d")  # comments may not hold two
    if path.suffix == ".nc":
        _write_nc(folder / path.name, records, mesh, time, text)
    else:
        with series_writer(folder / path.name, mesh, note=f"{NOTE} {text}") as add:
            add(time, flow_fields(records.start.reshape(-1, records.start.shape[-1]), graph))
            for record in records:
                state = torch.from_numpy(np.array(record["state"])).to(records.start.device)
                add(float(record["time"]), flow_fields(state.reshape(-1, state.shape[-1]), graph))
    for file in sorted(folder.iterdir(), key=lambda file: file.name == path.name):
        file.replace(path.parent / file.name)
    records.remove()
    return about


def _write_nc(path: Path, records: Records, mesh: Mesh, time: float, note: str) -> None:
    start = records.start.cpu().numpy().reshape(-1, *records.start.shape[-2:])  # [samples, nodes, channels]
    samples, count = len(start), len(records)
    with h5py.File(path, "w") as file:
        file.attrs[NOTE], file.attrs["channels"] = note, list(CHANNELS)
        if mesh.period is not None:
            file.attrs["period"] = [length or 0.0 for length in mesh.period]
        file["x"], file["tri"] = mesh.points[None, None], mesh.cells_of("triangle").astype(np.int32)
        u = file.create_dataset("u", (samples, count + 1, *start.shape[1:]), start.dtype)
        t = file.create_dataset("t", (count + 1,), np.float64)
        begun = file.create_dataset("begun", (count,), np.int64)
        per_sample = {
            name: file.create_dataset(name, (samples, count), np.int64) for name in ("status", "steps_taken")
        }
        u[:, 0], t[0] = start, time
        for number, record in enumerate(records, 1):
            u[:, number] = record["state"].reshape(start.shape)
            t[number], begun[number - 1] = record["time"], record["begun"]
            for name, dataset in per_sample.items():
                dataset[:, number - 1] = record[name].reshape(-1)


def take_up(path: Path, records: Records) -> None:
    """Put the time steps of a finished `.nc` file that `records` do not have yet behind theirs."""
    shape, device = records.start.shape, records.start.device

    def tensor(values: Any, like: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.asarray(values)).reshape(like).to(device)

    with h5py.File(path) as file:
        for number in range(len(records) + 1, file["u"].shape[1]):
            state = tensor(file["u"][:, number], shape)
            status, taken = (
                tensor(file[name][:, number - 1], shape[:-2]) for name in ("status", "steps_taken")
            )
            time, begun = float(file["t"][number]), int(file["begun"][number - 1])
            records.append(Snapshot(number, time, state, taken, status, state, state, begun))
