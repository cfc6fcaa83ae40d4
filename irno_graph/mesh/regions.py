"""Named parts of a mesh: what its tags call by name or number, as cells and points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irno_graph.mesh.cells import CELLS

if TYPE_CHECKING:
    from irno_graph.mesh.mesh import Mesh

NUMBERED = ("gmsh:physical", "su2:tag", "medit:ref", "netgen:index", "avsucd:material", "tetgen:ref")


def named_cells(mesh: Mesh) -> dict[str, np.ndarray]:
    """Name to indices `[any]` of its cells, which count through the blocks; empty for a name without cells.

    Names come from `cell_sets` and `field_data`; a number in the cell data of a mesh generator that has no
    name is called after both, as "medit:ref 2". 0 means no region there.
    """
    found = _from_sets(mesh)
    numbers = {key: np.concatenate(mesh.cell_data[key]) for key in NUMBERED if _is_whole(mesh, key)}
    dims = np.concatenate(
        [np.full(len(corners), _dim(kind)) for kind, corners in mesh.cells] or [np.zeros(0)]
    )
    named = set()
    for name, value in mesh.tags.get("field_data", {}).items():
        entry = np.asarray(value).ravel()
        if len(entry) != 2 or entry.dtype.kind not in "iu":
            continue
        named.add((int(entry[0]), int(entry[1])))
        hits = [np.flatnonzero((ids == entry[0]) & (dims == entry[1])) for ids in numbers.values()]
        found.setdefault(str(name), np.unique(np.concatenate(hits)) if hits else np.zeros(0, dtype=np.int64))
    taken = np.zeros(len(dims), dtype=bool)
    for cells in found.values():
        taken[cells] = True
    for key, ids in numbers.items():
        for number, dim in np.unique(np.stack([ids, dims])[:, (ids != 0) & ~taken], axis=1).T.astype(int):
            if (number, dim) not in named:
                place = np.flatnonzero((ids == number) & (dims == dim))
                name = f"{key} {number}"
                found[name] = np.concatenate([found[name], place]) if name in found else place
    return found


def named_points(mesh: Mesh) -> dict[str, np.ndarray]:
    """Name to indices `[any]` of its points, from `point_sets`."""
    sets = mesh.tags.get("point_sets", {})
    return {str(name): np.asarray(points, dtype=np.int64).ravel() for name, points in sets.items()}


def _from_sets(mesh: Mesh) -> dict[str, np.ndarray]:
    starts = np.cumsum([0, *(len(corners) for _, corners in mesh.cells)])
    found = {}
    for name, blocks in mesh.tags.get("cell_sets", {}).items():
        if str(name).startswith("gmsh:"):  # entities of the geometry, not cells
            continue
        places = [
            np.asarray(block, dtype=np.int64).ravel() + start
            for block, start in zip(blocks, starts, strict=False)
            if block is not None and len(block)
        ]
        found[str(name)] = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
    return found


def _is_whole(mesh: Mesh, key: str) -> bool:
    blocks = mesh.cell_data.get(key)
    return bool(blocks) and all(block.ndim == 1 and block.dtype.kind in "iu" for block in blocks or ())


def _dim(kind: str) -> int:
    return CELLS[kind].dim if kind in CELLS else -1
