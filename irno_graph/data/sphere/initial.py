"""Initial states of shallow-water flows: random balanced flows, and the barotropically unstable jet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.sphere.flow import DEPTH, ShallowWater


@dataclass(frozen=True)
class Jet:
    """The unstable jet of Galewsky, Scott and Polvani (Tellus A 56, 2004, equations 2 to 4); defaults are theirs.

    u = wind / e_n exp(1 / ((phi - phi_0) (phi - phi_1))) between phi_0 = pi / 7 + shift and phi_1 = 5 pi / 14 + shift,
    with the largest wind halfway; the height has the bump
    height cos(phi) exp(-(3 (lambda - longitude))^2) exp(-(15 (phi - latitude))^2).

    Attributes:
        wind: largest wind in m/s.
        shift: of the jet to the north in degrees.
        longitude: of the bump in degrees.
        latitude: of the bump in degrees.
        height: of the bump in metres.
    """

    wind: float = 80.0
    shift: float = 0.0
    longitude: float = 0.0
    latitude: float = 45.0
    height: float = 120.0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Jet:
        """Wind of 70 to 90 m/s, up to 5 degrees off, a bump of 60 to 180 m at any longitude, 35 to 55 degrees north."""
        return cls(
            wind=rng.uniform(70, 90),
            shift=rng.uniform(-5, 5),
            longitude=rng.uniform(0, 360),
            latitude=rng.uniform(35, 55),
            height=rng.uniform(60, 180),
        )

    def zonal_wind(self, latitude: Tensor) -> Tensor:
        """Eastward wind in m/s at latitudes in radians."""
        south = math.pi / 7 + math.radians(self.shift)
        north = 5 * math.pi / 14 + math.radians(self.shift)
        inside = (latitude > south) & (latitude < north)
        product = torch.where(inside, (latitude - south) * (latitude - north), -1.0)
        profile = torch.exp(1 / product + 4 / (north - south) ** 2)
        return torch.where(inside, self.wind * profile, 0.0)

    def bump(self, latitude: Tensor, longitude: Tensor) -> Tensor:
        """Height of the bump in metres at latitudes and longitudes in radians."""
        east = torch.remainder(longitude - math.radians(self.longitude) + math.pi, 2 * math.pi) - math.pi
        north = latitude - math.radians(self.latitude)
        return self.height * torch.cos(latitude) * torch.exp(-((3 * east) ** 2) - (15 * north) ** 2)


def initial_state(solver: Any, flow: ShallowWater, seed: int, trajectory: int) -> Tensor:
    """Geopotential, vorticity and divergence `[3, degrees, degrees]` at the start of a trajectory."""
    rng = np.random.default_rng([seed, trajectory])
    if flow.initial == "random":
        return balanced_state(solver, _random_vorticity(rng, flow, float(solver.radius)))
    return jet_state(solver, Jet() if flow.published and trajectory == 0 else Jet.drawn(rng))


def jet_state(solver: Any, jet: Jet) -> Tensor:
    """The jet in balance, and its bump, which is not."""
    latitude, longitude = solver.lats[:, None], solver.lons.reshape(1, -1)
    wind = jet.zonal_wind(latitude).expand(-1, longitude.shape[1])  # [latitudes, longitudes]
    vorticity = solver.vrtdivspec(torch.stack([wind, torch.zeros_like(wind)]))[0]
    state = balanced_state(solver, vorticity)
    state[0] += solver.gravity * solver.grid2spec(jet.bump(latitude, longitude))
    return state


def balanced_state(solver: Any, vorticity: Tensor) -> Tensor:
    """The state `[3, degrees, degrees]` of this vorticity without divergence, nor any tendency of it.

    The geopotential is lap^-1 curl((zeta + f) u) - |u|^2 / 2 with the mean g DEPTH (nonlinear balance).
    """
    state = torch.zeros(3, *vorticity.shape, dtype=torch.complex128)
    state[1] = vorticity
    wind = solver.getuv(state[1:])
    curl = solver.vrtdivspec(wind * (solver.spec2grid(vorticity) + solver.coriolis))[0]
    state[0] = solver.invlap * curl - solver.grid2spec(0.5 * wind.square().sum(dim=0))
    state[0, 0, 0] = math.sqrt(4 * math.pi) * solver.gravity * DEPTH
    return state


def _random_vorticity(rng: np.random.Generator, flow: ShallowWater, radius: float) -> Tensor:
    """Coefficients `[degrees, degrees]` of random phases with the same kinetic energy in each degree from 1 on."""
    vorticity = np.zeros((flow.solver_degrees, flow.solver_degrees), dtype=np.complex128)
    energy = 0.0
    for degree in range(1, flow.degrees + 1):
        real, imaginary = rng.standard_normal((2, degree + 1)) / math.sqrt(2)
        real[0], imaginary[0] = math.sqrt(2) * real[0], 0
        eigenvalue = degree * (degree + 1)
        row = (real + 1j * imaginary) * math.sqrt(eigenvalue / (2 * degree + 1))
        vorticity[degree, : degree + 1] = row
        energy += (2 * np.abs(row) ** 2)[1:].sum() / eigenvalue + abs(row[0]) ** 2 / eigenvalue
    # the mean of |u|^2 is radius^2 / (4 pi) sum over l, m of |zeta_lm|^2 / (l (l + 1))
    return torch.from_numpy(vorticity * (flow.wind / radius * math.sqrt(4 * math.pi / energy)))
