"""Which layout a file or folder has, from what is in it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irno_graph.data.readers.darcy import DarcyFile
from irno_graph.data.readers.hdf5 import opened, words
from irno_graph.data.readers.latlon import NAMES, LatLonFile
from irno_graph.data.readers.mesh_series import MeshSeries
from irno_graph.data.readers.mesh_trajectories import MeshTrajectories
from irno_graph.data.readers.netcdf import CLASSIC, variables_of
from irno_graph.data.readers.poseidon import CHANNELS, PoseidonData, poseidon_files
from irno_graph.data.readers.rigno_samples import open_rigno
from irno_graph.data.readers.snapshots import SERIES, ArrayFolder, mesh_files
from irno_graph.data.readers.source import FieldSource
from irno_graph.data.readers.sphere_trajectories import COORDINATES, SphereTrajectories
from irno_graph.data.readers.well import SPLITS, SUFFIXES, WellData
from irno_graph.data.trajectories import DOMAINS
from irno_graph.files import MissingFileError
from irno_graph.mesh.formats import format_of

READERS: Mapping[str, Any] = {
    "well": WellData,
    "poseidon": PoseidonData,
    "darcy": DarcyFile,
    "sphere": SphereTrajectories,
    "latlon": LatLonFile,
    "rigno": open_rigno,
    "series": MeshSeries,
    "mesh": MeshTrajectories,
}
KNOWN = (
    "the Well's .hdf5 (groups dimensions and t0_fields) or a folder of them",
    "Poseidon's .nc (`data` or `velocity` [n, times, variables, cells, cells]) or a folder of data_0.nc and so on",
    "neuraloperator's Darcy .pt (x and y)",
    "trajectories on the sphere (.nc; trajectory, time, lat and lon)",
    "NetCDF on latitudes and longitudes",
    "RIGNO's .nc (u and x), and the same on meshes and spheres (`domain`)",
    "meshes in a folder, an .xdmf, .pvd or .vtk.series file, or pts.npy, cells.npy and snapshots_NAME.npy",
)


def open_data(path: str | os.PathLike[str], **options: Any) -> FieldSource:
    """The reader of the file or folder at `path`, chosen by its content; `options` go to that reader.

    Raises:
        ValueError: for a missing path, a layout that is not known, or what the reader refuses.
        TypeError: for an option that the reader does not have.
    """
    source: FieldSource = READERS[layout_of(path)](path, **options)
    return source


def layout_of(path: str | os.PathLike[str]) -> str:
    """One of `READERS`, from the names of a folder's files or the first bytes and names inside a file.

    Raises:
        ValueError: for a missing path, a damaged file, or a layout that is not known.
    """
    found = Path(path)
    if found.is_dir():
        return _layout_of_folder(found)
    if not found.is_file():
        raise MissingFileError(f"`{found}` should be a file or a folder, found nothing: check the path.")
    with found.open("rb") as stream:
        start = stream.read(8)
    domain: tuple[str, ...] = ()
    if start[:4] in CLASSIC:
        with variables_of(found) as variables:
            names, groups = set(variables), set[str]()
    elif start == b"\x89HDF\r\n\x1a\n":
        with opened(found) as file:
            names = set(file)
            groups = {name for name in names if hasattr(file[name], "keys")}
            domain = words(file.attrs["domain"]) if "domain" in file.attrs else ()
    elif found.suffix.lower() in SERIES or (format_of(found) is not None and not start.startswith(b"PK")):
        return "series"
    elif zipfile.is_zipfile(found):
        return _layout_of_zip(found)
    else:
        raise _unknown(found, f"a file that begins with {start!r}")
    if {"dimensions", "t0_fields"} <= groups:
        return "well"
    if set(COORDINATES) <= names and start[:4] not in CLASSIC:
        return "sphere"
    if all(any(name in names for name in NAMES[what]) for what in ("latitude", "longitude")):
        return "latlon"
    if {"u", "x"} <= names:
        return "mesh" if domain and domain[0] in DOMAINS else "rigno"
    if names & set(CHANNELS):
        return "poseidon"
    raise _unknown(found, f"{', '.join(sorted(names)[:12]) or 'nothing'} inside")


def _layout_of_folder(folder: Path) -> str:
    if ArrayFolder.fits(folder) or mesh_files(folder):
        return "series"
    places = [folder, *(folder / split for split in SPLITS), *(folder / "data" / split for split in SPLITS)]
    if any(next(place.glob(f"*{suffix}"), None) for place in places for suffix in SUFFIXES):
        return "well"
    names = sorted(entry.name for entry in folder.iterdir())
    if any(name.endswith(".nc") for name in names):
        poseidon_files(folder)
        return "poseidon"
    raise _unknown(folder, f"a folder of {', '.join(names[:12]) or 'nothing'}")


def _layout_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"`{path}` should be a sound archive, got: {error}: fetch it again.") from error
    if any(name.endswith("data.pkl") for name in names):
        return "darcy"
    raise _unknown(path, f"an archive of {', '.join(names[:12]) or 'nothing'}")


def _unknown(path: Path, what: str) -> ValueError:
    return ValueError(f"`{path}` should have a known layout, got {what}. Known are: {'; '.join(KNOWN)}.")
