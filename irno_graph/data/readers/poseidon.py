"""Poseidon's flows (PDEgym, NetCDF4): one file, or the chunks it was published in; axes found from the flow itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.flow_axes import continuous, energy_misfit, relative_divergence
from irno_graph.data.readers.grid import Grid
from irno_graph.data.readers.hdf5 import array_in, opened, read_part
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.graph import Graph

CHANNELS = {"data": ("rho", "vx", "vy", "p", "E"), "velocity": ("vx", "vy", "tracer")}
ORDERS = ("auto", "xy", "yx")
SNAPSHOTS_PER_TIME = 20


class PoseidonData:
    """Flows on the cells of the periodic unit square.

    The files do not say which of the two spatial axes is x. At t = 0 the velocity of CE-Gauss and of the NS sets is
    free of divergence, so both orders are tried on the first record, and the one with the smaller
    |d_x vx + d_y vy| / |grad v| is taken where it is at most half of the other; else x, then y, as published.
    Channels p and E are told apart by E = rho |v|^2 / 2 + p / (gamma - 1).

    Args:
        path: a file with `data` [n, times, 5, cells, cells] (rho, vx, vy, p, E) or `velocity`
            [n, times, 2 or 3, cells, cells] (vx, vy, tracer), or a folder of chunks `data_0.nc` and so on.
        axes: "auto", or the order of the two last axes: "xy" or "yx".
        gamma: ratio of specific heats, for the test of the energy.
        final_time: of the last snapshot; None for 20 snapshots per unit of time, as published.

    Attributes:
        divergence: relative divergence of the first record for the orders "xy" and "yx"; empty where `axes` is given.
        energy_misfit: relative misfit of the energy in the first record; None without an energy.

    Raises:
        ValueError: for a damaged file, another layout, chunks that do not fit, or a first record that is not finite.
    """

    format = "Poseidon / PDEgym (NetCDF4)"
    moments: Moments | None = None
    period: tuple[float | None, ...] | None = (1.0, 1.0)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        axes: str = "auto",
        gamma: float = 1.4,
        final_time: float | None = None,
    ) -> None:
        if axes not in ORDERS:
            raise ValueError(f"`axes` should be one of {', '.join(ORDERS)}, got '{axes}'.")
        self.path = Path(path)
        self.files = poseidon_files(self.path)
        self.variable, self._shapes = _shapes(self.files)
        snapshots, variables = self._shapes[0][1:3]
        self.channels = CHANNELS[self.variable][:variables]
        last = (snapshots - 1) / SNAPSHOTS_PER_TIME if final_time is None else final_time
        self.times = np.linspace(0.0, last, snapshots)
        self._ends = np.cumsum([shape[0] for shape in self._shapes])
        start = self._read_arrays(range(1), range(1))[0, 0].double().numpy()  # [variables, cells, cells]
        self.divergence: dict[str, float] = {}
        self.axes, sentences = axes, [f"order of axes as passed: {axes}"]
        vx = self.channels.index("vx")
        if axes == "auto":
            self.axes, self.divergence, sentence = _found_order(start[vx], start[vx + 1])
            sentences = [sentence]
        turned = start if self.axes == "xy" else start.swapaxes(1, 2)
        sentences.append(
            "points are cell centres (i + 1/2) / n of the periodic unit square, as finite volumes store"
        )
        sentences.append(continuous(turned[vx], turned[vx + 1]))
        self.energy_misfit: float | None = None
        if len(self.channels) == 5:
            self._name_energy(start, gamma, sentences)
        self.decisions = tuple(sentences)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def grid(self) -> Grid:
        """Cell centres."""
        counts = self._shapes[0][3:] if self.axes == "xy" else self._shapes[0][:2:-1]
        centres = tuple((np.arange(count) + 0.5) / count for count in counts)
        return Grid(("x", "y"), centres, (1.0, 1.0), centred=True)

    def graph(self) -> Graph:
        """The periodic grid of cell centres; node iy * nx + ix."""
        return self.grid.graph()

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples at times, `[samples, times, nodes, channels]` float32.

        Raises:
            ValueError: naming the file and the record in it that is damaged or not finite.
            IndexError: for a sample that the data do not have.
        """
        rows = rows_of(index, len(self), what="samples", path=self.path)
        steps = rows_of(times, len(self.times), what="times", path=self.path)
        values = self._read_arrays(rows, steps)  # [samples, times, channels, axis, axis]
        if self.axes == "xy":
            values = values.transpose(3, 4)
        return values.flatten(3).transpose(2, 3).contiguous()

    def _read_arrays(self, rows: range, steps: range) -> Tensor:
        parts = []
        for number, (path, shape) in enumerate(zip(self.files, self._shapes, strict=True)):
            first = int(self._ends[number]) - shape[0]
            own = [row - first for row in rows if first <= row < self._ends[number]]
            if own:
                with opened(path) as file:
                    stored = array_in(file, self.variable, path)
                    parts.append(_read_part(stored, range(own[0], own[-1] + 1, rows.step), steps, path))
        return torch.cat(parts) if parts else torch.empty(0, len(steps), *self._shapes[0][2:])

    def _name_energy(self, start: np.ndarray, gamma: float, sentences: list[str]) -> None:
        """Exchange the names p and E where only that fulfils the equation of state."""
        direct, exchanged = energy_misfit(start, gamma), energy_misfit(start[[0, 1, 2, 4, 3]], gamma)
        self.energy_misfit = min(direct, exchanged)
        if exchanged < 0.01 < direct:
            self.channels = ("rho", "vx", "vy", "E", "p")
            sentences.append(f"channels are rho, vx, vy, E, p: so the energy fits to {exchanged:.1e}")
        elif direct < 0.01:
            sentences.append(f"E = rho |v|^2 / 2 + p / {gamma - 1:.3g} holds to {direct:.1e}")
        else:
            sentences.append(f"E = rho |v|^2 / 2 + p / {gamma - 1:.3g} fails by {direct:.1e}: check gamma")


