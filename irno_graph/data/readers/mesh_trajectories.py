"""Trajectories on meshes and spheres, as `irno-graph data wave` writes them."""

from __future__ import annotations

import os
from typing import get_args

import h5py
import numpy as np
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.hdf5 import array_in, opened, read_part, vector_in, words
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.data.trajectories import DOMAINS
from irno_graph.files import existing_file
from irno_graph.graph import Graph
from irno_graph.graph.spheres import SphereGrid
from irno_graph.mesh import Mesh
from irno_graph.mesh.cells import CELLS

MOST_CUTS = 10  # 10 million nodes


class MeshTrajectories:
    """`u` [n, times, nodes, variables] at `x` [1, 1, nodes, dim] with cells of any kind, on planes, surfaces, volumes.

    Args:
        path: HDF5 file with u, x, t, cells (triangles as `tri`, others by meshio's names), and the attributes
            `channels`, `period` (0 for an axis that is not periodic) and `domain`: "mesh", or "icosphere" or
            "sphere", whose graphs are made again from the attributes `icosphere`, or `sphere_shape` and
            `sphere_grid`.

    Attributes:
        points: `[nodes, dim]`, float64.
        domain: "mesh", "icosphere" or "sphere".
        seeds: `[n]` of the generator, empty where the file has none.
        attributes: of the file, that say how it was made.

    Raises:
        ValueError: for a missing or damaged file, arrays that do not fit each other, or a domain that is not known.
    """

    format = "Trajectories on a mesh (NetCDF4/HDF5)"
    moments: Moments | None = None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = existing_file(path)
        with opened(self.path) as file:
            self.times = vector_in(file, "t", self.path)
            self.seeds = (
                read_part(array_in(file, "seed", self.path)) if "seed" in file else np.zeros(0, np.int64)
            )
            self.channels = words(file.attrs["channels"]) if "channels" in file.attrs else ()
            self.points = self._points(file)
            self.attributes = dict(file.attrs)
            self.domain = words(file.attrs["domain"])[0] if "domain" in file.attrs else ""
            if self.domain not in DOMAINS:
                raise ValueError(
                    f"`{path}` should have an attribute `domain`, one of {', '.join(DOMAINS)}, got '{self.domain}'."
                )
            self.period = self._period(file)
            self._cells = [
                (kind, read_part(array_in(file, name, self.path)).astype(np.int64))
                for kind, name in ((kind, "tri" if kind == "triangle" else kind) for kind in CELLS)
                if name in file
            ]
            self._made = {
                name: np.atleast_1d(file.attrs[name]).tolist()
                for name in ("icosphere", "sphere_shape", "sphere_grid")
                if name in file.attrs
            }
        kinds = ", ".join(kind for kind, _ in self._cells) or "none"
        self.decisions: tuple[str, ...] = (f"domain is {self.domain}, cells are {kinds}",)

    def __len__(self) -> int:
        return self._count

    def mesh(self) -> Mesh:
        """The nodes with the file's cells."""
        return Mesh(self.points, self._cells, period=self.period)

    def graph(self) -> Graph:
        """The graph of the cells, or that of the sphere.

        Raises:
            ValueError: if the sphere has other nodes than the file, and as `Graph.from_mesh` does.
        """
        if self.domain == "mesh":
            return Graph.from_mesh(self.mesh())
        graph = self._sphere()
        if tuple(graph.pos.shape) != self.points.shape or not np.allclose(
            graph.pos.numpy(), self.points, atol=1e-6
        ):
            raise ValueError(f"`{self.path}` should have the nodes of its {self.domain}: generate it again.")
        return graph

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples of `index` at `times`, `[samples, times, nodes, channels]` float32; an int is one sample.

        Raises:
            ValueError: naming the file and the trajectory that is damaged or not finite.
            IndexError: for a sample that the file does not have.
        """
        rows = rows_of(index, len(self), what="samples", path=self.path)
        steps = rows_of(times, len(self.times), what="times", path=self.path)
        during = slice(steps.start, steps.stop, steps.step)
        with opened(self.path) as file:
            stored = array_in(file, "u", self.path)

            def load(chosen: range) -> np.ndarray:
                return read_part(stored, (slice(chosen.start, chosen.stop, chosen.step), during))

            return read_rows(load, rows, path=self.path, what="trajectory")

    def _points(self, file: h5py.File) -> np.ndarray:
        shape, points = array_in(file, "u", self.path).shape, array_in(file, "x", self.path)
        self._count = shape[0] if shape else 0
        expected = (
            self._count,
            len(self.times),
            points.shape[2] if points.ndim == 4 else 0,
            len(self.channels),
        )
        if shape != expected or points.shape[:2] != (1, 1) or not 1 <= points.shape[3] <= 3:
            raise ValueError(
                f"`{self.path}` should hold u [n, times={expected[1]}, nodes, channels={expected[3]}] and x "
                f"[1, 1, nodes, 1 to 3], got {list(shape)} and {list(points.shape)}."
            )
        return np.asarray(read_part(points)[0, 0], dtype=np.float64)

    def _period(self, file: h5py.File) -> tuple[float | None, ...] | None:
        dim = self.points.shape[1]
        lengths = np.atleast_1d(np.asarray(file.attrs.get("period", np.zeros(dim)), dtype=np.float64))
        if lengths.shape != (dim,) or not (np.isfinite(lengths) & (lengths >= 0)).all():
            raise ValueError(
                f"`{self.path}`: the attribute `period` should have {dim} lengths, 0 where there is none, got "
                f"{lengths.tolist()}."
            )
        return tuple(float(length) or None for length in lengths) if lengths.any() else None

    def _sphere(self) -> Graph:
        try:
            if self.domain == "icosphere":
                (cuts,) = self._made["icosphere"]
                return Graph.from_icosphere(min(int(cuts), MOST_CUTS))
            nlat, nlon = self._made["sphere_shape"]
            (grid,) = self._made["sphere_grid"]
            if int(nlat) * int(nlon) != len(self.points) or grid not in get_args(SphereGrid):
                raise ValueError(f"{nlat} x {nlon} nodes, {grid}")
            return Graph.from_sphere(int(nlat), int(nlon), grid=grid)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"`{self.path}` should say how its {self.domain} is made (`icosphere`, or `sphere_shape` and "
                f"`sphere_grid`), got: {error}."
            ) from error
