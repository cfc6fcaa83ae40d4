"""Trajectories on a fixed set of nodes, read from RIGNO's NetCDF layout."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from irno_graph.files import existing_file
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_delaunay

DOMAINS = ("mesh", "icosphere", "sphere")
ELSEWHERE = "read it by `irno_graph.data.readers.open_data`"


class TrajectoryFile(Dataset[Tensor]):
    """One file; item i is trajectory i, `[times, nodes, channels]` float32, read when asked for.

    Args:
        path: NetCDF4/HDF5 file with `u` [n, times, nodes, variables] and `x` [1, 1, nodes, 2].
        channels: how many of the file's variables to take, from the first on.
        period: of the domain; None takes the file's attribute, or the unit square where there is none.

    Attributes:
        times: `[times]` float64. Where the file has none, 0 to 1 in equal parts, as RIGNO has it.
        seeds: `[n]` of the generator, empty where the file has none.

    Raises:
        ValueError: if the file is missing, damaged, not of this layout, or has fewer variables; on other domains than a
            periodic rectangle, which `irno_graph.data.readers.open_data` reads.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, channels: int = 4, period: tuple[float, float] | None = None
    ) -> None:
        self.path: Path = existing_file(path)
        self.channels = channels
        with self._open() as file:
            for name in ("u", "x"):
                if name not in file:
                    raise ValueError(
                        f"`{path}` should hold the variables u and x, got {sorted(file)}: is it RIGNO's layout?"
                    )
            domain = file.attrs.get("domain", "")
            domain = domain.decode(errors="replace") if isinstance(domain, bytes) else str(domain)
            if domain in DOMAINS:
                raise ValueError(
                    f"`{path}` should be of a periodic rectangle, its `domain` is '{domain}': {ELSEWHERE}, as "
                    "`MeshTrajectories`."
                )
            self.shape: tuple[int, ...] = file["u"].shape
            points = np.asarray(file["x"], dtype=np.float64)
            if len(self.shape) != 4 or points.shape != (1, 1, self.shape[2], 2):
                raise ValueError(
                    f"`{path}` should hold u [n, times, nodes, variables] and x [1, 1, nodes, 2], got "
                    f"{list(self.shape)} and {list(points.shape)}: where points change, {ELSEWHERE}."
                )
            if self.shape[3] < channels:
                raise ValueError(
                    f"`{path}` should have at least {channels} variables, got {self.shape[3]}: pass `channels`."
                )
            self.points = points[0, 0]
            count = self.shape[1]
            self.times = np.asarray(file["t"]) if "t" in file else np.linspace(0.0, 1.0, count)
            if self.times.shape != (count,):
                raise ValueError(
                    f"`{path}` should have {count} times, as u has, got {list(self.times.shape)}."
                )
            self.seeds = np.asarray(file["seed"]) if "seed" in file else np.zeros(0, dtype=np.int64)
            self.triangles = np.asarray(file["tri"], dtype=np.int64) if "tri" in file else None
            self.attributes = dict(file.attrs)
        stored = np.asarray(self.attributes.get("period", (1.0, 1.0)), dtype=np.float64)
        lengths = stored if period is None else np.asarray(period, dtype=np.float64)
        if lengths.shape != (2,) or not (lengths > 0).all():
            raise ValueError(
                f"`{path}` should be periodic in both axes, got period {lengths.tolist()}: pass the `period` of "
                f"the box, or {ELSEWHERE}."
            )
        self.period = (float(lengths[0]), float(lengths[1]))
        if (self.points < 0).any() or (self.points > lengths).any():
            raise ValueError(
                f"`{path}` has points outside its box {self.period}: pass the `period` that is right."
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Tensor:
        if not -len(self) <= index < len(self):
            raise IndexError(f"`{self.path}` has {len(self)} trajectories, got index {index}.")
        return self.read(slice(index % len(self), index % len(self) + 1))[0]

    def read(self, part: slice = slice(None)) -> Tensor:
        """The trajectories of `part` in memory, `[n, times, nodes, channels]`.

        Raises:
            ValueError: naming the file and the first trajectory that is not finite.
        """
        with self._open() as file:
            values = torch.from_numpy(np.asarray(file["u"][part, ..., : self.channels], dtype=np.float32))
        bad = (~torch.isfinite(values)).flatten(1).any(dim=1)
        if bad.any():
            first = range(*part.indices(len(self)))[int(bad.nonzero()[0])]
            raise ValueError(
                f"trajectory {first} of `{self.path}` has values that are NaN or infinite: leave it out."
            )
        return values

    def mesh(self) -> Mesh:
        """The nodes with the file's triangles, or with the periodic Delaunay triangulation."""
        triangles = periodic_delaunay(self.points, self.period) if self.triangles is None else self.triangles
        return Mesh(self.points, [("triangle", triangles)], period=self.period)

    def graph(self) -> Graph:
        """The graph of `mesh()`."""
        return Graph.from_mesh(self.mesh())

    def _open(self) -> h5py.File:
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            raise ValueError(f"`{self.path}` should be a NetCDF4/HDF5 file, got: {error}") from error
