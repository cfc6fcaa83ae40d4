"""Trajectories on the sphere, on one grid or two, as `irno-graph data shallow-water` writes them."""

from __future__ import annotations

import os
from typing import get_args

import h5py
import numpy as np
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.hdf5 import array_in, opened, read_part, vector_in, words
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.files import existing_file
from irno_graph.graph import Graph
from irno_graph.graph.spheres import SphereGrid, latitudes

COORDINATES = ("trajectory", "time", "lat", "lon")


class SphereTrajectories:
    """Variables [trajectory, time, lat, lon] on a grid of the sphere, and `coarse_...` of the same on a coarser grid.

    Nodes are those of `Graph.from_sphere(nlat, nlon, grid=...)` in its order.

    Args:
        path: NetCDF4 file with the coordinates trajectory, time, lat and lon, and the attribute `channels`.

    Attributes:
        shape: latitudes and longitudes.
        coarse_shape: those of the coarser grid; None where the file has none.
        grid: "legendre-gauss", "equiangular" or "lobatto", of both.

    Raises:
        ValueError: for a missing or damaged file, variables of other shapes, or latitudes of no known grid.
    """

    format = "Trajectories on the sphere (NetCDF4)"
    period: tuple[float | None, ...] | None = None
    moments: Moments | None = None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = existing_file(path)
        with opened(self.path) as file:
            self.channels = words(file.attrs["channels"]) if "channels" in file.attrs else ()
            if not self.channels:
                raise ValueError(
                    f"`{path}` should have the attribute `channels`, the names of its variables."
                )
            self.times = vector_in(file, "time", self.path)
            self._count = len(vector_in(file, "trajectory", self.path))
            self.shape, self.grid = self._grid(file, "")
            self.coarse_shape: tuple[int, int] | None = None
            if "coarse_lat" in file:
                self.coarse_shape, kind = self._grid(file, "coarse_")
                if kind != self.grid:
                    raise ValueError(
                        f"`{path}`: both grids should be of one kind, got {self.grid} and {kind}: generate it again."
                    )
        self.decisions: tuple[str, ...] = (
            f"latitudes are {self.grid}, {self.shape[0]} x {self.shape[1]} nodes",
        )
        if self.coarse_shape is not None:
            self.decisions += (
                f"the same states are there on {self.coarse_shape[0]} x {self.coarse_shape[1]} nodes",
            )

    def __len__(self) -> int:
        return self._count

    def graph(self) -> Graph:
        """The graph of the grid."""
        return Graph.from_sphere(*self.shape, grid=self.grid)

    def coarse_graph(self) -> Graph:
        """The graph of the coarser grid.

        Raises:
            ValueError: where the file has none.
        """
        return Graph.from_sphere(*self._coarse_shape(), grid=self.grid)

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples of `index` at `times`, `[samples, times, nodes, channels]` float32; an int is one sample.

        Raises:
            ValueError: naming the file and the trajectory that is damaged or not finite.
            IndexError: for a sample that the file does not have.
        """
        return self._read("", index, times)

    def coarse(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """The same states on the coarser grid, `[samples, times, coarse nodes, channels]` float32.

        Raises:
            ValueError: where the file has none, and as `read` does.
            IndexError: for a sample that the file does not have.
        """
        self._coarse_shape()
        return self._read("coarse_", index, times)

    def _read(self, prefix: str, index: int | slice, times: slice) -> Tensor:
        rows = rows_of(index, len(self), what="samples", path=self.path)
        steps = rows_of(times, len(self.times), what="times", path=self.path)
        during = slice(steps.start, steps.stop, steps.step)
        with opened(self.path) as file:
            stored = [array_in(file, prefix + channel, self.path) for channel in self.channels]

            def load(chosen: range) -> np.ndarray:
                part = (slice(chosen.start, chosen.stop, chosen.step), during)
                fields = np.stack([read_part(values, part) for values in stored], axis=-1)
                return fields.reshape(*fields.shape[:2], -1, len(stored))  # [samples, times, nodes, channels]

            return read_rows(load, rows, path=self.path, what="trajectory")

    def _coarse_shape(self) -> tuple[int, int]:
        if self.coarse_shape is None:
            raise ValueError(
                f"`{self.path}` has no coarser grid: generate it with `coarse`, as in --coarse 8x16."
            )
        return self.coarse_shape

    def _grid(self, file: h5py.File, prefix: str) -> tuple[tuple[int, int], SphereGrid]:
        """Shape and kind of the grid that the coordinates are of; the variables on it have that shape."""
        north = vector_in(file, f"{prefix}lat", self.path, least=3)
        east = vector_in(file, f"{prefix}lon", self.path, least=4)
        kinds = [
            kind
            for kind in get_args(SphereGrid)
            if np.allclose(north, 90 - np.degrees(np.arccos(latitudes(len(north), kind)[0])), atol=1e-4)
        ]
        if not kinds or not np.allclose(east, 360 * np.arange(len(east)) / len(east), atol=1e-4):
            raise ValueError(
                f"`{self.path}`: {prefix}lat and {prefix}lon should be a grid of {', '.join(get_args(SphereGrid))} "
                f"latitudes from the north pole and longitudes from 0, got {north[:3]} ... and {east[:3]} ..."
            )
        expected = (self._count, len(self.times), len(north), len(east))
        for channel in self.channels:
            shape = array_in(file, prefix + channel, self.path).shape
            if shape != expected:
                raise ValueError(
                    f"`{self.path}`: {prefix}{channel} should have shape {list(expected)}, got {list(shape)}."
                )
        return (len(north), len(east)), kinds[0]
