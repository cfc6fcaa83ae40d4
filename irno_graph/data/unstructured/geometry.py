"""Median-dual control areas of a triangle mesh: faces between nodes, sides of the boundary, least-squares slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irno_graph.mesh import Mesh, MeshError
from irno_graph.mesh.mesh import Period

PLANAR = ("vertex", "line", "triangle")


@dataclass(frozen=True, eq=False)
class MedianDual:
    """One control area per node, bounded by the lines from the middles of edges to the centroids of triangles.

    The faces of a node's area, turned outwards, and its halves of the sides at the boundary add up to 0.

    Attributes:
        points: nodes `[nodes, 2]`.
        period: box length per axis, None where there is none.
        volume: areas `[nodes]`, positive; their sum is the domain's.
        edges: nodes i < j `[edges, 2]` of each face, in ascending order.
        offset: x_j - x_i by the minimum image `[edges, 2]`.
        normal: of each face, from i to j, its length is the face's `[edges, 2]`.
        sides: ends of the sides at the boundary `[sides, 2]`, the domain lies on their left.
        half: outward normal of each half of a side, its length is the half's `[sides, 2]`.
        wall: whether a side is a wall `[sides]`; else it is open.
    """

    points: np.ndarray
    period: Period
    volume: np.ndarray
    edges: np.ndarray
    offset: np.ndarray
    normal: np.ndarray
    sides: np.ndarray
    half: np.ndarray
    wall: np.ndarray

    @classmethod
    def of(cls, mesh: Mesh, *, wall: np.ndarray | None = None) -> MedianDual:
        """The dual of a plane mesh of triangles, whose numbering stays; `period` identifies the ends of a box.

        Args:
            mesh: triangles of either orientation; lines and vertices, which mark boundaries, are left out.
            wall: flags of points `[points]`, as `mesh.tagged("wall")` gives them: a side of the boundary whose ends
                both have it is a wall, another is open. None: all sides are walls.

        Raises:
            MeshError: for a mesh that is not plane or not of triangles alone, flat triangles, points without a
                triangle, or an edge of three triangles.
            ValueError: for flags of another shape, or that make no side a wall.
        """
        triangles, count = _checked_triangles(mesh), len(mesh.points)
        corners = mesh.corner_positions(triangles)  # [triangles, 3, 2]
        following, after = np.roll(triangles, -1, axis=1), np.roll(corners, -1, axis=1)
        area = 0.5 * _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        ray = corners.mean(axis=1, keepdims=True) - 0.5 * (corners + after)  # from an edge to the centroid
        pair = np.stack([triangles.ravel(), following.ravel()], axis=1)  # counter-clockwise
        vector, normal = (after - corners).reshape(-1, 2), _right_of(ray).reshape(-1, 2)
        _, place, number, uses = np.unique(
            pair.min(axis=1) * count + pair.max(axis=1),
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        if (uses > 2).any():
            raise MeshError(
                f"an edge should have at most two triangles, got {int((uses > 2).sum())} edges with more: look at "
                "`mesh.audit()`."
            )
        turn = np.where(pair[:, 0] > pair[:, 1], -1.0, 1.0)[:, None]
        rim = uses[number] == 1
        return cls(
            mesh.points,
            mesh.period,
            np.bincount(triangles.ravel(), np.repeat(area / 3, 3), count),
            np.sort(pair[place], axis=1),
            (turn * vector)[place],
            np.stack([np.bincount(number, (turn * normal)[:, axis]) for axis in range(2)], axis=1),
            pair[rim],
            0.5 * _right_of(vector[rim]),
            _walls(wall, pair[rim], count),
        )

    def slopes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights of least-squares gradients: g_i = sum over neighbours j of w_ij (q_j - q_i), exact for linear q.

        Each difference counts by the inverse of its distance.

        Returns:
            `first` [nodes + 1], neighbours [2 edges] of node i at first[i] ... first[i + 1] - 1, and w [2 edges, 2].
        """
        here = np.concatenate([self.edges[:, 0], self.edges[:, 1]])
        there = np.concatenate([self.edges[:, 1], self.edges[:, 0]])
        offset = np.concatenate([self.offset, -self.offset])
        order = np.lexsort((there, here))
        here, there, offset = here[order], there[order], offset[order]
        weight = 1.0 / (offset**2).sum(axis=1)
        xx, xy, yy = (
            np.bincount(here, weight * offset[:, a] * offset[:, b]) for a, b in ((0, 0), (0, 1), (1, 1))
        )
        x, y = weight * offset[:, 0], weight * offset[:, 1]
        inverse = 1.0 / (xx * yy - xy**2)[here]
        w = np.stack(
            [inverse * (yy[here] * x - xy[here] * y), inverse * (xx[here] * y - xy[here] * x)], axis=1
        )
        first = np.concatenate([[0], np.cumsum(np.bincount(here, minlength=len(self.points)))])
        return first, there, w

    def reach(self) -> np.ndarray:
        """`[nodes, 3]`: half the sums of |n_x|, |n_y| and |n| over a node's faces and open halves, over its area.

        |vx| r_0 + |vy| r_1 + c r_2 bounds what waves can carry out of the area per time.
        """
        nodes = np.concatenate([self.edges.ravel(), self.sides[~self.wall].ravel()])
        normal = np.repeat(np.concatenate([self.normal, self.half[~self.wall]]), 2, axis=0)
        lengths = np.concatenate([np.abs(normal), np.linalg.norm(normal, axis=1, keepdims=True)], axis=1)
        sums = [np.bincount(nodes, lengths[:, column], len(self.points)) for column in range(3)]
        return 0.5 * np.stack(sums, axis=1) / self.volume[:, None]


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    found: np.ndarray = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return found


