"""RIGNO's files whose points differ between samples, and steady ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.hdf5 import array_in, opened, read_part, vector_in, words
from irno_graph.data.readers.rigno import NAMES, Coefficients, RignoFile
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.files import existing_file
from irno_graph.graph import Graph
from irno_graph.graph.points import mesh_of_points
from irno_graph.mesh import Mesh
from irno_graph.mesh.mesh import Period, checked_period


class RignoSamples:
    """`u` [n, times, nodes, variables], or [n, nodes, variables] of steady sets, with points of each sample or of all.

    Points `x` are [n or 1, 1, nodes, dim], or [n, nodes, dim]. The graph of a sample has the file's triangles `tri`, or
    the Delaunay triangulation of the sample's points, which fills holes of the domain.

    Args:
        path: NetCDF4/HDF5 file.
        period: box length per axis, None for one that is not periodic; None takes the file's attribute `period`, 0
            where an axis is not periodic, and no period where there is none.

    Attributes:
        moving: whether points differ between samples; `graph` then needs the sample.
        coefficients: the variables `c`, None where there are none.

    Raises:
        ValueError: for a missing or damaged file, or arrays that do not fit each other.
    """

    format = "RIGNO samples (NetCDF4)"
    moments: Moments | None = None

    def __init__(self, path: str | os.PathLike[str], *, period: Sequence[float | None] | None = None) -> None:
        self.path = existing_file(path)
        with opened(self.path) as file:
            shape, place = array_in(file, "u", self.path).shape, array_in(file, "x", self.path).shape
            self.steady = len(shape) == 3
            count, nodes = (shape[0], shape[-2]) if len(shape) in (3, 4) else (0, 0)
            middle = (1,) if len(place) == 4 else ()
            if (
                not count
                or place[:-1] not in ((count, *middle, nodes), (1, *middle, nodes))
                or place[-1] not in (2, 3)
            ):
                raise ValueError(
                    f"`{path}` should hold u [n, times, nodes, variables] or [n, nodes, variables] and x [n or 1, 1, "
                    f"nodes, 2 or 3], got {list(shape)} and {list(place)}."
                )
            self._count, self._nodes, self._variables, self._dim = count, nodes, shape[-1], place[-1]
            self.moving = place[0] > 1
            self.times = self._found_times(file, 1 if self.steady else shape[1])
            named = words(file.attrs["channels"]) if "channels" in file.attrs else ()
            self._triangles = (
                read_part(array_in(file, "tri", self.path)).astype(np.int64) if "tri" in file else None
            )
            self.coefficients = Coefficients.of(file, self.path)
            lengths = np.ravel(file.attrs["period"]).tolist() if "period" in file.attrs else None
        known = NAMES[: shape[-1]] if 4 <= shape[-1] <= len(NAMES) and len(self.times) > 1 else ()
        self.channels = (
            named if len(named) == shape[-1] else known or tuple(f"u{place}" for place in range(shape[-1]))
        )
        stored = None if lengths is None else [length or None for length in lengths]
        self.period: Period = checked_period(stored if period is None else period, self._dim)
        self.decisions: tuple[str, ...] = (
            f"points differ between samples: {'yes' if self.moving else 'no'}",
            f"triangles are {'those of the file' if self._triangles is not None else 'of Delaunay, per sample'}",
            f"times: {'none, the set is steady' if self.steady else len(self.times)}",
            *([f"coefficients c: {self.coefficients.count}"] if self.coefficients else []),
        )

    def __len__(self) -> int:
        return self._count

    def points(self, index: int = 0) -> np.ndarray:
        """Points of one sample `[nodes, dim]`, float64.

        Raises:
            ValueError: naming the file and the sample whose points cannot be read or are not finite.
            IndexError: for a sample that the file does not have.
        """
        (row,) = rows_of(index, len(self), what="samples", path=self.path)
        with opened(self.path) as file:
            stored = array_in(file, "x", self.path)
            try:
                found = read_part(stored, (row if self.moving else 0,)).astype(np.float64)
            except (OSError, RuntimeError) as error:
                raise ValueError(
                    f"points of sample {row} of `{self.path}` cannot be read: {error}."
                ) from error
        if not np.isfinite(found).all():
            raise ValueError(f"points of sample {row} of `{self.path}` should be finite: leave it out.")
        return found.reshape(self._nodes, self._dim)

    def mesh(self, index: int | None = None) -> Mesh:
        """The points of one sample with their triangles.

        Raises:
            ValueError: without `index` where points differ between samples, and as `points` does.
        """
        if index is None and self.moving:
            raise ValueError(f"`{self.path}` has other points in each sample: pass its `index`.")
        points = self.points(index or 0)
        if self._triangles is None:
            return mesh_of_points(points, self.period)
        return Mesh(points, [("triangle", self._triangles)], period=self.period)

    def graph(self, index: int | None = None) -> Graph:
        """The graph of `mesh(index)`.

        Raises:
            ValueError: as `mesh` does.
        """
        return Graph.from_mesh(self.mesh(index))

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples of `index` at `times`, `[samples, times, nodes, channels]` float32; an int is one sample.

        Raises:
            ValueError: naming the file and the sample that is damaged or not finite.
            IndexError: for a sample that the file does not have.
        """
        rows = rows_of(index, len(self), what="samples", path=self.path)
        steps = rows_of(times, len(self.times), what="times", path=self.path)
        during = () if self.steady else (slice(steps.start, steps.stop, steps.step),)
        with opened(self.path) as file:
            stored = array_in(file, "u", self.path)

            def load(chosen: range) -> np.ndarray:
                values = read_part(stored, (slice(chosen.start, chosen.stop, chosen.step), *during))
                return values[:, None][:, steps.start : steps.stop] if self.steady else values

            return read_rows(load, rows, path=self.path, what="sample")

    def _found_times(self, file: h5py.File, count: int) -> np.ndarray:
        if self.steady:
            return np.zeros(1)
        found = vector_in(file, "t", self.path) if "t" in file else np.linspace(0.0, 1.0, count)
        if len(found) != count:
            raise ValueError(f"`{self.path}` should have {count} times, as u has, got {len(found)}.")
        return found


def open_rigno(path: str | os.PathLike[str], **options: Any) -> RignoFile | RignoSamples:
    """`RignoSamples` where points differ between samples or the set is steady, else `RignoFile`.

    Raises:
        ValueError: as they do.
        TypeError: for an option that the one does not have.
    """
    found = existing_file(path)
    with opened(found) as file:
        place, shape = array_in(file, "x", found).shape, array_in(file, "u", found).shape
    other = len(shape) == 3 or (len(place) == 4 and place[0] == shape[0] > 1) or len(place) == 3
    return RignoSamples(path, **options) if other else RignoFile(path, **options)
