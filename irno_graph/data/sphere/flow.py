"""What is solved: initial states, solver's grid and time step of shallow-water flows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Initial = Literal["random", "galewsky"]
DEPTH = 10_000.0  # m, of the fluid at rest
RADIUS, GRAVITY = 6.37122e6, 9.80616  # m, m/s^2: torch-harmonics' earth
FASTEST = 100.0  # m/s, wind that a time step should bear beside gravity waves


@dataclass(frozen=True)
class ShallowWater:
    """Flows of the shallow-water equations on the rotating earth, 10 km deep, without forcing or mountains.

    "random" flows have a random vorticity and no divergence, and their height balances it. "galewsky" flows start
    from a barotropically unstable jet of the northern hemisphere with a bump in its height; the jet's strength and
    latitude and the bump's place and height are drawn for each trajectory (`initial.Jet`).

    Args:
        initial: "random" or "galewsky".
        wind: root mean square of the wind in m/s (random).
        degrees: highest degree of the vorticity (random).
        published: trajectory 0 is the case as published, 80 m/s and 120 m (galewsky).
        solver_nlat: latitudes of the solver's Gaussian grid, which has twice as many longitudes and keeps two thirds
            of the degrees that it could represent, so that products do not alias.
        time_step: of the solver in seconds.
        spin_up: hours that are solved before the first snapshot.

    Raises:
        ValueError: for an argument out of its range, or a time step that is not stable.
    """

    initial: Initial = "random"
    wind: float = 20.0
    degrees: int = 10
    published: bool = False
    solver_nlat: int = 64
    time_step: float = 600.0
    spin_up: float = 0.0

    def __post_init__(self) -> None:
        if self.initial not in get_args(Initial):
            raise ValueError(
                f"`initial` should be one of {', '.join(get_args(Initial))}, got '{self.initial}'."
            )
        if self.published and self.initial != "galewsky":
            raise ValueError("`published` should come with initial='galewsky': leave it out.")
        if self.solver_nlat < 16:
            raise ValueError(f"`solver_nlat` should be at least 16, got {self.solver_nlat}: raise it.")
        if not 0 < self.wind <= FASTEST:
            raise ValueError(f"`wind` should be positive and at most {FASTEST:g} m/s, got {self.wind}.")
        if not 1 <= self.degrees < self.solver_degrees:
            raise ValueError(
                f"`degrees` should be in 1..{self.solver_degrees - 1}, which {self.solver_nlat} latitudes of the "
                f"solver resolve, got {self.degrees}."
            )
        if not (math.isfinite(self.spin_up) and self.spin_up >= 0):
            raise ValueError(f"`spin_up` should not be negative, got {self.spin_up}.")
        # Runge-Kutta of order four bears oscillations up to 2.83 / time_step
        stable = 2.5 * RADIUS / ((math.sqrt(GRAVITY * DEPTH) + FASTEST) * self.solver_degrees)
        if not 0 < self.time_step <= stable:
            raise ValueError(
                f"`time_step` should be positive and at most {stable:.0f} s for {self.solver_nlat} latitudes of the "
                f"solver, got {self.time_step}."
            )

    @property
    def solver_degrees(self) -> int:
        """Degrees 0, 1, ... that the solver keeps: products of three of them are integrated exactly.

        >>> ShallowWater().solver_degrees
        43
        """
        return (2 * self.solver_nlat - 1) // 3 + 1

    def steps(self, hours: float, name: str) -> int:
        """Number of time steps in `hours`.

        Raises:
            ValueError: if that is not whole, naming the argument `name`.
        """
        count = round(hours * 3600 / self.time_step)
        if abs(count * self.time_step - hours * 3600) > 1e-6 * self.time_step:
            raise ValueError(
                f"`{name}` should be a multiple of the time step of {self.time_step:g} s, got {hours:g} hours: "
                "change one of them."
            )
        return count