def _right_of(vectors: np.ndarray) -> np.ndarray:
    """Vectors `[..., 2]` turned clockwise by a right angle."""
    return np.stack([vectors[..., 1], -vectors[..., 0]], axis=-1)


def _checked_triangles(mesh: Mesh) -> np.ndarray:
    """Triangles of the mesh, turned counter-clockwise."""
    kinds = {kind for kind, corners in mesh.cells if len(corners)}
    if mesh.dim != 2 or "triangle" not in kinds or not kinds <= set(PLANAR):
        raise MeshError(
            f"`mesh` should be triangles in the plane, got {mesh.dim} coordinates and "
            f"{', '.join(sorted(kinds)) or 'no cells'}: split other cells, drop the third coordinate."
        )
    triangles = mesh.cells_of("triangle")
    lonely = np.setdiff1d(np.arange(len(mesh.points)), triangles)
    if len(lonely):
        raise MeshError(
            f"every point should have a triangle, got {len(lonely)} without (first: {lonely[:5].tolist()}): "
            "`mesh.repaired()` drops them."
        )
    corners = mesh.corner_positions(triangles)
    sides = corners - np.roll(corners, 1, axis=1)
    twice = _cross(sides[:, 1], sides[:, 2])
    flat = np.flatnonzero(np.abs(twice) <= 1e-10 * (sides**2).sum(axis=2).max(axis=1))
    if len(flat):
        raise MeshError(
            f"triangles should not be flat, got {len(flat)} (first: {flat[:5].tolist()}): look at `mesh.audit()`."
        )
    return np.where((twice < 0)[:, None], triangles[:, ::-1], triangles)


def _walls(wall: np.ndarray | None, sides: np.ndarray, count: int) -> np.ndarray:
    if wall is None:
        return np.ones(len(sides), dtype=bool)
    if wall.shape != (count,) or wall.dtype != bool:
        raise ValueError(f"`wall` should be bool [points={count}], got {wall.dtype} {list(wall.shape)}.")
    found: np.ndarray = wall[sides].all(axis=1)
    if wall.any() and not found.any():
        raise ValueError(
            "`wall` should hold both ends of some sides of the boundary, got none: check the tags."
        )
    return found
