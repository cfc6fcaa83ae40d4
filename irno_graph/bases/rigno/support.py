"""Which nodes lie in a regional node's support, and which regional nodes are linked; in the frame [-1, 1] per axis.

Source: RIGNO (arXiv 2501.19205), appendix; an edge set equals the reference's exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

TILE_SHIFTS = np.array(
    [(0, 0), (-2, 0), (-2, 2), (0, 2), (2, 2), (2, 0), (2, -2), (0, -2), (-2, -2)], dtype=np.float64
)
LARGEST_RADIUS = 0.5
RADIUS_INSTEAD = 0.2


def wrapped(delta: NDArray[np.floating]) -> NDArray[np.floating]:
    """Differences of coordinates in the frame, brought to [-1, 1]: below -1 first, then from 1 on."""
    delta = np.where(delta < -1.0, delta + 2.0, delta)
    return np.where(delta >= 1.0, delta - 2.0, delta)


def minimum_support_radius(regional: NDArray[np.floating], periodic: bool) -> NDArray[np.floating]:
    """Per regional node, the largest 0.67 x median length of the Delaunay triangles at it."""
    tiled = _tiled(regional) if periodic else regional
    triangles = Delaunay(tiled).simplices
    corners = tiled[triangles]  # [triangles, 3, 2]
    sides = [np.linalg.norm(corners[:, i] - corners[:, j], axis=-1) for i, j in ((1, 2), (2, 0), (0, 1))]
    radius = np.zeros(len(regional))
    for corner in range(3):
        opposite, first, second = (sides[(corner + k) % 3] for k in range(3))
        median = 0.67 * np.sqrt((2 * first**2 + 2 * second**2 - opposite**2) / 4)
        central = triangles[:, corner] < len(regional)
        np.maximum.at(radius, triangles[central, corner], median[central])
    return radius


def support_pairs(
    coordinates: NDArray[np.floating],
    regional: NDArray[np.floating],
    radius: NDArray[np.floating],
    overlap: float,
    periodic: bool,
) -> NDArray[np.int64]:
    """Pairs (node, region) `[pairs, 2]`, sorted, whose distance is at most the region's support radius."""
    support = np.clip(overlap * radius, 0.0, radius.max())
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
    order = np.lexsort((region, node))
    return np.stack([node[order], region[order]], axis=-1)


def regional_pairs(
    regional: NDArray[np.floating], levels: int, factor: float, periodic: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (sender, receiver) `[pairs, 2]` of all levels, and the tiles `[pairs, 2]` their copies lie in.

    Levels go from fine to coarse; where a pair occurs more than once the first occurrence gives the tiles.
    """
    found = []
    for level in range(levels):
        size = int(len(regional) / factor**level)
        if size < 4:
            continue
        tiled = _tiled(regional[:size]) if periodic else regional[:size]
        start, neighbour = Delaunay(tiled).vertex_neighbor_vertices
        pairs = np.stack([np.repeat(np.arange(len(tiled)), np.diff(start)), neighbour], axis=-1)
        pairs = np.concatenate([pairs, pairs[:, ::-1]])
        tile, node = np.divmod(pairs, size)
        keep = (tile == 0).any(axis=-1)
        found.append((node[keep], tile[keep]))
    nodes = np.concatenate([node for node, _ in found]).astype(np.int64)
    tiles = np.concatenate([tile for _, tile in found]).astype(np.int64)
    unique, first = np.unique(nodes, axis=0, return_index=True)
    return unique, tiles[first]


def _tiled(points: NDArray[np.floating]) -> NDArray[np.floating]:
    return (TILE_SHIFTS[:, None] + points[None]).reshape(-1, 2)
