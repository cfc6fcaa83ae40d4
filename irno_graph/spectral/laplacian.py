"""The Laplacian of a graph, by finite elements on its cells or from its edges, and its largest eigenvalue."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import block_diag, coo_array, csr_array, diags_array
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

from irno_graph.graph import Graph, graph_list
from irno_graph.mesh.elements import integrals
from irno_graph.spectral.cloud import cloud_weights
from irno_graph.spectral.intrinsic import intrinsic_delaunay

DENSE = 256  # nodes up to which a dense solver is used
CHUNK = 200_000  # cells whose matrices are made at once


def laplacian(graph: Graph, *, intrinsic: bool = False) -> csr_array:
    """The stiffness matrix L `[nodes, nodes]`, float64: symmetric, positive semidefinite, rows sum to 0.

    L_ij = sum over cells of the integral of grad hat_i . grad hat_j, with linear elements on lines, triangles and
    tetrahedra and Q1 elements on the other cells; on curves and surfaces gradients are tangential, so that it is the
    Laplace-Beltrami operator. The operator is M^-1 L with M = diag(graph.mass), with natural (Neumann) boundaries.
    On a grid it is the 5-point stencil. A graph without cells gets weights on its edges (`cloud_weights`). For a
    batch L is block diagonal.

    Args:
        graph: a graph or a batch.
        intrinsic: flip the edges of bad triangles first (`intrinsic_delaunay`), so that no weight off the diagonal
            is positive.

    Raises:
        ValueError: if `intrinsic` is asked for where not all cells are triangles.
    """
    members = graph_list(graph)
    if members[0] is not graph:
        return csr_array(block_diag([laplacian(one, intrinsic=intrinsic) for one in members]))
    nodes = len(graph.pos)
    if len(graph.cell_kind) == 0:
        return _from_pairs(*cloud_weights(graph), nodes)
    if intrinsic:
        return _from_pairs(*intrinsic_delaunay(graph), nodes)
    rows, columns, values = [], [], []
    for kind, cells, vectors in graph.cells():
        corners, positions = cells.cpu().numpy(), vectors.cpu().numpy()
        one, two = np.triu_indices(corners.shape[1], k=1)
        for start in range(0, len(corners), CHUNK):
            part = slice(start, start + CHUNK)
            rows.append(corners[part][:, one].ravel())
            columns.append(corners[part][:, two].ravel())
            values.append(integrals(kind, positions[part]).stiffness[:, one, two].ravel())
    return _from_pairs(np.concatenate(rows), np.concatenate(columns), np.concatenate(values), nodes)


def symmetric_laplacian(graph: Graph, *, intrinsic: bool = False) -> csr_array:
    """M^-1/2 L M^-1/2, whose eigenvalues are those of M^-1 L."""
    scale = diags_array(1.0 / np.sqrt(graph.mass.cpu().numpy()))
    return csr_array(scale @ laplacian(graph, intrinsic=intrinsic) @ scale)


def largest_eigenvalue(graph: Graph) -> float:
    """The largest eigenvalue of M^-1 L, by Lanczos, to 1e-8 relative."""
    matrix = symmetric_laplacian(graph)
    nodes = matrix.shape[0]
    with threadpool_limits(1, user_api="blas"):
        if nodes <= DENSE:
            return float(eigh(matrix.toarray(), eigvals_only=True)[-1])
        start = np.random.default_rng(0).standard_normal(nodes)
        return float(eigsh(matrix, k=1, which="LA", v0=start, tol=1e-8, return_eigenvectors=False)[0])


def _from_pairs(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, nodes: int) -> csr_array:
    """The matrix with `values` at both ends of each pair, added up, and the diagonal that makes rows sum to 0."""
    upper = coo_array((values, (rows, columns)), shape=(nodes, nodes)).tocsr()
    sides = upper + upper.T
    sides.setdiag(0.0)
    return csr_array(sides - diags_array(sides.sum(axis=1)))
