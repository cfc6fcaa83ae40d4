"""RIGNO's files, and those that `irno-graph data ce-gauss` writes, as a source of fields."""

from __future__ import annotations

import os

import numpy as np
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.hdf5 import array_in, opened, read_part, refusing_damage, words
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.data.trajectories import TrajectoryFile
from irno_graph.files import existing_file
from irno_graph.graph import Graph

NAMES = ("rho", "vx", "vy", "p", "E")


class RignoFile:
    """A `TrajectoryFile` with all its variables: `u` [n, times, nodes, variables] at `x` [1, 1, nodes, 2].

    Attributes:
        trajectories: the `TrajectoryFile`.

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
