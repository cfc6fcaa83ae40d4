"""The layout of files of trajectories on the sphere: NetCDF4 with latitudes and longitudes, once or twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import h5py
import numpy as np

from irno_graph.graph.spheres import SphereGrid, latitudes

CHANNELS = ("height", "vorticity", "divergence")
UNITS = {
    "height": ("m", "height of the surface less its mean"),
    "vorticity": ("1/s", "relative vorticity"),
    "divergence": ("1/s", "divergence of the wind"),
}


@dataclass(frozen=True)
class Layout:
    """The grids of a file.

    Attributes:
        nlat: latitudes.
        nlon: longitudes.
        grid: kind of the latitudes, of both grids.
        coarse: latitudes and longitudes of the coarser grid; None where there is none.
    """

    nlat: int
    nlon: int
    grid: SphereGrid
    coarse: tuple[int, int] | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shapes of the grids that there are, "fine" and "coarse"."""
        fine = {"fine": (self.nlat, self.nlon)}
        return fine if self.coarse is None else {**fine, "coarse": self.coarse}


def write(
    file: h5py.File,
    layout: Layout,
    times: np.ndarray,
    trajectories: Iterable[Mapping[str, np.ndarray]],
    count: int,
) -> None:
    """Write coordinates and `count` trajectories to an open file, one of them in memory at once.

    Args:
        file: open for writing.
        layout: of the grids.
        times: hours `[times]`.
        trajectories: "fine" and "coarse" `[times, nlat, nlon, channels]` of each.
        count: number of trajectories.
    """
    file.attrs["Conventions"] = "CF-1.8"
    file.attrs["channels"] = list(CHANNELS)
    _scale(file, "trajectory", np.arange(count))
    _scale(file, "time", times, units="hours", long_name="hours after the first snapshot")
    for name, (nlat, nlon) in layout.shapes.items():
        prefix = "" if name == "fine" else "coarse_"
        north = 90 - np.degrees(np.arccos(latitudes(nlat, layout.grid)[0]))
        _scale(file, f"{prefix}lat", north, units="degrees_north", standard_name="latitude")
        east = 360 * np.arange(nlon) / nlon
        _scale(file, f"{prefix}lon", east, units="degrees_east", standard_name="longitude")
        shape = (len(times), nlat, nlon)
        for channel in CHANNELS:
            stored = file.create_dataset(
                prefix + channel, (count, *shape), dtype=np.float32, chunks=(1, *shape), fletcher32=True
            )
            stored.attrs["units"], stored.attrs["long_name"] = UNITS[channel]
            for axis, scale in enumerate(("trajectory", "time", f"{prefix}lat", f"{prefix}lon")):
                stored.dims[axis].attach_scale(file[scale])
    for number, fields in enumerate(trajectories):
        for name in layout.shapes:
            prefix = "" if name == "fine" else "coarse_"
            for place, channel in enumerate(CHANNELS):
                file[prefix + channel][number] = fields[name][..., place]


def _scale(file: h5py.File, name: str, values: np.ndarray, **attributes: str) -> None:
    file[name] = values
    file[name].attrs.update(attributes)
    file[name].make_scale(name)
