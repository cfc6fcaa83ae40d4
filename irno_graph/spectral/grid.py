"""The FFT counterpart of the spectrum of a periodic grid graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Frequency = Literal["symbol", "wavenumber"]


def grid_frequencies(
    shape: tuple[int, int], extent: tuple[float, float], frequency: Frequency = "symbol"
) -> Tensor:
    """Frequency `[ny, nx]` of every FFT mode of a periodic grid of `shape` (ny, nx) and `extent` (x, y lengths).

    "symbol": sqrt((2 - 2 cos kx hx) / hx^2 + (2 - 2 cos ky hy) / hy^2), the exact root of the eigenvalues of
    `Graph.from_grid(shape, period=extent)`. "wavenumber": |k|, to which that tends for k h -> 0 only; in the
    corners the two differ by up to pi / 2.

    >>> grid_frequencies((1, 4), (1.0, 1.0), "wavenumber")[0] / (2 * torch.pi)
    tensor([0., 1., 2., 1.], dtype=torch.float64)
    """
    if frequency not in ("symbol", "wavenumber"):
        raise ValueError(f"`frequency` should be 'symbol' or 'wavenumber', got '{frequency}'.")
    squares = []
    for count, length in zip(shape, reversed(extent), strict=True):
        step = length / count
        angle = 2 * torch.pi * torch.fft.fftfreq(count, dtype=torch.float64)  # k h
        squares.append(((2 * (angle / 2).sin() if frequency == "symbol" else angle) / step) ** 2)
    return (squares[0][:, None] + squares[1]).sqrt()


def grid_coefficients(field: Tensor, shape: tuple[int, int], extent: tuple[float, float]) -> Tensor:
    """c `[..., ny * nx, channels]`, complex, of `field` `[..., nodes, channels]`: sum |c|^2 = sum_i mass_i field_i^2.

    Raises:
        ValueError: if the nodes are not those of the grid.
    """
    ny, nx = shape
    if field.ndim < 2 or field.shape[-2] != ny * nx:
        raise ValueError(
            f"`field` should have shape [..., nodes={ny * nx}, channels], got {list(field.shape)}: pass the shape "
            "(ny, nx) of its grid."
        )
    on_grid = field.unflatten(-2, (ny, nx))  # [..., ny, nx, channels]
    found = torch.fft.fft2(on_grid, dim=(-3, -2), norm="ortho").flatten(-3, -2)
    return found * (extent[0] * extent[1] / (ny * nx)) ** 0.5


def grid_band_energy(
    field: Tensor,
    shape: tuple[int, int],
    extent: tuple[float, float],
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
