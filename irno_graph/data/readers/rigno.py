"""RIGNO's files, and those that `irno-graph data ce-gauss` writes, as a source of fields."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.hdf5 import array_in, opened, read_part, refusing_damage, words
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.data.trajectories import TrajectoryFile
from irno_graph.files import existing_file
from irno_graph.graph import Graph

NAMES = ("rho", "vx", "vy", "p", "E")


@dataclass(frozen=True)
class Coefficients:
    """Fields `c` that are given with each sample: `[n or 1, nodes, count]`, or with an axis of times, 1 or all.

    Attributes:
        path: of the file.
        shape: of the array.
    """

    path: Path
    shape: tuple[int, ...]

    @classmethod
    def of(cls, file: h5py.File, path: Path) -> Coefficients | None:
        """Those of an open file; None where it has none.

        Raises:
            ValueError: if they do not fit u.
        """
        if "c" not in file:
            return None
        shape, whole = array_in(file, "c", path).shape, array_in(file, "u", path).shape
        fits = len(shape) in (3, 4) and shape[0] in (1, whole[0]) and shape[-2] == whole[-2]
        if not fits or (len(shape) == 4 and shape[1] not in (1, whole[1] if len(whole) == 4 else 1)):
            raise ValueError(
                f"`{path}` should hold c [n or 1, times or 1, nodes, coefficients] or without times, as u "
                f"{list(whole)}, got {list(shape)}."
            )
        return cls(path, tuple(shape))

    @property
    def count(self) -> int:
        """How many there are at a node."""
        return self.shape[-1]

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Those of the samples `index`, `[samples, times, nodes, count]` float32; one time where they are constant.

        Raises:
            ValueError: naming the file and the sample that is damaged or not finite.
            IndexError: for a sample that the file does not have.
        """
        rows = rows_of(index, self.shape[0], what="samples of c", path=self.path)
        timed = len(self.shape) == 4
        during = (times if self.shape[1] > 1 else slice(None),) if timed else ()
        with opened(self.path) as file:
            stored = array_in(file, "c", self.path)

            def load(chosen: range) -> np.ndarray:
                values = read_part(stored, (slice(chosen.start, chosen.stop, chosen.step), *during))
                return values if timed else values[:, None]

            return read_rows(load, rows, path=self.path, what="c of sample")


class RignoFile:
    """A `TrajectoryFile` with all its variables: `u` [n, times, nodes, variables] at `x` [1, 1, nodes, 2].

    Attributes:
        trajectories: the `TrajectoryFile`.
        coefficients: the variables `c`, None where there are none.

    Raises:
        ValueError: as `TrajectoryFile` does.
    """

    format = "RIGNO trajectories (NetCDF4)"
    moments: Moments | None = None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = existing_file(path)
        with opened(self.path) as file:
            shape = array_in(file, "u", self.path).shape
            named = words(file.attrs["channels"]) if "channels" in file.attrs else ()
            self.coefficients = Coefficients.of(file, self.path)
        count = shape[-1] if shape else 0
        with refusing_damage(self.path):
            self.trajectories = TrajectoryFile(self.path, channels=count)
        known = NAMES[:count] if 4 <= count <= len(NAMES) else tuple(f"u{place}" for place in range(count))
        self.channels = named if len(named) == count else known
        self.times = np.asarray(self.trajectories.times, dtype=np.float64)
        self.period: tuple[float | None, ...] | None = self.trajectories.period
        cells = (
            "the periodic Delaunay triangulation" if self.trajectories.triangles is None else "the file's own"
        )
        self.decisions = (
            "points are the file's x, coordinate 0 along x",
            f"triangles are {cells}",
            f"names of channels are {'the attribute `channels`' if named else 'those of the published files'}",
        )

    def __len__(self) -> int:
        return len(self.trajectories)

    def graph(self) -> Graph:
        """The graph of the file's triangles, or of the periodic Delaunay triangulation."""
        return self.trajectories.graph()

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples at times, `[samples, times, nodes, channels]` float32.

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
