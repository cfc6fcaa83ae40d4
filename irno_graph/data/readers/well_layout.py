"""The Well's file layout: its header, checked, and how each field lies in the file.

Source: the format's description in the repository PolymathicAI/the_well (docs/data_format.md) and its reader.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from irno_graph.data.readers.grid import Grid, spacing
from irno_graph.data.readers.hdf5 import array_in, flag, opened, read_part, vector_in, words

GROUPS = ("t0_fields", "t1_fields", "t2_fields")
KINDS = ("periodic", "wall", "open")


@dataclass(frozen=True)
class Field:
    """One dataset of a field group.

    Attributes:
        group: `t0_fields`, `t1_fields` or `t2_fields`.
        name: of the dataset.
        components: names of its channels, the name itself for a scalar.
        by_sample: whether its first axis is the trajectory.
        by_time: whether it has an axis of times.
        by_dim: per entry of `spatial_dims`, whether the field varies along it, and so has that axis.
    """

    group: str
    name: str
    components: tuple[str, ...]
    by_sample: bool
    by_time: bool
    by_dim: tuple[bool, ...]

    def read(self, file: h5py.File, rows: range, steps: range, layout: Layout) -> np.ndarray:
        """`[rows, steps, nodes, components]`, what does not vary repeated; one step where time does not matter."""
        stored = file[self.group][self.name]
        axes = [rows] * self.by_sample + [steps] * self.by_time
        index = tuple(slice(axis.start, axis.stop, axis.step) for axis in axes)
        values = read_part(stored, index).astype(np.float32)
        if not self.by_sample:
            values = values[None]
        if not self.by_time:
            values = values[:, None]
        for axis, varies in enumerate(self.by_dim[::-1] if layout.turned else self.by_dim):
            values = values if varies else np.expand_dims(values, 2 + axis)
        lead = (len(rows), len(steps) if self.by_time else 1)
        counts = layout.counts
        values = values.reshape(*values.shape[: 2 + len(counts)], len(self.components))
        values = np.broadcast_to(values, (*lead, *counts, len(self.components)))
        if layout.turned:
            values = np.moveaxis(values, range(2, 2 + len(counts)), range(1 + len(counts), 1, -1))
        return layout.grid.flatten(values, 2)


@dataclass(frozen=True)
class Layout:
    """Header of one file.

    Attributes:
        name: of the data set.
        trajectories: in this file.
        times: `[times]`, of the first trajectory where they differ between trajectories.
        grid: points and period.
        grid_type: "cartesian" or "spherical".
        boundaries: kind of each coordinate's ends: periodic, wall, open, or mixed.
        fields: that vary in time.
        constants: fields that do not.
        turned: whether the file's spatial axes run against `spatial_dims`.
        parameters: of the simulation.
        decisions: how axes and period were found.
    """

    name: str
    trajectories: int
    times: np.ndarray
    grid: Grid
    grid_type: str
    boundaries: dict[str, str]
    fields: tuple[Field, ...]
    constants: tuple[Field, ...]
    turned: bool
    parameters: dict[str, float]
    decisions: tuple[str, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Lengths of the file's spatial axes, in the file's order."""
        return self.grid.shape if self.turned else self.grid.shape[::-1]


