"""Mesh files: whatever meshio reads and writes, and time series that ParaView opens."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import meshio
import numpy as np

from irno_graph.files import existing_file
from irno_graph.mesh.mesh import Mesh, MeshError, Period
from irno_graph.mesh.periodic import unwrapped

PERIOD_FIELD = "irno_graph:period"  # constant point data [points, 3], 0 for an axis that is not periodic
VOLUME_CELLS = ("tetra", "pyramid", "wedge", "hexahedron")
TAGS = ("cell_sets", "point_sets", "field_data")


def read_mesh(path: str | os.PathLike[str], period: Sequence[float | None] | None = None) -> Mesh:
    """Read a mesh in any format that meshio knows; the suffix of `path` says which.

    A third coordinate that is 0 everywhere is dropped where no cell is a volume. `period` overrides the
    period that `write_mesh` stored in the file.

    Raises:
        MissingFileError: if there is no file (a FileNotFoundError and a ValueError).
        MeshError: if the file does not hold a mesh that meshio can read.
    """
    file = existing_file(path)
    try:
        with _quiet() as said:
            raw = meshio.read(file)
    except (Exception, SystemExit) as error:  # some readers call sys.exit, and parsers raise what they like
        reason = " ".join(f"{said.getvalue()} {error}".split())[:300] or type(error).__name__
        raise MeshError(
            f"`{file}` should be a mesh in a format that meshio reads, got: {reason}. "
            "Check the file and its suffix."
        ) from error
    return _from_meshio(raw, file, period)


def write_mesh(
    path: str | os.PathLike[str],
    mesh: Mesh,
    point_data: Mapping[str, Any] | None = None,
    *,
    unwrap: bool = False,
) -> None:
    """Write `mesh` and `point_data` (name to `[points, ...]`); the suffix of `path` says the format.

    The period is kept where the format has point data (VTU, VTK, XDMF, Gmsh). `unwrap=True` writes a picture
    of a periodic mesh, without cells drawn across the box, and no period. The file appears whole or not at
    all.

    Raises:
        MeshError: if the suffix is unknown or the format cannot hold the mesh.
    """
    data = {**mesh.point_data, **{name: _array(values) for name, values in (point_data or {}).items()}}
    mesh = Mesh(mesh.points, mesh.cells, data, mesh.cell_data, mesh.tags, mesh.period)
    if unwrap:
        mesh, _ = unwrapped(mesh)
    with _staged(Path(path)) as staged:
        _write(staged, mesh)


def write_series(
    path: str | os.PathLike[str],
    mesh: Mesh,
    times: Sequence[float] | np.ndarray,
    fields: Mapping[str, Any],
    *,
    unwrap: bool = True,
) -> None:
    """Write fields over time for ParaView: `.xdmf` (with an `.h5` beside it) or `.pvd` (with `.vtu` files).

    `fields` maps a name to `[times, points]` or `[times, points, components]`; points and vectors of two
    components are padded with zeros to three. `unwrap` copies the points at the seam of a periodic mesh, so
    that no cell is drawn across the box.

    Raises:
        MeshError: if a shape does not fit or the suffix is another one.
    """
    target = Path(path)
    moments = [float(time) for time in times]
    arrays = {name: _array(values) for name, values in fields.items()}
    for name, values in arrays.items():
        if values.ndim not in (2, 3) or values.shape[:2] != (len(moments), len(mesh.points)):
            raise MeshError(
                f"fields['{name}'] should have shape [times={len(moments)}, points={len(mesh.points)}] "
                f"or that and components, got {list(values.shape)}."
            )
    if target.suffix not in _SERIES_WRITERS:
        raise MeshError(f"`path` should end in {' or '.join(_SERIES_WRITERS)}, got '{target.name}'.")
    picture, source = unwrapped(mesh) if unwrap else (mesh, np.arange(len(mesh.points)))
    frames = [
        {name: _padded(values[step][source]) for name, values in arrays.items()}
        for step in range(len(moments))
    ]
    with _staged(target) as staged, _quiet():
        _SERIES_WRITERS[target.suffix](staged, picture, moments, frames)


def _write_xdmf_series(path: Path, mesh: Mesh, times: list[float], frames: list[dict]) -> None:
    writer = meshio.xdmf.TimeSeriesWriter(path)
    # Entering meshio's writer would put the .h5 into the working directory: open it beside the XML instead.
    writer.h5_filename = str(path.with_suffix(".h5"))
    with h5py.File(writer.h5_filename, "w") as writer.h5_file:
        writer.write_points_cells(_padded(mesh.points), list(mesh.cells))
        for time, frame in zip(times, frames, strict=True):
            writer.write_data(time, point_data=frame)
        meshio.xdmf.time_series.write_xml(path, writer.xdmf_file)


def _write_pvd_series(path: Path, mesh: Mesh, times: list[float], frames: list[dict]) -> None:
    lines = ['<?xml version="1.0"?>', '<VTKFile type="Collection" version="0.1">', "  <Collection>"]
    for step, (time, frame) in enumerate(zip(times, frames, strict=True)):
        name = f"{path.stem}_{step:05d}.vtu"
        meshio.Mesh(_padded(mesh.points), list(mesh.cells), point_data=frame).write(path.with_name(name))
        lines.append(f'    <DataSet timestep="{time!r}" group="" part="0" file="{name}"/>')
    path.write_text("\n".join([*lines, "  </Collection>", "</VTKFile>", ""]))


_SERIES_WRITERS = {".xdmf": _write_xdmf_series, ".pvd": _write_pvd_series}


def _write(path: Path, mesh: Mesh) -> None:
    data = {name: values for name, values in mesh.point_data.items() if name != PERIOD_FIELD}
    if mesh.period is not None:
        row = [[length or 0.0 for length in mesh.period]]
        data[PERIOD_FIELD] = np.repeat(_padded(np.array(row)), len(mesh.points), axis=0)
    if path.suffix == ".msh":  # Gmsh takes 1, 3 or 9 components
        data = {name: _padded(values) for name, values in data.items()}
    cell_data = {name: list(blocks) for name, blocks in mesh.cell_data.items()}
    tags = {name: dict(mesh.tags[name]) for name in TAGS if name in mesh.tags}
    raw = meshio.Mesh(_padded(mesh.points), list(mesh.cells), point_data=data, cell_data=cell_data, **tags)
    try:
        with _quiet() as said:  # .msh is Fluent's suffix too: ours is Gmsh's
            raw.write(path, file_format="gmsh" if path.suffix == ".msh" else None)
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{said.getvalue()} {error}".split())[:300]
        raise MeshError(
            f"`{path.name}` should be a mesh file that meshio can write, got: {reason}."
        ) from error


def _from_meshio(raw: meshio.Mesh, file: Path, period: Sequence[float | None] | None) -> Mesh:
    point_data = dict(raw.point_data)
    stored = point_data.pop(PERIOD_FIELD, None)
    points = np.asarray(raw.points)
    flat = points.ndim == 2 and points.shape[1] == 3 and len(points) > 0 and not points[:, 2].any()
    if flat and not any(block.type.startswith(VOLUME_CELLS) for block in raw.cells):
        points = points[:, :2]
    if period is None and stored is not None and len(stored):
        period = tuple(float(length) if length > 0 else None for length in stored[0][: points.shape[1]])
    cells = tuple((block.type, np.asarray(block.data)) for block in raw.cells)
    if not len(points) or not any(len(corners) for _, corners in cells):
        raise MeshError(f"`{file}` should hold points and cells, got {len(points)} points and no cells.")
    tags = {name: dict(getattr(raw, name)) for name in TAGS if getattr(raw, name)}
    return Mesh(points, cells, point_data, dict(raw.cell_data), tags, _as_period(period))


def _as_period(period: Sequence[float | None] | None) -> Period:
    return None if period is None else tuple(period)


def _array(values: Any) -> np.ndarray:
    """`values` as an array; a tensor comes to the CPU first."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _padded(values: np.ndarray) -> np.ndarray:
    """Rows of one (points) or two components padded with zeros to three; scalars `[rows]` stay."""
    if values.ndim == 2 and values.shape[1] == 1:
        return np.ascontiguousarray(values[:, 0])
    if values.ndim == 2 and values.shape[1] == 2:
        return np.pad(values, ((0, 0), (0, 1)))
    return np.ascontiguousarray(values)


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keep what meshio prints, and silence the warnings of its parsers."""
    said = io.StringIO()
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        yield said


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Give a path of the same name in a temporary directory beside `target`; on success its files move out.

    Formats write companions (.h5, .vtu) whose names stand inside the main file: so names are final from the
    start, and the main file moves last.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.stem}-", dir=target.parent) as directory:
        staged = Path(directory) / target.name
        yield staged
        for file in sorted(Path(directory).iterdir(), key=lambda file: file == staged):
            file.replace(target.parent / file.name)
