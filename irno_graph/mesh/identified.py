"""Periodic identifications of mesh generators: opposite points become one, and the box gets its period."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from irno_graph.mesh.corners import keep_points
from irno_graph.mesh.mesh import MeshError, MeshWarning

CLOSE = 1e-6  # of the box: how far a pair may be from the common translation


def identified_pairs(fields: dict[str, Any]) -> list[np.ndarray]:
    """Pairs of identified points `[pairs, 2]`, one array per link of Gmsh or identification of Netgen."""
    links = [np.asarray(link[3], dtype=np.int64).reshape(-1, 2) for link in fields.get("gmsh_periodic") or ()]
    table = (fields.get("info") or {}).get("netgen:identifications")
    if table is not None:
        table = np.asarray(table, dtype=np.int64).reshape(-1, 3)
        links += [table[table[:, 2] == number, :2] - 1 for number in np.unique(table[:, 2])]
    return [link for link in links if len(link)]


def merged(fields: dict[str, Any], file: str) -> tuple[dict[str, Any], list[float | None] | None]:
    """`fields` with the points of `fields["pairs"]` merged, and the period per axis that this gives.

    Only where all pairs differ by translations along axes, of one length per axis; else a warning says why
    and nothing is merged. The first point of each class, in the file's order, stays.

    Raises:
        MeshError: if a cell is so large that the nearest image of a corner is not its own.
    """
    points, pairs = np.asarray(fields["points"]), fields["pairs"]
    period = _translations(points, pairs)
    if period is None:
        warnings.warn(
            f"`{file}` identifies points that do not differ by one translation along each axis: "
            "they are left apart.",
            MeshWarning,
            stacklevel=4,
        )
        return fields, None
    both = np.concatenate(pairs)
    graph = coo_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(len(points), len(points)))
    _, label = connected_components(graph, directed=False)
    _, first = np.unique(label, return_index=True)
    source = first[label]  # [points]
    _check_images(points, fields["cells"], source, period, file)
    return keep_points(fields, source == np.arange(len(points)), source), period


def _translations(points: np.ndarray, pairs: list[np.ndarray]) -> list[float | None] | None:
    """One length per axis, None for an axis that no pair crosses; None where it is no such translation."""
    size = float(np.ptp(points, axis=0).max())
    if any(link.min() < 0 or link.max() >= len(points) for link in pairs):
        return None
    lengths: list[list[float]] = [[] for _ in range(points.shape[1])]
    for link in pairs:
        shifts = np.abs(points[link[:, 0]] - points[link[:, 1]])  # [pairs, dim]
        if np.ptp(shifts, axis=0).max() > CLOSE * size or shifts.max() <= CLOSE * size:
            return None
        for axis in np.flatnonzero(shifts.max(axis=0) > CLOSE * size):
            lengths[axis].append(float(np.median(shifts[:, axis])))
    if any(values and np.ptp(values) > CLOSE * size for values in lengths):
        return None
    return [max(values) if values else None for values in lengths]


def _check_images(
    points: np.ndarray, cells: list, source: np.ndarray, period: list[float | None], file: str
) -> None:
    """Every cell, rebuilt from merged points with the minimum image, should have its own shape."""
    slack = 10 * CLOSE * float(np.ptp(points, axis=0).max())
    for kind, corners in cells:
        corners = np.asarray(corners)
        before = points[corners] - points[corners[:, :1]]
        after = points[source[corners]] - points[source[corners[:, :1]]]
        for axis, length in enumerate(period):
            if length is not None:
                after[..., axis] -= length * np.round(after[..., axis] / length)
        bad = np.flatnonzero((np.abs(before - after) > slack).any(axis=(1, 2)))
        if len(bad):
            raise MeshError(
                f"`{file}` should have cells shorter than half its period {period}, got {len(bad)} longer "
                f"cells of type '{kind}' (first: {bad[:5].tolist()}): refine the mesh, or read it with "
                "`merge_periodic=False`."
            )
