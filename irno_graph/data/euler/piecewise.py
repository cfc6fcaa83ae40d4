"""Initial data of CE-RP, CE-CRP, CE-KH and CE-RPUI: constant states on regions of the unit square.

Definitions: Poseidon (arXiv 2405.19101), appendix B. All fields are periodic. What is not published, the number
of modes of a curved interface, is `modes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from irno_graph.data.euler.solver import to_conserved, to_primitive

SUBCELLS = 4  # points per cell and direction: 512^2 points for 128^2 cells
Region = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PiecewiseConstant:
    """Primitives that are constant on each region.

    Attributes:
        states: rho, vx, vy, p of the regions, [regions, 4].
        region: index of the region at the points (x, y), which broadcast.
    """

    states: np.ndarray
    region: Region

    def cell_averages(self, resolution: int) -> np.ndarray:
        """Primitives (rho, vx, vy, p) [4, resolution, resolution], axis 1 is x, axis 2 is y.

        Mass, momentum and energy of a cell are the means of 4 x 4 points, so cells within one region are exact.
        """
        fine = (np.arange(resolution * SUBCELLS) + 0.5) / (resolution * SUBCELLS)
        region = np.broadcast_to(self.region(fine[:, None], fine), (len(fine), len(fine)))
        tiles = region.reshape(resolution, SUBCELLS, resolution, SUBCELLS).swapaxes(1, 2)
        blocks = tiles.reshape(resolution, resolution, -1)  # [resolution, resolution, points]
        conserved = to_conserved(self.states.T[:, :, None])[..., 0]  # [4, regions]
        averages = to_primitive(conserved[:, blocks].mean(axis=-1))
        pure = (blocks == blocks[..., :1]).all(axis=-1)
        return np.where(pure, self.states.T[:, blocks[..., 0]], averages)


def riemann_problem(seed: int) -> PiecewiseConstant:
    """CE-RP: four quadrants that meet at (1/2, 1/2); rho, p uniform in [0.1, 1], vx, vy in [-1, 1]."""
    generator = np.random.default_rng(seed)
    states = _draw_states(generator, (0.1, 1.0), (-1.0, 1.0), (0.1, 1.0))
    return PiecewiseConstant(states, _quadrant)


def curved_riemann_problem(seed: int, modes: int) -> PiecewiseConstant:
    """CE-CRP: the quadrants of CE-RP in the warped coordinates (x + s_x) mod 1, (y + s_y) mod 1.

    s = sum_{i,j=1}^{modes} a_ij sin(2 pi (i x + j y + b_ij)) with a uniform in [-0.1, 0.1], b in [0, 1], for
    s_x and s_y each: the sum as published with all of its argument times 2 pi, so that it is periodic.
    """
    generator = np.random.default_rng(seed)
    states = _draw_states(generator, (0.1, 1.0), (-1.0, 1.0), (0.1, 1.0))
    warp_x, warp_y = (_warp(generator, 0.1, np.arange(1, modes + 1)) for _ in range(2))
    return PiecewiseConstant(
        states, lambda x, y: _quadrant((x + warp_x(x, y)) % 1.0, (y + warp_y(x, y)) % 1.0)
    )


def uncertain_riemann_problem(seed: int, modes: int) -> PiecewiseConstant:
    """CE-RPUI: quadrants with finely rippled interfaces; rho in [1, 3], vx, vy in [-10, 10], p in [5, 7].

    The warp is that of CE-CRP with a uniform in [-0.01, 0.01] and wave numbers i + 2 modes^2, j + 2 modes^2.
    """
    generator = np.random.default_rng(seed)
    states = _draw_states(generator, (1.0, 3.0), (-10.0, 10.0), (5.0, 7.0))
    waves = np.arange(1, modes + 1) + 2 * modes**2
    warp_x, warp_y = (_warp(generator, 0.01, waves) for _ in range(2))
    return PiecewiseConstant(
        states, lambda x, y: _quadrant((x + warp_x(x, y)) % 1.0, (y + warp_y(x, y)) % 1.0)
    )


def shear_layers(seed: int, modes: int) -> PiecewiseConstant:
    """CE-KH: (rho, vx, vy, p) = (1, 0.5, 0, 2.5) outside of two wavy layers, (2, -0.5, 0, 2.5) between them.

    They lie at y = 0.25 + s_0(x) and y = 0.75 + s_1(x), s = 0.05 sum_j a_j cos(2 pi j (x + b_j)) / sum_j a_j,
    j = 1 ... modes, a and b uniform in [0, 1].
    """
    generator = np.random.default_rng(seed)
    strength, shift = generator.uniform(0.0, 1.0, (2, 2, modes))
    waves = np.arange(1, modes + 1)

    def height(layer: int, x: np.ndarray) -> np.ndarray:
        ripple = np.cos(2 * np.pi * waves * (x[..., None] + shift[layer])) @ strength[layer]
        return 0.25 + 0.5 * layer + 0.05 * ripple / strength[layer].sum()

    states = np.array([[1.0, 0.5, 0.0, 2.5], [2.0, -0.5, 0.0, 2.5]])
    return PiecewiseConstant(
        states, lambda x, y: ((y >= height(0, x)) & (y <= height(1, x))).astype(np.int64)
    )


def _draw_states(
    generator: np.random.Generator,
    density: tuple[float, float],
    velocity: tuple[float, float],
    pressure: tuple[float, float],
) -> np.ndarray:
    ranges = np.array([density, velocity, velocity, pressure])
    return generator.uniform(ranges[:, 0], ranges[:, 1], (4, 4))  # [quadrants, channels]


def _quadrant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """0 ... 3: twice whether x >= 1/2, plus whether y >= 1/2."""
    return 2 * (x >= 0.5) + (y >= 0.5)


def _warp(
    generator: np.random.Generator, size: float, waves: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    amplitude = generator.uniform(-size, size, (len(waves), len(waves)))
    phase = np.exp(2j * np.pi * generator.uniform(0.0, 1.0, (len(waves), len(waves))))

    def warp(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        along_x, along_y = (np.exp(2j * np.pi * waves * axis[..., None]) for axis in (x, y))
        return np.einsum("...i,ij,...j->...", along_x, amplitude * phase, along_y).imag

    return warp
