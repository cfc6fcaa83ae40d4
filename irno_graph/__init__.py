"""Iterative refinement of neural operators on irregular meshes.

>>> import irno_graph as ig
>>> graph = ig.Graph.from_grid((8, 8), period=(1.0, 1.0))
>>> graph.num_nodes
64
"""

from irno_graph import bases, correctors, losses, metrics, rollout
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, MeshError, read_mesh, write_mesh, write_series
from irno_graph.refine import IRNO, Refinement, Scaling, Status, load, save
from irno_graph.rollout import Trajectory
from irno_graph.spectral import EigenBasis

__all__ = [
    "IRNO",
    "EigenBasis",
    "Graph",
    "Mesh",
    "MeshError",
    "Refinement",
    "Scaling",
    "Status",
    "Trajectory",
    "bases",
    "correctors",
    "load",
    "losses",
    "metrics",
    "read_mesh",
    "rollout",
    "save",
    "write_mesh",
    "write_series",
]
