"""Regular grids as meshes of quads."""

from __future__ import annotations

from typing import Any

import numpy as np

from irno_graph.mesh.mesh import Mesh, checked_period


def mesh_of_grid(shape: tuple[int, int], extent: Any, period: Any) -> Mesh:
    """Quads on a grid of shape (ny, nx); node iy * nx + ix lies at (x_ix, y_iy); `extent` = (x, y) lengths.

    A periodic axis of n points has them at i L / n, another at i L / (n - 1).
    """
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(f"`shape` should be (ny, nx), both at least 2, got {tuple(shape)}.")
    lengths = checked_period(period, 2) or (None, None)
    extent = tuple(length or 1.0 for length in lengths) if extent is None else tuple(extent)
    if len(extent) != 2 or min(extent) <= 0:
        raise ValueError(f"`extent` should be the two lengths (x, y), got {extent}.")
    fits = all(
        length is None or abs(length - side) < 1e-12 * side
        for length, side in zip(lengths, extent, strict=True)
    )
    if not fits:
        raise ValueError(f"`period` should hold None or the extent of its axis, got {lengths} with {extent}.")
    counts = shape[::-1]  # along x, along y
    axes = [
        np.arange(count) * (side / (count if length is not None else count - 1))
        for count, side, length in zip(counts, extent, lengths, strict=True)
    ]
    y, x = np.meshgrid(axes[1], axes[0], indexing="ij")
    cells = [
        count if length is not None else count - 1 for count, length in zip(counts, lengths, strict=True)
    ]
    iy, ix = (index.ravel() for index in np.meshgrid(*map(np.arange, cells[::-1]), indexing="ij"))
    right, above = (ix + 1) % counts[0], (iy + 1) % counts[1]
    corners = ((iy, ix), (iy, right), (above, right), (above, ix))
    quads = np.stack([row * counts[0] + column for row, column in corners], axis=1)
    return Mesh(np.stack([x.ravel(), y.ravel()], axis=1), (("quad", quads),), period=period)
