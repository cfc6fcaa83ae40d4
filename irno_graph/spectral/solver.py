"""The lowest eigenpairs of a sparse symmetric matrix: block Lanczos on the shifted inverse, counted by inertia."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import norm
from threadpoolctl import ThreadpoolController

from irno_graph.spectral.dissection import dissection
from irno_graph.spectral.krylov import EigenError, Modes, factorised, nearest_modes, negative_pivots
from irno_graph.spectral.laplacian import DENSE

BLOCK = 4  # vectors per Lanczos step: one pass over the basis and the factors serves all of them
FEW = 32  # modes up to which steps of half as many vectors need fewer of them
LARGE = 10_000  # nodes from which on nested dissection leaves smaller factors than minimum degree, and sooner
SMALL = 2048  # nodes up to which the dense solver is the last resort
TOLERANCE = 1e-7  # relative residual of a mode that is accepted


def lowest_modes(matrix: csr_array, count: int, reach: np.ndarray) -> Modes:
    """A V = V diag(eigenvalues), V^T V = I: the `count` lowest eigenpairs of a semidefinite A `[nodes, nodes]`.

    Parts of A that nothing connects are solved one by one, so that each gives its own zero mode. In a part,
    block Lanczos on (A + s)^-1 with full reorthogonalisation; the number of negative pivots of A - c, c in the
    first gap beyond the modes, tells whether one is missing.

    Args:
        matrix: A, symmetric, positive semidefinite.
        count: modes, at most the nodes.
        reach: `[nodes, dim]` positions; s is 0.1 over the squared size of a part.

    Raises:
        EigenError: if modes are missing after several starts.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        parts = _parts(matrix)
        if len(parts) == 1:
            return _connected(matrix, count, reach)
        found = [
            _connected(csr_array(matrix[own][:, own]), min(count, len(own)), reach[own]) for own in parts
        ]
        values = np.concatenate([eigenvalues for eigenvalues, _ in found])
        vectors = np.zeros((matrix.shape[0], len(values)))
        start = 0
        for own, (eigenvalues, block) in zip(parts, found, strict=True):
            vectors[own, start : start + len(eigenvalues)] = block
            start += len(eigenvalues)
        order = np.argsort(values, kind="stable")[:count]
        return values[order], vectors[:, order]


def residual_norms(matrix: csr_array, modes: Modes) -> np.ndarray:
    """|A v - lambda v| / lambda `[modes]`, where lambda is 0 over the least positive one (over |A|_1 if none).

    Raises:
        EigenError: where it is above 1e-7 and above the rounding errors of A v.
    """
    eigenvalues, vectors = modes
    size = float(norm(matrix, 1)) or 1.0
    absolute = np.empty(len(eigenvalues))
    for start in range(0, len(eigenvalues), 16):
        part = slice(start, start + 16)
        absolute[part] = np.linalg.norm(
            matrix @ vectors[:, part] - vectors[:, part] * eigenvalues[part], axis=0
        )
    positive = eigenvalues[eigenvalues > 1e-12 * size]
    relative = absolute / np.maximum(eigenvalues, positive[0] if len(positive) else size)
    bad = (relative > TOLERANCE) & (absolute > 1e3 * np.finfo(float).eps * size)
    if bad.any():
        worst = int(np.argmax(np.where(bad, relative, 0)))
        raise EigenError(
            f"modes should have relative residuals <= {TOLERANCE}, got {relative[worst]:.1e} for mode {worst} "
            f"(eigenvalue {eigenvalues[worst]:.6g}): ask for fewer modes, or drop the flat cells of the mesh."
        )
    return relative


@cache
def _libraries() -> ThreadpoolController:
    """The loaded libraries with threads; looking for them takes milliseconds."""
    return ThreadpoolController()


def _parts(matrix: csr_array) -> list[np.ndarray]:
    """Nodes of the connected parts; couplings at the level of rounding do not connect."""
    entries = matrix.tocoo()
    root = np.sqrt(np.abs(matrix.diagonal()))
    strong = np.abs(entries.data) > 1e-14 * root[entries.row] * root[entries.col]
    pattern = csr_array((strong[strong], (entries.row[strong], entries.col[strong])), shape=matrix.shape)
    number, label = connected_components(pattern, directed=False)
    if number == 1:
        return [np.arange(matrix.shape[0])]
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label))[:-1])


def _connected(matrix: csr_array, count: int, positions: np.ndarray) -> Modes:
    nodes = matrix.shape[0]
    if nodes <= DENSE or 3 * count > nodes:
        return _dense(matrix, count)
    if nodes < LARGE:
        return _counted(matrix, count, positions, "MMD_AT_PLUS_A")
    order = dissection(matrix, positions)
    eigenvalues, own = _counted(csr_array(matrix[order][:, order]), count, positions, "NATURAL")
    vectors = np.empty_like(own)
    vectors[order] = own
    return eigenvalues, vectors


def _counted(matrix: csr_array, count: int, positions: np.ndarray, elimination: str) -> Modes:
    """The lowest modes, checked by the inertia of a second factorisation in the order of the first."""
    nodes, reason = matrix.shape[0], ""
    shift = -0.1 / float((np.ptp(positions, axis=0) ** 2).sum())
    few = BLOCK // 2 if count <= FEW else BLOCK
    for block in (few, 4 * BLOCK, 16 * BLOCK):
        factors = factorised(matrix, shift, elimination)
        order = np.argsort(factors.perm_c)
        try:
            eigenvalues, vectors = nearest_modes(factors, shift, count, block)
        except EigenError as error:
            reason = str(error)
            continue
        del factors
        inside = _before_gap(eigenvalues, count)
        cut = 0.5 * (eigenvalues[inside - 1] + eigenvalues[inside])
        below = negative_pivots(factorised(csr_array(matrix[order][:, order]), cut, "NATURAL"))
        if below == inside:
            return eigenvalues[:count], vectors[:, :count]
        reason = (
            f"{inside} modes should lie below {cut:.6g}, got {below} by inertia: ask for a few modes more."
        )
    if nodes <= SMALL:
        return _dense(matrix, count)
    raise EigenError(reason)


def _dense(matrix: csr_array, count: int) -> Modes:
    eigenvalues, vectors = eigh(matrix.toarray())
    return eigenvalues[:count], vectors[:, :count]


def _before_gap(eigenvalues: np.ndarray, count: int) -> int:
    """The number, at least `count`, of eigenvalues below the widest gap."""
    return count + int(np.argmax(np.diff(eigenvalues[count - 1 :])))
