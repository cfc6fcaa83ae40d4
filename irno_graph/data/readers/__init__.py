"""Readers of other people's gridded data."""

from irno_graph.data.readers.source import FieldSource, as_trajectories, sampled_moments
from irno_graph.data.readers.well import WellData

__all__ = ["FieldSource", "WellData", "as_trajectories", "sampled_moments"]
