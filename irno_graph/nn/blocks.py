"""The feed-forward block of RIGNO: perceptron, layer norm, lead-time correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

TRUNCATED_STD = 0.87962566103423978  # of a standard normal cut off at 2


class LeadTimeCorrection(nn.Module):
    """x -> x (1 + tau S(tau)) + tau b(tau): the identity at lead time tau = 0 (RIGNO, section 3)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(nn.Linear(1, hidden), nn.Sigmoid(), nn.Linear(hidden, width))
        self.shift = nn.Sequential(nn.Linear(1, hidden), nn.Sigmoid(), nn.Linear(hidden, width))
        for layer in (self.scale[0], self.scale[2], self.shift[0], self.shift[2]):
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, lead_time: Tensor) -> tuple[Tensor, Tensor]:
        """Factor 1 + tau S(tau) and offset tau b(tau), both `[samples, width]`, for `lead_time` `[samples]`."""
        tau = lead_time.unsqueeze(-1)  # [samples, 1]
        return 1.0 + tau * self.scale(tau), tau * self.shift(tau)


class Block(nn.Module):
    """Perceptron over several concatenated inputs, then layer norm and lead-time correction.

    The first layer acts on `[a, b, ...]`; it is applied input by input, so that an input that lives on the
    nodes is multiplied there, before it is gathered to the edges, and a static one only once per graph.

    Args:
        in_widths: channels of each input, in the order of concatenation.
        width: channels out, and of every hidden layer unless `hidden_width` says otherwise.
        hidden_layers: number of hidden layers.
        norm: layer norm over channels at the end (eps 1e-6).
        correction_hidden: hidden width of the lead-time correction, None for no correction.
        hidden_width: channels of the hidden layers.
    """

    def __init__(
        self,
        in_widths: Sequence[int],
        width: int,
        *,
        hidden_layers: int = 1,
        norm: bool = True,
        correction_hidden: int | None = None,
        hidden_width: int | None = None,
    ) -> None:
        super().__init__()
        hidden = width if hidden_width is None else hidden_width
        widths = [sum(in_widths)] + [hidden] * hidden_layers + [width]
        self.in_widths = tuple(in_widths)
        self.layers = nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(widths))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            std = 1.0 / (TRUNCATED_STD * math.sqrt(layer.in_features))
            nn.init.trunc_normal_(layer.weight, std=std, a=-2.0 * std, b=2.0 * std)
            nn.init.zeros_(layer.bias)
        self.norm_scale = nn.Parameter(torch.ones(width)) if norm else None
        self.norm_shift = nn.Parameter(torch.zeros(width)) if norm else None
        self.correction = None if correction_hidden is None else LeadTimeCorrection(width, correction_hidden)

    @property
    def _first(self) -> nn.Linear:
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def project(self, value: Tensor, position: int, *, bias: bool = False) -> Tensor:
        """The first layer's part for input number `position`; exactly one of all parts takes the bias along."""
        return functional.linear(value, self._weight(position), self._first.bias if bias else None)

    def accumulate(self, first: Tensor, value: Tensor, position: int) -> Tensor:
        """`first` plus the part for input number `position`; outside of autograd `first` is used up."""
        if value.shape[:-1] != first.shape[:-1]:  # one of them is the same for all samples, or all rows
            return first + self.project(value, position)
        total, rows, weight = first.flatten(0, -2), value.flatten(0, -2), self._weight(position).T
        if torch.is_grad_enabled() or not total.dtype == rows.dtype == weight.dtype:  # autocast mixes types
            return torch.addmm(total, rows, weight).view(first.shape)
        return total.addmm_(rows, weight).view(first.shape)

    def _weight(self, position: int) -> Tensor:
        start = sum(self.in_widths[:position])
        return self._first.weight[:, start : start + self.in_widths[position]]

    def finish(self, first: Tensor, lead_time: Tensor | None = None) -> Tensor:
        """The rest of the block, from the summed projections `[rows, samples, hidden]`, bias included."""
        value = first
        for layer in self.layers[1:]:
            value = layer(functional.silu(value))
        if self.norm_scale is None or self.norm_shift is None:
            return value
        scale: Tensor = self.norm_scale
        shift: Tensor = self.norm_shift
        if self.correction is not None and lead_time is not None:
            factor, offset = self.correction(lead_time)  # [samples, width]
            scale, shift = factor * scale, torch.addcmul(offset, factor, shift)
            if len(scale) > 1:
                value = functional.layer_norm(value, value.shape[-1:], eps=1e-6)
                return torch.addcmul(shift, value, scale)
            scale, shift = scale[0], shift[0]
        return functional.layer_norm(value, value.shape[-1:], scale, shift, eps=1e-6)

    def forward(self, *values: Tensor, lead_time: Tensor | None = None) -> Tensor:
        """Map inputs `[rows, samples, in_widths[i]]` (rows or samples may be 1) to `[rows, samples, width]`."""
        first = self.project(values[0], 0, bias=True)
        for position, value in enumerate(values[1:], start=1):
            first = self.accumulate(first, value, position)
        return self.finish(first, lead_time)
