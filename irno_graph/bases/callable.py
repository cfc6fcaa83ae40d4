"""Any function as a base, and how a base or a corrector is asked."""

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
    module: nn.Module,
    *inputs: Tensor | Graph,
    time: Tensor | float | None = None,
    lead_time: Tensor | float | None = None,
) -> Tensor:
    """`module(*inputs)`, with `time` and `lead_time` where its `forward` takes them.

    The inputs are (x, graph) of a base, (x, h, graph) of a corrector.
    """
    given = {"time": time, "lead_time": lead_time}
    return module(*inputs, **{name: value for name, value in given.items() if takes(module, name)})


def takes(module: nn.Module, name: str) -> bool:
    """Whether the module's `forward` has an argument `name`; a `Callable` does not pass its own on."""
    if isinstance(module, Callable):
        return False
    inner = getattr(module, "_orig_mod", module)  # what torch.compile wrapped takes any name
    parameters = inspect.signature(getattr(inner, "forward", inner)).parameters
    return name in parameters or any(value.kind is value.VAR_KEYWORD for value in parameters.values())
