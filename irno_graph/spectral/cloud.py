"""The Laplacian of points without cells: weights on the edges of a graph, scaled to approximate the operator."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array

from irno_graph.graph import Graph

SWEEPS = 200
CLOSE = 1e-10


def cloud_weights(graph: Graph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs i < j and the entries L_ij < 0 of a point cloud's Laplacian.

    L_ij = -s_i s_j exp(-r_ij^2 / (a_i a_j)) with a_i the mean length of the edges at i and s > 0 such that
    sum_j -L_ij r_ij^2 = 2 d M_i for a d-dimensional cloud: then M^-1 L has the second moments of -Laplace at every
    node, on a regular grid with its nearest neighbours it is the 5-point stencil. s is found by symmetric scaling of
    a non-negative matrix (Sinkhorn and Knopp, Pacific Journal of Mathematics 21, 1967).

    Raises:
        ValueError: if a node has no edge.
    """
    source, target = graph.edge_index.cpu().numpy()
    length = graph.edge_attr[:, -1].double().cpu().numpy()
    mass = graph.mass.double().cpu().numpy()
    nodes = len(mass)
    degree = np.bincount(target, minlength=nodes)
    if (degree == 0).any():
        raise ValueError(
            f"every node should have an edge, got {int((degree == 0).sum())} without: use more neighbours."
        )
    reach = np.bincount(target, length, nodes) / degree
    kernel = np.exp(-(length**2) / (reach[source] * reach[target]))
    moments = coo_array((kernel * length**2, (target, source)), shape=(nodes, nodes)).tocsr()
    wanted = 2.0 * graph.manifold_dim * mass
    scale = np.sqrt(wanted / (moments @ np.ones(nodes)))
    for _ in range(SWEEPS):
        ratio = wanted / (scale * (moments @ scale))
        scale *= np.sqrt(ratio)
        if np.abs(ratio - 1).max() < CLOSE:
            break
    once = source < target
    one, two = source[once], target[once]
    return one, two, -(scale[one] * scale[two] * kernel[once])
