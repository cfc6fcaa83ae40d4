"""Units of a corrector: its inputs are standardised, its output is in units of the base's typical error."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scaling(nn.Module):
    """Standardise x and h, and give Phi the size of the base's error.

    Args:
        input_mean: `[in_channels]`; `input_std` likewise, of x.
        input_std: see `input_mean`.
        mean: `[channels]`; `std` likewise, of h.
        std: see `mean`.
        error: `[channels]`, root mean square error of the base on the training split.
    """

    def __init__(
        self, *, input_mean: Tensor, input_std: Tensor, mean: Tensor, std: Tensor, error: Tensor
    ) -> None:
        super().__init__()
        self.input_mean: Tensor
        self.input_std: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.error: Tensor
        for name, value in (
            ("input_mean", input_mean),
            ("input_std", input_std),
            ("mean", mean),
            ("std", std),
            ("error", error),
        ):
            self.register_buffer(name, value.detach().float().clone())

    @staticmethod
    def identity(in_channels: int, channels: int) -> Scaling:
        """Scaling that changes nothing."""
        zeros, ones = torch.zeros, torch.ones
        return Scaling(
            input_mean=zeros(in_channels),
            input_std=ones(in_channels),
            mean=zeros(channels),
            std=ones(channels),
            error=ones(channels),
        )

    def input(self, x: Tensor) -> Tensor:
        """x standardised."""
        return (x - self.input_mean) / self.input_std

    def state(self, h: Tensor) -> Tensor:
        """h standardised."""
        return (h - self.mean) / self.std

    def correction(self, phi: Tensor) -> Tensor:
        """Phi from units of the base's error to physical units."""
        return phi * self.error
