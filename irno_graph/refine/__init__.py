"""Refinement of a base's output, and storage of refined models."""

from irno_graph.refine.boundary import Dirichlet
from irno_graph.refine.irno import IRNO, Prepares
from irno_graph.refine.loop import Refinement, Status, finite_samples, over_nodes, refine
from irno_graph.refine.scaling import Scaling
from irno_graph.refine.storage import load, save

__all__ = [
    "IRNO",
    "Dirichlet",
    "Prepares",
    "Refinement",
    "Scaling",
    "Status",
    "finite_samples",
    "load",
    "over_nodes",
    "refine",
    "save",
]
