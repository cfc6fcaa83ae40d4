"""Spherical harmonics on grids of the sphere, by torch-harmonics: energies, synthesis, operators, flows."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import get_args

import torch
from torch import Tensor, nn

from irno_graph.graph.spheres import SphereGrid


def exact_degrees(latitudes: int, longitudes: int, grid: SphereGrid = "equiangular") -> int:
    """Number of degrees whose squares the grid integrates exactly.

    They are those with l <= (latitudes - 1) / 2 on "equiangular", latitudes - 1 on "legendre-gauss" and latitudes - 2
    on "lobatto" grids, and l < longitudes / 2: order longitudes / 2 has one phase alone on the grid.

    >>> exact_degrees(33, 64)
    17

    Raises:
        ValueError: for another grid.
    """
    if grid not in get_args(SphereGrid):
        raise ValueError(f"`grid` should be one of {', '.join(get_args(SphereGrid))}, got '{grid}'.")
    exact = {"equiangular": (latitudes + 1) // 2, "legendre-gauss": latitudes, "lobatto": latitudes - 1}[grid]
    return min(exact, (longitudes + 1) // 2)


def degree_energy(field: Tensor, grid: SphereGrid = "equiangular", *, degrees: int | None = None) -> Tensor:
    """Energy per degree l `[..., degrees, channels]` of `field` `[..., latitudes, longitudes, channels]`.

    sum over m of |c_lm|^2 of orthonormal spherical harmonics on the unit sphere: degree l has the eigenvalue
    l (l + 1), and the sum over l of a band-limited field is the integral of its square. Latitudes go from pole
    to pole, longitudes once around; `grid` is "equiangular" with both poles, "legendre-gauss" or "lobatto".

    Args:
        field: on the grid; a field of `Graph.from_sphere` is `field.unflatten(-2, graph.sphere_shape)`.
        grid: of the latitudes.
        degrees: how many of the first ones, by default and at most `exact_degrees`.

    Raises:
        ImportError: without torch-harmonics.
        ValueError: for another grid, too many degrees, or if the field has fewer than 3 dimensions.
    """
    if field.ndim < 3:
        raise ValueError(
            f"`field` should have shape [..., latitudes, longitudes, channels], got {list(field.shape)}."
        )
    latitudes, longitudes = field.shape[-3:-1]
    most = exact_degrees(latitudes, longitudes, grid)
    if degrees is not None and not 1 <= degrees <= most:
        raise ValueError(
            f"`degrees` should be in 1..{most}, whose squares {latitudes} x {longitudes} points of the grid "
            f"'{grid}' integrate, got {degrees}."
        )
    _harmonics()
    transform = _transform(latitudes, longitudes, degrees or most, grid, str(field.device))
    square = transform(field.movedim(-1, -3)).abs().square()  # [..., channels, degrees, orders]
    both = 2 * square.sum(dim=-1) - square[..., 0]  # orders -m and m
    return both.movedim(-2, -1).to(field.dtype)


def from_coefficients(
    coefficients: Tensor, latitudes: int, longitudes: int, grid: SphereGrid = "equiangular"
) -> Tensor:
    """Real fields `[..., latitudes, longitudes]` of `coefficients` `[..., degrees, orders]`, degrees = orders, complex.

    f = sum over l, m >= 0 of (2 - [m = 0]) Re(c_lm P_lm(cos theta) exp(i m phi)) with orthonormal P_lm without the
    Condon-Shortley phase: c_lm = 0 for m > l. Longitudes begin at 0, latitudes at the north pole.

    Raises:
        ImportError: without torch-harmonics.
    """
    _harmonics()
    degrees = coefficients.shape[-1]
    field: Tensor = _synthesis(latitudes, longitudes, degrees, grid, str(coefficients.device))(coefficients)
    return field


def shallow_water_solver(latitudes: int, degrees: int, depth: float) -> nn.Module:
    """torch-harmonics' shallow-water equations of the earth on a Gaussian grid with twice as many longitudes, float64.

    What is used of it: `dudtspec`, the tendency of geopotential, vorticity and divergence `[3, degrees, degrees]`
    without diffusion; `getuv`, `vrtdivspec`, `grid2spec`, `spec2grid`; the constants `radius`, `omega`, `gravity`.
    The library rounds 1 / (l (l + 1)) of its vector transform to float32, hence `vrtdivspec` is good to 3e-8.

    Args:
        latitudes: of the grid on which products are taken.
        degrees: of the coefficients.
        depth: mean depth of the fluid in metres.

    Raises:
        ImportError: without torch-harmonics.
    """
    _harmonics()
    from torch_harmonics.examples import ShallowWaterSolver

    solver: nn.Module = ShallowWaterSolver(
        latitudes, 2 * latitudes, 1.0, lmax=degrees, mmax=degrees, grid="legendre-gauss", havg=depth
    )
    return solver.double()


def spherical_fno(
    in_channels: int,
    channels: int,
    shape: tuple[int, int],
    *,
    grid: SphereGrid = "equiangular",
    hidden: int = 64,
    layers: int = 4,
) -> nn.Module:
    """The spherical Fourier neural operator of torch-harmonics, on fields `[batch, channels, nlat, nlon]`.

    All degrees up to nlat - 1 or nlon / 2 - 1 are kept, without coarsening or position embedding, so that it commutes
    with turns of the grid about its poles [Bonev et al. 2023, arXiv 2306.03838].

    Raises:
        ImportError: without torch-harmonics.
    """
    _harmonics()
    from torch_harmonics.examples.models import SphericalFourierNeuralOperator

    return SphericalFourierNeuralOperator(
        img_size=shape,
        grid=grid,
        scale_factor=1,
        in_chans=in_channels,
        out_chans=channels,
        embed_dim=hidden,
        num_layers=layers,
    )


@lru_cache(maxsize=16)
def _transform(latitudes: int, longitudes: int, degrees: int, grid: SphereGrid, device: str) -> nn.Module:
    """The transform of real fields to coefficients; its Legendre functions are computed once."""
    transform = _harmonics().RealSHT(latitudes, longitudes, degrees, degrees, grid=grid, norm="ortho")
    return transform.to(torch.device(device))


@lru_cache(maxsize=16)
def _synthesis(latitudes: int, longitudes: int, degrees: int, grid: SphereGrid, device: str) -> nn.Module:
    transform: nn.Module = _harmonics().InverseRealSHT(
        latitudes, longitudes, degrees, degrees, grid=grid, norm="ortho", csphase=False
    )
    return transform.double().to(torch.device(device))


def _harmonics() -> ModuleType:
    try:
        import torch_harmonics
    except ImportError as error:
        raise ImportError(
            "spherical harmonics need torch-harmonics: pip install 'irno-graph[sphere]'."
        ) from error
    return torch_harmonics
