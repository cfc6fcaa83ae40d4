"""Learning rate over a whole training run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn


def annealed(step: int, total: int, *, warmup: float = 0.02, tail: float = 0.2, low: float = 0.02) -> float:
    """Factor on the peak learning rate: linear rise, cosine to `low`, then an exponential tail to low / 20.

    `warmup` and `tail` are parts of the `total` steps.

    >>> [round(annealed(step, 1000), 4) for step in (0, 20, 800, 1000)]
    [0.05, 1.0, 0.02, 0.001]
    """
    rise, flat = warmup * total, (1.0 - tail) * total
    if step < rise:
        return (step + 1.0) / rise if rise > 1 else 1.0
    if step < flat:
        return low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * (step - rise) / (flat - rise)))
    return low * 0.05 ** ((step - flat) / max(total - flat, 1.0))


def reference_rate(
    step: int, total: int, *, first: float = 1e-5, peak: float = 2e-4, last: float = 1e-6
) -> float:
    """RIGNO's learning rate: cosine `first` to `peak`, cosine back until 0.9 total, exponential to `last`.

    The rise takes 0.02 of the `total` steps. Source: RIGNO (arXiv 2501.19205), appendix on training.

    >>> [f"{reference_rate(step, 1000):.0e}" for step in (0, 20, 900, 1000)]
    ['1e-05', '2e-04', '1e-05', '1e-06']
    """
    rise, fall = int(0.02 * total), int(0.9 * total)
    if step < rise:
        return peak + (first - peak) * 0.5 * (1.0 + math.cos(math.pi * step / rise))
    if step < fall:
        return first + (peak - first) * 0.5 * (1.0 + math.cos(math.pi * (step - rise) / (fall - rise)))
    return first * (last / first) ** ((step - fall) / max(total - fall, 1))


@dataclass(frozen=True)
class Schedule:
    """AdamW over `total_steps`, its learning rate `annealed` from `learning_rate`, the last `tail` at its low end.

    With `kind` "rigno" the learning rate has the shape of `reference_rate`, and its peak is `learning_rate`.
    """

    learning_rate: float
    total_steps: int
    tail: float = 0.2
    weight_decay: float = 1e-6
    kind: str = "annealed"

    def factor(self, step: int) -> float:
        """What `learning_rate` is multiplied by at `step`."""
        if self.kind == "rigno":
            return reference_rate(step, self.total_steps) / reference_rate(
                int(0.02 * self.total_steps), self.total_steps
            )
        return annealed(step, self.total_steps, tail=self.tail)

    def optimizers(self, parameters: Iterable[nn.Parameter]) -> OptimizerLRScheduler:
        """What `configure_optimizers` returns for `parameters`."""
        optimizer = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
