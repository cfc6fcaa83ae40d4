"""The unit box with circular holes: how holes are drawn, and good triangles between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

from irno_graph.mesh import Mesh, MeshError
from irno_graph.mesh.periodic import hilbert_order

RADII = (0.05, 0.12)
GAP = 0.05  # between holes, and between holes and the box
ROUND = 12  # fewest nodes on a hole
SWEEPS = 60
TRIES = 2000
FEWEST = 64


@dataclass(frozen=True, eq=False)
class Holes:
    """Circles, without overlap, inside the unit box.

    Attributes:
        centres: `[holes, 2]`.
        radii: `[holes]`.
    """

    centres: np.ndarray
    radii: np.ndarray

    @classmethod
    def drawn(cls, count: int, *, seed: int, gap: float = GAP) -> Holes:
        """`count` circles with radii and centres drawn uniformly, again where they come nearer than `gap`.

        Raises:
            ValueError: if `count` is negative or they do not find room.
        """
        if count < 0:
            raise ValueError(f"`holes` should not be negative, got {count}: 3 is the default.")
        generator = np.random.default_rng(seed)
        roomy = RADII[1] + gap < 0.5 and count * np.pi * (RADII[0] + gap / 2) ** 2 < 1
        for _ in range(TRIES if roomy else 0):
            radii = generator.uniform(*RADII, count)
            centres = generator.uniform(radii[:, None] + gap, 1 - radii[:, None] - gap, (count, 2))
            apart = np.linalg.norm(centres[:, None] - centres, axis=-1) - radii[:, None] - radii
            if (apart[np.triu_indices(count, 1)] >= gap).all():
                return cls(centres, radii)
        raise ValueError(
            f"`holes` should leave {gap:.3g} between each other and to the box, got {count} that found no room: take "
            "fewer, or more nodes."
        )

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Of `points` `[points, 2]` to the nearest circle `[points]`, negative inside; inf where there is none."""
        away = np.linalg.norm(points[:, None] - self.centres, axis=-1) - self.radii
        return np.asarray(away.min(axis=1, initial=np.inf))

    def onto(self, points: np.ndarray) -> np.ndarray:
        """`points` `[points, 2]` moved to the nearest place of the nearest circle."""
        ray = points[:, None] - self.centres  # [points, holes, 2]
        length = np.linalg.norm(ray, axis=-1)
        nearest = np.abs(length - self.radii).argmin(axis=1)
        rows = np.arange(len(points))
        scale = (self.radii[nearest] / length[rows, nearest])[:, None]
        return np.asarray(self.centres[nearest] + ray[rows, nearest] * scale)


def spacing(nodes: int, area: float = 1.0) -> float:
    """Side of equal triangles when `nodes` fill `area`.

    Raises:
        ValueError: for fewer than 64 nodes.
    """
    if nodes < FEWEST:
        raise ValueError(f"`nodes` should be at least {FEWEST}, got {nodes}: 1024 is the default.")
    return float(np.sqrt(2 / np.sqrt(3) * area / nodes))