def poseidon_files(path: Path) -> list[Path]:
    """The file, or the `data_*.nc` chunks of a folder, by their numbers.

    Raises:
        ValueError: if there is none, or a chunk is missing between the first and the last.
    """
    if path.is_file():
        return [path]
    numbers = {}
    for file in path.glob("*_*.nc") if path.is_dir() else ():
        match = re.fullmatch(r"(?:data|velocity)_(\d+)\.nc", file.name)
        if match:
            numbers[int(match[1])] = file
    if not numbers:
        raise ValueError(
            f"`{path}` should be a .nc file or a folder of data_0.nc and so on, got none of them."
        )
    missing = sorted(set(range(min(numbers), max(numbers))) - set(numbers))
    if missing:
        raise ValueError(
            f"`{path}` should hold all its chunks, got none with the numbers {missing[:8]}: fetch them."
        )
    return [numbers[number] for number in sorted(numbers)]


def _shapes(files: list[Path]) -> tuple[str, list[tuple[int, ...]]]:
    """The variable, and its shape in each file, which may differ in the number of records alone."""
    shapes: list[tuple[int, ...]] = []
    variable = ""
    for path in files:
        with opened(path) as file:
            variable = variable or next((name for name in CHANNELS if name in file), "")
            if not variable:
                raise ValueError(f"`{path}` should hold one of {sorted(CHANNELS)}, got {sorted(file)}.")
            shape = array_in(file, variable, path).shape
        allowed = (5,) if variable == "data" else (2, 3)
        if len(shape) != 5 or shape[2] not in allowed or min(shape[:2]) < 1 or min(shape[3:]) < 4:
            raise ValueError(
                f"`{path}` should hold {variable} [n, times, {' or '.join(map(str, allowed))}, cells, cells], "
                f"got {list(shape)}."
            )
        if shapes and shape[1:] != shapes[0][1:]:
            raise ValueError(
                f"`{path}` should have the shape of `{files[0]}`, {shapes[0][1:]}, got {shape[1:]}."
            )
        shapes.append(shape)
    return variable, shapes


def _read_part(stored: h5py.Dataset, rows: range, steps: range, path: Path) -> Tensor:
    during = slice(steps.start, steps.stop, steps.step)

    def load(chosen: range) -> np.ndarray:
        return read_part(stored, (slice(chosen.start, chosen.stop, chosen.step), during)).astype(np.float32)

    return read_rows(load, rows, path=path, what="record")


def _found_order(vx: np.ndarray, vy: np.ndarray) -> tuple[str, dict[str, float], str]:
    found = {"xy": relative_divergence(vx, vy), "yx": relative_divergence(vx.T, vy.T)}
    best, other = sorted(found, key=lambda order: found[order])
    figures = f"relative divergence {found['xy']:.3g} as (x, y), {found['yx']:.3g} as (y, x)"
    if found[best] > 0.5 * found[other]:
        return "xy", found, f"axes are taken as (x, y), as published: the flow does not tell ({figures})"
    return best, found, f"axes are ({best[0]}, {best[1]}): at t = 0 the flow has {figures}"
