"""Energies per spherical-harmonic degree of fields on a grid of the sphere, by torch-harmonics."""

from __future__ import annotations

from torch import Tensor


def degree_energy(field: Tensor, grid: str = "equiangular") -> Tensor:
    """Energy per degree l `[..., degrees, channels]` of `field` `[..., latitudes, longitudes, channels]`.

    sum over m of |c_lm|^2 of orthonormal spherical harmonics on the unit sphere: degree l has the eigenvalue
    l (l + 1), and the sum over l of a band-limited field is the integral of its square. `grid` is
    "equiangular", "legendre-gauss" or "lobatto", poles first, as torch-harmonics names them.

    Raises:
        ImportError: without torch-harmonics.
        ValueError: if the field has fewer than 3 dimensions.
    """
    try:
        from torch_harmonics import RealSHT
    except ImportError as error:
        raise ImportError(
            "spherical harmonics need torch-harmonics: pip install 'irno-graph[sphere]'."
        ) from error
    if field.ndim < 3:
        raise ValueError(
            f"`field` should have shape [..., latitudes, longitudes, channels], got {list(field.shape)}."
        )
    latitudes, longitudes = field.shape[-3:-1]
    transform = RealSHT(latitudes, longitudes, grid=grid, norm="ortho").to(field.device)
    square = transform(field.movedim(-1, -3)).abs().square()  # [..., channels, degrees, orders]
    both = 2 * square.sum(dim=-1) - square[..., 0]  # orders -m and m
    return both.movedim(-2, -1).to(field.dtype)
