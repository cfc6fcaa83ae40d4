"""Delaunay meshes of points in one, two and three dimensions, closed along periodic axes."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.spatial import Delaunay, QhullError

from irno_graph.mesh.mesh import Mesh, MeshError
from irno_graph.mesh.periodic import periodic_delaunay, wrap

FLAT = 1e-9  # a tetrahedron of the hull with less volume over its longest side cubed is rounding


def delaunay_mesh(mesh: Mesh) -> Mesh:
    """Lines, triangles or tetrahedra over the points of `mesh`, whose cells are ignored.

    Raises:
        MeshError: if the points are too few, lie on one line or plane, or are too sparse for the period.
    """
    if len(mesh.points) <= mesh.dim:
        shape = ("line", "triangle", "tetrahedron")[mesh.dim - 1]
        raise MeshError(
            f"`points` should be at least {mesh.dim + 1} to span a {shape}, got {len(mesh.points)}."
        )
    if mesh.dim == 2:
        cells = ("triangle", periodic_delaunay(mesh.points, mesh.period))
    elif mesh.dim == 1:
        cells = ("line", _segments(mesh))
    else:
        cells = ("tetra", _tetrahedra(mesh))
    return Mesh(mesh.points, (cells,), period=mesh.period)


def _segments(mesh: Mesh) -> np.ndarray:
    order = np.argsort(wrap(mesh.points, mesh.period)[:, 0], kind="stable")
    after = np.roll(order, -1)
    lines = np.stack([order, after], axis=1)
    return lines if mesh.period else lines[:-1]


def _tetrahedra(mesh: Mesh) -> np.ndarray:
    """Of the points and, where periodic, all their copies: one copy of each tetrahedron, lowest corner at home."""
    points, lengths = wrap(mesh.points, mesh.period), mesh.period or (None, None, None)
    shifts = product(*[(0, -1, 1) if length is not None else (0,) for length in lengths])
    tiles, numbers = [], []
    for shift in shifts:
        copy = points + np.array(
            [step * (length or 0.0) for step, length in zip(shift, lengths, strict=True)]
        )
        near = np.ones(len(points), dtype=bool)
        for axis, length in enumerate(lengths):
            if length is not None:  # nothing within half a period of the box is left out
                near &= (copy[:, axis] >= -0.5 * length) & (copy[:, axis] < 1.5 * length)
        tiles.append(copy[near])
        numbers.append(np.flatnonzero(near))
    tiled, number = np.concatenate(tiles), np.concatenate(numbers)
    try:
        simplices = Delaunay(tiled).simplices.astype(np.int64)
    except (QhullError, ValueError) as error:
        raise MeshError("`points` should not lie in one plane: there is no tetrahedron.") from error
    edges = tiled[simplices[:, 1:]] - tiled[simplices[:, :1]]
    volume = np.abs(np.linalg.det(edges)) / 6
    keep = volume > FLAT * (edges**2).sum(axis=2).max(axis=1) ** 1.5
    corners = number[simplices]
    lowest = np.take_along_axis(simplices, corners.argmin(axis=1)[:, None], axis=1)[:, 0]
    cells = np.sort(corners[keep & (lowest < len(points))], axis=1)
    _refuse_gaps(mesh, cells, volume[keep & (lowest < len(points))].sum())
    return cells[np.lexsort(cells.T[::-1])]


def _refuse_gaps(mesh: Mesh, cells: np.ndarray, volume: float) -> None:
    """With at most one axis that is not periodic the hull is a box; a tetrahedron that is missing is seen there."""
    whole = len(np.unique(cells)) == len(mesh.points)
    lengths = mesh.period or (None,) * mesh.dim
    if lengths.count(None) <= 1:
        sides = [length or np.ptp(mesh.points[:, axis]) for axis, length in enumerate(lengths)]
        whole &= bool(abs(volume / np.prod(sides) - 1) < 1e-9)
    if not whole:
        raise MeshError(
            f"`points` should fill the space of period {mesh.period}, got {len(mesh.points)} that leave gaps: add "
            "points where they are sparse, or move points of a regular grid a little."
        )
