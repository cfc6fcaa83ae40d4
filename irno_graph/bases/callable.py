"""Any function as a base, and how a base is asked."""

from __future__ import annotations

import inspect
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


def ask(
    base: nn.Module,
    x: Tensor,
    graph: Graph,
    *,
    time: Tensor | float | None = None,
    lead_time: Tensor | float | None = None,
) -> Tensor:
    """`base(x, graph)`, with `time` and `lead_time` where its `forward` takes them."""
    given = {"time": time, "lead_time": lead_time}
    return base(x, graph, **{name: value for name, value in given.items() if takes(base, name)})


def takes(base: nn.Module, name: str) -> bool:
    """Whether the base's `forward` has an argument `name`; a `Callable` does not pass its own on."""
    if isinstance(base, Callable):
        return False
    parameters = inspect.signature(base.forward).parameters
    return name in parameters or any(value.kind is value.VAR_KEYWORD for value in parameters.values())
