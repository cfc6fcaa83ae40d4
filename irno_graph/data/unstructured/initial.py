"""CE-Gauss's start on a mesh: the velocity of random vortices between walls, by linear elements."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse.linalg import splu

from irno_graph.data.euler.initial import DENSITY, PRESSURE, Vortices, draw_vortices
from irno_graph.data.unstructured.geometry import MedianDual
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.mesh.mesh import Period
from irno_graph.spectral.laplacian import laplacian

NARROWEST, WIDEST = 0.01, 0.1  # CE-Gauss
STRAIGHT = 0.8  # of the halves at a node that their sum keeps; a corner with less, one of 90 degrees, is one


def placed_vortices(
    seed: int, mesh: Mesh, *, narrowest: float = NARROWEST, widest: float = WIDEST
) -> Vortices:
    """The vortices of `draw_vortices(seed)` with widths uniform in [narrowest, widest], in the box around `mesh`.

    Along a periodic axis the box is the period. Widths count in the root of the box's area. In the unit square and with
    CE-Gauss's widths they are those of CE-Gauss.

    Raises:
        ValueError: if widths are not positive and ascending.
    """
    check_widths(narrowest, widest)
    drawn, lower, lengths = draw_vortices(seed), mesh.points.min(axis=0), np.ptp(mesh.points, axis=0)
    for axis, period in enumerate(mesh.period or ()):
        if period is not None:
            lower[axis], lengths[axis] = 0.0, period
    share = (drawn.width - NARROWEST) / (WIDEST - NARROWEST)
    width = (narrowest + share * (widest - narrowest)) * np.sqrt(lengths.prod())
    return dataclasses.replace(drawn, width=width, centre=lower + lengths * drawn.centre)


def check_widths(narrowest: float, widest: float) -> None:
    """Check that widths of vortices are positive and ascending.

    Raises:
        ValueError: if they are not.
    """
    if not 0 < narrowest <= widest:
        raise ValueError(
            f"`narrowest` should be in (0, {widest:g}], got {narrowest}: CE-Gauss has {NARROWEST}, 0.03 suits coarse "
            "meshes."
        )


def vorticity(vortices: Vortices, points: np.ndarray, period: Period = None) -> np.ndarray:
    """w0 `[points]`; along periodic axes with the nearest two images on each side."""
    bell = np.ones((len(vortices.width), len(points)))
    for axis, length in enumerate(period or (None, None)):
        away = points[:, axis] - vortices.centre[:, axis, None]
        images = (0,) if length is None else (-2, -1, 0, 1, 2)
        bell *= sum(
            np.exp(-0.5 * ((away + image * (length or 0.0)) / vortices.width[:, None]) ** 2)
            for image in images
        )
    return np.asarray((vortices.strength / vortices.width) @ bell)


class StreamFunction:
    """Velocities (psi_y, -psi_x) of a vorticity w: -lap psi = w, psi = 0 on the whole boundary.

    Linear elements with lumped masses, factored once, then least-squares slopes of psi at the nodes. At the boundary
    the velocity runs along it, with the normal derivative that the elements' balance leaves there,
    psi_n = (K psi - M w) / length of the node's halves; it is 0 at corners. Where there is no boundary the mean of w is
    taken out. First order where triangles are irregular.

    Args:
        mesh: triangles in the plane.
        dual: of the mesh.
    """

    def __init__(self, mesh: Mesh, dual: MedianDual) -> None:
        self.mass, self.rim = dual.volume, np.unique(dual.sides)
        free = np.ones(len(self.mass), dtype=bool)
        free[self.rim if len(self.rim) else 0] = False  # psi of a closed domain is known up to a constant
        self.inner = np.flatnonzero(free)
        self.stiffness = laplacian(Graph.from_mesh(mesh))
        self.factor = splu(self.stiffness[self.inner][:, self.inner].tocsc()) if len(self.inner) else None
        self.first, self.neighbour, self.weight = dual.slopes()
        halves = np.zeros((len(free), 3))
        lengths = np.linalg.norm(dual.half, axis=1, keepdims=True)
        np.add.at(halves, dual.sides, np.concatenate([dual.half, lengths], axis=1)[:, None])
        self.along = np.stack([halves[self.rim, 1], -halves[self.rim, 0]], axis=1)
        straight = np.linalg.norm(self.along, axis=1)
        self.along *= ((straight > STRAIGHT * halves[self.rim, 2]) / (straight * halves[self.rim, 2]))[
            :, None
        ]

    def stream(self, w: np.ndarray) -> np.ndarray:
        """psi `[nodes]` of w `[nodes]`."""
        psi = np.zeros(len(w))
        if self.factor is not None:
            psi[self.inner] = self.factor.solve(self._load(w)[self.inner])
        return psi

    def velocity(self, w: np.ndarray) -> np.ndarray:
        """(vx, vy) `[nodes, 2]` of w `[nodes]`."""
        psi = self.stream(w)
        here = np.repeat(np.arange(len(w)), np.diff(self.first))
        change = psi[self.neighbour] - psi[here]
        x, y = (np.bincount(here, self.weight[:, axis] * change, len(w)) for axis in range(2))
        found = np.stack([y, -x], axis=1)
        left = self.stiffness @ psi - self._load(w)
        found[self.rim] = left[self.rim, None] * self.along
        return found

    def _load(self, w: np.ndarray) -> np.ndarray:
        mean = 0.0 if len(self.rim) else (self.mass @ w) / self.mass.sum()
        return np.asarray(self.mass * (w - mean))


def initial_state(stream: StreamFunction, w: np.ndarray) -> np.ndarray:
    """Primitives (rho, vx, vy, p) `[nodes, 4]` at t = 0: rho = 0.1 and p = 2.5, the velocity of w `[nodes]`."""
    state = np.empty((len(w), 4))
    state[:, 0], state[:, 3] = DENSITY, PRESSURE
    state[:, 1:3] = stream.velocity(w)
    return state
