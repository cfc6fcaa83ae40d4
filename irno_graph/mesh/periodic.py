"""Triangulations of a periodic box: Delaunay on the torus, and relaxed random points in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.spatial import Delaunay, QhullError

from irno_graph.mesh.mesh import Mesh, MeshError, Period, checked_period


def periodic_delaunay(points: np.ndarray, period: Sequence[float | None] | None) -> np.ndarray:
    """Triangles `[triangles, 3]` of the Delaunay triangulation of `points` `[points, 2]` in a periodic box.

    With both axes periodic the triangles tile the torus: F = 2 N, E = 3 N, V - E + F = 0. An axis whose
    period is None ends at the convex hull, so it needs points along both ends. Triangles turn
    counter-clockwise after unwrapping.

    Raises:
        MeshError: if points are not `[points, 2]` and finite, coincide, or are so sparse that a triangle has
            a side of half the period.

    >>> rng = np.random.default_rng(0)
    >>> periodic_delaunay(rng.random((50, 2)), (1.0, 1.0)).shape
    (100, 3)
    """
    coordinates = np.asarray(points, dtype=np.float64)
    if coordinates.ndim != 2 or coordinates.shape[1] != 2 or not np.isfinite(coordinates).all():
        raise MeshError(f"`points` should be finite [points, 2], got shape {list(coordinates.shape)}.")
    lengths = checked_period(period, 2)
    wrapped = wrap(coordinates, lengths)
    _refuse_coincident(wrapped)
    spacing = _spacing(wrapped, lengths)
    periodic = [length is not None for length in lengths or (None, None)]
    noise = np.random.default_rng(0).standard_normal(wrapped.shape) * spacing * periodic  # straight ends stay
    # Copies of cocircular points (a grid) may be split differently: then a tiny move of all copies decides.
    for move, margin in ((0.0, 6 * spacing), (0.0, np.inf), (1e-6, 6 * spacing), (1e-6, np.inf)):
        triangles = _tiled_delaunay(wrapped + move * noise, lengths, margin)
        if triangles is not None and _is_whole(triangles, wrapped, lengths):
            return triangles
    raise MeshError(
        f"`points` should triangulate the box with period {lengths} with sides below half of it, got "
        f"{len(wrapped)} points that do not: add points where they are sparse (an axis without period needs "
        "some along both ends)."
    )


def periodic_box(
    nodes: int,
    *,
    seed: int = 0,
    extent: tuple[float, float] = (1.0, 1.0),
    relaxation_sweeps: int = 30,
) -> Mesh:
    """Irregular, well-shaped triangles in a box that is periodic in both axes.

    Random, evenly spread points are moved `relaxation_sweeps` times to the area-weighted mean of the
    centroids of their triangles. Points lie in [0, extent) and are numbered along a Hilbert curve. The same
    arguments give the same mesh.

    Raises:
        MeshError: if `nodes` is below 16 or an extent is not positive.

    >>> mesh = periodic_box(64, seed=1)
    >>> mesh
    Mesh(points=64, dim=2, cells={'triangle': 128}, period=(1.0, 1.0))
    """
    if nodes < 16:
        raise MeshError(f"`nodes` should be at least 16 for a triangulation of the torus, got {nodes}.")
    period = checked_period(extent, 2)
    if period is None or None in period:
        raise MeshError(f"`extent` should hold two lengths, got {extent}.")
    lengths = np.array(period, dtype=np.float64)
    points = wrap(_spread_points(nodes, np.random.default_rng(seed), lengths), period)
    for _ in range(relaxation_sweeps):
        points = _relaxed(points, periodic_delaunay(points, period), period)
    points = points[hilbert_order(points / lengths)]
    triangles = periodic_delaunay(points, period)
    return Mesh(points=points, cells=(("triangle", triangles),), period=period)


def wrap(points: np.ndarray, period: Period) -> np.ndarray:
    """Copy of `points` with every periodic axis moved into [0, length).

    >>> wrap(np.array([[1.25, -3.0]]), (1.0, None))
    array([[ 0.25, -3.  ]])
    """
    moved = np.array(points, dtype=np.float64)
    for axis, length in enumerate(period or ()):
        if length is not None:
            moved[:, axis] = np.mod(moved[:, axis], length)
            moved[moved[:, axis] >= length, axis] = 0.0  # np.mod(-1e-20, 1.0) is 1.0
    return moved


def unwrapped(mesh: Mesh) -> tuple[Mesh, np.ndarray]:
    """The same cells without a seam, for pictures, and the source point `[points]` of each of its points.

    Points that a cell reaches across the seam get copies, moved by the period, after the canonical points:
    cells stick out of the box at its far ends only. Point data are copied along.
    """
    if mesh.period is None:
        return mesh, np.arange(len(mesh.points))
    lengths = np.array([length or 0.0 for length in mesh.period])
    keys, blocks, start = [np.zeros((len(mesh.points), 1 + mesh.dim), dtype=np.int64)], [], len(mesh.points)
    keys[0][:, 0] = np.arange(len(mesh.points))
    for _, corners in mesh.cells:
        moved = mesh.corner_positions(corners) - mesh.points[corners]
        shift = np.round(moved / np.where(lengths > 0, lengths, 1.0)).astype(np.int64)
        shift -= shift.min(axis=1, keepdims=True)  # [cells, corners, dim], all >= 0
        key = np.concatenate([corners[..., None], shift], axis=-1).reshape(-1, 1 + mesh.dim)
        keys.append(key)
        blocks.append(slice(start, start + len(key)))
        start += len(key)
    stacked = np.concatenate(keys)
    order = np.concatenate([stacked[:, 1:], stacked[:, :1]], axis=1)  # originals first
    unique, inverse = np.unique(order, axis=0, return_inverse=True)
    source, shift = unique[:, -1], unique[:, :-1]
    cells = tuple(
        (kind, inverse.reshape(-1)[block].reshape(corners.shape))
        for (kind, corners), block in zip(mesh.cells, blocks, strict=True)
    )
    data = {name: values[source] for name, values in mesh.point_data.items()}
    return Mesh(mesh.points[source] + shift * lengths, cells, data, mesh.cell_data), source


def hilbert_order(unit: np.ndarray, bits: int = 16) -> np.ndarray:
    """Permutation `[points]` that sorts points `[points, dim]` of the unit square or cube along a Hilbert curve.

    >>> hilbert_order(np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.1]]))
    array([2, 1, 0])
    """
    if unit.shape[1] != 2:
        return _hilbert_order(unit, bits)
    x, y = (np.clip(unit.T, 0, 1) * (2**bits - 1)).astype(np.int64)
    rank = np.zeros(len(unit), dtype=np.int64)
    for level in reversed(range(bits)):
        side = 1 << level
        right, upper = (x & side) > 0, (y & side) > 0
        rank += side * side * ((3 * right) ^ upper)
        flip = right & ~upper
        x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
        x, y = np.where(upper, x, y), np.where(upper, y, x)
        x, y = x & (side - 1), y & (side - 1)
    return np.argsort(rank, kind="stable")


def _hilbert_order(unit: np.ndarray, bits: int) -> np.ndarray:
    """The same in any dimension, by Skilling's exchanges (AIP Conference Proceedings 707, 2004)."""
    axes = (np.clip(unit.T, 0, 1) * (2**bits - 1)).astype(np.int64)  # [dim, points]
    for level in reversed(range(1, bits)):
        mask = (1 << level) - 1
        for axis in range(len(axes)):
            upper = (axes[axis] >> level) & 1 == 1
            swap = np.where(upper, 0, (axes[0] ^ axes[axis]) & mask)
            axes[0] ^= np.where(upper, mask, swap)
            axes[axis] ^= swap
    for axis in range(1, len(axes)):  # Gray code
        axes[axis] ^= axes[axis - 1]
    fold = np.zeros(unit.shape[0], dtype=np.int64)
    for level in reversed(range(1, bits)):
        fold ^= np.where((axes[-1] >> level) & 1 == 1, (1 << level) - 1, 0)
    axes ^= fold
    rank = np.zeros(unit.shape[0], dtype=np.int64)
    for level in reversed(range(bits)):
        for axis in axes:
            rank = (rank << 1) | ((axis >> level) & 1)
    return np.argsort(rank, kind="stable")


