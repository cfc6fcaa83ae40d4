"""Energies per spherical-harmonic degree of fields on a grid of the sphere, by torch-harmonics."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

SphereGrid = Literal["equiangular", "legendre-gauss", "lobatto"]


def degree_energy(field: Tensor, grid: SphereGrid = "equiangular") -> Tensor:
    """Energy per degree l `[..., degrees, channels]` of `field` `[..., latitudes, longitudes, channels]`.

    sum over m of |c_lm|^2 of orthonormal spherical harmonics on the unit sphere: degree l has the eigenvalue
    l (l + 1), and the sum over l of a band-limited field is the integral of its square. Latitudes go from pole
    to pole, longitudes once around; `grid` is "equiangular" with both poles, "legendre-gauss" or "lobatto".
    The degrees are those whose squares the grid integrates exactly: l <= (latitudes - 1) / 2, latitudes - 1 or
    latitudes - 2 on these grids, and l < longitudes / 2.

    Raises:
        ImportError: without torch-harmonics.
        ValueError: for another grid, or if the field has fewer than 3 dimensions.
    """
    if grid not in get_args(SphereGrid):
        raise ValueError(f"`grid` should be one of {', '.join(get_args(SphereGrid))}, got '{grid}'.")
    if field.ndim < 3:
        raise ValueError(
            f"`field` should have shape [..., latitudes, longitudes, channels], got {list(field.shape)}."
        )
    try:
        from torch_harmonics import RealSHT
    except ImportError as error:
        raise ImportError(
            "spherical harmonics need torch-harmonics: pip install 'irno-graph[sphere]'."
        ) from error
    latitudes, longitudes = field.shape[-3:-1]
    exact = {"equiangular": (latitudes + 1) // 2, "legendre-gauss": latitudes, "lobatto": latitudes - 1}[grid]
    degrees = min(exact, (longitudes + 1) // 2)  # order longitudes / 2 would have one phase alone on the grid
    transform = RealSHT(latitudes, longitudes, degrees, degrees, grid=grid, norm="ortho").to(field.device)
    square = transform(field.movedim(-1, -3)).abs().square()  # [..., channels, degrees, orders]
    both = 2 * square.sum(dim=-1) - square[..., 0]  # orders -m and m
    return both.movedim(-2, -1).to(field.dtype)
