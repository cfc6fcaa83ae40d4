"""Answers of an operator in files, refined and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from torch import Tensor

from irno_graph.experiments.answer_files import (
    ARRAYS,
    FIELDS,
    STORES,
    Arrays,
    checked_shape,
    opened_answers,
    tensor_of,
    times_of,
)
from irno_graph.files import atomic_path
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, write_mesh
from irno_graph.mesh.formats import format_of
from irno_graph.metrics import relative_l2
from irno_graph.refine import IRNO, PartitionedIRNO, Refinement, with_answers

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Refined:
    """What came of a file of answers.

    Attributes:
        steps_taken: per sample `[samples]`.
        status: `refine.Status` codes, likewise.
        errors: mean relative errors of "given" and "refined" in %, `[channels]`; empty where the file has no truth.
    """

    steps_taken: Tensor
    status: Tensor
    errors: dict[str, list[float]]


def refine_file(
    model: IRNO,
    mesh: Mesh,
    field: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    steps: int | None = None,
    tolerance: float | None = None,
    batch: int = 8,
    parts: int | None = None,
    group: ProcessGroup | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refined:
    """Refine the answers in a file, `batch` samples at a time, and write them.

    Args:
        model: a refined model; its base is not asked.
        mesh: of all samples; the graph is on the model's device.
        field: arrays `x` [nodes, in_channels] or [samples, nodes, in_channels], the operator's input, `h`, its answer,
            and, if known, `truth`, `time` and `lead_time` (a number, or one per sample): NumPy's .npz, HDF5 or NetCDF4
            (.h5, .hdf5, .nc; read in pieces), or point data of a mesh file.
        out: .npz, .h5, .hdf5 or .nc (written in pieces) get `value`, `status`, `steps_taken`; a mesh file, for one
            sample, gets `value` and `correction`, value - h, as point data.
        steps: refinement steps; None is the model's own number.
        tolerance: see `IRNO`.
        batch: samples in memory.
        parts: refine the mesh in so many, see `refine.PartitionedIRNO`; None as a whole, or in one for each rank.
        group: processes that all call this function and share the parts; the first one writes the file.
        progress: called as progress(done, total) after every batch.

    Raises:
        ValueError: if a file or array is missing, damaged or does not fit mesh or model, or `out` cannot hold it.
    """
    if batch < 1:
        raise ValueError(f"`batch` should be at least 1, got {batch}: raise it.")
    if parts is not None or group is not None:
        model = PartitionedIRNO(model, parts or group.size(), group=group)  # type: ignore[union-attr]
    writes = group is None or group.rank() == 0
    target, device = Path(out), next(model.parameters()).device
    graph = Graph.from_mesh(mesh).to(device)
    with opened_answers(field) as arrays:
        shape = checked_shape(arrays, Path(field), graph.num_nodes)
        count = shape[0] if len(shape) == 3 else 1
        _check_target(target, count)
        taken, status, errors = [], [], []
        with _writer(target, mesh, shape) if writes else nullcontext(_nothing) as write:
            for first in range(0, count, batch):
                part = slice(first, min(first + batch, count)) if len(shape) == 3 else ...
                own = {name: tensor_of(arrays[name], part).to(device) for name in FIELDS if name in arrays}
                found = _refined(model, graph, own, times_of(arrays, part, device), steps, tolerance)
                taken.append(found.steps_taken.reshape(-1).cpu())
                status.append(found.status.reshape(-1).cpu())
                if "truth" in own:
                    errors.append(_errors(own, found.value, graph))
                fields = {"value": found.value, "h": own["h"], "status": status[-1], "steps_taken": taken[-1]}
                write(part, {name: value.cpu().numpy() for name, value in fields.items()})
                if progress is not None:
                    progress(min(first + batch, count), count)
    means = 100 * torch.cat(errors).mean(dim=0) if errors else torch.zeros(0, 0)
    names = ("given", "refined")
    return Refined(torch.cat(taken), torch.cat(status), dict(zip(names, means.tolist(), strict=False)))


@torch.no_grad()
def _refined(
    model: IRNO,
    graph: Graph,
    own: dict[str, Tensor],
    times: dict[str, Any],
    steps: int | None,
    tolerance: float | None,
) -> Refinement:
    return with_answers(model, own["h"])(own["x"], graph, steps=steps, tolerance=tolerance, **times)


def _errors(own: dict[str, Tensor], value: Tensor, graph: Graph) -> Tensor:
    """Relative errors `[samples, 2, channels]` of what was given and of what was refined."""
    pair = [relative_l2(field.double(), own["truth"].double(), graph) for field in (own["h"], value)]
    return torch.stack(pair, dim=-2).reshape(-1, 2, value.shape[-1]).cpu()


def _check_target(target: Path, count: int) -> None:
    if target.suffix in ARRAYS + STORES:
        return
    if format_of(target) is None or count > 1:
        raise ValueError(
            f"`out` should end in {', '.join(ARRAYS + STORES)}, or, for one sample, be a mesh file, got "
            f"'{target.name}' for {count} samples."
        )


def _nothing(part: Any, own: Arrays) -> None:
    """What a rank that does not write does with its results: they are those of the first one."""


@contextmanager
def _writer(target: Path, mesh: Mesh, shape: tuple[int, ...]) -> Iterator[Callable[[Any, Arrays], None]]:
    """Takes the parts of the output in order; the file appears when all have come."""
    count = shape[0] if len(shape) == 3 else 1
    if target.suffix in STORES:
        with atomic_path(target) as temporary, h5py.File(temporary, "w") as file:
            stored = {
                "value": file.create_dataset("value", shape, np.float32),
                **{name: file.create_dataset(name, (count,), np.int64) for name in ("status", "steps_taken")},
            }

            def store(part: Any, own: Arrays) -> None:
                for name, dataset in stored.items():
                    dataset[part] = own[name]

            yield store
        return
    parts: list[Arrays] = []
    yield lambda _, own: parts.append(own)
    if target.suffix in ARRAYS:
        joined = {name: np.concatenate([own[name] for own in parts]) for name in ("status", "steps_taken")}
        joined["value"] = np.concatenate(
            [np.reshape(own["value"], (-1, *shape[-2:])) for own in parts]
        ).reshape(shape)
        with atomic_path(target) as temporary:
            np.savez(temporary, allow_pickle=False, **joined)
        return
    value, h = (np.reshape(parts[0][name], shape[-2:]) for name in ("value", "h"))
    write_mesh(target, mesh, {"value": value, "correction": value - h})
