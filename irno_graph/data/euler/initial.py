"""CE-Gauss initial data: the velocity of 100 periodic Gaussian vortices, as exact cell averages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DENSITY = 0.1
PRESSURE = 2.5
VORTICES = 100
HIGHEST_MODE = 144  # exp(-2 pi^2 sigma^2 k^2) is 2e-18 there for the narrowest vortex, sigma = 0.01


@dataclass(frozen=True)
class Vortices:
    """Vorticity w0(x) = sum_i strength_i / width_i exp(-|x - centre_i|^2 / (2 width_i^2)).

    Attributes:
        strength: [vortices], uniform in [-1, 1] for CE-Gauss.
        width: [vortices], uniform in [0.01, 0.1].
        centre: [vortices, 2], uniform in the unit square.
    """

    strength: np.ndarray
    width: np.ndarray
    centre: np.ndarray


def draw_vortices(seed: int) -> Vortices:
    """The vortices of one CE-Gauss trajectory, drawn from `np.random.default_rng(seed)`."""
    generator = np.random.default_rng(seed)
    return Vortices(
        strength=generator.uniform(-1.0, 1.0, VORTICES),
        width=generator.uniform(0.01, 0.1, VORTICES),
        centre=generator.uniform(0.0, 1.0, (VORTICES, 2)),
    )


def velocity_modes(vortices: Vortices) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Exact Fourier coefficients of the divergence-free velocity of the periodised vortices.

    With w = sum_k w_k exp(2 pi i k.x), the stream function has psi_k = w_k / (4 pi^2 |k|^2) and psi_0 = 0;
    the velocity is v = (psi_y, -psi_x), so that vy_x - vx_y = w less its mean.

    Returns:
        Wave numbers kx [modes_x] of both signs and ky [modes_y] >= 0, and the coefficients of vx and of vy,
        each [modes_x, modes_y]; those at -k are their conjugates.
    """
    kx, ky = np.arange(-HIGHEST_MODE, HIGHEST_MODE + 1), np.arange(HIGHEST_MODE + 1)
    damping = -2 * np.pi**2 * vortices.width[:, None] ** 2
    along_x = np.exp(damping * kx**2 - 2j * np.pi * kx * vortices.centre[:, :1])  # [vortices, modes_x]
    along_y = np.exp(damping * ky**2 - 2j * np.pi * ky * vortices.centre[:, 1:])  # [vortices, modes_y]
    vorticity = (along_x * (2 * np.pi * vortices.strength * vortices.width)[:, None]).T @ along_y
    square = 4 * np.pi**2 * (kx[:, None] ** 2 + ky**2)
    square[HIGHEST_MODE, 0] = np.inf
    stream = vorticity / square  # [modes_x, modes_y]
    return kx, ky, 2j * np.pi * ky * stream, -2j * np.pi * kx[:, None] * stream


def initial_state(vortices: Vortices, resolution: int) -> np.ndarray:
    """Primitives (rho, vx, vy, p) [4, resolution, resolution] at t = 0, axis 1 is x, axis 2 is y.

    Velocities are the exact averages over the cells centred at (i + 1/2) / resolution; rho = 0.1 and p = 2.5.
    The constant pressure leaves the variance of v in a cell out of the energy: order dx^2, as the scheme.
    """
    kx, ky, *velocity = velocity_modes(vortices)
    centres = (np.arange(resolution)[:, None] + 0.5) / resolution
    wave_x = np.exp(2j * np.pi * centres * kx) * np.sinc(kx / resolution)  # [resolution, modes_x]
    wave_y = np.exp(2j * np.pi * centres * ky) * np.sinc(ky / resolution)  # [resolution, modes_y]
    wave_y[:, 1:] *= 2  # a real field: minus k has the conjugate coefficient
    vx, vy = (((wave_x @ modes) @ wave_y.T).real for modes in velocity)
    return np.stack([np.full_like(vx, DENSITY), vx, vy, np.full_like(vx, PRESSURE)])
