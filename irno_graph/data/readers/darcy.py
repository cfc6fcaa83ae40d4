"""neuraloperator's Darcy files (.pt): permeability and pressure on a grid of the unit square."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.grid import Grid
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.files import existing_file
from irno_graph.graph import Graph

DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError, OSError, EOFError, RuntimeError,
    KeyError, IndexError, TypeError, AttributeError, ValueError, NotImplementedError, OverflowError, MemoryError,
)  # fmt: skip
PROFILED = 256  # samples whose mean says where the boundary lies
OFFSETS = {0.0: "on it", 0.5: "half a step inside", 1.0: "one step inside"}


class DarcyFile:
    """Pairs of permeability x and pressure y, `[n, rows, columns]` each, as one snapshot with two channels.

    Pressure is 0 on the boundary of the unit square, the file does not say which points lie there. Where the mean
    pressure's profile vanishes, by the parabola through the three outermost lines at each side, tells it: 0, 1/2 or
    1 steps outside. neuraloperator's own files begin on the boundary and end one step inside: x_i = i / n.
    Columns run along x, rows along y; the equation is the same with x and y exchanged, so no file can tell.

    Args:
        path: of a .pt file, a zip archive with a pickle. Its checksums are verified when it is opened.
        unpickle: must be true: a pickle is loaded, with torch's `weights_only`, which runs no code.

    Attributes:
        offsets: steps between the boundary and the outermost points: left, right, bottom, top.

    Raises:
        ValueError: without `unpickle`, or if the file is missing, damaged, or holds something else.
    """

    format = "neuraloperator Darcy (.pt)"
    channels = ("permeability", "pressure")
    times = np.zeros(1)
    period: tuple[float | None, ...] | None = None
    moments: Moments | None = None

    def __init__(self, path: str | os.PathLike[str], *, unpickle: bool = False) -> None:
        self.path = existing_file(path)
        if not unpickle:
            raise ValueError(
                f"`{path}` holds a pickle: pass `unpickle=True` (--unpickle) if you know where it comes from."
            )
        self._permeability, self._pressure = (_planes(value, self.path) for value in _loaded(self.path))
        if self._permeability.shape != self._pressure.shape:
            raise ValueError(
                f"`{path}` should hold x and y of one shape, got {list(self._permeability.shape)} and "
                f"{list(self._pressure.shape)}."
            )
        some = read_rows(self._load, range(min(PROFILED, len(self))), path=self.path)
        mean = some[:, 0, :, :, 1].double().mean(dim=0).numpy()  # [rows, columns]
        profiles = (mean.mean(axis=0), mean.mean(axis=1))  # along x, along y
        self.offsets = tuple(offset for line in profiles for offset in (_offset(line), _offset(line[::-1])))
        names = ("left", "right", "bottom", "top")
        found = ", ".join(
            f"{name} {OFFSETS[offset]}" for name, offset in zip(names, self.offsets, strict=True)
        )
        self.decisions = (
            "columns run along x, rows along y: the equation is symmetric, so the file cannot tell",
            f"outermost points against the boundary, where the mean pressure vanishes: {found}",
        )

    def __len__(self) -> int:
        return len(self._permeability)

    @property
    def grid(self) -> Grid:
        """Points on the unit square."""
        left, right, bottom, top = self.offsets
        rows, columns = self._permeability.shape[1:]
        pairs = ((columns, left, right), (rows, bottom, top))
        axes = tuple((low + np.arange(count)) / (count - 1 + low + high) for count, low, high in pairs)
        return Grid(("x", "y"), axes, (None, None), centred=set(self.offsets) == {0.5})

    def graph(self) -> Graph:
        """The grid's graph; node iy * nx + ix. Masses cover the points' own rectangle, or all cells."""
        return self.grid.graph()

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples, `[samples, 1, nodes, 2]` float32.

        Raises:
            ValueError: naming the file and the sample that is not finite.
            IndexError: for a sample that the file does not have.
        """
        rows = rows_of(index, len(self), what="samples", path=self.path)
        steps = rows_of(times, 1, what="times", path=self.path)
        return read_rows(self._load, rows, path=self.path).flatten(2, 3)[:, steps.start : steps.stop]

    def pairs(self, index: int | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Permeability and pressure, `[samples, nodes, 1]` each."""
        values = self.read(index)[:, 0]
        return values[..., :1], values[..., 1:]

    def _load(self, rows: range) -> np.ndarray:
        part = slice(rows.start, rows.stop, rows.step)
        values = (self._permeability[part].float(), self._pressure[part].float())
        return torch.stack(values, dim=-1)[:, None].numpy()  # [samples, 1, rows, columns, 2]


def _loaded(path: Path) -> tuple[object, object]:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {broken}")
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return stored["x"], stored["y"]
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"`{path}` should be a sound .pt archive of a dict with x and y, got {type(error).__name__}: {reason}."
        ) from error


def _planes(value: object, path: Path) -> Tensor:
    """`[n, rows, columns]` of a tensor with or without a channel axis of 1."""
    if isinstance(value, Tensor) and value.ndim == 4 and value.shape[1] == 1:
        value = value[:, 0]
    if not isinstance(value, Tensor) or value.ndim != 3 or len(value) < 1 or min(value.shape[1:]) < 3:
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"`{path}` should hold x and y [n, rows, columns], at least 3 x 3, got {found}.")
    if value.is_complex():
        raise ValueError(f"`{path}` should hold real numbers, got {value.dtype}.")
    return value


def _offset(profile: np.ndarray) -> float:
    """Steps from the first point of `profile` outwards to its zero, to the nearest of 0, 1/2 and 1."""
    first, second, third = profile[:3]
    curve = (third - 2 * second + first) / 2
    slope = second - first - curve
    roots = np.roots([curve, -slope, first]) if slope != 0 else np.array([0.0])  # first - slope d + curve d^2
    real = roots[np.abs(roots.imag) < 1e-9].real
    distance = real[np.argmin(np.abs(real - 0.5))] if len(real) else 0.0
    return min(OFFSETS, key=lambda offset: abs(offset - distance))
