"""Shallow water in time: the tendencies are torch-harmonics', the steps are Runge and Kutta's of order four."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from irno_graph.data.sphere.flow import DEPTH, ShallowWater
from irno_graph.data.sphere.initial import initial_state
from irno_graph.graph.spheres import SphereGrid
from irno_graph.spectral.sphere import exact_degrees, from_coefficients, shallow_water_solver

DAMPING = 2 * 3600.0  # s, of the highest degree


def states(flow: ShallowWater, times: Any, *, seed: int, trajectory: int) -> Iterator[Tensor]:
    """Geopotential, vorticity and divergence `[3, degrees, degrees]` at each of `times`, hours after the spin-up.

    Raises:
        FloatingPointError: naming trajectory and hour when a value is not finite.
        ImportError: without torch-harmonics.
    """
    solver = solver_of(flow)
    with torch.no_grad():
        state = initial_state(solver, flow, seed, trajectory)
        done = -flow.steps(flow.spin_up, "spin_up")
        for hours in times:
            target = flow.steps(hours, "times")
            while done < target:
                state = step(solver, state, flow.time_step)
                done += 1
            if not bool(torch.isfinite(torch.view_as_real(state)).all()):
                raise FloatingPointError(
                    f"trajectory {trajectory} of seed {seed} is not finite at hour {hours:g}: shorten `time_step` = "
                    f"{flow.time_step:g} s, or make the initial flow weaker."
                )
            yield state


def step(solver: Any, state: Tensor, time_step: float) -> Tensor:
    """One step of the classical Runge-Kutta scheme from `state` `[3, degrees, degrees]`.

    Vorticity and divergence are damped at the rate (l (l + 1) / (l_max (l_max + 1)))^4 / 2 hours.
    """
    first = _tendency(solver, state)
    second = _tendency(solver, state + time_step / 2 * first)
    third = _tendency(solver, state + time_step / 2 * second)
    fourth = _tendency(solver, state + time_step * third)
    return state + time_step / 6 * (first + 2 * second + 2 * third + fourth)


def fields(state: Tensor, nlat: int, nlon: int, grid: SphereGrid, *, gravity: float) -> Tensor:
    """Height less `DEPTH` in m, vorticity and divergence in 1/s `[nlat, nlon, 3]`, truncated to the grid's degrees.

    Kept are the degrees whose squares the grid integrates (`exact_degrees`), or all where it has more of them.
    """
    kept = min(exact_degrees(nlat, nlon, grid), state.shape[-1])
    part = state[:, :kept, :kept].clone()
    part[0, 0, 0] -= math.sqrt(4 * math.pi) * gravity * DEPTH
    part[0] /= gravity
    return from_coefficients(part, nlat, nlon, grid).permute(1, 2, 0)


@lru_cache(maxsize=4)
def solver_of(flow: ShallowWater) -> Any:
    """The solver for this flow; its Legendre functions are computed once.

    Raises:
        ImportError: without torch-harmonics.
    """
    return shallow_water_solver(flow.solver_nlat, flow.solver_degrees, DEPTH)


def _tendency(solver: Any, state: Tensor) -> Tensor:
    change: Tensor = solver.dudtspec(state)
    change[1:] -= (solver.lap / solver.lap[-1, 0]) ** 4 / DAMPING * state[1:]
    return change