def box_with_holes(nodes: int, holes: Holes, *, seed: int = 0) -> Mesh:
    """Irregular, well-shaped triangles in the unit box without its holes; the same arguments give the same mesh.

    Nodes lie evenly on the box and on the circles. Those between start evenly spread and are moved `SWEEPS` times to
    the area-weighted mean of the centroids of their triangles (Delaunay, without those inside a hole). Nodes are
    numbered along a Hilbert curve. Tags, sets of points: "box" and "holes".

    Raises:
        ValueError: for fewer than 64 nodes, or fewer than the walls need.
        MeshError: if the triangles do not end at the walls: holes are too near each other for so few nodes.
    """
    h = spacing(nodes, 1 - float(np.pi * (holes.radii**2).sum()))
    box, rings = _box(h), [_ring(*circle, h) for circle in zip(holes.centres, holes.radii, strict=True)]
    rim = np.concatenate([box, *rings])
    if nodes <= len(rim):
        raise ValueError(f"`nodes` should be more than the {len(rim)} on the walls, got {nodes}: raise it.")
    points = np.concatenate([rim, _spread(nodes - len(rim), holes, h, np.random.default_rng(seed))])
    fixed = len(rim)
    for _ in range(SWEEPS):
        points[fixed:] = _relaxed(points, _triangles(points, holes))[fixed:]
    order = hilbert_order(points)
    points, place = points[order], np.argsort(order)
    triangles = _triangles(points, holes)
    sides, first = [], 0
    for part in (box, *rings):
        number = place[first : first + len(part)]
        sides.append(np.stack([number, np.roll(number, -1)], axis=1))
        first += len(part)
    _check_rim(triangles, np.concatenate(sides), nodes)
    sets = {"box": np.sort(place[: len(box)]), "holes": np.sort(place[len(box) : fixed])}
    return Mesh(points, [("triangle", triangles)], tags={"point_sets": sets})


def _box(h: float) -> np.ndarray:
    """Points on the box, counter-clockwise, corners among them."""
    count = max(4, round(1 / h))
    along, zero = np.arange(count) / count, np.zeros(count)
    side = np.stack([along, zero], axis=1)
    return np.concatenate([side, side[:, ::-1] + [1, 0], 1 - side, np.stack([zero, 1 - along], axis=1)])


def _ring(centre: np.ndarray, radius: float, h: float) -> np.ndarray:
    count = max(ROUND, round(2 * np.pi * radius / h))
    angle = 2 * np.pi * np.arange(count) / count
    return np.asarray(centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def _spread(count: int, holes: Holes, h: float, generator: np.random.Generator) -> np.ndarray:
    """Low-discrepancy points (the additive recurrence of the plastic number), none within h / 2 of a wall."""
    plastic, shift = 1.32471795724474602596, generator.random(2)
    found, start = np.empty((0, 2)), 0
    while len(found) < count:
        steps = np.arange(start, start + 2 * count)[:, None] * np.array([1 / plastic, 1 / plastic**2])
        points = (steps + shift) % 1.0
        free = (np.minimum(points, 1 - points).min(axis=1) > 0.5 * h) & (holes.distance(points) > 0.5 * h)
        found, start = np.concatenate([found, points[free]]), start + 2 * count
    return found[:count]


def _triangles(points: np.ndarray, holes: Holes) -> np.ndarray:
    """Delaunay triangles, counter-clockwise, without flat ones at the box and those in holes."""
    triangles = Delaunay(points).simplices.astype(np.int64)
    corners = points[triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    # All three nodes of a triangle inside are on a circle; one outside may have its centroid within the arc.
    inside = (np.abs(holes.distance(points)) < 1e-9)[triangles].all(axis=1) & (
        holes.distance(corners.mean(axis=1)) < 0
    )
    return np.asarray(triangles[(area > 1e-12) & ~inside])


def _relaxed(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = points[triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.repeat(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0], 3)
    middle = np.repeat(corners.mean(axis=1), 3, axis=0)
    total = np.bincount(triangles.ravel(), area, len(points))
    sums = [np.bincount(triangles.ravel(), area * middle[:, axis], len(points)) for axis in range(2)]
    return np.stack(sums, axis=1) / total[:, None]


def _check_rim(triangles: np.ndarray, sides: np.ndarray, nodes: int) -> None:
    """The sides with one triangle should be those of the walls, and every node should have a triangle."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    code, uses = np.unique(edges[:, 0] * nodes + edges[:, 1], return_counts=True)
    wanted = np.sort(sides, axis=1)
    same = np.array_equal(code[uses == 1], np.unique(wanted[:, 0] * nodes + wanted[:, 1]))
    if not same or len(np.unique(triangles)) != nodes:
        raise MeshError(
            f"triangles of {nodes} nodes should end at the walls, got some that do not: take more nodes, fewer holes "
            "or another seed."
        )
