"""Points, cells and what is known about them: the mesh that a file or a person hands in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from irno_graph.mesh.boundary import boundary_mask, tag_mask
from irno_graph.mesh.cells import CELLS

if TYPE_CHECKING:
    from irno_graph.mesh.audit import Audit

CORNERS = {kind: cell.corners for kind, cell in CELLS.items()}

Period = tuple[float | None, ...] | None


class MeshError(ValueError):
    """A mesh, or a file that should hold one, is not what it should be."""


class MeshWarning(UserWarning):
    """A mesh was read, but not all that its file says could be kept."""


@dataclass(frozen=True, eq=False, init=False)
class Mesh:
    """Points, cells over them, and data on both.

    Cells of a periodic mesh index the canonical points; a cell's geometry is unwrapped with the minimum image
    from its first corner. A point that no cell uses (see `orphan_points`) is allowed here, `Graph.from_mesh`
    refuses it.

    Args:
        points: coordinates `[points, dim]`, kept as float64.
        cells: pairs of a cell type in meshio's words and corner indices `[cells, corners]`, kept as int64.
        point_data: name to array `[points, ...]`.
        cell_data: name to one array `[cells, ...]` per block of `cells`.
        tags: named sets and ids, in meshio's words: `cell_sets`, `point_sets`, `field_data`.
        period: box length per axis, None for an axis that is not periodic; None where no axis is.

    Raises:
        MeshError: if shapes, values or indices do not fit together.

    >>> mesh = Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])])
    >>> mesh
    Mesh(points=3, dim=2, cells={'triangle': 1}, period=None)
    """

    points: np.ndarray
    cells: tuple[tuple[str, np.ndarray], ...]
    point_data: dict[str, np.ndarray]
    cell_data: dict[str, list[np.ndarray]]
    tags: dict[str, Any]
    period: Period

    def __init__(
        self,
        points: Any,
        cells: Iterable[tuple[str, Any]],
        point_data: Mapping[str, Any] | None = None,
        cell_data: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        period: Sequence[float | None] | None = None,
    ) -> None:
        coordinates = _checked_points(points)
        blocks = tuple(_checked_block(kind, corners, len(coordinates)) for kind, corners in cells)
        normal = {
            "points": coordinates,
            "cells": blocks,
            "point_data": _checked_point_data(point_data or {}, len(coordinates)),
            "cell_data": _checked_cell_data(cell_data or {}, blocks),
            "tags": dict(tags or {}),
            "period": checked_period(period, coordinates.shape[1]),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for kind, corners in self.cells:
            counts[kind] = counts.get(kind, 0) + len(corners)
        return f"Mesh(points={len(self.points)}, dim={self.dim}, cells={counts}, period={self.period})"

    @property
    def dim(self) -> int:
        """Number of coordinates of a point."""
        return int(self.points.shape[1])

    @property
    def orphan_points(self) -> np.ndarray:
        """Indices of the points that no cell uses, ascending."""
        used = np.zeros(len(self.points), dtype=bool)
        for _, corners in self.cells:
            used[corners] = True
        return np.flatnonzero(~used)

    @property
    def boundary(self) -> np.ndarray:
        """Whether each point `[points]` lies on the rim or skin of the mesh: on a side of one cell alone."""
        return boundary_mask(self)

    def tagged(self, *names: str) -> np.ndarray:
        """Whether each point `[points]` lies in one of the sets or physical groups `names`, or on a cell of one.

        Names are those of `cell_sets`, `point_sets` and `field_data`, and of numbered regions, as "su2:tag 1".
        With `torch.from_numpy` a mask for Dirichlet values: `EigenBasis.compute(graph, dirichlet=mask)`.

        Raises:
            MeshError: if the mesh has no set of that name.
        """
        try:
            return tag_mask(self, *names)
        except KeyError as error:
            raise MeshError(f"`names` should be among the mesh's tags {error.args[0]}.") from None

    def audit(self) -> Audit:
        """What is wrong or odd in the mesh: orphan points, flat, inverted or repeated cells, and more."""
        from irno_graph.mesh.audit import audit  # it takes meshes apart, so it knows this class

        return audit(self)

    def repaired(self, **which: bool) -> tuple[Mesh, list[str]]:
        """A copy in which everything is mended that can be mended safely, and sentences on what was done.

        `which` are the switches of `irno_graph.mesh.repair.repaired`.
        """
        from irno_graph.mesh.repair import repaired

        return repaired(self, **which)

    def cells_of(self, kind: str) -> np.ndarray:
        """All cells of one type as one array `[cells, corners]`, empty where there are none."""
        blocks = [corners for name, corners in self.cells if name == kind]
        return np.concatenate(blocks) if blocks else np.empty((0, CORNERS.get(kind, 0)), dtype=np.int64)

    def corner_positions(self, cells: np.ndarray) -> np.ndarray:
        """Positions `[cells, corners, dim]`, unwrapped with the minimum image from the first corner."""
        positions = self.points[np.asarray(cells)]  # [cells, corners, dim]
        for axis, length in enumerate(self.period or ()):
            if length is not None:
                delta = positions[..., axis] - positions[:, :1, axis]
                positions[..., axis] -= length * np.round(delta / length)
        return positions


def checked_period(period: Sequence[float | None] | None, dim: int) -> Period:
    """Return `period` as a tuple with one length or None per axis; None where no axis is periodic.

    Raises:
        MeshError: if the number of axes is not `dim` or a length is not finite and positive.

    >>> checked_period([1, None], 2)
    (1.0, None)
    """
    if period is None:
        return None
    if not isinstance(period, Sequence | np.ndarray) or any(isinstance(length, bool) for length in period):
        raise MeshError(f"`period` should have a length or None per axis, as (1.0, None), got {period!r}.")
    lengths = tuple(None if length is None else float(length) for length in period)
    if len(lengths) != dim:
        raise MeshError(f"`period` should have one entry per axis ({dim}), got {len(lengths)}: {lengths}.")
    if any(length is not None and not (np.isfinite(length) and length > 0) for length in lengths):
        raise MeshError(f"`period` should hold positive lengths or None, got {lengths}.")
    return lengths if any(length is not None for length in lengths) else None


def _checked_points(points: Any) -> np.ndarray:
    array = np.array(points, dtype=np.float64)
    if array.ndim != 2 or not 1 <= array.shape[1] <= 3:
        raise MeshError(f"`points` should have shape [points, dim=1, 2 or 3], got {list(array.shape)}.")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise MeshError(
            f"`points` should be finite, got NaN or inf at {len(bad)} points (first: {bad[:5].tolist()}): "
            "drop these points or repair the file."
        )
    return array


def _checked_block(kind: str, corners: Any, count: int) -> tuple[str, np.ndarray]:
    raw = np.asarray(corners)
    if raw.ndim != 2 or (raw.size and raw.dtype.kind not in "iu"):
        raise MeshError(
            f"cells of type '{kind}' should be integers [cells, corners], got {raw.dtype} {list(raw.shape)}."
        )
    if kind in CORNERS and raw.shape[1] != CORNERS[kind]:
        raise MeshError(
            f"cells of type '{kind}' should have {CORNERS[kind]} corners, got {raw.shape[1]}: "
            "check the cell type."
        )
    array = raw.astype(np.int64)
    if array.size and not (array.min() >= 0 and array.max() < count):
        raise MeshError(
            f"cells of type '{kind}' should index points 0..{count - 1}, got {array.min()}..{array.max()}: "
            "corner indices count from zero."
        )
    return str(kind), array


def _checked_point_data(data: Mapping[str, Any], count: int) -> dict[str, np.ndarray]:
    arrays = {str(name): np.asarray(values) for name, values in data.items()}
    for name, values in arrays.items():
        if values.ndim == 0 or len(values) != count:
            raise MeshError(f"point_data['{name}'] should have {count} rows, got shape {list(values.shape)}.")
    return arrays


def _checked_cell_data(data: Mapping[str, Any], cells: tuple) -> dict[str, list[np.ndarray]]:
    sizes = [len(corners) for _, corners in cells]
    arrays = {str(name): [np.asarray(block) for block in blocks] for name, blocks in data.items()}
    for name, blocks in arrays.items():
        if [len(block) for block in blocks] != sizes:
            raise MeshError(
                f"cell_data['{name}'] should have one array per block of cells with {sizes} rows, "
                f"got {[len(block) for block in blocks]}."
            )
    return arrays
