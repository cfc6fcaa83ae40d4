"""Correctors on grids and on graphs compared: same data, same parameters, same time."""

from irno_graph.experiments.compare.config import CompareConfig, read_compare_config
from irno_graph.experiments.compare.run import run_compare

__all__ = ["CompareConfig", "read_compare_config", "run_compare"]
