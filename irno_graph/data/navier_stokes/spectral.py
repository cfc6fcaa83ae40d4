"""Vorticity and passive tracers in the periodic unit square: Fourier modes, Runge-Kutta of order four."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import fft

from irno_graph.data.euler.initial import HIGHEST_MODE, Vortices, velocity_modes

STRENGTH = 0.05  # AZEBAN's viscosity for one mode; NS-Gauss has 0.05 / N
SHARPNESS = 18  # exponent of its cutoff
COURANT = 2.0  # of 2.83 that Runge-Kutta of order four bears on the imaginary axis


class PeriodicFlow:
    """w_t + div(v w) = -d w for the vorticity w, and the same for tracers; v = (psi_y, -psi_x), -lap psi = w.

    Kept are the modes k with |k_x|, |k_y| < resolution / 2. Products are made on 3/2 resolution points per side, from
    which no mode that is kept is aliased (the 2/3 rule). A state is `[fields, size, size // 2 + 1]` complex: the
    vorticity first, then tracers, as coefficients of `scipy.fft.rfft2(..., norm="forward")`, axis -2 along x.

    Args:
        resolution: N, an even number of modes along each side.
        viscosity: nu of d = nu |2 pi k|^2; None is AZEBAN's spectral viscosity,
            d = 0.05 / N |2 pi k|^2 (1 - exp(-(|k| / sqrt(N))^18)), which leaves the modes |k| < sqrt(N) nearly alone.

    Attributes:
        size: points along each side of the grid of products.
        damping: d `[size, size // 2 + 1]`.

    Raises:
        ValueError: if `resolution` is odd or below 16, or `viscosity` is negative or not finite.
    """

    def __init__(self, resolution: int, *, viscosity: float | None = None) -> None:
        if resolution < 16 or resolution % 2:
            raise ValueError(
                f"`solver_res` should be even and at least 16, got {resolution}: 128 is the published one."
            )
        if viscosity is not None and not 0 <= viscosity < np.inf:
            raise ValueError(
                f"`viscosity` should not be negative, got {viscosity}: leave it out for the published one."
            )
        self.resolution, self.size = resolution, resolution * 3 // 2
        half = resolution // 2
        kx, ky = np.round(fft.fftfreq(self.size, 1 / self.size)), np.arange(self.size // 2 + 1)
        self.kept = (np.abs(kx) < half)[:, None] & (ky < half)
        self.square = 4 * np.pi**2 * (kx[:, None] ** 2 + ky**2)
        self.damping = self.square * (STRENGTH / resolution if viscosity is None else viscosity)
        if viscosity is None:
            length = np.sqrt(self.square / (4 * np.pi**2 * resolution))
            self.damping *= -np.expm1(-(length**SHARPNESS))
        self.slope = np.stack(
            np.broadcast_arrays(2j * np.pi * kx[:, None], 2j * np.pi * ky)
        )  # [2, size, ...]
        inverse = np.divide(1.0, self.square, out=np.zeros_like(self.square), where=self.square > 0)
        self.turn = np.stack([self.slope[1] * inverse, -self.slope[0] * inverse])  # from w to v

    def modes(self, fields: np.ndarray) -> np.ndarray:
        """The coefficients that are kept of point values `[..., size, size]` at (i / size, j / size)."""
        return fft.rfft2(fields, norm="forward", workers=1) * self.kept

    def values(self, modes: np.ndarray) -> np.ndarray:
        """Point values `[..., size, size]` of coefficients."""
        values: np.ndarray = fft.irfft2(modes, s=(self.size, self.size), norm="forward", workers=1)
        return values

    def velocity(self, state: np.ndarray) -> np.ndarray:
        """Coefficients of vx and vy `[2, size, size // 2 + 1]`; their mean is 0."""
        return self.turn * state[0]

    def advection(self, state: np.ndarray) -> np.ndarray:
        """-div(v q) of each field q of the state, as coefficients."""
        points = self.values(np.concatenate([self.velocity(state), state]))
        fluxes = self.modes(points[:2] * points[2:, None])  # [fields, 2, size, size // 2 + 1]
        return -(self.slope * fluxes).sum(axis=1)

    def step(self, state: np.ndarray, time_step: float) -> np.ndarray:
        """The state after a step of the classical Runge-Kutta scheme on exp(d t) q, in which damping is exact."""
        half = np.exp(-0.5 * time_step * self.damping)
        first = self.advection(state)
        moved = half * state
        second = self.advection(moved + half * (0.5 * time_step * first))
        third = self.advection(moved + 0.5 * time_step * second)
        fourth = self.advection(half * (moved + time_step * third))
        inner = half * first + 2 * (second + third)
        return half * (moved + time_step / 6 * inner) + time_step / 6 * fourth

    def solve(
        self, state: np.ndarray, times: Sequence[float] | np.ndarray, *, time_step: float | None = None
    ) -> Iterator[np.ndarray]:
        """The state at each of `times`, which increase from 0.

        Between two of them the steps have equal lengths, at most `time_step`; by default 2 / (pi N max(|vx| + |vy|)) of
        the velocity at the first of the two.

        Raises:
            FloatingPointError: naming the time when a value is not finite.
        """
        now = 0.0
        for time in times:
            steps = self._steps(state, time - now, time_step)
            with np.errstate(over="ignore", invalid="ignore"):  # the check below says it
                for _ in range(steps):
                    state = self.step(state, (time - now) / steps)
            if not np.isfinite(state).all():
                raise FloatingPointError(f"the flow is not finite at t = {time:g}: shorten `time_step`.")
            now = float(time)
            yield state

    def _steps(self, state: np.ndarray, interval: float, time_step: float | None) -> int:
        if interval <= 0:
            return 0
        if time_step is None:
            fastest = np.abs(self.values(self.velocity(state))).sum(axis=0).max()
            time_step = COURANT / (np.pi * self.resolution * max(float(fastest), 1e-12))
        return max(1, int(np.ceil(interval / time_step - 1e-9)))


def vorticity_modes(flow: PeriodicFlow, vortices: Vortices) -> np.ndarray:
    """Exact coefficients `[size, size // 2 + 1]` of the vorticity of periodised vortices, less its mean."""
    kx, ky, vx, vy = velocity_modes(vortices)
    last = min(flow.resolution // 2 - 1, HIGHEST_MODE)
    rows, columns = slice(HIGHEST_MODE - last, HIGHEST_MODE + last + 1), slice(last + 1)
    vorticity = 2j * np.pi * (kx[:, None] * vy - ky * vx)
    modes = np.zeros(flow.damping.shape, dtype=complex)
    modes[kx[rows], columns] = vorticity[rows, columns]
    return modes


class FourierSampler:
    """Values at fixed points of fields that are given by their modes: the trigonometric sums themselves.

    Args:
        points: `[points, 2]`.
        flow: whose modes are taken.
    """

    def __init__(self, points: np.ndarray, flow: PeriodicFlow) -> None:
        half = flow.resolution // 2
        kx, ky = np.arange(1 - half, half), np.arange(half)
        along_x, self._row = np.unique(points[:, 0], return_inverse=True)
        self._rows, self._columns = kx % flow.size, slice(half)
        self._wave_x = np.exp(2j * np.pi * along_x[:, None] * kx)
        self._wave_y = np.exp(2j * np.pi * points[:, 1:] * ky)
        self._wave_y[:, 1:] *= 2  # minus k has the conjugate coefficient

    def __call__(self, modes: np.ndarray) -> np.ndarray:
        """Values `[..., points]` of coefficients `[..., size, size // 2 + 1]`."""
        lines = self._wave_x @ modes[..., self._rows, self._columns]  # [..., distinct x, half]
        at_points = lines[..., self._row, :]
        real: np.ndarray = np.einsum("...pk,pk->...p", at_points.real, self._wave_y.real)
        return real - np.einsum("...pk,pk->...p", at_points.imag, self._wave_y.imag)
