"""Size, sign and quality of cells from the edges that leave their corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from irno_graph.mesh.cells import CELLS

if TYPE_CHECKING:
    from irno_graph.mesh.mesh import Mesh

FLAT = 1e-12  # a cell whose Jacobians are below this times its longest side to the power of its dimension

# A corner and the ends of the edges that leave it, right-handed in a sound cell. One says all in a simplex.
LEAVING: dict[str, tuple[tuple[int, tuple[int, ...]], ...]] = {
    "line": ((0, (1,)),),
    "triangle": ((0, (1, 2)),),
    "quad": ((0, (1, 3)), (1, (2, 0)), (2, (3, 1)), (3, (0, 2))),
    "tetra": ((0, (1, 2, 3)),),
    "pyramid": ((0, (1, 3, 4)), (1, (2, 0, 4)), (2, (3, 1, 4)), (3, (0, 2, 4))),
    "wedge": (
        *((0, (1, 2, 3)), (1, (2, 0, 4)), (2, (0, 1, 5))),
        *((3, (5, 4, 0)), (4, (3, 5, 1)), (5, (4, 3, 2))),
    ),
    "hexahedron": (
        *((0, (1, 3, 4)), (1, (2, 0, 5)), (2, (3, 1, 6)), (3, (0, 2, 7))),
        *((4, (7, 5, 0)), (5, (4, 6, 1)), (6, (5, 7, 2)), (7, (6, 4, 3))),
    ),
}
_HALF, _HIGH = 0.5, np.sqrt(0.75)
_SQUARE = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.0))
_TRIANGLE = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (_HALF, _HIGH, 0.0))
IDEAL = {  # all sides 1
    "line": _TRIANGLE[:2],
    "triangle": _TRIANGLE,
    "quad": _SQUARE,
    "tetra": (*_TRIANGLE, (_HALF, _HIGH / 3, np.sqrt(2 / 3))),
    "pyramid": (*_SQUARE, (_HALF, _HALF, np.sqrt(_HALF))),
    "wedge": (*_TRIANGLE, *((x, y, 1.0) for x, y, _ in _TRIANGLE)),
    "hexahedron": (*_SQUARE, *((x, y, 1.0) for x, y, _ in _SQUARE)),
}


@dataclass(frozen=True)
class Shape:
    """What the corners of the cells of one type say, each `[cells]`.

    Attributes:
        size: length, area or volume; negative for inverted cells of the plane and for inverted volumes.
        sign: of the cell as a whole: -1, 0 or 1; on surfaces and curves never -1.
        flat: whether the size vanishes beside the longest side.
        tangled: whether the Jacobians at the corners have both signs or vanish at some: concave or folded.
        quality: 0 for a degenerate cell to 1 for the ideal one: the least mean ratio at a corner.
    """

    size: np.ndarray
    sign: np.ndarray
    flat: np.ndarray
    tangled: np.ndarray
    quality: np.ndarray


def shapes_of(kind: str, positions: np.ndarray) -> Shape:
    """Shape of cells of type `kind` with corners at `positions` `[cells, corners, dim]`.

    The mean ratio of the d edges that leave a corner is d det(T)^(2/d) / |T|^2, where T maps the edges of the
    ideal cell, all of whose sides are 1, to them. On surfaces the determinant counts along the normal.

    >>> square = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    >>> float(shapes_of("quad", square).quality[0])
    1.0
    """
    dim = CELLS[kind].dim
    longest = _longest_side(kind, positions)
    normal = _mean_normal(positions) if dim == 2 and positions.shape[2] == 3 else None
    ideal, jacobians, ratios = np.array(IDEAL[kind])[:, :dim], [], []
    for corner, ends in LEAVING[kind]:
        edges = positions[:, list(ends)] - positions[:, [corner]]  # [cells, d, dim]
        model = ideal[list(ends)] - ideal[corner]
        jacobian = _jacobian(edges, normal)
        mapped = np.einsum("ij,kjn->kin", np.linalg.inv(model), edges)
        square = (mapped**2).sum(axis=(1, 2))
        stretch = jacobian / abs(np.linalg.det(model))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = dim * np.sign(stretch) * np.abs(stretch) ** (2 / dim) / square
        jacobians.append(jacobian)
        ratios.append(np.where(square > 0, ratio, 0.0))
    corners, quality = np.stack(jacobians, axis=1), np.stack(ratios, axis=1)
    scale = (longest**dim)[:, None]
    flat = ~(np.abs(corners) > FLAT * scale).any(axis=1)
    size = _sizes(kind, positions, normal)
    sign = np.where(flat, 0.0, np.sign(np.where(size == 0, corners.sum(axis=1), size)))
    tangled = ~flat & (corners * np.where(sign == 0, 1.0, sign)[:, None] <= FLAT * scale).any(axis=1)
    worst = np.where(flat, 0.0, (quality * sign[:, None]).min(axis=1))
    return Shape(size, sign, flat, tangled, np.clip(worst, 0.0, 1.0))


def mesh_shapes(mesh: Mesh) -> Shape:
    """Shapes of all cells of `mesh`, block after block; vertices and unknown types have NaN and are sound."""
    found = []
    for kind, corners in mesh.cells:
        if kind in LEAVING and len(corners):
            found.append(shapes_of(kind, mesh.corner_positions(corners)))
        else:
            nothing, no = np.full(len(corners), np.nan), np.zeros(len(corners), dtype=bool)
            found.append(Shape(nothing, np.ones(len(corners)), no, no, nothing))
    names = ("size", "sign", "flat", "tangled", "quality")
    if not found:
        return Shape(np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), np.zeros(0))
    return Shape(*(np.concatenate([getattr(shape, name) for shape in found]) for name in names))


def _longest_side(kind: str, positions: np.ndarray) -> np.ndarray:
    longest = np.zeros(len(positions))
    for i, j in CELLS[kind].edges:
        np.maximum(longest, ((positions[:, i] - positions[:, j]) ** 2).sum(axis=1), out=longest)
    return np.sqrt(longest)


def _mean_normal(positions: np.ndarray) -> np.ndarray:
    """Unit normal `[cells, 3]` of triangles and of quads (across their diagonals); 0 where there is none."""
    last = positions[:, 3] - positions[:, 1] if positions.shape[1] == 4 else positions[:, 2] - positions[:, 0]
    first = (
        positions[:, 2] - positions[:, 0] if positions.shape[1] == 4 else positions[:, 1] - positions[:, 0]
    )
    normal = np.cross(first, last)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)


def _jacobian(edges: np.ndarray, normal: np.ndarray | None) -> np.ndarray:
    """Determinant `[cells]` of edges `[cells, d, dim]`; a length for one edge, along `normal` for a surface."""
    count, dim = edges.shape[1:]
    if count == 1:
        return np.linalg.norm(edges[:, 0], axis=1)
    one, two = edges[:, 0], edges[:, 1]
    if count == 2 and dim == 2:
        return one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    third = edges[:, 2] if normal is None else normal
    return (np.cross(one, two) * third).sum(axis=1)


def _sizes(kind: str, positions: np.ndarray, normal: np.ndarray | None) -> np.ndarray:
    """Length, area or volume `[cells]`; sides with four corners are bilinear."""
    first = positions[:, 0]
    if kind == "line":
        return np.linalg.norm(positions[:, 1] - first, axis=1)
    if CELLS[kind].dim == 2:
        corners = range(1, positions.shape[1] - 1)
        edges = [positions[:, [i, i + 1]] - first[:, None] for i in corners]
        parts = [_jacobian(pair, normal) / 2 for pair in edges]
        return sum(parts[1:], parts[0])
    volume, middle = np.zeros(len(positions)), positions.mean(axis=1, keepdims=True)
    for side in CELLS[kind].facets:
        vectors = positions[:, list(side)] - middle
        splits = ((0, 1, 2),) if len(side) == 3 else ((0, 1, 2), (0, 2, 3), (1, 2, 3), (1, 3, 0))
        for split in splits:
            volume += _jacobian(vectors[:, list(split)], None) / (6 if len(side) == 3 else 12)
    return volume
