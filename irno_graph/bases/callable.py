"""Any function as a base."""

from __future__ import annotations

from collections.abc import Callable as Function

from torch import Tensor, nn

from irno_graph.graph import Graph


class Callable(nn.Module):
    """A base from a function `(x [..., nodes, in_channels], graph) -> [..., nodes, channels]` or such a module.

    >>> import torch
    >>> persistence = Callable(lambda x, graph: x)
    >>> persistence(torch.ones(3, 1), None).sum()
    tensor(3.)
    """

    def __init__(self, function: Function[[Tensor, Graph], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Tensor | float | None = None,
        lead_time: Tensor | float | None = None,
    ) -> Tensor:
        """The function's value; `time` and `lead_time` are not passed on."""
        return self.function(x, graph)
