"""Gather from nodes to edges and reduce from edges to nodes; tensors are node-first, `[nodes, ...]`."""

from __future__ import annotations

import torch
from torch import Tensor


def gather(nodes: Tensor, index: Tensor) -> Tensor:
    """Rows of `nodes` `[nodes, ...]` at `index` `[edges]`, as `[edges, ...]`."""
    return nodes.index_select(0, index)


def segment_sum(edges: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum the rows of `edges` `[edges, ...]` that share an `index`, as `[count, ...]`.

    >>> segment_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3)
    tensor([3., 0., 4.])
    """
    return edges.new_zeros(count, *edges.shape[1:]).index_add(0, index, edges)


def segment_mean(edges: Tensor, index: Tensor, inverse_count: Tensor) -> Tensor:
    """Mean of the rows of `edges` that share an `index`; rows that no edge reaches are 0.

    Args:
        edges: `[edges, ...]`.
        index: `[edges]`.
        inverse_count: `[count]`, 1 / max(edges that reach a row, 1): see `inverse_degree`.
    """
    total = segment_sum(edges, index, inverse_count.shape[0])
    return total * inverse_count.to(total.dtype).view(-1, *[1] * (total.dim() - 1))


def inverse_degree(index: Tensor, count: int) -> Tensor:
    """1 / max(degree, 1) `[count]` of the rows that `index` `[edges]` reaches.

    >>> inverse_degree(torch.tensor([0, 0, 2]), 3)
    tensor([0.5000, 1.0000, 1.0000])
    """
    return 1.0 / torch.bincount(index, minlength=count).clamp(min=1).to(torch.float32)
