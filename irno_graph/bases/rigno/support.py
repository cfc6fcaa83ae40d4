"""Which nodes lie in a regional node's support, and which regional nodes are linked; in the frame [-1, 1] per axis.

Source: RIGNO (arXiv 2501.19205), appendix; an edge set equals the reference's exactly.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from irno_graph.bases.rigno.triangulation import Triangulation, triangulation

LARGEST_RADIUS = 0.5
RADIUS_INSTEAD = 0.2
REACH = 1.005  # of the largest distance vertex - centroid: 0.67 of a triangle's median is 1.005 of 2/3 of it


# The reference wraps in the opposite order where it looks for pairs: see `support_pairs`.
def wrapped(delta: NDArray[np.floating]) -> NDArray[np.floating]:
    """Differences of coordinates in the frame, brought to [-1, 1]: below -1 first, then from 1 on."""
    delta = np.where(delta < -1.0, delta + 2.0, delta)
    return np.where(delta >= 1.0, delta - 2.0, delta)


def minimum_support_radius(mesh: Triangulation) -> NDArray[np.floating]:
    """Per regional node, the largest distance to the centroid of a Delaunay simplex at it, times 1.005.

    In a triangle that distance is 2/3 of a median, in a tetrahedron 3/4 of one. The factor is the reference's, which
    takes 0.67 of the median; it knows triangles only, tetrahedra are this library's own.
    """
    simplices = mesh.simplices
    corners, dim = mesh.points[simplices], mesh.points.shape[1]  # [simplices, dim + 1, dim]
    radius = np.zeros(mesh.count)
    for corner in range(dim + 1):
        others = [k for k in range(dim + 1) if k != corner]
        to_corner = sum(((corners[:, k] - corners[:, corner]) ** 2).sum(axis=-1) for k in others)
        between = sum(((corners[:, i] - corners[:, j]) ** 2).sum(axis=-1) for i, j in combinations(others, 2))
        median = np.sqrt(to_corner / dim - between / dim**2)  # to the centroid of the opposite face
        reach = REACH * dim / (dim + 1) * median
        central = simplices[:, corner] < mesh.count
        np.maximum.at(radius, simplices[central, corner], reach[central])
    return radius


def support_pairs(
    coordinates: NDArray[np.floating],
    regional: NDArray[np.floating],
    radius: NDArray[np.floating],
    overlap: float,
    periodic: bool,
    *,
    cover: bool = False,
) -> NDArray[np.int64]:
    """Pairs (node, region) `[pairs, 2]`, sorted, whose distance is at most the region's support radius.

    With `cover`, a node that no support reaches is paired with the nearest regional node.
    """
    support = np.clip(overlap * radius, 0.0, radius.max())
    if regional.shape[1] == 2:  # the reference's rule against slivers at the hull
        support = np.where(support >= LARGEST_RADIUS, RADIUS_INSTEAD, support)
    tree = cKDTree(np.mod(coordinates + 1.0, 2.0), boxsize=2.0) if periodic else cKDTree(coordinates)
    centres = np.mod(regional + 1.0, 2.0) if periodic else regional
    near = tree.query_ball_point(centres, support * (1 + 1e-6) + 1e-9)
    region = np.repeat(np.arange(len(regional)), [len(found) for found in near])
    node = np.concatenate([np.asarray(found, dtype=np.int64) for found in near])
    delta = coordinates[node] - regional[region]
    if periodic:
        delta = np.where(delta >= 1.0, delta - 2.0, delta)
        delta = np.where(delta < -1.0, delta + 2.0, delta)
    inside = np.linalg.norm(delta, axis=-1) <= support[region]
    node, region = node[inside], region[inside]
    if cover:
        alone = np.setdiff1d(np.arange(len(coordinates)), node)
        places = cKDTree(centres, boxsize=2.0) if periodic else cKDTree(regional)
        _, nearest = places.query(tree.data[alone])
        node, region = np.concatenate([node, alone]), np.concatenate([region, nearest])
    order = np.lexsort((region, node))
    return np.stack([node[order], region[order]], axis=-1)


def regional_pairs(
    regional: NDArray[np.float64], levels: int, factor: float, periodic: bool, finest: Triangulation
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (sender, receiver) `[pairs, 2]` of all levels, and the tiles `[pairs, 2]` their copies lie in.

    Levels go from fine to coarse, `finest` is the triangulation of all; where a pair occurs more than once the first
    occurrence gives the tiles.
    """
    found = []
    for level in range(levels):
        size = int(len(regional) / factor**level)
        if size < max(4, regional.shape[1] + 2):
            continue
        try:
            mesh = finest if level == 0 else triangulation(regional[:size], periodic)
        except ValueError:
            continue  # a few points on one line: that level has no edges of its own
        found.append(np.divmod(mesh.pairs, size))
    nodes, tiles = (np.concatenate([part[which] for part in found]) for which in (1, 0))
    _, first = np.unique(nodes[:, 0] * len(regional) + nodes[:, 1], return_index=True)
    return nodes[first].astype(np.int64), tiles[first].astype(np.int64)
