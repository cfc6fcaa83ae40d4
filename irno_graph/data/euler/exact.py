"""Exact Euler flows to measure the solver against: the Riemann problem and the moving isentropic vortex."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from irno_graph.data.euler import GAMMA

State = tuple[float, float, float]


def riemann(left: State, right: State, speed: np.ndarray) -> np.ndarray:
    """Self-similar solution of the Riemann problem of two states (density, velocity, pressure).

    Args:
        left: state for x < 0 at t = 0.
        right: state for x > 0 at t = 0.
        speed: x / t, any shape.

    Returns:
        Density, velocity and pressure [3, *speed.shape]. Source: Toro, Riemann Solvers, chapter 4.

    Two equal states stay as they are:
    >>> riemann((1.0, 0.5, 1.0), (1.0, 0.5, 1.0), np.array([0.0])).round(6).tolist()
    [[1.0], [0.5], [1.0]]
    """

    def jump(pressure: float) -> float:
        return _velocity_change(pressure, left) + _velocity_change(pressure, right) + right[1] - left[1]

    highest = 1e3 * max(left[2], right[2])
    pressure = float(brentq(jump, 1e-9 * min(left[2], right[2]), highest, xtol=1e-14, rtol=1e-14))
    velocity = 0.5 * (
        left[1] + right[1] + _velocity_change(pressure, right) - _velocity_change(pressure, left)
    )
    speed = np.asarray(speed, dtype=np.float64)
    mirrored = (right[0], -right[1], right[2])
    from_left = _wave(left, pressure, velocity, speed)
    from_right = _wave(mirrored, pressure, -velocity, -speed) * np.array([1, -1, 1]).reshape(
        3, *[1] * speed.ndim
    )
    return np.where(speed < velocity, from_left, from_right)


def isentropic_vortex(
    resolution: int, time: float, *, extent: float = 10.0, velocity: tuple[float, float] = (1.0, 0.5)
) -> np.ndarray:
    """Cell averages (rho, vx, vy, p) [4, resolution, resolution] of a vortex carried by a uniform flow.

    With r the distance to the centre, which moves with `velocity` from the middle of the periodic square:
    T = 1 - (gamma - 1) 25 / (8 gamma pi^2) exp(1 - r^2), rho = T^(1 / (gamma - 1)), p = rho T. The averages
    are those of a Gauss rule with 4 x 4 points. Source: Shu, ICASE report 97-65.
    """
    nodes, weights = np.polynomial.legendre.leggauss(4)
    position = (np.arange(resolution)[:, None] + 0.5 + 0.5 * nodes) * extent / resolution  # [cells, 4]
    x, y = (
        (position - (middle + extent / 2) + extent / 2) % extent - extent / 2
        for middle in (velocity[0] * time, velocity[1] * time)
    )
    x, y = x[:, None, :, None], y[None, :, None, :]  # fields are [cells_x, cells_y, 4, 4]
    bell = np.exp(0.5 * (1 - x**2 - y**2))
    temperature = 1 - (GAMMA - 1) * 25 / (8 * GAMMA * np.pi**2) * bell**2
    density = temperature ** (1 / (GAMMA - 1))
    swirl = 5 / (2 * np.pi) * bell
    fields = np.stack([density, velocity[0] - swirl * y, velocity[1] + swirl * x, density * temperature])
    return np.einsum("cijab,a,b->cij", fields, weights / 2, weights / 2)


def _velocity_change(pressure: float, state: State) -> float:
    """Velocity lost through the shock or rarefaction from `state` to `pressure`."""
    rho, _, p = state
    if pressure > p:
        return float((pressure - p) * np.sqrt(2 / rho / ((GAMMA + 1) * pressure + (GAMMA - 1) * p)))
    sound = np.sqrt(GAMMA * p / rho)
    return float(2 * sound / (GAMMA - 1) * ((pressure / p) ** ((GAMMA - 1) / (2 * GAMMA)) - 1))


def _wave(state: State, pressure: float, velocity: float, speed: np.ndarray) -> np.ndarray:
    """The solution to the left of the contact, through the wave that runs into `state`."""
    rho, u, p = state
    sound, ratio, power = np.sqrt(GAMMA * p / rho), pressure / p, (GAMMA - 1) / (GAMMA + 1)
    outer = np.stack([np.full_like(speed, value) for value in state])
    if ratio > 1:
        shock = u - sound * np.sqrt((GAMMA + 1) / (2 * GAMMA) * ratio + (GAMMA - 1) / (2 * GAMMA))
        density = rho * (ratio + power) / (power * ratio + 1)
        inner = np.stack([np.full_like(speed, value) for value in (density, velocity, pressure)])
        return np.where(speed < shock, outer, inner)
    density = rho * ratio ** (1 / GAMMA)
    inner = np.stack([np.full_like(speed, value) for value in (density, velocity, pressure)])
    tail = velocity - sound * ratio ** ((GAMMA - 1) / (2 * GAMMA))
    inside = np.clip(speed, u - sound, tail)
    factor = 2 / (GAMMA + 1) + power / sound * (u - inside)  # local over outer sound speed
    fan_velocity = 2 / (GAMMA + 1) * (sound + (GAMMA - 1) / 2 * u + inside)
    fan = np.stack([rho * factor ** (2 / (GAMMA - 1)), fan_velocity, p * factor ** (2 * GAMMA / (GAMMA - 1))])
    return np.where(speed < u - sound, outer, np.where(speed > tail, inner, fan))
