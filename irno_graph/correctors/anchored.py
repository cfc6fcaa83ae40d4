"""A corrector that is zero where a residual vanishes on the whole graph, by construction."""

from __future__ import annotations

from collections.abc import Callable as Function

import torch
from torch import Tensor, nn

from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.correctors.prepares import Time
from irno_graph.graph import Graph


class Anchored(nn.Module):
    """Phi(x, h) = C(x, [h, r]) - C(x, [h, 0]) with r = residual(x, h, graph): zero, to the last bit, if r is.

    So it is for each sample, and each graph of a batch. With a residual that vanishes at the truth y (a discretised
    equation, a constraint), y is a fixed point of the refinement whatever the weights are: the bias ||Phi(x, y)||, and
    with it the error floor alpha ||b|| / (1 - q) of the iteration (arXiv 2605.24041), is zero by construction and not
    only by a loss. Twice the cost of C.

    Args:
        corrector: C, built for the channels of x and for those of h and of the residual together.
        residual: `(x, h, graph) -> [..., nodes, residual_channels]`, a function or a module that is trained along; it
            gets the fields that the corrector gets, inside `IRNO` with a scaling the scaled ones.
        channels: channels of h; Phi is made of as many of C's.

    Raises:
        ValueError: if C has no channels left for the residual.
    """

    def __init__(
        self, corrector: GraphCorrector, residual: Function[[Tensor, Tensor, Graph], Tensor], channels: int
    ) -> None:
        super().__init__()
        if not 0 < channels < corrector.channels:
            raise ValueError(
                f"`corrector` should have more channels than h, one for each of the residual, got "
                f"{corrector.channels} with `channels`={channels}."
            )
        self.corrector, self.residual, self.channels = corrector, residual, channels

    def prepare(
        self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Function[[Tensor], Tensor]:
        """h -> Phi(x, h, graph), see `GraphCorrector.prepare`."""
        inner = self.corrector.prepare(x, graph, time=time, lead_time=lead_time)

        def phi(h: Tensor) -> Tensor:
            residual = self.residual(x, h, graph)
            wanted = self.corrector.channels - self.channels
            if residual.shape[-2:] != (*h.shape[-2:-1], wanted):
                raise ValueError(
                    f"`residual` should return [..., nodes={h.shape[-2]}, channels={wanted}], got "
                    f"{list(residual.shape)}."
                )
            leading = torch.broadcast_shapes(h.shape[:-2], residual.shape[:-2])
            h, residual = (part.expand(*leading, *part.shape[-2:]) for part in (h, residual))
            at = inner(torch.cat([h, residual], dim=-1))
            without = inner(torch.cat([h, torch.zeros_like(residual)], dim=-1))
            return (at - without)[..., : self.channels]

        return phi

    def forward(
        self, x: Tensor, h: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Tensor:
        """Phi(x, h, graph) `[..., nodes, channels]`; raises what the corrector raises."""
        return self.prepare(x, graph, time=time, lead_time=lead_time)(h)
