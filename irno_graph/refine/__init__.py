"""Refinement of a base's output, and storage of refined models."""

from irno_graph.refine.irno import IRNO, Refinement, Status
from irno_graph.refine.scaling import Scaling
from irno_graph.refine.storage import load, save

__all__ = ["IRNO", "Refinement", "Scaling", "Status", "load", "save"]
