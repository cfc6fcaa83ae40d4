"""Convolutions with smooth kernels on grids, in Fourier space.

Fields are `[samples, channels, *shape]`, the slowest axis first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.nn.convolution import Periodic


class SpectralConvolution(nn.Module):
    """v^(k) <- R(k) v^(k) for |k_a| < modes along each axis, 0 beyond: a convolution with a smooth kernel.

    On an axis that is not periodic, v is continued evenly at its first and last points, so that it has no jump there;
    k then counts half waves between them. That is so on grids of centres too, whose boundary is half a spacing further
    out. Modes that the grid does not resolve, its Nyquist frequency included, are left out, so
    that the same weights do the same to band-limited fields on every grid.

    Args:
        hidden: channels in and out.
        modes: frequencies along each axis.
        dim: axes of the grid.
    """

    def __init__(self, hidden: int, modes: int, dim: int) -> None:
        super().__init__()
        self.modes = modes
        kept = (
            *(2 * modes - 1 for _ in range(dim - 1)),
            modes,
        )  # negative frequencies first; halved on the last axis
        scale = (2 * hidden) ** -0.5  # keeps the energy of the modes
        self.weight = nn.Parameter(scale * torch.randn(hidden, hidden, *kept, 2))  # real and imaginary part

    def forward(self, field: Tensor, periodic: Periodic) -> Tensor:
        """`[samples, hidden, *shape]`."""
        shape, dtype = field.shape[2:], field.dtype
        field = field.to(self.weight.dtype)  # transforms have no half precision
        for axis, own in enumerate(periodic, start=2):
            field = field if own else torch.cat([field, _inner(field, axis).flip(axis)], dim=axis)
        sizes = field.shape[2:]
        axes = tuple(range(2, field.dim()))
        spectrum = torch.fft.rfftn(field, dim=axes)
        counts = [min(self.modes, (size + 1) // 2) for size in sizes]
        places, rows = _frequencies(counts, sizes, self.modes, field.device)
        weight = torch.view_as_complex(self.weight)[rows]
        product = torch.einsum("nc...,cd...->nd...", spectrum[places], weight)
        filtered = torch.zeros_like(spectrum)
        filtered[places] = product
        if len(axes) > 1:
            filtered = torch.fft.ifftn(filtered, dim=axes[:-1])
        value = torch.fft.irfft(filtered, n=sizes[-1], dim=-1)
        for axis, size in enumerate(shape, start=2):
            value = value.narrow(axis, 0, size)
        return value.to(dtype)


def _inner(field: Tensor, axis: int) -> Tensor:
    """All but the first and the last points."""
    return field.narrow(axis, 1, field.shape[axis] - 2)


def _frequencies(counts: list[int], sizes: torch.Size, modes: int, device: torch.device) -> tuple[Any, Any]:
    """Where the frequencies |k| < count lie in a spectrum and in the weights `[:, :, ...]`, to index with."""
    dim = len(counts)
    places: list[Any] = [slice(None), slice(None)]
    rows = places.copy()
    for axis, (count, size) in enumerate(zip(counts, sizes, strict=True)):
        last = axis == dim - 1
        k = torch.arange(0 if last else 1 - count, count, device=device)
        k = k.reshape(*(-1 if other == axis else 1 for other in range(dim)))
        places.append(k % size)
        rows.append(k if last else k + modes - 1)
    return tuple(places), tuple(rows)
