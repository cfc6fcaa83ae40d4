"""Snapshots on one mesh as a source: a folder of mesh files or arrays, an XDMF, PVD or `.series` file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.snapshots import ArrayFolder, Frames, MeshFiles
from irno_graph.data.readers.source import rows_of
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.mesh.cells import CELLS, topological_dim
from irno_graph.mesh.elements import integrals

KINDS = ("times", "samples")


class Column(NamedTuple):
    """One channel: a component of a field on points or on cells; None for a scalar."""

    name: str
    field: str
    component: int | None
    on_cells: bool


class MeshSeries:
    """Snapshots on one mesh, as the times of one sample or as samples of one time.

    Each snapshot is parsed when it is asked for, in a process of its own (`irno_graph.mesh.read_mesh`).

    Args:
        path: a folder of mesh files of one format, in the order of the numbers in their names; an `.xdmf`, `.pvd`,
            `.vtk.series` or `.vtu.series` file; a mesh file; or a folder of arrays, see `ArrayFolder`.
        fields: names of those to take; None takes all on points.
        as_: "times", or "samples" where snapshots differ by a parameter; its values are then in `parameters`.
        time_step: between files whose names have numbers but no times.
        average_cells: whether fields on cells are taken too. At a point: the mean over its cells, weighted by the
            integrals of its hat function, which keeps the integral of the field.
        period: box length per axis, None for one that is not periodic; None takes the file's.

    Attributes:
        mesh: of the first snapshot.
        parameters: numbers or times of the snapshots `[snapshots]`.

    Raises:
        ValueError: for a missing or damaged first snapshot, or fields that are absent, not numbers, or on cells without
            `average_cells`.
    """

    format = "Snapshots on a mesh"
    moments: Moments | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fields: Sequence[str] | None = None,
        as_: str = "times",
        time_step: float = 1.0,
        average_cells: bool = False,
        period: Sequence[float | None] | None = None,
    ) -> None:
        if as_ not in KINDS:
            raise ValueError(f"`as_` should be one of {', '.join(KINDS)}, got '{as_}'.")
        self.path = Path(path)
        arrays = self.path.is_dir() and ArrayFolder.fits(self.path)
        self._frames: Frames = ArrayFolder(self.path) if arrays else MeshFiles(self.path, time_step, period)
        self.mesh: Mesh = self._frames.mesh(0)
        self.parameters = np.asarray(self._frames.times, dtype=np.float64)
        self.as_ = as_
        self.times = self.parameters if as_ == "times" else np.zeros(1)
        self.period = self.mesh.period
        self._columns = _columns(self.mesh, fields, average_cells, self.path)
        self.channels = tuple(column.name for column in self._columns)
        averaged = {column.field for column in self._columns if column.on_cells}
        self._average = _to_points(self.mesh) if averaged else None
        left = sorted(set(self.mesh.cell_data) - averaged)
        self.decisions: tuple[str, ...] = (
            f"{len(self.parameters)} snapshots are {as_}",
            *self._frames.decisions,
            *([f"averaged from cells to points: {', '.join(sorted(averaged))}"] if averaged else []),
            *([f"left out, on cells: {', '.join(left)}"] if left else []),
        )

    def __len__(self) -> int:
        return 1 if self.as_ == "times" else len(self.parameters)

    def graph(self) -> Graph:
        """The graph of the mesh of the first snapshot."""
        return Graph.from_mesh(self.mesh)

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples of `index` at `times`, `[samples, times, nodes, channels]` float32; an int is one sample.

        Raises:
            ValueError: naming the file of a snapshot that is damaged, has another mesh or lacks a field, or is not
                finite.
            IndexError: for a sample that the series does not have.
        """
        rows = rows_of(index, len(self), what="samples", path=self.path)
        steps = rows_of(times, len(self.times), what="times", path=self.path)
        chosen = steps if self.as_ == "times" else rows
        if not rows or not steps:
            return torch.empty(len(rows), len(steps), len(self.mesh.points), len(self.channels))
        values = torch.stack([self._snapshot(number) for number in chosen])  # [snapshots, nodes, channels]
        return values[None] if self.as_ == "times" else values[:, None]

    def _snapshot(self, number: int) -> Tensor:
        mesh, name = self._frames.mesh(number), self._frames.name(number)
        same = len(mesh.cells) == len(self.mesh.cells) and all(
            one[0] == two[0] and np.array_equal(one[1], two[1])
            for one, two in zip(mesh.cells, self.mesh.cells, strict=True)
        )
        if not same or not np.array_equal(mesh.points, self.mesh.points):
            raise ValueError(
                f"snapshot {number}, {name}, should have the points and cells of the first, got others: interpolate it "
                "to one mesh."
            )
        values = np.empty((len(mesh.points), len(self._columns)), dtype=np.float32)
        for place, column in enumerate(self._columns):
            try:
                values[:, place] = self._column(mesh, column)
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise ValueError(
                    f"snapshot {number}, {name}, should have the field {column.field} as the first has, got: {error}."
                ) from error
        if not np.isfinite(values).all():
            raise ValueError(f"snapshot {number}, {name}, has values that are NaN or infinite: leave it out.")
        return torch.from_numpy(values)

    def _column(self, mesh: Mesh, column: Column) -> np.ndarray:
        if not column.on_cells:
            return _component(mesh.point_data[column.field], column.component)
        assert self._average is not None
        blocks = [_component(block, column.component) for block in mesh.cell_data[column.field]]
        averaged: np.ndarray = self._average @ np.concatenate(blocks)
        return averaged


