"""Where parts of a graph meet: in one process, or from the ranks of torch.distributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class OneProcess:
    """All parts are computed here, one after the other."""

    def here(self, parts: int) -> Sequence[int]:
        """All of them."""
        return range(parts)

    def enter(self, field: Tensor) -> Tensor:
        """`field` as it is."""
        return field

    def whole(self, values: list[Tensor], owned: Sequence[Tensor], *, shared: bool) -> Tensor:
        """All rows, from those of all parts."""
        return _in_order(torch.cat(values, dim=-2), owned)

    def total(self, values: list[Tensor]) -> Tensor:
        """Their sum."""
        return torch.stack(values).sum(dim=0)


@dataclass(frozen=True, eq=False)
class Ranks:
    """Part k is computed on rank k mod (number of ranks); every rank has the fields of the whole graph.

    Gradients of fields are summed over the ranks; those of weights are the rank's own parts' until they are.

    Attributes:
        group: of processes, each with its parts.
    """

    group: dist.ProcessGroup

    def here(self, parts: int) -> Sequence[int]:
        """Those of this rank.

        Raises:
            ValueError: if there are fewer parts than ranks.
        """
        return self._of(self.group.rank(), parts)

    def enter(self, field: Tensor) -> Tensor:
        """`field`, whose gradient is then the sum of those of all ranks."""
        return _Enter.apply(field, self.group) if field.requires_grad else field

    def whole(self, values: list[Tensor], owned: Sequence[Tensor], *, shared: bool) -> Tensor:
        """All rows, gathered from all ranks; the gradient goes back to the rank that a row is from."""
        order = [[owned[k] for k in self._of(rank, len(owned))] for rank in range(self.group.size())]
        counts = [sum(len(nodes) for nodes in own) for own in order]
        gathered = _Gather.apply(torch.cat(values, dim=-2), counts, shared, self.group)
        return _in_order(gathered, [nodes for own in order for nodes in own])

    def total(self, values: list[Tensor]) -> Tensor:
        """The sum of those of all parts on all ranks; gradients come from all ranks."""
        return _Total.apply(torch.stack(values).sum(dim=0), self.group)

    def _of(self, rank: int, parts: int) -> Sequence[int]:
        ranks = self.group.size()
        if parts < ranks:
            raise ValueError(f"`parts` should be {ranks} or more, one for each rank, got {parts}.")
        return range(rank, parts, ranks)

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sum the gradients of weights over the ranks, in place; a weight without one counts as zero."""
        for parameter in parameters:
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad, group=self.group)


def _in_order(values: Tensor, owned: Sequence[Tensor]) -> Tensor:
    """Rows `[..., nodes, channels]` of all parts, one part after the other, in the order of the graph."""
    nodes = torch.cat(list(owned))
    place = torch.empty_like(nodes)
    place[nodes] = torch.arange(len(nodes), device=nodes.device)
    return values.index_select(-2, place)


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return field.view_as(field)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _summed(grads[0], ctx.group), None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return _summed(own, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _summed(grads[0], ctx.group), None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, counts: list[int], shared: bool, group: dist.ProcessGroup) -> Tensor:
        ctx.counts, ctx.shared, ctx.group = counts, shared, group
        rows = own.movedim(-2, 0)
        sent = rows.new_zeros(max(counts), *rows.shape[1:])  # all ranks send as much
        sent[: len(rows)] = rows
        received = [torch.empty_like(sent) for _ in counts]
        dist.all_gather(received, sent, group=group)
        all_rows = torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])
        return all_rows.movedim(0, -2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        grad = grads[0] if ctx.shared else _summed(grads[0], ctx.group)
        return grad.split(ctx.counts, dim=-2)[ctx.group.rank()], None, None, None


def _summed(grad: Tensor, group: dist.ProcessGroup) -> Tensor:
    total = grad.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total
