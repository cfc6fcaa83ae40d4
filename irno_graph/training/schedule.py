"""Learning rate over a whole training run."""

from __future__ import annotations

import math


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
