"""Neural building blocks: segment reductions over edges, perceptrons and conditional norms."""

from irno_graph.nn.blocks import Affine, Block, lead_time_affines
from irno_graph.nn.segment import gather, segment_mean, segment_sum

__all__ = ["Affine", "Block", "gather", "lead_time_affines", "segment_mean", "segment_sum"]
