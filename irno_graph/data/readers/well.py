"""The Well's HDF5 data sets (Polymathic AI): a file, a folder of files, or a whole data set with its splits."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
import yaml
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.hdf5 import opened
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.data.readers.well_layout import Field, Layout, read_layout
from irno_graph.graph import Graph

SUFFIXES = (".hdf5", ".h5")
SPLITS = ("train", "valid", "test")


class WellData:
    """Trajectories of one split, over all its files in alphabetical order.

    Channels are the fields that vary in time: scalars, then vectors (`velocity_x`), then tensors (`D_xy`).
    The arrays' axes run along `spatial_dims`, x first; here node iy * nx + ix lies at (x_ix, y_iy).

    Args:
        path: a .hdf5 file, a folder of them, or a data set with `data/train` or `train` and so on.
        split: of a data set: train, valid or test.
        period: box length per coordinate; None takes n steps of each axis that `boundary_conditions` calls
            periodic.

    Attributes:
        layout: header of the first file.
        boundaries: periodic, wall or open, per coordinate.
        constant_channels: fields that do not vary in time; read them with `read_constants`.
        moments: from `stats.yaml` beside the files or in a folder above; None where there is none.

    Raises:
        ValueError: for a missing path, a damaged file, or files that do not fit together.
    """

    format = "The Well (HDF5)"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        split: str = "train",
        period: tuple[float | None, ...] | None = None,
    ) -> None:
        self.path = Path(path)
        self.files = well_files(self.path, split)
        self.layouts = [read_layout(file) for file in self.files]
        self.layout: Layout = self.layouts[0]
        for file, other in zip(self.files, self.layouts, strict=True):
            _check_same(self.layout, other, self.files[0], file)
        self.times = min((layout.times for layout in self.layouts), key=len)
        self.channels = _names(self.layout.fields)
        self.constant_channels = _names(self.layout.constants)
        self.boundaries = self.layout.boundaries
        self.period = self.layout.grid.box if period is None else period
        if self.period is not None and len(self.period) != len(self.layout.grid.names):
            raise ValueError(
                f"`period` should have {len(self.layout.grid.names)} entries, got {self.period}."
            )
        self.decisions = self.layout.decisions
        if len({len(layout.times) for layout in self.layouts}) > 1:
            self.decisions += (f"files differ in length: the first {len(self.times)} times of each are read",)
        self._ends = np.cumsum([layout.trajectories for layout in self.layouts])
        self.moments = self._stored_moments()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples at times, `[samples, times, nodes, channels]` float32.

        Raises:
            ValueError: naming the file and the trajectory in it that is damaged or not finite.
            IndexError: for a sample that the data do not have.
        """
        steps = rows_of(times, len(self.times), what="times", path=self.path)
        return self._read(index, steps, "fields")

    def read_constants(self, index: int | slice = slice(None)) -> Tensor:
        """Fields that do not vary in time, `[samples, nodes, constant channels]` float32."""
        return self._read(index, range(1), "constants")[:, 0]

    def graph(self) -> Graph:
        """The grid's graph.

        Raises:
            ValueError: for a spherical grid, or an uneven axis.
        """
        if self.layout.grid_type != "cartesian":
            raise ValueError(
                f"`{self.path}` should have a cartesian grid, got '{self.layout.grid_type}': build the graph from "
                "`layout.grid.coordinates`."
            )
        grid = self.layout.grid
        box = self.period or (None,) * len(grid.names)
        return replace(grid, period=box).graph()

    def _read(self, index: int | slice, steps: range, kind: str) -> Tensor:
        rows = rows_of(index, len(self), what="samples", path=self.path)
        parts = []
        for number, (path, layout) in enumerate(zip(self.files, self.layouts, strict=True)):
            first = int(self._ends[number]) - layout.trajectories
            own = [row - first for row in rows if first <= row < self._ends[number]]
            fields: tuple[Field, ...] = getattr(layout, kind)
            if own:
                local = range(own[0], own[-1] + 1, rows.step)
                with opened(path) as file:
                    parts.append(_read_fields(file, fields, local, steps, layout, path))
        if not parts:
            names = self.channels if kind == "fields" else self.constant_channels
            return torch.empty(0, len(steps), self.layout.grid.nodes, len(names))
        return torch.cat(parts)

    def _stored_moments(self) -> Moments | None:
        folders = [self.files[0].parent, *list(self.files[0].parent.parents)[:2]]
        found = next((folder / "stats.yaml" for folder in folders if (folder / "stats.yaml").is_file()), None)
        return None if found is None else _moments(found, self.layout.fields)


def well_files(path: Path, split: str) -> list[Path]:
    """The .hdf5 and .h5 files that `path` means, sorted.

    Raises:
        ValueError: if there is none.
    """
    if path.is_file():
        return [path]
    if split not in SPLITS:
        raise ValueError(f"`split` should be one of {', '.join(SPLITS)}, got '{split}'.")
    for folder in (path / "data" / split, path / split, path):
        found = sorted(file for suffix in SUFFIXES for file in folder.glob(f"*{suffix}"))
        if found:
            return found
    holds = sorted(entry.name for entry in path.iterdir())[:8] if path.is_dir() else "nothing"
    raise ValueError(f"`{path}` should be or hold .hdf5 files, also in data/{split} or {split}, got {holds}.")


def _names(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return tuple(name for field in fields for name in field.components)


def _read_fields(
    file: h5py.File, fields: tuple[Field, ...], rows: range, steps: range, layout: Layout, path: Path
) -> Tensor:
    if not fields:
        return torch.empty(len(rows), len(steps), layout.grid.nodes, 0)

    def load(chosen: range) -> np.ndarray:
        return np.concatenate([field.read(file, chosen, steps, layout) for field in fields], axis=-1)

    return read_rows(load, rows, path=path, what="trajectory")


def _check_same(one: Layout, two: Layout, first: Path, second: Path) -> None:
    pairs = {
        "grid": (one.grid.shape, two.grid.shape),
        "coordinates": (one.grid.names, two.grid.names),
        "fields": (_names(one.fields), _names(two.fields)),
        "constant fields": (_names(one.constants), _names(two.constants)),
        "boundaries": (one.boundaries, two.boundaries),
    }
    for what, (left, right) in pairs.items():
        if left != right:
            raise ValueError(
                f"`{second}` should have the {what} of `{first}`, {left}, got {right}: read it alone."
            )
    for name, left, right in zip(one.grid.names, one.grid.coordinates, two.grid.coordinates, strict=True):
        if not np.allclose(left, right, rtol=0, atol=1e-3 * np.diff(left).min()):
            raise ValueError(f"`{second}` should have the coordinates {name} of `{first}`: read it alone.")


def _moments(path: Path, fields: tuple[Field, ...]) -> Moments:
    """Mean and standard deviation per channel from a `stats.yaml`; a deviation of 0 becomes 1."""
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = []
        for kind in ("mean", "std"):
            values = [np.ravel(np.asarray(stored[kind][field.name], dtype=np.float64)) for field in fields]
            wrong = [f.name for f, v in zip(fields, values, strict=True) if len(v) != len(f.components)]
            if wrong:
                raise ValueError(f"number of components of {wrong}")
            rows.append(torch.from_numpy(np.concatenate(values)))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"`{path}` should give mean and std of each field, got: {error}: repair it."
        ) from error
    mean, std = rows
    if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std >= 0).all()):
        raise ValueError(f"`{path}` should give finite means and deviations >= 0, got {mean} and {std}.")
    return Moments(mean, torch.where(std > 0, std, torch.ones_like(std)))
