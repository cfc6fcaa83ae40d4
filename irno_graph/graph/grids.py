"""Regular grids of intervals, rectangles and cuboids, with points at corners or in the middle of cells."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch

from irno_graph.graph.build import KINDS, ON_GRIDS, tensors_from_mesh
from irno_graph.graph.order import Order, locality_order, renumbered_mesh
from irno_graph.mesh.elements import BOX
from irno_graph.mesh.mesh import Mesh, checked_period

CELL = ("line", "quad", "hexahedron")  # of a grid in 1, 2 and 3 dimensions


@dataclass(frozen=True)
class Axis:
    """Points along one axis, and the intervals between them that cells are products of.

    Attributes:
        count: of points.
        length: of the domain.
        periodic: whether the axis closes.
        centred: whether points lie in the middle of `count` equal parts.
    """

    count: int
    length: float
    periodic: bool
    centred: bool

    @property
    def step(self) -> float:
        """Distance of neighbouring points."""
        return self.length / (self.count if self.periodic or self.centred else self.count - 1)

    def places(self) -> np.ndarray:
        """Coordinates `[count]`."""
        return (np.arange(self.count) + (0.5 if self.centred else 0.0)) * self.step

    def intervals(self) -> np.ndarray:
        """First point, last point and width of each interval `[3, intervals]`.

        Where the points are centred and the axis does not close, half an interval at each end joins a point to itself:
        fields go on to the boundary as constants.
        """
        if self.periodic:
            left = np.arange(self.count)
            return np.stack([left, (left + 1) % self.count, np.full(self.count, self.step)])
        if not self.centred:
            left = np.arange(self.count - 1)
            return np.stack([left, left + 1, np.full(len(left), self.step)])
        ends = np.arange(self.count + 1)
        width = np.full(len(ends), self.step)
        width[[0, -1]] /= 2
        return np.stack([np.maximum(ends - 1, 0), np.minimum(ends, self.count - 1), width])


def tensors_of_grid(
    shape: Any, extent: Any, period: Any, *, centred: bool = False, order: Order | None = None
) -> dict[str, Any]:
    """The tensors of a graph on a grid, as `Graph.from_grid` says.

    Raises:
        ValueError: if `shape`, `extent` and `period` do not fit each other or an axis has too few points.
    """
    axes = checked_axes(shape, extent, period, centred)
    number, corners, offsets = _cells(axes)
    points = np.stack(np.meshgrid(*[axis.places() for axis in axes[::-1]], indexing="ij")[::-1], axis=-1)
    kind = CELL[len(axes) - 1]
    rim = _repeats(corners)
    mesh = Mesh(points.reshape(number.size, -1), [(kind, corners[~rim])], period=period)
    place = np.arange(number.size)
    if order is not None:
        permutation = locality_order(mesh, order)
        place[permutation] = np.arange(number.size)
        mesh = renumbered_mesh(mesh, permutation)
    tensors = tensors_from_mesh(mesh, pixels=True)
    tensors["grid"] = tuple(int(count) for count in shape)
    if order is not None:
        tensors["original_index"] = torch.from_numpy(permutation.copy())
    if rim.any():
        _add_rim(tensors, place[corners[rim]], offsets[rim], ON_GRIDS.get(kind, kind))
    return tensors


def checked_axes(shape: Any, extent: Any, period: Any, centred: bool) -> list[Axis]:
    """The axes x, y, z of a grid of `shape` (slowest first), `extent` and `period` (x first).

    Raises:
        ValueError: if they do not fit each other or an axis has too few points.
    """
    counts = tuple(shape)[::-1] if isinstance(shape, list | tuple) else ()
    dim = len(counts)
    if not 1 <= dim <= 3 or any(int(count) != count or count < 2 for count in counts):
        raise ValueError(f"`shape` should be (nx,), (ny, nx) or (nz, ny, nx), each at least 2, got {shape}.")
    lengths = checked_period(period, dim) or (None,) * dim
    sides = tuple(length or 1.0 for length in lengths) if extent is None else tuple(extent)
    if len(sides) != dim or not min(sides) > 0:
        raise ValueError(f"`extent` should be the {dim} positive lengths along x, y, z, got {sides}.")
    fits = all(
        length is None or abs(length - side) < 1e-12 * side
        for length, side in zip(lengths, sides, strict=True)
    )
    if any(count < 3 for count, length in zip(counts, lengths, strict=True) if length is not None):
        raise ValueError(
            f"`shape` should be at least 3 where an axis is periodic, got {shape} with {lengths}."
        )
    if not fits:
        raise ValueError(f"`period` should hold None or the extent of its axis, got {lengths} with {sides}.")
    return [
        Axis(int(count), float(side), length is not None, centred)
        for count, side, length in zip(counts, sides, lengths, strict=True)
    ]


def _cells(axes: list[Axis]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the points `[.., ny, nx]`, corners `[cells, corners]` of the cells, and their positions in a cell."""
    dim = len(axes)
    shape = [axis.count for axis in axes[::-1]]
    number = np.arange(prod(shape)).reshape(shape)
    parts = [axis.intervals() for axis in axes]
    mesh = np.meshgrid(*[np.arange(part.shape[1]) for part in parts[::-1]], indexing="ij")[::-1]
    spans = [part[:, index.ravel()] for part, index in zip(parts, mesh, strict=True)]  # [3, cells] per axis
    corners, offsets = [], []
    for corner in np.array(BOX[: 2**dim])[:, :dim]:
        index = [span[side].astype(np.int64) for span, side in zip(spans, corner, strict=True)]
        corners.append(number[tuple(index[::-1])])
        offsets.append(np.stack([span[2] * side for span, side in zip(spans, corner, strict=True)], axis=1))
    return number, np.stack(corners, axis=1), np.stack(offsets, axis=1)


def _repeats(corners: np.ndarray) -> np.ndarray:
    """Whether a point is more than one corner of a cell `[cells]`."""
    ordered = np.sort(corners, axis=1)
    return (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)


def _add_rim(tensors: dict[str, Any], corners: np.ndarray, offsets: np.ndarray, kind: str) -> None:
    """Add the cells between the outermost centres and the boundary, which have corners that are one node."""
    share = offsets.max(axis=1).prod(axis=1) / corners.shape[1]
    load = np.repeat(share, corners.shape[1])
    tensors["mass"] += torch.from_numpy(np.bincount(corners.ravel(), load, len(tensors["mass"])))
    added = {
        "cell_index": torch.from_numpy(corners.ravel()),
        "cell_vectors": torch.from_numpy(offsets.reshape(-1, offsets.shape[2])),
        "cell_kind": torch.full((len(corners),), KINDS.index(kind), dtype=torch.uint8),
    }
    for name, values in added.items():
        tensors[name] = torch.cat([tensors[name], values])
