"""From points alone to a mesh or, where they sample a curve or surface, to pairs and masses."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from irno_graph.mesh.delaunay import delaunay_mesh
from irno_graph.mesh.mesh import Mesh, MeshError
from irno_graph.mesh.periodic import wrap

DENSITY_NEIGHBOURS = 32  # nodes that a density is taken from


def bare_mesh(points: Any, period: Any) -> Mesh:
    """Points (array or tensor) `[points, dim]` as a mesh without cells.

    Raises:
        MeshError: for wrong shapes, NaN or coincident points.
    """
    mesh = Mesh(points.detach().cpu().numpy() if isinstance(points, Tensor) else points, (), period=period)
    distinct = len(np.unique(wrap(mesh.points, mesh.period), axis=0))
    if distinct < len(mesh.points):
        raise MeshError(
            f"`points` should be distinct within the period, got {len(mesh.points) - distinct} repeated: "
            "drop the points at the far end of a periodic axis."
        )
    return mesh


def mesh_of_points(points: Any, period: Any) -> Mesh:
    """Delaunay mesh of points `[points, dim]` (array or tensor), closed along periodic axes.

    Raises:
        MeshError: for wrong shapes, NaN, coincident or too few points.
    """
    return delaunay_mesh(bare_mesh(points, period))


def nearest_pairs(mesh: Mesh, neighbours: int) -> Tensor:
    """Pairs `[2, points * neighbours]` of every point and its nearest neighbours, across the period."""
    if not 1 <= neighbours < len(mesh.points):
        raise ValueError(f"`neighbours` should be in 1..{len(mesh.points) - 1}, got {neighbours}.")
    tree, points = _tree(mesh)
    _, found = tree.query(points, k=neighbours + 1)
    return torch.from_numpy(np.stack([found[:, 1:].ravel(), np.repeat(np.arange(len(points)), neighbours)]))


def pairs_within(mesh: Mesh, radius: float | None) -> Tensor:
    """Pairs `[2, any]` of points nearer than `radius`, across the period.

    Raises:
        ValueError: if `radius` is not positive or leaves a node without a neighbour.
    """
    if radius is None or not radius > 0:
        raise ValueError(f"`radius` should be positive for method 'radius', got {radius}.")
    tree, _ = _tree(mesh)
    pairs = tree.query_pairs(radius, output_type="ndarray").astype(np.int64)
    alone = len(mesh.points) - len(np.unique(pairs))
    if alone:
        raise ValueError(
            f"`radius` should give every node a neighbour, got {alone} without: enlarge {radius}."
        )
    return torch.from_numpy(pairs.T.copy())


def density_mass(mesh: Mesh, dim: int) -> Tensor:
    """Masses `[points]` of a cloud that samples a curve (`dim` 1), a surface (2) or a volume (3): 1 / density.

    The density at x_i is the number of points under a Gaussian that fits into the distance of the 32nd neighbour
    (fewer where there are fewer points). At the rim of an open cloud it is too small, and the mass too large.
    """
    tree, points = _tree(mesh)
    count = min(DENSITY_NEIGHBOURS, len(points))
    distance, _ = tree.query(points, k=count)
    scale = distance[:, -1:] / 2.5
    kernel = np.exp(-((distance / scale) ** 2)).sum(axis=1)
    volume = (scale[:, 0] * np.sqrt(pi)) ** dim
    return torch.from_numpy(volume / kernel)


def _tree(mesh: Mesh) -> tuple[cKDTree, np.ndarray]:
    points = wrap(mesh.points, mesh.period)
    box = None if mesh.period is None else [length or 0.0 for length in mesh.period]
    return cKDTree(points, boxsize=box), points