def read_layout(path: Path) -> Layout:
    """The header of one .hdf5 file, checked against the shapes of all its fields.

    Raises:
        ValueError: naming the file, and the group, attribute or array that is missing or does not fit.
    """
    with opened(path) as file:
        missing = [name for name in ("dimensions", *GROUPS[:2]) if name not in file]
        if missing or "spatial_dims" not in file["dimensions"].attrs:
            what = missing or ["dimensions@spatial_dims"]
            raise ValueError(f"`{path}` should have the Well's layout, got {sorted(file)} without {what}.")
        dimensions = file["dimensions"]
        names = words(dimensions.attrs["spatial_dims"])
        if not 1 <= len(names) <= 3 or len(set(names)) != len(names):
            raise ValueError(f"`{path}`: spatial_dims should be 1 to 3 different names, got {list(names)}.")
        coordinates = tuple(_coordinate(dimensions, name, path) for name in names)
        boundaries = _boundaries(file, names, path)
        period = tuple(
            _step(values, name, path) * len(values) if boundaries[name] == "periodic" else None
            for name, values in zip(names, coordinates, strict=True)
        )
        times = _times(dimensions, path)
        found = _fields(file, names, path)
        trajectories = _trajectories(file, found, path)
        grid = Grid(names, coordinates, period, centred=_centred(coordinates, period))
        turned, decision = _turned(file, found, grid, (trajectories, len(times)), path)
        edges = ", ".join(f"{name} {boundaries[name]}" for name in names)
        return Layout(
            name=" ".join(words(file.attrs.get("dataset_name", path.stem))),
            trajectories=trajectories,
            times=times,
            grid=grid,
            grid_type=" ".join(words(file.attrs.get("grid_type", "cartesian"))),
            boundaries=boundaries,
            fields=tuple(field for field in found if field.by_time),
            constants=tuple(field for field in found if not field.by_time),
            turned=turned,
            parameters=_parameters(file),
            decisions=(
                decision,
                f"boundaries from boundary_conditions: {edges}; a period is n steps of its axis",
            ),
        )


def _coordinate(dimensions: h5py.Group, name: str, path: Path) -> np.ndarray:
    stored = array_in(dimensions, name, path)
    if flag(stored, "time_varying", False) or flag(stored, "sample_varying", False):
        raise ValueError(f"`{path}`: coordinate {name} should be the same for all samples and times.")
    values = vector_in(dimensions, name, path, least=2)
    if not (np.diff(values) > 0).all():
        raise ValueError(f"`{path}`: coordinate {name} should ascend, got {values[:3].tolist()} and so on.")
    return values


def _step(values: np.ndarray, name: str, path: Path) -> float:
    try:
        return spacing(values, name)
    except ValueError as error:
        raise ValueError(f"`{path}`: periodic {error}") from error


def _centred(coordinates: tuple[np.ndarray, ...], period: tuple[float | None, ...]) -> bool:
    """Whether each coordinate that is not periodic begins at half a step, and one does."""
    closed = [values for values, length in zip(coordinates, period, strict=True) if length is None]
    steps = [(values[-1] - values[0]) / (len(values) - 1) for values in closed]
    return bool(closed) and all(
        abs(values[0] - step / 2) < 1e-3 * step for values, step in zip(closed, steps, strict=True)
    )


def _times(dimensions: h5py.Group, path: Path) -> np.ndarray:
    stored = array_in(dimensions, "time", path)
    if stored.ndim == 2 and 0 not in stored.shape:  # one row per trajectory
        first = read_part(stored, (0,)).astype(np.float64)
        if not np.isfinite(first).all():
            raise ValueError(f"`{path}`: {stored.name} should be finite, got NaN or infinite values.")
        return first
    return vector_in(dimensions, "time", path)


def _boundaries(file: h5py.File, names: tuple[str, ...], path: Path) -> dict[str, str]:
    """Kind of the ends of each coordinate; open where nothing is said, as the Well's reader has it."""
    found: dict[str, set[str]] = {name: set() for name in names}
    group: Any = file.get("boundary_conditions", {})
    for label in group:
        attributes = group[label].attrs
        kind = (
            words(attributes["bc_type"])[0].lower()
            if "bc_type" in attributes
            else label.split("_")[-1].lower()
        )
        dims = (
            words(attributes["associated_dims"])
            if "associated_dims" in attributes
            else (label.split("_")[0],)
        )
        if kind not in KINDS:
            raise ValueError(f"`{path}`: boundary {label} should be one of {', '.join(KINDS)}, got '{kind}'.")
        if len(dims) > 1 and kind != "periodic":
            continue  # an obstacle inside, no statement on the ends of an axis
        for name in dims:
            if name not in found:
                raise ValueError(
                    f"`{path}`: boundary {label} should be of one of {list(names)}, got '{name}'."
                )
            found[name].add(kind)
    for name, kinds in found.items():
        if "periodic" in kinds and len(kinds) > 1:
            raise ValueError(f"`{path}`: coordinate {name} should be periodic or not, got {sorted(kinds)}.")
    return {name: "/".join(sorted(kinds)) or "open" for name, kinds in found.items()}


