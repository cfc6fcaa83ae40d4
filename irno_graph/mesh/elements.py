"""Linear finite elements on the cell types: integrals of the hat functions and of their gradients.

P1 on lines, triangles and tetrahedra, Q1 on quads and hexahedra, their products and collapses on wedges and pyramids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

Rule = tuple[np.ndarray, np.ndarray, np.ndarray]  # weights [q], values [q, corners], slopes [q, corners, d]
GAUSS = (np.array([0.5 - 0.5 / np.sqrt(3), 0.5 + 0.5 / np.sqrt(3)]), np.array([0.5, 0.5]))
ENDS = (np.array([0.0, 1.0]), np.array([0.5, 0.5]))  # the trapezoidal rule
BOX = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))


@dataclass(frozen=True)
class Integrals:
    """Integrals over each cell of one type, in `[cells, corners, dim]` space.

    Attributes:
        load: of the hat functions `[cells, corners]`; positive, their sum is the length, area or volume.
        gradients: of the hat functions' gradients `[cells, corners, dim]`, tangential to the cell.
        stiffness: of the products grad hat_i . grad hat_j `[cells, corners, corners]`.
        sound: whether the Jacobian has one sign in the cell, at its corners too `[cells]`.
    """

    load: np.ndarray
    gradients: np.ndarray
    stiffness: np.ndarray
    sound: np.ndarray


def integrals(kind: str, corners: np.ndarray) -> Integrals:
    """Integrals over cells of type `kind` with positions `corners` `[cells, corners, dim]`.

    The load is exact for every cell; so are the gradients, and the stiffness of lines, triangles, tetrahedra and
    parallelepipeds. "pixel" and "voxel" are a quad and a hexahedron with the trapezoidal rule, whose stiffness on a
    rectangle is the 5-point stencil, on a cuboid the 7-point stencil. Mirrored cells count as positive.

    >>> integrals("triangle", np.array([[[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]])).load.sum()
    np.float64(1.0)
    """
    cells, count, dim = corners.shape
    load = np.zeros((cells, count))
    gradients = np.zeros((cells, count, dim))
    stiffness = np.zeros((cells, count, count))
    least, most = np.full(cells, np.inf), np.full(cells, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):  # flat cells: `sound` says so
        for weight, values, slopes in zip(*rule(kind), strict=True):
            size, hats = _mapped(corners, slopes)
            least, most = np.minimum(least, size), np.maximum(most, size)
            size = weight * np.abs(size)
            load += size[:, None] * values
            weighted = size[:, None, None] * hats
            gradients += weighted
            stiffness += weighted @ hats.transpose(0, 2, 1)
        for slopes in _corner_slopes(kind):
            size, _ = _mapped(corners, slopes)
            least, most = np.minimum(least, size), np.maximum(most, size)
    return Integrals(load, gradients, stiffness, (least > 0) | (most < 0))


@cache
def rule(kind: str) -> Rule:
    """Quadrature on the reference cell: weights, hat functions and their slopes at the points."""
    if kind in ("line", "triangle", "tetra"):
        dim = {"line": 1, "triangle": 2, "tetra": 3}[kind]
        slopes = np.concatenate([-np.ones((1, dim)), np.eye(dim)])
        return (
            np.array([1 / np.prod(np.arange(1, dim + 1))]),
            np.full((1, dim + 1), 1 / (dim + 1)),
            slopes[None],
        )
    if kind == "wedge":
        return _wedge_rule()
    dim = 2 if kind in ("quad", "pixel") else 3
    nodes, weights = ENDS if kind in ("pixel", "voxel") else GAUSS
    points = np.stack(np.meshgrid(*[nodes] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    product = np.prod(np.stack(np.meshgrid(*[weights] * dim, indexing="ij"), axis=-1), axis=-1).ravel()
    values, slopes = _box_hats(points)
    if kind == "pyramid":  # a box whose upper corners coincide
        values = np.concatenate([values[:, :4], values[:, 4:].sum(axis=1, keepdims=True)], axis=1)
        slopes = np.concatenate([slopes[:, :4], slopes[:, 4:].sum(axis=1, keepdims=True)], axis=1)
    return product, values, slopes


def _box_hats(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hat functions `[q, corners]` of the unit square or cube at `points` `[q, d]`, and their slopes."""
    dim = points.shape[1]
    corner = np.array(BOX[: 2**dim])[:, :dim]
    factors = np.where(corner == 1, points[:, None], 1 - points[:, None])  # [q, corners, d]
    slopes = np.stack(
        [(2 * corner[:, axis] - 1) * np.delete(factors, axis, axis=2).prod(axis=2) for axis in range(dim)],
        axis=-1,
    )
    return factors.prod(axis=2), slopes


def _wedge_rule() -> Rule:
    """Three points in the triangle, exact to degree 2, times two of Gauss along the axis."""
    flat = np.array([[1, 1], [4, 1], [1, 4]]) / 6
    hats = np.concatenate([1 - flat.sum(axis=1, keepdims=True), flat], axis=1)  # [3, 3]
    slopes = np.array([[-1.0, -1.0], [1.0, 0.0], [0.0, 1.0]])
    weights, values, gradients = [], [], []
    for height, weight in zip(*GAUSS, strict=True):
        for hat in hats:
            weights.append(weight / 6)
            values.append(np.concatenate([hat * (1 - height), hat * height]))
            plane = np.concatenate([slopes * (1 - height), slopes * height])
            gradients.append(np.concatenate([plane, np.concatenate([-hat, hat])[:, None]], axis=1))
    return np.array(weights), np.array(values), np.array(gradients)


@cache
def _corner_slopes(kind: str) -> np.ndarray:
    """Slopes of the hat functions at the corners of a cell whose Jacobian varies; empty for others."""
    if kind in ("quad", "hexahedron"):
        dim = 2 if kind == "quad" else 3
        return _box_hats(np.array(BOX[: 2**dim], dtype=float)[:, :dim])[1]
    return np.empty((0, 0, 0))


def _mapped(corners: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed Jacobian `[cells]` and gradients `[cells, corners, dim]` of the hat functions at one point."""
    tangents = np.einsum("kcn,cd->kdn", corners, slopes)  # [cells, d, dim]
    size, duals = _duals(tangents)
    return size, np.einsum("cd,kdn->kcn", slopes, duals)


def _duals(tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Size (signed where the cells fill the space) and dual vectors g_i with g_i . t_j = delta_ij."""
    _, kinds, dim = tangents.shape
    if kinds == 1:
        square = (tangents**2).sum(axis=2)
        return np.sqrt(square[:, 0]), tangents / square[:, :, None]
    one, two = tangents[:, 0], tangents[:, 1]
    if kinds == 2 and dim == 2:
        size = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
        duals = np.stack([two[:, 1], -two[:, 0], -one[:, 1], one[:, 0]], axis=1).reshape(-1, 2, 2)
        return size, duals / size[:, None, None]
    normal = np.cross(one, two)
    if kinds == 2:
        square = (normal**2).sum(axis=1)
        duals = np.stack([np.cross(two, normal), np.cross(normal, one)], axis=1)
        return np.sqrt(square), duals / square[:, None, None]
    three = tangents[:, 2]
    size = (normal * three).sum(axis=1)
    duals = np.stack([np.cross(two, three), np.cross(three, one), normal], axis=1)
    return size, duals / size[:, None, None]
