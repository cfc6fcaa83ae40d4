"""Neural building blocks: segment reductions over edges, perceptrons and conditional norms."""

from irno_graph.nn.blocks import Block, LeadTimeCorrection
from irno_graph.nn.segment import gather, segment_mean, segment_sum

__all__ = ["Block", "LeadTimeCorrection", "gather", "segment_mean", "segment_sum"]
