"""Gather from nodes to edges and reduce from edges to nodes; tensors are node-first, `[nodes, ...]`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from irno_graph.nn.modes import is_eager


def _row_sums() -> Callable[[Tensor, Tensor], Tensor] | None:
    """torch-scatter's sums of consecutive rows; None where it is not installed or does not load."""
    try:
        from torch_scatter import segment_csr
    except ModuleNotFoundError:
        return None
    except (ImportError, OSError, RuntimeError) as error:
        warnings.warn(
            f"torch-scatter does not load ({error}), sums over edges run without it: build it again for torch "
            f"{torch.__version__}.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return segment_csr


ROW_SUMS = _row_sums()


def gather(nodes: Tensor, index: Tensor) -> Tensor:
    """Rows of `nodes` `[nodes, ...]` at `index` `[edges]`, as `[edges, ...]`."""
    return nodes.index_select(0, index)


def segment_sum(edges: Tensor, index: Tensor, count: int, *, pointers: Tensor | None = None) -> Tensor:
    """Sum the rows of `edges` `[edges, ...]` that share an `index`, as `[count, ...]`.

    With `pointers`, torch-scatter does it where it is installed; derivatives of any order are the same.

    Args:
        edges: `[edges, ...]`.
        index: `[edges]`.
        count: rows of the result.
        pointers: `[count + 1]`, int64; a promise that `index` ascends: entry i has the rows
            pointers[i] <= row < pointers[i + 1].

    Raises:
        ValueError: for another number of pointers.

    >>> segment_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3)
    tensor([3., 0., 4.])
    """
    if pointers is not None:
        if pointers.shape != (count + 1,):
            raise ValueError(
                f"`pointers` should have shape [count + 1={count + 1}], got {list(pointers.shape)}: they say "
                "where the rows of each entry start, and where the last ones end."
            )
        if ROW_SUMS is not None and _takes(edges):
            return _RowSums.apply(edges, index, pointers)
    return edges.new_zeros(count, *edges.shape[1:]).index_add(0, index, edges)


def segment_mean(
    edges: Tensor, index: Tensor, inverse_count: Tensor, *, pointers: Tensor | None = None
) -> Tensor:
    """Mean of the rows of `edges` that share an `index`; rows that no edge reaches are 0.

    Args:
        edges: `[edges, ...]`.
        index: `[edges]`.
        inverse_count: `[count]`, 1 / max(edges that reach a row, 1): see `inverse_degree`.
        pointers: `[count + 1]`, as `segment_sum` takes them.
    """
    total = segment_sum(edges, index, inverse_count.shape[0], pointers=pointers)
    return total * inverse_count.to(total.dtype).view(-1, *[1] * (total.dim() - 1))


def inverse_degree(index: Tensor, count: int) -> Tensor:
    """1 / max(degree, 1) `[count]` of the rows that `index` `[edges]` reaches.

    >>> inverse_degree(torch.tensor([0, 0, 2]), 3)
    tensor([0.5000, 1.0000, 1.0000])
    """
    return 1.0 / torch.bincount(index, minlength=count).clamp(min=1).to(torch.float32)


def _takes(edges: Tensor) -> bool:
    """Whether torch-scatter sums such tensors; inside of transforms and compilers it does not."""
    device = edges.device.type
    built = device == "cpu" or (device == "cuda" and torch.ops.torch_scatter.cuda_version() != -1)
    return built and edges.is_floating_point() and is_eager(device)


class _RowSums(torch.autograd.Function):
    """Sums of consecutive rows, with derivatives of all orders: torch-scatter's own has the first one alone."""

    @staticmethod
    def forward(ctx: Any, edges: Tensor, index: Tensor, pointers: Tensor) -> Tensor:
        assert ROW_SUMS is not None
        ctx.save_for_backward(index)
        ctx.save_for_forward(pointers)
        return ROW_SUMS(edges, pointers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        return gather(grads[0], index), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        assert ROW_SUMS is not None
        (pointers,) = ctx.saved_tensors
        return ROW_SUMS(tangents[0], pointers)
