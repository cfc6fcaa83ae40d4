"""Fields over time on a mesh, in files that ParaView opens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import meshio
import numpy as np

from irno_graph.mesh.mesh import Mesh, MeshError
from irno_graph.mesh.periodic import unwrapped
from irno_graph.mesh.staging import as_array, padded, quiet, staged_files

Add = Callable[[float, Mapping[str, Any]], None]
REOPENED = 50  # after so many snapshots


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
    moments = [float(time) for time in times]
    arrays = {name: as_array(values) for name, values in fields.items()}
    for name, values in arrays.items():
        if values.ndim not in (2, 3) or values.shape[:2] != (len(moments), len(mesh.points)):
            raise MeshError(
                f"fields['{name}'] should have shape [times={len(moments)}, points={len(mesh.points)}] "
                f"or that and components, got {list(values.shape)}."
            )
    with series_writer(path, mesh, unwrap=unwrap) as add:
        for step, time in enumerate(moments):
            add(time, {name: values[step] for name, values in arrays.items()})


@contextmanager
def series_writer(
    path: str | os.PathLike[str], mesh: Mesh, *, unwrap: bool = True, note: str = ""
) -> Iterator[Add]:
    """The writer behind `write_series`, for snapshots that come one by one: none is kept in memory.

    Gives a function `add(time, fields)`, where `fields` maps a name to `[points]` or `[points, components]`. The
    files appear at the end. A `note`, text without "--", stands as a comment at the head of the main file.

    Raises:
        MeshError: if a shape does not fit or the suffix is another one.
    """
    target = Path(path)
    if target.suffix not in _SERIES_WRITERS:
        raise MeshError(f"`path` should end in {' or '.join(_SERIES_WRITERS)}, got '{target.name}'.")
    picture, source = unwrapped(mesh) if unwrap else (mesh, np.arange(len(mesh.points)))
    comment = f"<!--{note}-->\n" if note else ""
    with staged_files(target) as staged, _SERIES_WRITERS[target.suffix](staged, picture, comment) as write:

        def add(time: float, fields: Mapping[str, Any]) -> None:
            arrays = {name: as_array(values) for name, values in fields.items()}
            for name, values in arrays.items():
                if values.ndim not in (1, 2) or len(values) != len(mesh.points):
                    raise MeshError(
                        f"fields['{name}'] should have shape [points={len(mesh.points)}] or that and components, "
                        f"got {list(values.shape)}."
                    )
            with quiet():
                write(float(time), {name: padded(values[source]) for name, values in arrays.items()})

        yield add


def _cell_data(mesh: Mesh) -> dict[str, list[np.ndarray]]:
    return {name: [padded(block) for block in blocks] for name, blocks in mesh.cell_data.items()}


@contextmanager
def _xdmf_series(path: Path, mesh: Mesh, comment: str) -> Iterator[Add]:
    """meshio's writer; what it has made of a snapshot goes to the file at once, it would keep it until the end."""
    writer = meshio.xdmf.TimeSeriesWriter(path)
    # Entering meshio's writer would put the .h5 into the working directory: open it beside the XML instead.
    writer.h5_filename = str(path.with_suffix(".h5"))
    writer.h5_file = h5py.File(writer.h5_filename, "w")
    try:
        with path.open("w", encoding="utf-8") as file:
            with quiet():
                writer.write_points_cells(padded(mesh.points), list(mesh.cells))
            head = ElementTree.tostring(writer.xdmf_file, encoding="unicode", short_empty_elements=False)
            before, after = head.split("</Grid>", 1)  # inside the collection, which is empty
            file.write(comment + before + "\n")
            written = 0

            def write(time: float, frame: Mapping[str, Any]) -> None:
                nonlocal written
                if (
                    written % REOPENED == REOPENED - 1
                ):  # HDF5 keeps something of every array until it is closed
                    writer.h5_file.close()
                    writer.h5_file = h5py.File(writer.h5_filename, "a")
                writer.write_data(time, point_data=frame, cell_data=_cell_data(mesh))
                file.write(ElementTree.tostring(writer.collection[0], encoding="unicode") + "\n")
                writer.collection.clear()
                written += 1

            yield write
            file.write("</Grid>" + after + "\n")
    finally:
        writer.h5_file.close()


@contextmanager
def _pvd_series(path: Path, mesh: Mesh, comment: str) -> Iterator[Add]:
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0"?>\n' + comment)
        file.write('<VTKFile type="Collection" version="0.1">\n  <Collection>\n')
        step = 0

        def write(time: float, frame: Mapping[str, Any]) -> None:
            nonlocal step
            name = f"{path.stem}_{step:05d}.vtu"
            cells, data = list(mesh.cells), _cell_data(mesh)
            meshio.Mesh(padded(mesh.points), cells, point_data=dict(frame), cell_data=data).write(
                path.with_name(name)
            )
            file.write(f'    <DataSet timestep="{time!r}" group="" part="0" file="{name}"/>\n')
            step += 1

        yield write
        file.write("  </Collection>\n</VTKFile>\n")


_SERIES_WRITERS = {".xdmf": _xdmf_series, ".pvd": _pvd_series}
