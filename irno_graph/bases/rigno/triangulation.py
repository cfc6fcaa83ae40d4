"""Delaunay triangulations of regional nodes, of all copies of them where the frame [-1, 1] per axis is periodic.

Source: RIGNO (arXiv 2501.19205), appendix; the pairs come in the reference's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

SQUARE_SHIFTS = ((0, 0), (-2, 0), (-2, 2), (0, 2), (2, 2), (2, 0), (2, -2), (0, -2), (-2, -2))
MARGIN = {2: 6.0, 3: 4.0}  # by dimension: mean distances around the frame that are triangulated at first
TIE = 1e-7  # relative distance to a circumsphere below which a point may lie on it


@dataclass(frozen=True)
class Triangulation:
    """The simplices at the frame's own points, and all pairs of neighbours with one of those in it.

    Attributes:
        count: number of points in the frame.
        points: `[points, dim]`, those in the frame first.
        simplices: `[simplices, dim + 1]`.
        pairs: `[pairs, 2]`, both ways, as tile x `count` + number in the frame: by row, then all turned round.
    """

    count: int
    points: NDArray[np.float64]
    simplices: NDArray[np.int64]
    pairs: NDArray[np.int64]


def triangulation(points: NDArray[np.float64], periodic: bool) -> Triangulation:
    """The Delaunay triangulation of `points` `[points, dim]`, tiled around the frame if `periodic`.

    All 3^dim tiles decide what is at the frame's own points. A margin of them gives the same wherever the circumspheres
    there end within it and no further point lies on one, which is checked; else all tiles are triangulated.

    Raises:
        ValueError: if the points lie on one line or plane.
    """
    if not periodic:
        return _of(points, np.arange(len(points)), len(points), _delaunay(points))
    count, dim = points.shape
    tiled = (tile_shifts(dim)[:, None] + points[None]).reshape(-1, dim)
    reach = 1.0 + MARGIN[dim] * 2.0 / count ** (1.0 / dim)
    if reach < 2.0:
        near = np.flatnonzero((np.abs(tiled) <= reach).all(axis=1))
        mesh = _delaunay(tiled[near])
        made = _of(tiled[near], near, count, mesh)
        if _is_certain(mesh, count, reach) and _links_once(made):
            return made
    return _of(tiled, np.arange(len(tiled)), count, _delaunay(tiled))


def tile_shifts(dim: int) -> NDArray[np.float64]:
    """Shifts `[3^dim, dim]` of the copies of a periodic frame, the frame itself first.

    In two dimensions they come in the reference's order, which decides the image that a pair is linked through.
    """
    if dim == 2:
        return np.array(SQUARE_SHIFTS, dtype=np.float64)
    return np.array(list(product((0.0, -2.0, 2.0), repeat=dim)))


def _delaunay(points: NDArray[np.float64]) -> Delaunay:
    try:
        return Delaunay(points)
    except QhullError as error:
        raise ValueError(
            f"the {len(points)} regional nodes span no triangles, they lie on one line: choose others."
        ) from error


def _of(points: NDArray[np.float64], number: NDArray[np.int64], count: int, mesh: Delaunay) -> Triangulation:
    """What `mesh` says of the first `count` points; `number` `[points]` is each point's place in all tiles."""
    start, neighbour = mesh.vertex_neighbor_vertices
    pairs = np.stack([np.repeat(np.arange(len(points)), np.diff(start)), neighbour], axis=-1)
    pairs = pairs[(pairs < count).any(axis=-1)]
    simplices = mesh.simplices[(mesh.simplices < count).any(axis=-1)]
    pairs = number[np.concatenate([pairs, pairs[:, ::-1]])]
    return Triangulation(count, points, simplices.astype(np.int64), pairs)


def _is_certain(mesh: Delaunay, count: int, reach: float) -> bool:
    """Whether the simplices at the first `count` points stay what they are, whatever lies beyond `reach`."""
    own = (mesh.simplices < count).any(axis=1)
    corners, neighbours = mesh.points[mesh.simplices[own]], mesh.neighbors[own]
    if (neighbours < 0).any():
        return False
    edges = corners[:, 1:] - corners[:, :1]
    try:
        centre = np.linalg.solve(2.0 * edges, (edges**2).sum(axis=-1, keepdims=True))[..., 0]
    except np.linalg.LinAlgError:
        return False
    radius = np.linalg.norm(centre, axis=-1)
    centre = centre + corners[:, 0]
    if not ((np.abs(centre) + radius[:, None]) < reach).all():
        return False
    opposite = mesh.simplices[neighbours]  # [simplices, dim + 1 neighbours, dim + 1 corners]
    shared = (opposite[..., None] == mesh.simplices[own][:, None, None, :]).any(axis=-1)
    beyond = mesh.points[
        opposite[~shared].reshape(neighbours.shape)
    ]  # the corner of each neighbour that is not shared
    distance = np.linalg.norm(beyond - centre[:, None], axis=-1)
    return bool((distance > radius[:, None] * (1.0 + TIE)).all())


def _links_once(mesh: Triangulation) -> bool:
    """Whether no point of the frame has two copies of one point as neighbours."""
    rows = mesh.pairs[: len(mesh.pairs) // 2]
    rows = rows[rows[:, 0] < mesh.count]
    return len(np.unique(rows[:, 0] * mesh.count + rows[:, 1] % mesh.count)) == len(rows)
