"""The P1 (cotangent) Laplacian of a graph, and the largest eigenvalue of M^-1 L."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

from irno_graph.graph import Graph, basis_gradients, triangle_areas

DENSE = 256  # nodes up to which a dense solver is used


def laplacian(graph: Graph) -> csr_array:
    """The stiffness matrix L `[nodes, nodes]` of linear elements on the triangles `graph.face`, float64.

    L_ij = sum over triangles of area * grad hat_i . grad hat_j: symmetric, positive semidefinite, rows sum
    to 0. The operator is M^-1 L with M = diag(graph.mass); on a grid it is the 5-point stencil. For a batch
    L is block diagonal.
    """
    corners = graph.corner_vectors.cpu()
    hats = basis_gradients(corners)  # [triangles, 3, dim]
    local = (hats @ hats.transpose(1, 2) * triangle_areas(corners)[:, None, None]).numpy()
    face = graph.face.cpu().numpy()
    pairs = [(0, 1), (1, 2), (2, 0)]
    rows = np.concatenate([face[i] for i, _ in pairs])
    columns = np.concatenate([face[j] for _, j in pairs])
    values = np.concatenate([local[:, i, j] for i, j in pairs])
    nodes = len(graph.pos)
    upper = coo_array((values, (rows, columns)), shape=(nodes, nodes)).tocsr()
    sides = upper + upper.T
    return csr_array(sides - diags_array(sides.sum(axis=1)))


def symmetric_laplacian(graph: Graph) -> csr_array:
    """M^-1/2 L M^-1/2, whose eigenvalues are those of M^-1 L."""
    scale = diags_array(1.0 / np.sqrt(graph.mass.cpu().numpy()))
    return csr_array(scale @ laplacian(graph) @ scale)


def largest_eigenvalue(graph: Graph) -> float:
    """The largest eigenvalue of M^-1 L, by Lanczos, to 1e-8 relative."""
    matrix = symmetric_laplacian(graph)
    nodes = matrix.shape[0]
    with threadpool_limits(1, user_api="blas"):
        if nodes <= DENSE:
            return float(eigh(matrix.toarray(), eigvals_only=True)[-1])
        start = np.random.default_rng(0).standard_normal(nodes)
        return float(eigsh(matrix, k=1, which="LA", v0=start, tol=1e-8, return_eigenvectors=False)[0])
