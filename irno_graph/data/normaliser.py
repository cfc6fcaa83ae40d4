"""Mean and standard deviation per channel, fitted on the training split and stored with the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

CONSTANT = 1e-12  # a deviation below this share of the mean is the round-off of a constant


@dataclass(frozen=True)
class Tally:
    """Weight, mean and weighted sum of squares about the mean of values `[..., channels]`, float64.

    Attributes:
        weight: sum of the weights, 0 where nothing was seen.
        mean: `[channels]`.
        spread: sum of weight (value - mean)^2, `[channels]`.
    """

    weight: float
    mean: Tensor
    spread: Tensor

    @staticmethod
    def nothing() -> Tally:
        """The tally of no values."""
        return Tally(0.0, torch.zeros(()), torch.zeros(()))

    @staticmethod
    def of(values: Tensor, weights: Tensor | None = None) -> Tally:
        """The tally of `values` `[..., nodes, channels]`, in two passes.

        Args:
            values: of any floating type.
            weights: of the nodes `[nodes]`, not negative; None weighs every value with 1.
        """
        channels = values.shape[-1]
        if weights is None:
            rows, own = values.reshape(-1, channels).double(), None
            weight, mean = float(len(rows)), rows.mean(dim=0)
        else:
            rows = values.reshape(-1, len(weights), channels).double()
            own = weights.double().to(rows.device)[:, None]
            weight = len(rows) * float(own.sum())
            mean = (own * rows).sum(dim=(0, 1)) / weight
        squares = (rows - mean).square()
        spread = (squares if own is None else own * squares).flatten(0, -2).sum(dim=0)
        return Tally(weight, mean, spread) if weight > 0 else Tally.nothing()

    def merged(self, other: Tally) -> Tally:
        """The tally of the values of both. Source: Chan, Golub, LeVeque 1979."""
        if not self.weight or not other.weight:
            return self if self.weight else other
        weight = self.weight + other.weight
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.weight / weight)
        between = delta.square() * (self.weight * (other.weight / weight))
        return Tally(weight, mean, self.spread + other.spread + between)

    @property
    def deviation(self) -> Tensor:
        """Standard deviation `[channels]`, 0 for what does not vary.

        Raises:
            ValueError: if nothing was seen, or a value was not finite.
        """
        if not self.weight:
            raise ValueError("moments need at least one value, got none: is the training split empty?")
        std = (self.spread / self.weight).sqrt()
        if not (torch.isfinite(self.mean).all() and torch.isfinite(std).all()):
            raise ValueError(
                f"the training data should be finite, got mean {self.mean.tolist()}: repair the file."
            )
        return torch.where(std > CONSTANT * self.mean.abs(), std, 0.0)

    def moments(self) -> Moments:
        """Mean and standard deviation; a deviation of 0 is replaced by 1.

        Raises:
            ValueError: as `deviation`.
        """
        return Moments.positive(self.mean, self.deviation)


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation `[channels]` over samples, times and nodes, float64."""

    mean: Tensor
    std: Tensor

    @staticmethod
    def positive(mean: Tensor, std: Tensor) -> Moments:
        """These moments, with 1 for a standard deviation of 0."""
        return Moments(mean, torch.where(std > 0, std, torch.ones_like(std)))

    @staticmethod
    def of(chunks: Iterable[Tensor]) -> Moments:
        """Moments of all chunks `[..., channels]` together, in two passes' accuracy (Chan's update).

        A standard deviation of 0 is replaced by 1.

        >>> Moments.of([torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0]])]).mean
        tensor([3.], dtype=torch.float64)

        Raises:
            ValueError: if there is nothing to fit on, or a value is not finite.
        """
        return reduce(Tally.merged, map(Tally.of, chunks), Tally.nothing()).moments()
