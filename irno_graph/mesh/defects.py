"""The faults that a mesh can have, each found by one function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from irno_graph.mesh.cells import CELLS, topological_dim
from irno_graph.mesh.facets import facets_of, row_ids, shared_pairs
from irno_graph.mesh.quality import Shape

if TYPE_CHECKING:
    from irno_graph.mesh.mesh import Mesh

COINCIDENT = 1e-12  # of the diagonal of the bounding box
Ints = np.ndarray


def top_cells(mesh: Mesh) -> np.ndarray:
    """Which cells have the highest dimension `[cells]`."""
    dim = topological_dim(mesh)
    flags = [np.full(len(block), kind in CELLS and CELLS[kind].dim == dim) for kind, block in mesh.cells]
    return np.concatenate(flags) if flags else np.zeros(0, dtype=bool)


def loose_points(mesh: Mesh) -> Ints:
    """Points `[any]` that no cell of the highest dimension uses, nor one of a type that is not understood."""
    dim, used = topological_dim(mesh), np.zeros(len(mesh.points), dtype=bool)
    for kind, corners in mesh.cells:
        if kind not in CELLS or CELLS[kind].dim == dim:
            used[corners] = True
    return np.flatnonzero(~used)


def coincident_points(mesh: Mesh) -> tuple[Ints, ...]:
    """Groups of points in the same place up to rounding, each ascending, modulo the period."""
    points, box = mesh.points.copy(), np.zeros(mesh.dim)
    for axis, length in enumerate(mesh.period or ()):
        if length is not None:
            points[:, axis] = np.mod(points[:, axis], length)
            points[points[:, axis] >= length, axis] = 0.0
            box[axis] = length
    extent = np.maximum(np.ptp(points, axis=0), box) if len(points) else box
    order = np.lexsort(points.T)
    fresh = np.concatenate([[True], (np.diff(points[order], axis=0) != 0).any(axis=1)])[: len(points)]
    place = np.empty(len(points), dtype=np.int64)
    place[order] = np.cumsum(fresh) - 1
    distinct = points[order][fresh]
    if not len(distinct):
        return ()
    near = cKDTree(distinct, boxsize=box if box.any() else None).query_pairs(
        COINCIDENT * float(np.linalg.norm(extent)), output_type="ndarray"
    )
    links = coo_matrix((np.ones(len(near)), near.T), shape=(len(distinct), len(distinct)))
    group = connected_components(links, directed=False)[1][place]
    members = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    several = members[sizes[group[members]] > 1]
    ends = np.cumsum(sizes[sizes > 1])[:-1]
    groups = np.split(several, ends) if len(several) else []
    return tuple(sorted(groups, key=lambda group: int(group[0])))


def repeated_cells(mesh: Mesh) -> Ints:
    """Cells `[any]` of the highest dimension whose corners, in any order, an earlier one has."""
    return np.flatnonzero(original_cells(mesh) != np.arange(len(top_cells(mesh))))


def original_cells(mesh: Mesh) -> Ints:
    """The first cell `[cells]` of the highest dimension with the same corners; lower ones are their own."""
    count, tops = len(top_cells(mesh)), top_cells(mesh)
    first, numbers = np.arange(count), np.arange(count)
    starts = np.cumsum([0, *(len(corners) for _, corners in mesh.cells)])
    for kind in dict.fromkeys(kind for kind, corners in mesh.cells if len(corners)):
        blocks = [
            (start, corners)
            for start, (name, corners) in zip(starts, mesh.cells, strict=False)
            if name == kind
        ]
        place = np.concatenate([numbers[start : start + len(corners)] for start, corners in blocks])
        if not tops[place].all():
            continue
        ids = row_ids(np.sort(np.concatenate([corners for _, corners in blocks]), axis=1))
        lowest = np.unique(ids, return_index=True)[1]
        first[place] = place[lowest[ids]]
    return first


def inverted_cells(mesh: Mesh, shapes: Shape) -> Ints:
    """Cells `[any]` numbered against the majority in a plane; volumes with a negative one."""
    tops, dim = top_cells(mesh), topological_dim(mesh)
    if dim != mesh.dim or dim < 2:
        return np.zeros(0, dtype=np.int64)
    whole = tops & ~shapes.tangled
    negative, positive = whole & (shapes.sign < 0), whole & (shapes.sign > 0)
    return np.flatnonzero(positive if dim == 2 and negative.sum() > positive.sum() else negative)


def stray_cells(mesh: Mesh) -> Ints:
    """Cells `[any]` of lower dimension that are neither a facet, an edge nor a corner of the highest."""
    dim, count, stray, first = topological_dim(mesh), len(mesh.points), [], 0
    loose = np.zeros(count, dtype=bool)
    loose[loose_points(mesh)] = True
    for kind, corners in mesh.cells:
        numbers, first = np.arange(first, first + len(corners)), first + len(corners)
        if kind not in CELLS or CELLS[kind].dim == dim or not len(corners):
            continue
        if kind == "vertex":
            stray.append(numbers[loose[corners[:, 0]]])
            continue
        sides = _sides(mesh, dim, CELLS[kind].corners, lines=kind == "line")
        ids = row_ids(np.sort(np.concatenate([corners, sides]), axis=1))
        stray.append(numbers[~np.isin(ids[: len(corners)], ids[len(corners) :])])
    return np.concatenate(stray) if stray else np.zeros(0, dtype=np.int64)


def _sides(mesh: Mesh, dim: int, size: int, *, lines: bool) -> np.ndarray:
    found = [np.empty((0, size), dtype=np.int64)]
    for kind, corners in mesh.cells:
        if kind in CELLS and CELLS[kind].dim == dim:
            cell = CELLS[kind]
            sides: Any = cell.edges if lines else cell.facets
            found += [corners[:, list(side)] for side in sides if len(side) == size]
    return np.concatenate(found)


def sharing(mesh: Mesh, shapes: Shape, sound: np.ndarray) -> dict[str, Any]:
    """Crowded facets, cells on one side of a facet, and neighbours that turn against each other; of `sound` cells."""
    solid = topological_dim(mesh) == mesh.dim
    crowded, agree = [], [np.zeros(0, dtype=np.int64)]
    for table in (table.among(sound) for table in facets_of(mesh)):
        many = table.uses > 2
        if many.any():
            crowded.append(table.corners[many][np.unique(table.ident[many], return_index=True)[1]])
        if table.corners.shape[1] == 1:
            continue
        rows, same = shared_pairs(table)
        owner = table.owner[rows]
        if solid:
            same = same ^ (shapes.sign[owner[:, 0]] * shapes.sign[owner[:, 1]] < 0)
        agree.append(owner[same].ravel())
    cells = np.unique(np.concatenate(agree))
    none = np.zeros(0, dtype=np.int64)
    return {
        "crowded": tuple(crowded),
        "overlapping": cells if solid else none,
        "disagreeing": none if solid else cells,
    }


def repeats_a_corner(mesh: Mesh) -> np.ndarray:
    """Which cells name a point twice `[cells]`."""
    flags = [(np.diff(np.sort(corners, axis=1), axis=1) == 0).any(axis=1) for _, corners in mesh.cells]
    return np.concatenate(flags) if flags else np.zeros(0, dtype=bool)
