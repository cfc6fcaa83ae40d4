"""RIGNO, the mesh operator with regional nodes (arXiv 2501.19205)."""

from irno_graph.bases.rigno.network import Architecture, RIGNONetwork
from irno_graph.bases.rigno.operator import RIGNO
from irno_graph.bases.rigno.reference import load_reference
from irno_graph.bases.rigno.regional import RegionalGraph, RegionalSettings
from irno_graph.bases.rigno.stepper import Stepper

__all__ = [
    "RIGNO",
    "Architecture",
    "RIGNONetwork",
    "RegionalGraph",
    "RegionalSettings",
    "Stepper",
    "load_reference",
]
