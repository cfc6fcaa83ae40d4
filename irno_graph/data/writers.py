"""Writing trajectories in RIGNO's layout, and sources of other layouts in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from irno_graph.data.readers.rigno import RignoFile
from irno_graph.data.readers.rigno_samples import RignoSamples
from irno_graph.data.readers.source import FieldSource
from irno_graph.files import atomic_path
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.mesh.cells import CELLS

CHUNK = 2**26  # bytes
WHOLE = {"pixel": "quad", "voxel": "hexahedron"}


def write_rigno(
    path: str | os.PathLike[str],
    states: Iterable[Any],
    points: Any,
    cells: Any,
    times: Sequence[float] | np.ndarray,
    channels: Sequence[str],
    period: Sequence[float | None] | None = None,
    *,
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """Write trajectories on one mesh; the file appears at `path` only when complete.

    It holds `u` [n, times, nodes, channels] float32, `x` [1, 1, nodes, dim], `t` [times], triangles as `tri` and other
    cells by meshio's names, and the attributes `channels` and `period`, 0 for an axis that is not periodic. What is not
    made of triangles in a box with two periods has the attribute `domain` = "mesh" too.

    Args:
        path: file to write.
        states: trajectories `[times, nodes, channels]`, taken one by one: a generator will do.
        points: `[nodes, dim]`.
        cells: triangles `[triangles, 3]`, or pairs of a cell type and corners as `Mesh` takes them.
        times: `[times]`, ascending.
        channels: their names.
        period: box length per axis, None for one that is not periodic; None where no axis is.
        attributes: more of the file's.

    Raises:
        ValueError: if shapes do not fit each other, a trajectory is not finite, or there is none.
    """
    blocks = [("triangle", cells)] if isinstance(cells, np.ndarray) else list(cells)
    mesh = Mesh(points, blocks, period=period)
    moments, names = np.asarray(times, dtype=np.float64), [str(name) for name in channels]
    shape = (len(moments), len(mesh.points), len(names))
    if moments.ndim != 1 or not len(moments) or not np.isfinite(moments).all():
        raise ValueError(f"`times` should be finite numbers [times], got shape {list(moments.shape)}.")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({**(attributes or {}), "channels": names})
        _write_mesh(file, mesh)
        file["t"] = moments
        steps = int(np.clip(CHUNK // max(4 * shape[1] * shape[2], 1), 1, shape[0]))
        chunks = (1, steps, max(shape[1], 1), max(shape[2], 1))
        u = file.create_dataset("u", (0, *shape), np.float32, maxshape=(None, *shape), chunks=chunks)
        for number, state in enumerate(states):
            values = np.asarray(state, dtype=np.float32)
            if values.shape != shape:
                raise ValueError(
                    f"trajectory {number} should have shape [times, nodes, channels] = {list(shape)}, got "
                    f"{list(values.shape)}."
                )
            if not np.isfinite(values).all():
                raise ValueError(f"trajectory {number} should be finite, got NaN or infinite values.")
            u.resize(number + 1, axis=0)
            u[number] = values
        if not len(u):
            raise ValueError("`states` should hold at least one trajectory, got none.")
    return Path(path)


def convert(source: FieldSource, path: str | os.PathLike[str]) -> Path:
    """Write all samples of `source` in RIGNO's layout, one in memory at once.

    Raises:
        ValueError: if points change between samples, the nodes have no cells or are a grid of the sphere, or a sample
            cannot be read.
    """
    if getattr(source, "moving", False):
        raise ValueError(f"`{source.path}` has points that change: one file of this layout has one mesh.")
    mesh = mesh_of(source)
    states = (source.read(index)[0].numpy() for index in range(len(source)))
    about = {"converted_from": source.format, "source": source.path.name}
    return write_rigno(
        path, states, mesh.points, mesh.cells, source.times, source.channels, mesh.period, attributes=about
    )


def mesh_of(source: FieldSource, index: int = 0) -> Mesh:
    """The mesh of a source's nodes, from its file where it has one, else from the cells of the graph of sample `index`.

    Raises:
        ValueError: for grids of the sphere, whose poles are many nodes, and for nodes without cells.
    """
    own: Any = source
    if isinstance(getattr(source, "mesh", None), Mesh):
        mesh: Mesh = own.mesh
        return mesh
    if isinstance(source, RignoFile):
        return source.trajectories.mesh()
    if isinstance(source, RignoSamples):
        return source.mesh(index)
    graph: Graph = source.graph()
    if getattr(graph, "sphere_shape", ()):
        raise ValueError(
            f"`{source.path}` is on a grid of the sphere, which is no mesh: its poles are many nodes."
        )
    blocks = []
    for kind, corners, _ in graph.cells():
        ordered = corners.sort(dim=1).values
        whole = (ordered.diff(dim=1) > 0).all(dim=1)  # not those at the rim of a grid of centres
        blocks.append((WHOLE.get(kind, kind), corners[whole].numpy()))
    if not blocks:
        raise ValueError(f"`{source.path}` has points without cells: triangulate them first.")
    return Mesh(graph.pos.numpy(), blocks, period=graph.period)


def _write_mesh(file: h5py.File, mesh: Mesh) -> None:
    lengths = tuple(length or 0.0 for length in mesh.period or (None,) * mesh.dim)
    file.attrs["period"] = lengths
    kinds = sorted({kind for kind, corners in mesh.cells if len(corners)})
    unknown = [kind for kind in kinds if kind not in CELLS]
    if unknown:
        raise ValueError(f"cells should be of the types {', '.join(CELLS)}, got {', '.join(unknown)}.")
    if kinds != ["triangle"] or mesh.dim != 2 or not all(lengths):
        file.attrs["domain"] = "mesh"
    file["x"] = mesh.points[None, None]
    for kind in kinds:
        file["tri" if kind == "triangle" else kind] = mesh.cells_of(kind).astype(np.int32)
