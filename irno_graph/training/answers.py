"""Answers of any operator, given as fields: their units, and what a model leaves of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from irno_graph.bases import ask
from irno_graph.data.normaliser import Moments, Tally
from irno_graph.graph import Graph, mass_mean
from irno_graph.nn.fields import check_field
from irno_graph.refine import IRNO, Scaling, refine

AT_ONCE = 32  # samples that an operator answers, or a model refines, at once


@dataclass(frozen=True)
class Answers:
    """Inputs x, an operator's answers h and the truth y, each `[samples, nodes, channels]`, on one graph.

    Attributes:
        graph: of all samples.
        x: the operator's inputs.
        h: its answers.
        y: what they should be.
        times: `time` and `lead_time` `[samples]`, for a corrector that takes them.

    Raises:
        ValueError: if the fields do not fit each other or the graph, or are not finite.
    """

    graph: Graph
    x: Tensor
    h: Tensor
    y: Tensor
    times: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("x", self.x), ("h", self.h), ("y", self.y)):
            check_field(value, self.graph, None, name)
            if value.dim() != 3 or len(value) != len(self.x) or not len(value):
                raise ValueError(
                    f"`{name}` should be [samples, nodes, channels] with the samples of x, got {list(value.shape)} "
                    f"beside x {list(self.x.shape)}."
                )
        if self.h.shape != self.y.shape:
            raise ValueError(
                f"`h` and `y` should have one shape, got {list(self.h.shape)} and {list(self.y.shape)}."
            )
        for name, value in self.times.items():
            if name not in ("time", "lead_time") or value.shape != (len(self.x),):
                raise ValueError(
                    f"`times` should hold time and lead_time of shape [samples={len(self.x)}], got {name} "
                    f"{list(value.shape)}."
                )

    @staticmethod
    @torch.no_grad()
    def of(
        base: nn.Module, graph: Graph, x: Tensor, y: Tensor, times: dict[str, Tensor] | None = None
    ) -> Answers:
        """With the answers of `base(x, graph)`, 32 samples at a time, on the graph's device; fields stay on x's."""
        parts = [slice(first, first + AT_ONCE) for first in range(0, len(x), AT_ONCE)]
        times = times or {}
        device = graph.pos.device
        h = [
            ask(
                base, x[part].to(device), graph, **{name: own[part].to(device) for name, own in times.items()}
            )
            for part in parts
        ]
        return Answers(graph, x, torch.cat(h).to(y), y, times)

    def rows(self, which: Tensor | slice) -> Batch:
        """Some samples, on the graph's device."""
        device = self.graph.pos.device
        x, h, y = (own[which].to(device) for own in (self.x, self.h, self.y))
        return Batch(x, h, y, {name: own[which].to(device) for name, own in self.times.items()})


class Batch(NamedTuple):
    """Samples of `Answers`."""

    x: Tensor
    h: Tensor
    y: Tensor
    times: dict[str, Any]


def answers_scaling(train: Sequence[Answers]) -> Scaling:
    """Units of a corrector: statistics of x and y, and the root mean square of h - y, weighted by masses.

    Raises:
        ValueError: if sets differ in channels, or the answers are the truth.
    """
    if len({(part.x.shape[-1], part.y.shape[-1]) for part in train}) > 1:
        sizes = ", ".join(f"{part.x.shape[-1]} and {part.y.shape[-1]}" for part in train)
        raise ValueError(f"all sets should have the same channels of x and y, got {sizes}.")

    def moments(fields: Sequence[Tensor]) -> Moments:
        total = Tally.nothing()
        for part, own in zip(train, fields, strict=True):
            total = total.merged(Tally.of(own.cpu(), part.graph.mass.cpu()))
        return total.moments()

    x, y = moments([part.x for part in train]), moments([part.y for part in train])
    wrong = moments([(part.h - part.y).double().square() for part in train]).mean.sqrt()
    if not wrong.any():
        raise ValueError("`h` should differ from `y`, got answers without error: there is nothing to refine.")
    error = torch.where(wrong > 0, wrong, 1e-6 * y.std)
    return Scaling(input_mean=x.mean, input_std=x.std, mean=y.mean, std=y.std, error=error)


@torch.no_grad()
def errors_left(model: IRNO, sets: Sequence[Answers]) -> list[float]:
    """Root mean square error of h_0 ... h_K over that of h_0, channels in units of their standard deviation."""
    assert model.scaling is not None
    total = torch.zeros(model.steps + 1, dtype=torch.float64)
    for part in sets:
        for first in range(0, len(part.x), AT_ONCE):
            own = part.rows(slice(first, first + AT_ONCE))
            phi = model.correction(own.x, part.graph, **own.times)
            states = refine(phi, own.h, part.graph, steps=model.steps, alpha=model.alpha).states
            wrong = ((states - own.y) / model.scaling.std).double().square()
            total += mass_mean(wrong, part.graph).mean(dim=-1).sum(dim=-1).cpu()
    return (total / total[0]).sqrt().tolist()