def _spread_points(nodes: int, rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Low-discrepancy points (the additive recurrence of the plastic number), shifted and jittered."""
    plastic = 1.32471795724474602596
    steps = np.arange(nodes)[:, None] * np.array([1 / plastic, 1 / plastic**2])
    jitter = rng.uniform(-0.5, 0.5, (nodes, 2)) * np.sqrt(lengths.prod() / nodes)
    return (steps + rng.random(2)) % 1.0 * lengths + jitter


def _relaxed(points: np.ndarray, triangles: np.ndarray, period: Period) -> np.ndarray:
    """Every point moved to the area-weighted mean of the centroids of its triangles."""
    corners = Mesh(points, (("triangle", triangles),), period=period).corner_positions(triangles)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    pull = area[:, None, None] * (corners.mean(axis=1, keepdims=True) - corners)  # [triangles, 3, 2]
    total = np.bincount(triangles.ravel(), np.repeat(area, 3), len(points))
    columns = [np.bincount(triangles.ravel(), pull[..., axis].ravel(), len(points)) for axis in range(2)]
    return wrap(points + np.stack(columns, axis=1) / total[:, None], period)


def _refuse_coincident(points: np.ndarray) -> None:
    distinct = len(np.unique(points, axis=0))
    if distinct < len(points):
        raise MeshError(
            f"`points` should be distinct within the period, got {len(points) - distinct} repeated: "
            "drop the points at the far end of a periodic axis."
        )


def _spacing(points: np.ndarray, period: Period) -> float:
    sides = [length or float(np.ptp(points[:, axis])) for axis, length in enumerate(period or (None, None))]
    return float(np.sqrt(np.prod(sides) / max(len(points), 1)))


def _tiled_delaunay(points: np.ndarray, period: Period, margin: float) -> np.ndarray | None:
    """Delaunay of `points` and their copies within `margin`; None where that fails or is not sure."""
    lengths = period or (None, None)
    tiles, indices, home = [points], [np.arange(len(points))], len(points)
    for shift in product(*[(0, -1, 1) if length is not None else (0,) for length in lengths]):
        if not any(shift):
            continue
        copy = points + np.array(
            [step * (length or 0.0) for step, length in zip(shift, lengths, strict=True)]
        )
        near = np.ones(len(points), dtype=bool)
        for axis, length in enumerate(lengths):
            if length is not None:
                near &= (copy[:, axis] >= -margin) & (copy[:, axis] < length + margin)
        tiles.append(copy[near])
        indices.append(np.flatnonzero(near))
    tiled, index = np.concatenate(tiles), np.concatenate(indices)
    try:
        simplices = Delaunay(tiled).simplices  # counter-clockwise
    except (QhullError, ValueError):
        return None
    if None in lengths:  # collinear points of the hull, up to rounding, are no triangle
        simplices = simplices[_flatness(tiled[simplices]) > 1e-10]
    # One copy per triangle: the one whose corner of lowest index lies in the box itself.
    corners = index[simplices]
    lowest = np.take_along_axis(simplices, corners.argmin(axis=1)[:, None], axis=1)[:, 0]
    inside = lowest < home
    if 2 * _largest_circumradius(tiled[simplices[inside]]) > margin:
        return None  # a circumcircle leaves the tiled region: its emptiness is not known
    if not _below_half_period(tiled[simplices[inside]], lengths):
        return None
    kept = corners[inside]
    turn = (kept.argmin(axis=1)[:, None] + np.arange(3)) % 3
    kept = np.take_along_axis(kept, turn, axis=1)  # lowest index first, orientation kept
    return kept[np.lexsort(kept.T[::-1])]


def _below_half_period(corners: np.ndarray, period: tuple[float | None, ...]) -> bool:
    """Whether the minimum image finds all sides of the triangles `[triangles, 3, 2]`."""
    reach = np.abs(corners - np.roll(corners, 1, axis=1)).max(axis=(0, 1), initial=0.0)
    return all(length is None or side < 0.5 * length for side, length in zip(reach, period, strict=True))


def _flatness(corners: np.ndarray) -> np.ndarray:
    """Twice the area over the longest side squared, `[triangles]`."""
    sides = corners - np.roll(corners, 1, axis=1)
    twice_area = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    return twice_area / (sides**2).sum(axis=2).max(axis=1)


def _largest_circumradius(corners: np.ndarray) -> float:
    """Largest a b c / (4 area) over triangles `[triangles, 3, 2]`."""
    sides = corners - np.roll(corners, 1, axis=1)
    twice_area = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    lengths = np.linalg.norm(sides, axis=2).prod(axis=1)
    return float((lengths / np.maximum(2 * twice_area, np.finfo(float).tiny)).max(initial=0.0))


def _is_whole(triangles: np.ndarray, points: np.ndarray, period: Period) -> bool:
    """Whether every point is used, corners and edges are distinct, V - E + F is right, and a strip is filled."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    if (edges[:, 0] == edges[:, 1]).any() or len(np.unique(triangles)) != len(points):
        return False
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    axes = sum(length is not None for length in period or ())
    closed = bool((uses == 2).all()) if axes == 2 else bool((uses <= 2).all())
    whole = closed and len(points) - len(unique) + len(triangles) == (1 if axes == 0 else 0)
    return whole and (axes != 1 or _fills_strip(triangles, points, period or ()))


def _fills_strip(triangles: np.ndarray, points: np.ndarray, period: tuple[float | None, ...]) -> bool:
    """The hull of points that repeat along one axis is a strip: a triangle that is missing at its end is seen here."""
    sides = points[triangles[:, 1:]] - points[triangles[:, :1]]  # [triangles, 2, 2]
    for axis, length in enumerate(period):
        if length is not None:
            sides[..., axis] -= length * np.round(sides[..., axis] / length)
    area = 0.5 * np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).sum()
    whole = np.prod([length or np.ptp(points[:, axis]) for axis, length in enumerate(period)])
    return bool(abs(area - whole) <= 1e-8 * whole)
