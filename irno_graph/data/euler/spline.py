"""Values of cell-centred periodic fields at arbitrary points: B-splines of order five, or bilinear."""

from __future__ import annotations

import numpy as np
from scipy import fft, sparse


class PeriodicSpline:
    """Interpolation on the unit square from an n x n grid of cell centres to fixed points, error O(dx^6).

    Axis -2 of a field is x, axis -1 is y, and entry (i, j) sits at ((i + 1/2) / n, (j + 1/2) / n). The sparse
    matrix of B-spline values is built once; a field then costs two FFTs (coefficients) and a sparse product.
    """

    def __init__(self, points: np.ndarray, resolution: int) -> None:
        self.resolution = resolution
        self.matrix = _product([_basis(points[:, axis], resolution) for axis in (0, 1)], resolution)

    def __call__(self, fields: np.ndarray) -> np.ndarray:
        """Interpolate [..., n, n] to [..., points]."""
        n = self.resolution
        symbol = (
            66 + 52 * np.cos(2 * np.pi * np.arange(n) / n) + 2 * np.cos(4 * np.pi * np.arange(n) / n)
        ) / 120
        spectrum = fft.rfft2(fields) / (symbol[:, None] * symbol[: n // 2 + 1])
        coefficients = fft.irfft2(spectrum, s=(n, n)).reshape(-1, n * n)
        return (self.matrix @ coefficients.T).T.reshape(*fields.shape[:-2], -1)


class PeriodicLinear:
    """Bilinear interpolation on the same grid: a value lies between those of the four cells around, O(dx^2)."""

    def __init__(self, points: np.ndarray, resolution: int) -> None:
        self.matrix = _product([_hats(points[:, axis], resolution) for axis in (0, 1)], resolution)

    def __call__(self, fields: np.ndarray) -> np.ndarray:
        """Interpolate [..., n, n] to [..., points]."""
        values = fields.reshape(-1, self.matrix.shape[1])
        return (self.matrix @ values.T).T.reshape(*fields.shape[:-2], -1)


def _product(bases: list[tuple[np.ndarray, np.ndarray]], resolution: int) -> sparse.csr_matrix:
    """Matrix [points, cells] from the indices and weights [points, k] along x and along y."""
    (column_x, weight_x), (column_y, weight_y) = bases
    columns = column_x[:, :, None] * resolution + column_y[:, None, :]  # [points, k, k]
    weights = weight_x[:, :, None] * weight_y[:, None, :]
    rows = np.repeat(np.arange(len(columns)), columns[0].size)
    return sparse.csr_matrix((weights.ravel(), (rows, columns.ravel())), shape=(len(columns), resolution**2))


def _hats(coordinate: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Wrapped indices and values [points, 2] of the hat functions at each coordinate."""
    position = coordinate * resolution - 0.5
    first = np.floor(position)
    share = position - first
    index = first.astype(np.int64)[:, None] + np.arange(2)
    return index % resolution, np.stack([1.0 - share, share], axis=-1)


def _basis(coordinate: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Wrapped indices and values [points, 6] of the quintic B-splines at each coordinate."""
    position = coordinate * resolution - 0.5
    first = np.floor(position).astype(np.int64) - 2
    index = first[:, None] + np.arange(6)
    distance = np.abs(position[:, None] - index)
    value = np.zeros_like(distance)
    for reach, factor in ((3, 1.0), (2, -6.0), (1, 15.0)):  # truncated powers of the quintic B-spline
        value += factor * np.maximum(reach - distance, 0.0) ** 5 / 120
    return index % resolution, value
