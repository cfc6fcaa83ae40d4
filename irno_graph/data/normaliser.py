"""Mean and standard deviation per channel, fitted on the training split and stored with the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation `[channels]` over samples, times and nodes, float64."""

    mean: Tensor
    std: Tensor

    @staticmethod
    def of(chunks: Iterable[Tensor]) -> Moments:
        """Moments of all chunks `[..., channels]` together, in two passes' accuracy (Chan's update).

        A standard deviation of 0 is replaced by 1.

        >>> Moments.of([torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0]])]).mean
        tensor([3.], dtype=torch.float64)

        Raises:
            ValueError: if there is nothing to fit on, or a value is not finite.
        """
        count, mean, spread = 0, torch.zeros(()), torch.zeros(())
        for chunk in chunks:
            rows = chunk.reshape(-1, chunk.shape[-1]).double()
            own = rows.mean(dim=0)
            delta = own - mean
            total = count + len(rows)
            mean = mean + delta * (len(rows) / total)
            spread = spread + (rows - own).square().sum(dim=0) + delta.square() * (count * len(rows) / total)
            count = total
        if count == 0:
            raise ValueError("moments need at least one value, got none: is the training split empty?")
        std = (spread / count).sqrt()
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise ValueError(
                f"the training data should be finite, got mean {mean.tolist()}: repair the file."
            )
        return Moments(mean, torch.where(std > 0, std, torch.ones_like(std)))
