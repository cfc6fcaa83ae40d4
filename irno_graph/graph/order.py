"""Orders of nodes in which neighbours are near each other in memory."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from irno_graph.mesh.cells import CELLS
from irno_graph.mesh.mesh import Mesh
from irno_graph.mesh.periodic import hilbert_order, wrap

Order = Literal["hilbert", "cuthill_mckee"]


def locality_order(mesh: Mesh, order: Order) -> np.ndarray:
    """Permutation `[points]`: place i of the new order takes point `permutation[i]`.

    "hilbert" goes along a Hilbert curve through the bounding box, "cuthill_mckee" is the reverse Cuthill-McKee order
    of the graph of the cells' edges, which makes the bandwidth small.

    Raises:
        ValueError: for another name.
    """
    if order == "hilbert":
        points = wrap(mesh.points, mesh.period)
        side = np.ptp(points, axis=0)
        return hilbert_order((points - points.min(axis=0)) / np.where(side > 0, side, 1.0))
    if order != "cuthill_mckee":
        raise ValueError(f"`order` should be 'hilbert', 'cuthill_mckee' or None, got {order!r}.")
    pairs = np.concatenate(
        [cells[:, list(pair)] for kind, cells in mesh.cells if kind in CELLS for pair in CELLS[kind].edges]
    )
    count = len(mesh.points)
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count)).tocsr()
    return reverse_cuthill_mckee((graph + graph.T).tocsr(), symmetric_mode=True).astype(np.int64)


def renumbered_mesh(mesh: Mesh, permutation: np.ndarray) -> Mesh:
    """Points and cells of `mesh` in another order of the points; data and tags are left out."""
    place = np.empty_like(permutation)
    place[permutation] = np.arange(len(permutation))
    cells = [(kind, place[corners]) for kind, corners in mesh.cells]
    return Mesh(mesh.points[permutation], cells, period=mesh.period)
