"""Where the snapshots of a series lie: mesh files, one file that names them, or arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from irno_graph.files import MissingFileError
from irno_graph.mesh import Mesh, read_mesh
from irno_graph.mesh.formats import format_of
from irno_graph.mesh.series_steps import Step, series_steps

SERIES = (".pvd", ".series", ".xdmf", ".xmf")


class Frames(Protocol):
    """Snapshots, each a mesh with its fields."""

    @property
    def times(self) -> Sequence[float]:
        """Times, or numbers where there are none."""

    @property
    def decisions(self) -> tuple[str, ...]:
        """How they were found."""

    def mesh(self, number: int) -> Mesh:
        """One snapshot, read now."""

    def name(self, number: int) -> str:
        """Its file, in words."""


def mesh_files(folder: Path) -> list[Path]:
    """Mesh files of a folder in the order of the numbers in their names.

    Raises:
        ValueError: if there are files of several formats.
    """
    found = [entry for entry in folder.iterdir() if entry.is_file() and format_of(entry) is not None]
    kinds = sorted({entry.suffix.lower() for entry in found})
    if len(kinds) > 1:
        raise ValueError(f"`{folder}` should hold mesh files of one format, got {', '.join(kinds)}.")
    return sorted(found, key=lambda entry: [(int(one) if one.isdigit() else 0, one) for one in _parts(entry)])


def _parts(file: Path) -> list[str]:
    return re.split(r"(\d+)", file.name)


class MeshFiles:
    """A folder of mesh files, an XDMF, PVD or `.series` file, or one mesh file.

    Raises:
        ValueError: if nothing is there.
    """

    def __init__(self, path: Path, time_step: float, period: Sequence[float | None] | None) -> None:
        self.period = period
        if path.is_dir():
            files = mesh_files(path)
            if not files:
                raise ValueError(f"`{path}` should hold mesh files, got none.")
            numbers = [re.findall(r"\d+", file.name.split(".")[0]) for file in files]
            counted = [int(found[-1]) if found else place for place, found in enumerate(numbers)]
            if len(set(counted)) < len(counted):
                counted = list(range(len(files)))
            self.steps = [Step(count * time_step, file) for count, file in zip(counted, files, strict=True)]
            said = f"times are the last numbers in the names, times {time_step:g}"
        elif not path.is_file():
            raise MissingFileError(f"`{path}` should be a file or a folder, found nothing: check the path.")
        elif path.suffix.lower() in SERIES:
            self.steps = series_steps(path)
            said = "times are the file's own"
        else:
            self.steps, said = [Step(0.0, path)], "one mesh, at time 0"
        self.times = [step.time for step in self.steps]
        self.decisions = (said,)

    def mesh(self, number: int) -> Mesh:
        """The snapshot, parsed in another process."""
        step = self.steps[number]
        return read_mesh(step.file, self.period, step=step.step, audited=False)

    def name(self, number: int) -> str:
        """The file, with the place in it."""
        step = self.steps[number]
        return f"`{step.file}`" if step.step is None else f"step {step.step} of `{step.file}`"


class ArrayFolder:
    """A folder of `pts.npy` (or `points.npy`) [points, dim], `cells.npy` and `snapshots_NAME.npy` [times, points, ...].

    Triangles [cells, 3], or tetrahedra where points have a third coordinate that is not 0 everywhere and cells have
    four corners; else quads. `time.npy` [times] is optional. Fields are mapped into memory, not read.

    Raises:
        ValueError: if an array is damaged or does not fit the others.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        name = "pts.npy" if (path / "pts.npy").is_file() else "points.npy"
        points, cells = self._array(name), self._array("cells.npy")
        if points.ndim != 2 or cells.ndim != 2 or cells.shape[1] not in (3, 4):
            raise ValueError(
                f"`{path}` should hold points [points, dim] and cells [cells, 3 or 4], got {list(points.shape)} and "
                f"{list(cells.shape)}."
            )
        flat = points[:, :2] if points.shape[1] == 3 and not np.asarray(points[:, 2]).any() else points
        kind = "triangle" if cells.shape[1] == 3 else "tetra" if flat.shape[1] == 3 else "quad"
        self._bare = Mesh(flat, [(kind, cells)])
        self.fields = {
            file.stem.removeprefix("snapshots_"): self._array(file.name)
            for file in sorted(path.glob("snapshots_*.npy"))
        }
        count = {values.shape[:2] for values in self.fields.values()}
        if len(count) != 1 or len(next(iter(count))) != 2 or next(iter(count))[1] != len(points):
            raise ValueError(
                f"`{path}` should hold snapshots_NAME.npy [times, points={len(points)}], all of one size, got "
                f"{ {name: list(values.shape) for name, values in self.fields.items()} }."
            )
        times = len(next(iter(self.fields.values())))
        timed = (path / "time.npy").is_file()
        found = self._array("time.npy").ravel() if timed else np.arange(times)
        if len(found) != times:
            raise ValueError(f"`{path}` should hold {times} times, as the snapshots have, got {len(found)}.")
        self.times = [float(time) for time in found]
        self.decisions = (f"cells are {kind}s, times are {'those of time.npy' if timed else 'counted'}",)

    @staticmethod
    def fits(path: Path) -> bool:
        """Whether the folder holds such arrays."""
        points = (path / "pts.npy").is_file() or (path / "points.npy").is_file()
        return points and (path / "cells.npy").is_file()

    def mesh(self, number: int) -> Mesh:
        """The mesh with the fields of one snapshot."""
        data = {name: np.array(values[number]) for name, values in self.fields.items()}
        return Mesh(self._bare.points, self._bare.cells, data)

    def name(self, number: int) -> str:
        """The folder, with the place in its arrays."""
        return f"row {number} of `{self.path}`"

    def _array(self, name: str) -> np.ndarray:
        try:
            found = np.load(self.path / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"`{self.path / name}` should be a sound .npy file, got: {error}.") from error
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
            raise ValueError(f"`{self.path / name}` should hold real numbers.")
        return found
