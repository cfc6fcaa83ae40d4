"""How every run is optimised: arithmetic, accumulation, clipping, averaged weights, when it ends and what it keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed"}  # their names, and Lightning's


@dataclass(frozen=True)
class FitOptions:
    """Options of `training.fit.fit`.

    Attributes:
        precision: "32", or "bf16": products of matrices in bfloat16 during training steps; data, losses, weights and
            validation stay float32.
        accumulate: batches whose mean gradient makes one optimiser step.
        gradient_clip: largest norm of a gradient, longer ones are scaled down to it; 0 is without.
        ema: decay of the exponential average of the weights over the optimiser steps, which is validated and saved in
            place of the weights; 0 is without.
        patience: the run ends after so many validations without a smaller error than the best; 0 is without.
        keep_best: whether the weights with the smallest validation error are kept rather than the last ones.

    Raises:
        ValueError: naming an option whose value is impossible.
    """

    precision: str = "32"
    accumulate: int = 1
    gradient_clip: float = 1.0
    ema: float = 0.0
    patience: int = 0
    keep_best: bool = False

    def __post_init__(self) -> None:
        fine = {
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "accumulate": (self.accumulate >= 1, "1 or more"),
            "gradient_clip": (0 <= self.gradient_clip < math.inf, "0 (without) or more"),
            "ema": (0 <= self.ema < 1, "a number in [0, 1), 0 is without"),
            "patience": (self.patience >= 0, "0 (without) or more"),
        }
        for name, (good, expected) in fine.items():
            if not good:
                raise ValueError(f"`{name}` should be {expected}, got {getattr(self, name)}: change it.")


def full_precision(device: torch.device) -> torch.autocast:
    """Within it, products of matrices are not rounded, whatever the precision of the run: for data and losses."""
    return torch.autocast(device.type, enabled=False)
