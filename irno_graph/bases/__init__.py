"""Base operators: what gives the first estimate h0."""

from irno_graph.bases.callable import Callable, ask, takes
from irno_graph.bases.rigno import RIGNO

__all__ = ["RIGNO", "Callable", "ask", "takes"]
