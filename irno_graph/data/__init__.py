"""Data: generators, readers and statistics."""

from irno_graph.data.normaliser import Moments
from irno_graph.data.trajectories import TrajectoryFile

__all__ = ["Moments", "TrajectoryFile"]