def _fields(file: h5py.File, names: tuple[str, ...], path: Path) -> list[Field]:
    fields = []
    for order, group in enumerate(GROUPS):
        if group not in file:
            continue
        parts = ["".join(part) for part in itertools.product(names, repeat=order)]
        for name in words(file[group].attrs.get("field_names", sorted(file[group]))):
            stored = array_in(file[group], name, path)
            varies = np.atleast_1d(stored.attrs.get("dim_varying", np.ones(len(names), dtype=bool)))
            if varies.shape != (len(names),):
                raise ValueError(f"`{path}`: {stored.name}@dim_varying should have {len(names)} entries.")
            fields.append(
                Field(
                    group,
                    name,
                    tuple(f"{name}_{part}" if part else name for part in parts),
                    flag(stored, "sample_varying", True),
                    flag(stored, "time_varying", True),
                    tuple(bool(entry) for entry in varies),
                )
            )
    if not any(field.by_time for field in fields):
        raise ValueError(f"`{path}` should have a field that varies in time, got {[f.name for f in fields]}.")
    return fields


def _trajectories(file: h5py.File, fields: list[Field], path: Path) -> int:
    counts = {file[f.group][f.name].shape[0] for f in fields if f.by_sample and file[f.group][f.name].ndim}
    if "n_trajectories" in file.attrs:
        counts.add(int(file.attrs["n_trajectories"]))
    if len(counts) != 1 or min(counts) < 1:
        raise ValueError(f"`{path}` should have one number of trajectories, got {sorted(counts)}.")
    return counts.pop()


def _turned(
    file: h5py.File, fields: list[Field], grid: Grid, lead: tuple[int, int], path: Path
) -> tuple[bool, str]:
    """Whether spatial axes come last coordinate first, from the lengths; `spatial_dims` decides a square."""
    fits = {}
    for turned in (False, True):
        counts = grid.shape if turned else grid.shape[::-1]
        fits[turned] = [_misfit(file, field, counts, lead, turned) for field in fields]
    order = ", ".join(grid.names)
    if not any(fits[False]):
        why = "their lengths fit" if any(fits[True]) else "square, so the format's own order is taken"
        return False, f"axes of the arrays run along ({order}), as spatial_dims says ({why})"
    if not any(fits[True]):
        turned_order = ", ".join(reversed(grid.names))
        return (
            True,
            f"axes of the arrays run along ({turned_order}), against spatial_dims: only so lengths fit",
        )
    wrong = next(misfit for misfit in fits[False] if misfit)
    raise ValueError(f"`{path}`: {wrong}: the header and the arrays should agree.")


def _misfit(
    file: h5py.File, field: Field, counts: tuple[int, ...], lead: tuple[int, int], turned: bool
) -> str:
    """What is wrong with the shape of `field`; empty where nothing is."""
    dim, by_dim = len(counts), field.by_dim[::-1] if turned else field.by_dim
    shape = (lead[0],) * field.by_sample + (lead[1],) * field.by_time
    shape += tuple(count for count, varies in zip(counts, by_dim, strict=True) if varies)
    order = GROUPS.index(field.group)
    ends: list[tuple[int, ...]] = [(dim,) * order] + [(dim * dim,)] * (order == 2)
    found = file[field.group][field.name].shape
    if found in [shape + end for end in ends]:
        return ""
    return f"{field.group}/{field.name} should have shape {list(shape + ends[0])}, got {list(found)}"


def _parameters(file: h5py.File) -> dict[str, float]:
    names = words(file.attrs.get("simulation_parameters", ()))
    values = {name: file.attrs[name] for name in names if name in file.attrs}
    return {name: float(value) for name, value in values.items() if np.ndim(value) == 0}
