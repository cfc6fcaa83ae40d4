"""How large the domain of a graph is, whatever the dimension of its cells."""

from __future__ import annotations

import torch
from torch import Tensor

from irno_graph.graph.calculus import node_graph_index
from irno_graph.graph.graph import Graph
from irno_graph.mesh.cells import CELLS

DIMS = {**{kind: cell.dim for kind, cell in CELLS.items()}, "pixel": 2, "voxel": 3}


def manifold_dims(graph: Graph) -> Tensor:
    """Dimension of the domain of each graph `[graphs]`, int64: 1 for a curve, 2 for a surface in space.

    It is that of the cells; where there are none, the `manifold_dim` that the cloud was given, else the number of
    coordinates.
    """
    owner, count = node_graph_index(graph)
    given = graph.get("manifold_dim")
    dims = torch.as_tensor(graph.dim if given is None else given, device=graph.pos.device)
    dims = dims.long().expand(count).clone()
    for kind, corners, _ in graph.cells():
        dims[owner[corners[:, 0]]] = DIMS[kind]
    return dims


def domain_sizes(graph: Graph) -> Tensor:
    """(sum of the masses) ** (1 / manifold dimension) of each graph `[graphs]`, a length; float64.

    >>> domain_sizes(Graph.from_grid((8, 8), period=(3.0, 3.0)))
    tensor([3.], dtype=torch.float64)
    """
    owner, count = node_graph_index(graph)
    mass = graph.mass.double()
    total = torch.zeros(count, dtype=torch.float64, device=mass.device).index_add_(0, owner, mass)
    return total ** (1.0 / manifold_dims(graph))
