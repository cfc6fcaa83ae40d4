"""A flow whose conserved quantities are known: a periodic state that is carried along without change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers import FieldSource
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box

MESH = periodic_box(300, seed=4)
CHANNELS = ("rho", "vx", "vy", "p", "E")


def carried(points: np.ndarray, time: float, number: int = 0) -> np.ndarray:
    """rho, vx, vy, p, E `[points, 5]` of f(x - a t); the velocity is free of divergence."""
    x, y = 2 * np.pi * (points - time * np.array([0.3, 0.2]) - 0.07 * number).T
    vx = 1.0 - 2 * np.sin(x) * np.sin(2 * y) + np.cos(x + y) / 2
    vy = 0.5 - np.cos(x) * np.cos(2 * y) - np.cos(x + y) / 2
    rho, p = 1 + 0.2 * np.sin(x + y), 2.5 + 0.3 * np.cos(y)
    return np.stack([rho, vx, vy, p, p / 0.4 + 0.5 * rho * (vx**2 + vy**2)], axis=-1)


def flows(points: np.ndarray, samples: int = 2, times: int = 4) -> np.ndarray:
    """`[samples, times, points, 5]` at times 0, 0.1, ..."""
    return np.stack([[carried(points, 0.1 * k, n) for k in range(times)] for n in range(samples)])


def write_flows_nc(
    path: Path, u: np.ndarray, mesh: Mesh = MESH, *, points: np.ndarray | None = None, **options: Any
) -> Path:
    """RIGNO's layout, by the netCDF4 library."""
    place = mesh.points if points is None else points
    with netCDF4.Dataset(path, "w") as file:
        arrays = {
            "u": (u, ("n", "time", "node", "channel")),
            "x": (place[None, None], ("one", "one", "node", "dim")),
            "tri": (mesh.cells_of("triangle").astype("i4"), ("tri", "corner")),
            "t": (0.1 * np.arange(u.shape[1]), ("time",)),
        }
        for name, (values, dims) in arrays.items():
            for dim, size in zip(dims, values.shape, strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
            kind = "f4" if name == "u" else values.dtype.str[1:]
            file.createVariable(name, kind, dims, fill_value=False, **(options if name == "u" else {}))[:] = (
                values
            )
    return path


class MemorySource:
    """A `FieldSource` of arrays that notes what is read."""

    format = "arrays"
    decisions: tuple[str, ...] = ()
    moments: Moments | None = None
    period: tuple[float | None, ...] | None = (1.0, 1.0)
    path = Path("memory")

    def __init__(self, fields: np.ndarray, mesh: Mesh = MESH, channels: tuple[str, ...] = CHANNELS) -> None:
        self.fields = torch.from_numpy(np.asarray(fields, dtype=np.float32))
        self.times = 0.1 * np.arange(fields.shape[1])
        self.channels = channels
        self.mesh = mesh
        self.asked: list[tuple[int | slice, slice]] = []

    def __len__(self) -> int:
        return len(self.fields)

    def graph(self) -> Graph:
        return Graph.from_mesh(self.mesh)

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        self.asked.append((index, times))
        rows = index if isinstance(index, slice) else slice(index, index + 1)
        return self.fields[rows, times]


class Samples(Dataset[Tensor]):
    """The samples of a source, for torch's loaders."""

    def __init__(self, source: FieldSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        return self.source.read(index)[0]
