"""Fields over time on a mesh, in files that ParaView opens."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import meshio
import numpy as np

from irno_graph.mesh.mesh import Mesh, MeshError
from irno_graph.mesh.periodic import unwrapped
from irno_graph.mesh.staging import as_array, padded, quiet, staged_files


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
    components are padded with zeros to three. The cell data of `mesh` stand in every frame. `unwrap` copies
    the points at the seam of a periodic mesh, so that no cell is drawn across the box. The files appear whole
    or not at all.

    Raises:
        MeshError: if a shape does not fit or the suffix is another one.
    """
    target = Path(path)
    moments = [float(time) for time in times]
    arrays = {name: as_array(values) for name, values in fields.items()}
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
        {name: padded(values[step][source]) for name, values in arrays.items()}
        for step in range(len(moments))
    ]
    with staged_files(target) as staged, quiet():
        _SERIES_WRITERS[target.suffix](staged, picture, moments, frames)


def _cell_data(mesh: Mesh) -> dict[str, list[np.ndarray]]:
    return {name: [padded(block) for block in blocks] for name, blocks in mesh.cell_data.items()}


def _write_xdmf_series(path: Path, mesh: Mesh, times: list[float], frames: list[dict]) -> None:
    writer = meshio.xdmf.TimeSeriesWriter(path)
    # Entering meshio's writer would put the .h5 into the working directory: open it beside the XML instead.
    writer.h5_filename = str(path.with_suffix(".h5"))
    with h5py.File(writer.h5_filename, "w") as writer.h5_file:
        writer.write_points_cells(padded(mesh.points), list(mesh.cells))
        for time, frame in zip(times, frames, strict=True):
            writer.write_data(time, point_data=frame, cell_data=_cell_data(mesh))
        meshio.xdmf.time_series.write_xml(path, writer.xdmf_file)


def _write_pvd_series(path: Path, mesh: Mesh, times: list[float], frames: list[dict]) -> None:
    lines = ['<?xml version="1.0"?>', '<VTKFile type="Collection" version="0.1">', "  <Collection>"]
    for step, (time, frame) in enumerate(zip(times, frames, strict=True)):
        name = f"{path.stem}_{step:05d}.vtu"
        raw = meshio.Mesh(padded(mesh.points), list(mesh.cells), point_data=frame, cell_data=_cell_data(mesh))
        raw.write(path.with_name(name))
        lines.append(f'    <DataSet timestep="{time!r}" group="" part="0" file="{name}"/>')
    path.write_text("\n".join([*lines, "  </Collection>", "</VTKFile>", ""]))


_SERIES_WRITERS = {".xdmf": _write_xdmf_series, ".pvd": _write_pvd_series}
