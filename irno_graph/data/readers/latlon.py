"""Fields on latitudes and longitudes, as ERA5 and WeatherBench files have them (NetCDF)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.netcdf import Variable, units_of, variables_of
from irno_graph.data.readers.source import read_rows, rows_of
from irno_graph.data.readers.sphere_grid import LatLonGrid
from irno_graph.files import existing_file
from irno_graph.graph import Graph

NAMES = {
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon"),
    "time": ("time", "valid_time"),
    "level": ("level", "pressure_level", "isobaricInhPa", "plev", "lev"),
}


@dataclass(frozen=True)
class Channel:
    """One field: a variable, or one level of it.

    Attributes:
        name: of the channel, "t_500" for a level.
        variable: in the file.
        dims: its dimensions as `time`, `level`, `latitude` and `longitude`.
        level: place in the file's levels; None where there is none.
    """

    name: str
    variable: str
    dims: tuple[str, ...]
    level: int | None


class LatLonFile:
    """One series of fields on the sphere: a single sample, with all times of the file.

    Nodes go from north to south, and eastward from the first longitude at or after 0; node i_lat * nlon + i_lon. It
    does not matter in which direction, and in which order, the file has latitudes and longitudes. Packed values are
    unpacked; a missing value makes its time unreadable.

    Args:
        path: NetCDF4 or classic NetCDF file with coordinates named as in ERA5: latitude or lat, and so on.
        variables: names of those to take; None takes all on latitude and longitude, in the file's order.
        levels: values of those to take; None takes all.

    Attributes:
        grid: latitudes, longitudes, positions on the unit sphere and cell areas.
        time_units: of `times`, as the file has it ("hours since 1900-01-01").
        constant_channels: fields without time; read them with `read_constants`.

    Raises:
        ValueError: for a missing or damaged file, coordinates that are absent or wrong, or unknown variables.
    """

    format = "Latitudes and longitudes (NetCDF)"
    period: tuple[float | None, ...] | None = None
    moments: Moments | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        variables: Sequence[str] | None = None,
        levels: Sequence[float] | None = None,
    ) -> None:
        self.path = existing_file(path)
        with variables_of(self.path) as found:
            names = {
                what: next((name for name in given if name in found), "") for what, given in NAMES.items()
            }
            for what in ("latitude", "longitude"):
                if not names[what]:
                    raise ValueError(f"`{path}` should hold {' or '.join(NAMES[what])}, got {sorted(found)}.")
            values = {what: self._coordinate(found[name]) for what, name in names.items() if name}
            self.time_units = units_of(found[names["time"]]) if names["time"] else ""
            self.times = values.get("time", np.zeros(1))
            self.levels = values.get("level", np.zeros(0))
            self.grid = self._grid(values["latitude"], values["longitude"])
            self._sizes = {what: len(numbers) for what, numbers in values.items()}
            self._all, skipped = self._listed(found, names, variables, self._chosen(levels))
        self._fields = [channel for channel in self._all if "time" in channel.dims]
        self._constants = [channel for channel in self._all if "time" not in channel.dims]
        self.channels = tuple(channel.name for channel in self._fields)
        self.constant_channels = tuple(channel.name for channel in self._constants)
        self.decisions = (*self.grid.decisions, f"times in {self.time_units or 'units that are not said'}")
        if skipped:
            self.decisions += (f"left out, with other dimensions: {', '.join(skipped)}",)

    def __len__(self) -> int:
        return 1

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """The series at `times`, `[1, times, nodes, channels]` float32.

        Raises:
            ValueError: naming the file and the time in it that is damaged or has missing values.
            IndexError: for a sample other than 0.
        """
        samples = rows_of(index, 1, what="samples", path=self.path)
        steps = rows_of(times, len(self.times), what="times", path=self.path)
        return self._read(self._fields, steps)[None][: len(samples)]

    def read_constants(self) -> Tensor:
        """Fields without time, `[nodes, constant channels]` float32."""
        return self._read(self._constants, range(1))[0]

    def graph(self) -> Graph:
        """The graph of the grid, in three dimensions; see `LatLonGrid.graph`."""
        return self.grid.graph()

    def _read(self, channels: list[Channel], steps: range) -> Tensor:
        if not channels:
            return torch.empty(len(steps), self.grid.nodes, 0)
        with variables_of(self.path) as found:

            def load(rows: range) -> np.ndarray:
                return np.stack([self._plane(found[c.variable], c, rows) for c in channels], axis=-1)

            return read_rows(load, steps, path=self.path, what="time")

    def _plane(self, variable: Variable, channel: Channel, rows: range) -> np.ndarray:
        """`[times, nodes]` of one channel; one time where it has none."""
        index: dict[str, slice | int] = {"time": slice(rows.start, rows.stop, rows.step)}
        if channel.level is not None:
            index["level"] = channel.level
        values = variable.physical(tuple(index.get(dim, slice(None)) for dim in channel.dims))
        if "time" not in channel.dims:
            values = values[None]
        kept = [dim for dim in channel.dims if dim in ("latitude", "longitude")]
        return self.grid.flatten(values if kept[0] == "latitude" else values.swapaxes(-1, -2))

    def _grid(self, latitude: np.ndarray, longitude: np.ndarray) -> LatLonGrid:
        try:
            return LatLonGrid.of(latitude, longitude)
        except ValueError as error:
            raise ValueError(f"`{self.path}`: {error}") from error

    def _coordinate(self, variable: Variable) -> np.ndarray:
        if len(variable.shape) != 1 or not 1 <= variable.shape[0] < 2**31:
            raise ValueError(
                f"`{self.path}`: {variable.dims} should be a vector, got shape {list(variable.shape)}."
            )
        values = variable.physical()
        if not np.isfinite(values).all():
            raise ValueError(f"`{self.path}`: coordinate {variable.dims[0]} should be finite.")
        return values

    def _chosen(self, levels: Sequence[float] | None) -> list[int]:
        if levels is None:
            return list(range(len(self.levels)))
        places = [np.flatnonzero(np.isclose(self.levels, level)) for level in levels]
        absent = [level for level, place in zip(levels, places, strict=True) if len(place) != 1]
        if absent:
            raise ValueError(f"`levels` should be among {self.levels.tolist()}, got {absent}.")
        return [int(place[0]) for place in places]

    def _listed(
        self,
        found: dict[str, Variable],
        names: dict[str, str],
        wanted: Sequence[str] | None,
        levels: list[int],
    ) -> tuple[list[Channel], list[str]]:
        """Channels of all fields, and names of arrays on the sphere with dimensions that are not known here."""
        meaning = {name: what for what, name in names.items() if name}
        channels, skipped = [], []
        for name, variable in found.items():
            dims = tuple(meaning.get(dim, dim) for dim in variable.dims)
            if name in meaning or (wanted is not None and name not in wanted) or "longitude" not in dims:
                continue
            if (
                set(dims[-2:]) != {"latitude", "longitude"}
                or len(set(dims)) != len(dims)
                or set(dims) - set(NAMES)
            ):
                skipped.append(name)
                continue
            shape = tuple(self._sizes[dim] for dim in dims)
            if variable.shape != shape:
                raise ValueError(f"`{self.path}`: {name} should have shape {shape}, got {variable.shape}.")
            if "level" in dims:
                channels += [Channel(f"{name}_{self.levels[k]:g}", name, dims, k) for k in levels]
            else:
                channels.append(Channel(name, name, dims, None))
        absent = sorted(set(wanted or ()) - {channel.variable for channel in channels})
        if absent or not channels:
            raise ValueError(
                f"`{self.path}` should hold fields on {names['latitude']} and {names['longitude']}"
                f"{f', among them {absent}' if absent else ''}, got {sorted(found)}."
            )
        return channels, skipped
