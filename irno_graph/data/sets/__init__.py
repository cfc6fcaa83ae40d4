"""Data sets for training: pairs of snapshots of any source, splits, statistics, derived fields, batches."""

from irno_graph.data.sets.batches import GraphCollate, GraphPairs, OneGraphBatches
from irno_graph.data.sets.channels import ChannelGroups
from irno_graph.data.sets.pairing import Pairing
from irno_graph.data.sets.pairs import Pair, PairDataset
from irno_graph.data.sets.splits import geometries, split, split_groups, trajectories
from irno_graph.data.sets.statistics import FieldStatistics, statistics
from irno_graph.data.sets.wrapped import DIVERGENCE, VORTICITY, Derived, DerivedField, WithCoefficients

__all__ = [
    "DIVERGENCE",
    "VORTICITY",
    "ChannelGroups",
    "Derived",
    "DerivedField",
    "FieldStatistics",
    "GraphCollate",
    "GraphPairs",
    "OneGraphBatches",
    "Pair",
    "PairDataset",
    "Pairing",
    "WithCoefficients",
    "geometries",
    "split",
    "split_groups",
    "statistics",
    "trajectories",
]
