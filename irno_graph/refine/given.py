"""Refinement of answers that another program gave, and models whose base is elsewhere."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from irno_graph.graph import Graph
from irno_graph.nn.fields import check_field
from irno_graph.refine.irno import IRNO


class Given(nn.Module):
    """A base that has its answers `h` `[..., nodes, channels]` already."""

    h: Tensor

    def __init__(self, h: Tensor) -> None:
        super().__init__()
        self.register_buffer("h", h, persistent=False)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """The answers, for the input that they belong to.

        Raises:
            ValueError: if they are not finite or do not fit the graph or the samples of x.
        """
        check_field(self.h, graph, None, "h")
        if self.h.shape[:-2] != x.shape[:-2]:
            raise ValueError(
                f"`h` should have the samples of x, {list(x.shape[:-2])}, got {list(self.h.shape[:-2])}: give one "
                "answer for each input."
            )
        return self.h


class LeftOut(nn.Module):
    """Where a base was that a model file does not have: the name of its class, and the hash of its weights if known."""

    def __init__(self, name: str, weights_hash: str | None = None) -> None:
        super().__init__()
        self.name, self.weights_hash = name, weights_hash

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """Says what to do.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"the model was saved without its base, a {self.name}: give it to `ig.load(path, base=...)`, or refine its "
            "answers with `ig.refine.with_answers` or `irno-graph refine`."
        )


def with_answers(model: IRNO, h: Tensor) -> IRNO:
    """The model with `h` `[..., nodes, channels]` in place of its base's answers; it shares all else with `model`.

    A corrector knows the errors of the base that it was trained on: answers of another one are refined as well as
    these errors are alike. `with_answers(model, h)(x, graph)` returns h where a guard finds them outside.

    Raises:
        ValueError: if h has other channels than the model's answers.

    >>> import torch, irno_graph as ig
    >>> graph = ig.Graph.from_grid((4, 4), period=(1.0, 1.0))
    >>> model = ig.IRNO(lambda x, graph: x, ig.correctors.MessagePassing(1, 1, hidden=4, layers=1))
    >>> x = torch.zeros(16, 1)
    >>> bool((with_answers(model, x + 1)(x, graph, steps=0).value == 1).all())
    True
    """
    if model.scaling is not None and h.shape[-1:] != model.scaling.mean.shape:
        raise ValueError(
            f"`h` should have {len(model.scaling.mean)} channels, as the model's answers, got shape {list(h.shape)}."
        )
    new = copy.copy(model)
    new._modules = {**model._modules, "base": Given(h)}
    return new