def _component(values: np.ndarray, component: int | None) -> np.ndarray:
    flat = values.reshape(len(values), -1)
    if component is None and flat.shape[1] != 1:
        raise ValueError(f"{flat.shape[1]} components")
    return flat[:, component or 0]


def _columns(mesh: Mesh, fields: Sequence[str] | None, average_cells: bool, path: Path) -> list[Column]:
    on_cells = {name: blocks[0] for name, blocks in mesh.cell_data.items() if blocks}
    known = {name: (values, False) for name, values in mesh.point_data.items()}
    known |= {
        name: (values, True) for name, values in on_cells.items() if average_cells and name not in known
    }
    for name in fields if fields is not None else ():
        if name not in known and name in on_cells:
            raise ValueError(
                f"`{path}` has the field {name} on cells: pass `average_cells=True` (--cells average) to take it."
            )
        if name not in known:
            raise ValueError(
                f"`fields` should be among {', '.join(known) or 'none'} of `{path}`, got '{name}'."
            )
    columns: list[Column] = []
    for name in known if fields is None else fields:
        values, cells = known[name]
        if values.dtype.kind not in "fiub":
            raise ValueError(f"`{path}`: the field {name} should hold real numbers, got {values.dtype}.")
        flat = values.reshape(len(values), -1)
        count = flat.shape[1]
        if count == 3 and mesh.dim == 2 and not flat[:, 2].any():
            count = 2  # vectors of the plane, which formats pad
        if count == 1:
            columns.append(Column(name, name, None, cells))
        else:
            ends = "xyz" if count <= 3 else [str(number) for number in range(count)]
            columns += [Column(f"{name}_{ends[k]}", name, k, cells) for k in range(count)]
    if not columns:
        raise ValueError(
            f"`{path}` should have fields on its points, got fields on cells {sorted(on_cells)} alone."
        )
    return columns


def _to_points(mesh: Mesh) -> sparse.csr_matrix:
    """`[points, cells]`: means over the cells at a point, weighted by the integrals of its hat function in them."""
    rows, columns, weights, first, top = [], [], [], 0, topological_dim(mesh)
    for kind, corners in mesh.cells:
        if len(corners) and kind in CELLS and CELLS[kind].dim == top:
            load = integrals(kind, mesh.corner_positions(corners)).load
            rows.append(corners.ravel())
            columns.append(np.repeat(np.arange(first, first + len(corners)), corners.shape[1]))
            weights.append(load.ravel())
        first += len(corners)
    parts = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    matrix = sparse.csr_matrix(parts, shape=(len(mesh.points), first))
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.diags(1 / np.where(total > 0, total, 1)) @ matrix
