"""A refined model as the base of another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph
from irno_graph.refine.given import Given, LeftOut
from irno_graph.refine.irno import IRNO


class RefinedBase(nn.Module):
    """h0 = the last state of a refined model: the base of a further one, whose corrector knows what is left.

    h_{n} = h_{n-1} + alpha_n Phi_n(x, h_{n-1}, graph) with a corrector Phi_n of its own in each pass n is
    `IRNO(RefinedBase(IRNO(RefinedBase(...), Phi_1)), Phi_2)`, where a single model has one Phi for all its steps.

    The inner model is frozen: it stays in evaluation mode, its weights have no gradients, and none go through its
    answers. Its own number of steps, step sizes, solver and guard hold. `irno_graph.save` keeps it where it keeps the
    base, up to `refine.limits.MOST_NESTED` of them around each other.

    Args:
        model: the inner model; its weights are shared, not copied.

    Raises:
        ValueError: if `model` is no `IRNO`, or one without a base that can be asked for any x.

    >>> import irno_graph as ig
    >>> graph = ig.Graph.from_grid((4, 4), period=(1.0, 1.0))
    >>> first, second = (ig.correctors.MessagePassing(1, 1, hidden=4, layers=1) for _ in range(2))
    >>> inner = IRNO(lambda x, graph: x, first, alpha=1.0, steps=1)
    >>> model, x = IRNO(RefinedBase(inner), second, alpha=1.0, steps=1), torch.ones(16, 1)
    >>> bool((model(x, graph).states[0] == inner(x, graph).value).all())
    True
    """

    def __init__(self, model: IRNO) -> None:
        super().__init__()
        if not isinstance(model, IRNO) or isinstance(model.base, Given | LeftOut):
            what = type(model.base if isinstance(model, IRNO) else model).__name__
            raise ValueError(f"`model` should be an IRNO with its base, got {what}: load it with its base.")
        self.model = model.requires_grad_(False).eval()

    @property
    def lead_time(self) -> float:
        """The inner model's default time step."""
        return self.model.lead_time

    def train(self, mode: bool = True) -> RefinedBase:
        """Leaves the inner model in evaluation mode."""
        self.training = mode
        return self

    @torch.no_grad()
    def forward(self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None) -> Tensor:
        """The inner model's answer `[..., nodes, channels]` to x `[..., nodes, in_channels]`.

        Raises:
            ValueError: where the inner model does.
        """
        return self.model(x, graph, time=time, lead_time=lead_time).value
