"""Block Lanczos on the inverse of a shifted sparse symmetric matrix, and what its factors count."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import SuperLU, splu

Modes = tuple[np.ndarray, np.ndarray]  # eigenvalues [modes], vectors [nodes, modes]

COLUMNS = 8192  # of the basis at a time, where it is multiplied by small matrices
PANEL = 8  # columns that SuperLU works on at once
CONVERGED = 1e-9  # relative residual in the shifted inverse at which a Ritz pair counts


class EigenError(ValueError):
    """The eigensolver missed modes, or found some to too few digits."""


def factorised(matrix: csr_array, shift: float, order: str = "MMD_AT_PLUS_A") -> SuperLU:
    """L U = A - shift, pivots on the diagonal; `order` "NATURAL" eliminates in the order of the rows."""
    shifted = csc_array(matrix - shift * eye_array(matrix.shape[0]))
    options = {"SymmetricMode": True}
    return splu(shifted, permc_spec=order, diag_pivot_thresh=0.0, panel_size=PANEL, options=options)


def negative_pivots(factors: SuperLU) -> int:
    """The eigenvalues below the shift are as many (Sylvester's law of inertia)."""
    return int((factors.U.diagonal() < 0).sum())


@dataclass
class Krylov:
    """Orthonormal rows Q `[capacity, nodes]` of the Krylov space and T = Q (A - c)^-1 Q^T."""

    basis: np.ndarray
    projected: np.ndarray
    size: int = 0
    last: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # couples Q to the next block

    @classmethod
    def start(cls, nodes: int, capacity: int, block: int) -> Krylov:
        """A random first block of a fixed seed."""
        basis = np.empty((capacity, nodes))
        first = np.random.default_rng(0).standard_normal((nodes, block))
        basis[:block] = qr(first, mode="economic")[0].T
        return cls(basis, np.zeros((capacity, capacity)))

    def grow(self, factors: SuperLU, block: int) -> None:
        """One block more: three terms of the recurrence, then all of Q once."""
        size, self.size = self.size, self.size + block
        own = slice(size, size + block)
        found = factors.solve(self.basis[own].T).T  # [block, nodes]
        if size:
            before = slice(size - block, size)
            found -= self.last @ self.basis[before]
            self.projected[before, own] = self.last.T
            self.projected[own, before] = self.last
        diagonal = self.basis[own] @ found.T
        found -= diagonal.T @ self.basis[own]
        self.projected[own, own] = 0.5 * (diagonal + diagonal.T)
        known = self.basis[: self.size]
        found -= (known @ found.T).T @ known
        after, self.last = qr(found.T, mode="economic", overwrite_a=True, check_finite=False)
        sizes = np.abs(self.last.diagonal())
        if sizes.min() < 1e-6 * sizes.max():
            after, change = qr(after - known.T @ (known @ after), mode="economic")
            self.last = change @ self.last
        self.basis[self.size : self.size + block] = after.T

    def ritz(self, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ritz values, largest first, their vectors in Q, and what couples them to the next block."""
        values, rotation = eigh(self.projected[: self.size, : self.size])
        order = np.argsort(-np.abs(values), kind="stable")
        return values[order], rotation[:, order], self.last @ rotation[-block:, order]


def nearest_modes(factors: SuperLU, shift: float, count: int, block: int) -> Modes:
    """More than `count` converged eigenpairs nearest to `shift`, all of them up to a distance, ascending.

    Args:
        factors: of A - shift.
        shift: c.
        count: how many are wanted; one more is found.
        block: vectors per step; an eigenvalue repeated more often than that may be found too few times.

    Raises:
        EigenError: if they do not converge in 4 `count` vectors.
    """
    nodes = factors.shape[0]
    capacity = min(nodes // block * block, 4 * count + 20 * block)
    space = Krylov.start(nodes, capacity, block)
    check = 2 * count + 12 * block  # most often enough or nearly so
    while True:
        space.grow(factors, block)
        full = space.size + 2 * block > capacity
        if space.size < check and not full:
            continue
        values, rotation, coupling = space.ritz(block)
        good = np.linalg.norm(coupling, axis=0) < CONVERGED * np.abs(values)
        done = len(good) if good.all() else int(np.argmin(good))
        if done > count:
            break
        if full:
            raise EigenError(
                f"{count} modes should converge in {capacity} vectors, got {done}: ask for fewer modes."
            )
        check = space.size + max(2 * block, (count - done) // 2)
    keep = np.argsort(shift + 1.0 / values[: min(done, count + 2 * block)])
    mixed = np.concatenate([rotation[:, keep], coupling[:, keep] / values[keep]])
    return shift + 1.0 / values[keep], orthonormal(mixed.T, space.basis[: space.size + block])


def orthonormal(mixed: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """`mixed @ basis`, transposed to `[nodes, modes]`: nearly orthogonal vectors, made orthonormal.

    The change is the least one (a step of Newton and Schulz). It overwrites the first rows of `basis`.

    Args:
        mixed: `[modes, vectors]`.
        basis: `[vectors, nodes]`.
    """
    modes = len(mixed)
    gram = np.zeros((modes, modes))
    for part in _column_parts(basis):
        basis[:modes, part] = mixed @ basis[:, part]
        gram += basis[:modes, part] @ basis[:modes, part].T
    size = 1.0 / np.sqrt(gram.diagonal())
    change = (1.5 * np.eye(modes) - 0.5 * size[:, None] * gram * size) * size
    vectors = np.empty((basis.shape[1], modes))
    for part in _column_parts(basis):
        vectors[part] = (change @ basis[:modes, part]).T
    return vectors


def _column_parts(basis: np.ndarray) -> list[slice]:
    return [slice(start, start + COLUMNS) for start in range(0, basis.shape[1], COLUMNS)]
