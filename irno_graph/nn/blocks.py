"""The feed-forward block of RIGNO: perceptron, layer norm, lead-time correction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.nn.modes import is_eager

TRUNCATED_STD = 0.87962566103423978  # of a standard normal cut off at 2
EPS = 1e-6  # of layer norms


class Affine(NamedTuple):
    """Scale and shift after a layer norm, `[graphs, samples, width]` (1 where they do not differ)."""

    scale: Tensor
    shift: Tensor

    def of_rows(self, graph_of_row: Tensor | None) -> Affine:
        """Those of each row, `[rows or 1, samples, width]`; `graph_of_row` `[rows]`, None for a single graph."""
        if len(self.scale) == 1 or graph_of_row is None:
            return self
        return Affine(*(part.index_select(0, graph_of_row) for part in self))


class LeadTimeCorrection(nn.Module):
    """x -> x (1 + tau S(tau)) + tau b(tau): the identity at lead time tau = 0 (RIGNO, section 3)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(nn.Linear(1, hidden), nn.Sigmoid(), nn.Linear(hidden, width))
        self.shift = nn.Sequential(nn.Linear(1, hidden), nn.Sigmoid(), nn.Linear(hidden, width))
        for half in (self.scale, self.shift):
            for weight, bias in zip(*[iter(half.parameters())] * 2, strict=True):
                nn.init.normal_(weight, std=0.01)
                nn.init.zeros_(bias)


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
        self.in_widths, self.width = tuple(in_widths), width
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
    def tensors(self) -> tuple[tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]:
        """The first layer's columns `[hidden, in_widths[i]]` by input, its bias, and W, b, ... of later layers."""
        layers: Iterable[Any] = self.layers
        (weight, bias), *later = ((layer.weight, layer.bias) for layer in layers)
        return weight.split(self.in_widths, dim=1), bias, tuple(part for pair in later for part in pair)

    @property
    def norm(self) -> Affine | None:
        """The layer norm's own scale and shift, `[1, 1, width]`; None where there is none."""
        if self.norm_scale is None or self.norm_shift is None:
            return None
        return Affine(self.norm_scale.view(1, 1, -1), self.norm_shift.view(1, 1, -1))

    def project(self, value: Tensor, position: int, *, bias: bool = False) -> Tensor:
        """The first layer's part for input number `position`; exactly one of all parts takes the bias along."""
        weights, shift, _ = self.tensors
        return functional.linear(value, weights[position], shift if bias else None)

    def forward(self, *values: Tensor, affine: Affine | None = None) -> Tensor:
        """Map inputs `[rows, samples, in_widths[i]]` (rows or samples may be 1) to `[rows, samples, width]`.

        `affine` `[rows or 1, samples, width]` replaces the layer norm's own scale and shift.
        """
        weights, bias, rest = self.tensors
        first = functional.linear(values[0], weights[0], bias)
        for value, weight in zip(values[1:], weights[1:], strict=True):
            first = add_product(first, value, weight)
        affine = self.norm if affine is None else affine
        value = perceptron(first, rest)
        return value if affine is None else affine_norm(value, *affine)


def add_product(total: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """total + value weight^T; outside of autograd `total` is used up."""
    if value.shape[:-1] != total.shape[:-1]:  # one of them is the same for all samples, or all rows
        return total + functional.linear(value, weight)
    sums, rows = total.flatten(0, -2), value.flatten(0, -2)
    if torch.is_grad_enabled() or not is_eager(total.device.type):
        return torch.addmm(sums, rows, weight.T).view(total.shape)
    return sums.addmm_(rows, weight.T).view(total.shape)


def perceptron(first: Tensor, rest: Sequence[Tensor]) -> Tensor:
    """The layers after the first, silu before each, from its sums `[..., hidden]`; `rest` is W, b, W, b, ...

    Outside of autograd `first` is used up.
    """
    value = first
    for weight, bias in zip(rest[::2], rest[1::2], strict=True):
        value = functional.linear(functional.silu(value, inplace=not torch.is_grad_enabled()), weight, bias)
    return value


def affine_norm(value: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer norm over the last axis of `value` `[..., width]`, then scale and shift."""
    width = (value.shape[-1],)
    if scale.numel() == width[0]:
        return functional.layer_norm(value, width, scale.reshape(-1), shift.reshape(-1), EPS)
    value = functional.layer_norm(value, width, eps=EPS)
    if torch.is_grad_enabled():
        return torch.addcmul(shift, value, scale)
    return value.mul_(scale).add_(shift)


def lead_time_affines(blocks: Sequence[Block], lead_time: Tensor | None) -> list[Affine]:
    """The layer norm of each block together with its lead-time correction, all blocks of one width at once.

    Args:
        blocks: with a layer norm, all corrected with the same hidden width or none.
        lead_time: `[graphs, samples]`; None leaves the corrections out.
    """
    if lead_time is None or blocks[0].correction is None:
        return [block.norm for block in blocks if block.norm is not None]
    of_width: dict[int, list[Block]] = {}
    for block in blocks:
        of_width.setdefault(block.width, []).append(block)
    found: dict[Block, Affine] = {}
    for width, same in of_width.items():
        parts = (
            part.view(len(same), *lead_time.shape, width) for part in _corrected(same, lead_time.reshape(-1))
        )
        found |= dict(zip(same, map(Affine, *(part.unbind() for part in parts)), strict=True))
    return [found[block] for block in blocks]


def _corrected(blocks: Sequence[Block], tau: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and shifts `[blocks, times, width]` at the lead times `tau` `[times]`."""
    corrections = [block.correction for block in blocks]
    halves = [c.scale for c in corrections if c is not None] + [c.shift for c in corrections if c is not None]
    parameters = (
        [part for layer in (inner, outer) for part in (layer.weight, layer.bias)]
        for inner, _, outer in halves
    )
    stacked = [torch.stack(same) for same in zip(*parameters, strict=True)]
    weight, bias, outer, outer_bias = (
        stacked  # [halves, hidden, 1], [halves, hidden], [halves, width, hidden], ...
    )
    hidden = torch.sigmoid(weight * tau.view(1, 1, -1) + bias.unsqueeze(-1))  # [halves, hidden, times]
    nets = (torch.matmul(hidden.mT, outer.mT) + outer_bias.unsqueeze(1)) * tau.view(1, -1, 1)
    factor, offset = nets.chunk(2)
    factor = 1.0 + factor
    own_scale, own_shift = (
        torch.stack([getattr(block, name) for block in blocks]).unsqueeze(1)
        for name in ("norm_scale", "norm_shift")
    )
    return factor * own_scale, torch.addcmul(offset, factor, own_shift)
