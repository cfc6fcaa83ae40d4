"""Base operators: what gives the first estimate h0."""

from irno_graph.bases.callable import Callable, ask, takes
from irno_graph.bases.grid import GridBase, OnGrid
from irno_graph.bases.neuralop import FNO, TFNO, FourierDetails
from irno_graph.bases.plain_fno import PlainFNO
from irno_graph.bases.rigno import RIGNO
from irno_graph.bases.scaled import HighFrequencyScaled, Standardised
from irno_graph.bases.sphere import SFNO, SphereBase
from irno_graph.bases.stepped import Stepped
from irno_graph.bases.super_resolution import WDSR, SuperResolution
from irno_graph.bases.the_well import fetch_the_well, load_the_well

__all__ = [
    "FNO",
    "RIGNO",
    "SFNO",
    "TFNO",
    "WDSR",
    "Callable",
    "FourierDetails",
    "GridBase",
    "HighFrequencyScaled",
    "OnGrid",
    "PlainFNO",
    "SphereBase",
    "Standardised",
    "Stepped",
    "SuperResolution",
    "ask",
    "fetch_the_well",
    "load_the_well",
    "takes",
]
