"""The FFT counterpart of the spectrum of a periodic grid graph."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor

Frequency = Literal["symbol", "wavenumber"]


def grid_frequencies(
    shape: Sequence[int], extent: Sequence[float], frequency: Frequency = "symbol"
) -> Tensor:
    """Frequency `[*shape]` of every FFT mode of a periodic grid of `shape`, (ny, nx) say, and `extent` (x first).

    "symbol": the root of the sum over the axes of (2 - 2 cos k h) / h^2, the exact root of the eigenvalues of
    `Graph.from_grid(shape, period=extent)`. "wavenumber": |k|, to which that tends for k h -> 0 only; in the
    corners the two differ by up to pi / 2.

    Raises:
        ValueError: for another `frequency`, or if `shape` and `extent` differ in length.

    >>> grid_frequencies((1, 4), (1.0, 1.0), "wavenumber")[0] / (2 * torch.pi)
    tensor([0., 1., 2., 1.], dtype=torch.float64)
    """
    if frequency not in ("symbol", "wavenumber"):
        raise ValueError(f"`frequency` should be 'symbol' or 'wavenumber', got '{frequency}'.")
    if len(shape) != len(extent):
        raise ValueError(f"`shape` and `extent` should have one entry per axis, got {shape} and {extent}.")
    total = torch.zeros((), dtype=torch.float64)
    for count, length in zip(shape, tuple(extent)[::-1], strict=True):
        step = length / count
        angle = 2 * torch.pi * torch.fft.fftfreq(count, dtype=torch.float64)  # k h
        square = ((2 * (angle / 2).sin() if frequency == "symbol" else angle) / step) ** 2
        total = total.unsqueeze(-1) + square  # [..., count]
    return total.sqrt()


def grid_coefficients(field: Tensor, shape: Sequence[int], extent: Sequence[float]) -> Tensor:
    """c `[..., nodes, channels]`, complex, of `field` `[..., nodes, channels]`: sum |c|^2 = sum_i mass_i field_i^2.

    Raises:
        ValueError: if the nodes are not those of the grid.
    """
    nodes, dim = prod(shape), len(shape)
    if field.ndim < 2 or field.shape[-2] != nodes:
        raise ValueError(
            f"`field` should have shape [..., nodes={nodes}, channels], got {list(field.shape)}: pass the shape of "
            "its grid, as (ny, nx)."
        )
    on_grid = field.unflatten(-2, tuple(shape))  # [..., ny, nx, channels]
    found = torch.fft.fftn(on_grid, dim=tuple(range(-1 - dim, -1)), norm="ortho").flatten(-1 - dim, -2)
    return found * (prod(extent) / nodes) ** 0.5


def grid_band_energy(
    field: Tensor,
    shape: Sequence[int],
    extent: Sequence[float],
    edges: Sequence[float] | Tensor,
    frequency: Frequency = "symbol",
) -> Tensor:
    """Energy per band `[..., bands + 1, channels]` of `field` `[..., nodes, channels]` on a periodic grid.

    Band b sums |c|^2 where edges[b] <= frequency < edges[b + 1], the last entry all the rest, as
    `EigenBasis.band_energy` does with all modes: equal for "symbol"; for "wavenumber" where k h is small.

    Raises:
        ValueError: for other nodes, frequencies, or edges that do not ascend.
    """
    limits = torch.as_tensor(edges, dtype=torch.float64, device=field.device)
    if limits.ndim != 1 or len(limits) < 2 or not bool((limits.diff() > 0).all()):
        raise ValueError(f"`edges` should be at least two ascending frequencies, got {limits.tolist()}.")
    energy = grid_coefficients(field, shape, extent).abs().square()
    place = grid_frequencies(shape, extent, frequency).flatten().to(field.device)
    near = limits[(place[:, None] - limits).abs().argmin(dim=1)]
    place = torch.where((place - near).abs() <= 1e-9 * near, near, place)
    band = torch.bucketize(place, limits, right=True) - 1
    band = torch.where(band < 0, len(limits) - 1, band)
    total = energy.new_zeros(*energy.shape[:-2], len(limits), energy.shape[-1])
    return total.index_add(-2, band, energy)
