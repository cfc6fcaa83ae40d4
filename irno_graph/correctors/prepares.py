"""What a corrector may compute once for all steps of a refinement."""

from __future__ import annotations

from collections.abc import Callable as Function
from typing import Protocol, TypeGuard

from torch import Tensor, nn

from irno_graph.graph import Graph

Time = Tensor | float | None


class Prepares(Protocol):
    """A corrector that computes what depends on x and the graph alone once for all steps of a refinement.

    prepare(x, graph)(h) = Phi(x, h, graph). All that is prepared should be there when `prepare` returns: where steps
    are recomputed, the function of h is called again in the backward pass and should then do the same.
    """

    def prepare(
        self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Function[[Tensor], Tensor]:
        """The function h -> Phi(x, h, graph) on fields `[..., nodes, channels]`."""


def prepares(corrector: nn.Module | Prepares) -> TypeGuard[Prepares]:
    """Whether the corrector has a method `prepare`; one wrapped by torch.compile is called whole, as compiled."""
    return callable(getattr(type(corrector), "prepare", None))
