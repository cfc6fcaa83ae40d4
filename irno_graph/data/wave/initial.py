"""How waves start: Gaussian bumps at rest, or low modes of the domain; and the speed in a random medium."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch

from irno_graph.data.wave.domain import Domain
from irno_graph.spectral.eigenbasis import EigenBasis

Initial = Literal["bumps", "modes"]
BUMPS = (2, 6)  # Wave-Gauss [Poseidon, appendix B]; widths are those of a domain of size 1
WIDTHS = (0.039, 0.156)
MEDIUM_WIDTHS = (1 / 12, 1 / 6)


@dataclass(frozen=True)
class Waves:
    """What is solved.

    "bumps" are 2 to 6 Gaussians at rest, with heights in [0.5, 1] of either sign and widths as in Wave-Gauss.
    "modes" are the lowest modes of the domain with random amplitudes and phases, normalised to a root mean square of
    about 1. With a medium the speed is c (1 + contrast (1 - prod(1 - a_i g_i))) of `medium` Gaussians g_i with a_i in
    [0, 1], drawn for each trajectory.

    Args:
        initial: "bumps" or "modes".
        modes: how many (modes).
        speed: c.
        medium: number of Gaussians in the speed; 0 for a constant speed.
        contrast: largest relative increase of the speed.
        time_step: divides the time between snapshots; None takes 0.9 of the stability limit or a little less.

    Raises:
        ValueError: for an argument out of its range.
    """

    initial: Initial = "bumps"
    modes: int = 32
    speed: float = 1.0
    medium: int = 0
    contrast: float = 1.0
    time_step: float | None = None

    def __post_init__(self) -> None:
        if self.initial not in get_args(Initial):
            raise ValueError(
                f"`initial` should be one of {', '.join(get_args(Initial))}, got '{self.initial}'."
            )
        if self.modes < 1:
            raise ValueError(f"`modes` should be at least 1, got {self.modes}: 32 is the default.")
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise ValueError(f"`speed` should be positive, got {self.speed}: 1 is the default.")
        if self.medium < 0:
            raise ValueError(
                f"`medium` should not be negative, got {self.medium}: 0 leaves the speed constant."
            )
        if not (math.isfinite(self.contrast) and self.contrast >= 0):
            raise ValueError(f"`contrast` should not be negative, got {self.contrast}: 1 is the default.")
        if self.time_step is not None and not (math.isfinite(self.time_step) and self.time_step > 0):
            raise ValueError(f"`time_step` should be positive, got {self.time_step}: or leave it out.")

    @property
    def fastest(self) -> float:
        """A bound on the speed of all trajectories."""
        return self.speed * (1 + self.contrast) if self.medium else self.speed

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels in files."""
        return ("u", "u_t", "c") if self.medium else ("u", "u_t")


class Start(NamedTuple):
    """u, u_t and the speed at the nodes at t = 0, each `[nodes, trajectories]`."""

    u: np.ndarray
    v: np.ndarray
    speed: np.ndarray


class Draw:
    """Initial states of trajectories on a domain, each from its own seed; modes are computed once."""

    def __init__(self, domain: Domain, waves: Waves) -> None:
        self.domain, self.waves = domain, waves
        if waves.initial == "modes":
            fixed = torch.from_numpy(domain.fixed) if domain.fixed.any() else None
            self.basis = EigenBasis.compute(domain.graph, waves.modes, dirichlet=fixed, cache=False)

    def __call__(self, seeds: np.ndarray) -> Start:
        """The states of these trajectories."""
        drawn = [self._one(np.random.default_rng(int(seed))) for seed in seeds]
        return Start(*(np.stack(fields, axis=1) for fields in zip(*drawn, strict=True)))

    def _one(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        waves, nodes = self.waves, len(self.domain.fixed)
        if waves.initial == "modes":
            u, v = self._modes(generator)
        else:
            count = int(generator.integers(BUMPS[0], BUMPS[1] + 1))
            heights = generator.uniform(0.5, 1.0, count) * generator.choice([-1.0, 1.0], count)
            u, v = heights @ self._gaussians(generator, count, WIDTHS), np.zeros(nodes)
            u[self.domain.fixed] = 0.0
        speed = np.full(nodes, waves.speed)
        if waves.medium:
            shares = generator.uniform(0.0, 1.0, waves.medium)
            bumps = np.minimum(self._gaussians(generator, waves.medium, MEDIUM_WIDTHS), 1.0)
            speed *= 1 + waves.contrast * (1 - np.prod(1 - shares[:, None] * bumps, axis=0))
        return u, v, speed

    def _modes(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        vectors, values = self.basis.vectors.numpy(), self.basis.eigenvalues.clamp(min=0).numpy()
        amplitudes = generator.standard_normal(len(values))
        phases = generator.uniform(0.0, 2 * np.pi, len(values))
        amplitudes *= math.sqrt(2 * float(self.domain.graph.mass.sum()) / len(values))
        frequencies = self.waves.speed * np.sqrt(values)
        u, v = amplitudes * np.cos(phases), -amplitudes * frequencies * np.sin(phases)
        return (vectors * u).sum(axis=1), (vectors * v).sum(axis=1)

    def _gaussians(
        self, generator: np.random.Generator, count: int, widths: tuple[float, float]
    ) -> np.ndarray:
        """exp(-distance^2 / (2 width^2)) of `count` random centres and widths `[count, nodes]`."""
        lengths = generator.uniform(*widths, count) * self.domain.size
        return gaussians(self.domain, self._centres(generator, count), lengths)

    def _centres(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Uniform in the box or on the sphere; nodes of other meshes, as likely as their masses."""
        if self.domain.kind == "box":
            return generator.uniform(0.0, 1.0, (count, 2))
        if self.domain.on_sphere:
            centres = generator.standard_normal((count, 3))
            return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True))
        share = np.cumsum(self.domain.graph.mass.numpy())
        places = np.searchsorted(share, generator.uniform(0.0, share[-1], count), side="right")
        return self.domain.graph.pos.numpy()[np.minimum(places, len(share) - 1)]


def gaussians(domain: Domain, centres: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """exp(-d^2 / (2 width^2)) `[centres, nodes]` of `centres` `[centres, dim]` and `widths` `[centres]`.

    d is the length of the arc on the sphere and euclidean elsewhere; along periodic axes the Gaussian and its two
    nearest images on each side are added up.
    """
    positions = domain.graph.pos.numpy()
    if domain.on_sphere:
        chord = np.linalg.norm(positions - centres[:, None], axis=-1)  # [centres, nodes]
        arc = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
        return np.asarray(np.exp(-0.5 * (arc / widths[:, None]) ** 2))
    result = np.ones((len(centres), len(positions)))
    for axis, length in itertools.zip_longest(range(positions.shape[1]), domain.graph.period or ()):
        images = (0,) if length is None else (-2, -1, 0, 1, 2)
        offset = positions[:, axis] - centres[:, axis, None]
        result *= sum(
            np.exp(-0.5 * ((offset + image * (length or 0.0)) / widths[:, None]) ** 2) for image in images
        )
    return result
