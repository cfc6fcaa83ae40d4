"""The unit sphere: grids of latitudes and longitudes with their quadrature, and icospheres."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from scipy.spatial import ConvexHull
from scipy.special import eval_legendre, roots_jacobi, roots_legendre

from irno_graph.graph.build import KINDS, edge_tensors, tensors_from_mesh
from irno_graph.mesh.mesh import Mesh

SphereGrid = Literal["equiangular", "legendre-gauss", "lobatto"]
CAP = 0.25  # cells see the points of a pole on a circle at this part of the first ring's colatitude


def latitudes(count: int, grid: SphereGrid = "equiangular") -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the colatitudes `[count]`, from the north pole down, and weights `[count]`, positive with the sum 2.

    sum_j w_j p(cos theta_j) is the integral of p over [-1, 1] for polynomials p of degree up to count - 1
    ("equiangular" with both poles, the rule of Clenshaw and Curtis), 2 count - 1 ("legendre-gauss", without the
    poles) or 2 count - 3 ("lobatto", with both poles).

    Raises:
        ValueError: for another grid or fewer than 3 latitudes.

    >>> latitudes(3)
    (array([ 1.,  0., -1.]), array([0.33333333, 1.33333333, 0.33333333]))
    """
    if grid not in get_args(SphereGrid):
        raise ValueError(f"`grid` should be one of {', '.join(get_args(SphereGrid))}, got '{grid}'.")
    if count < 3:
        raise ValueError(f"`nlat` should be at least 3, got {count}.")
    if grid == "legendre-gauss":
        cosine, weights = roots_legendre(count)
        return cosine[::-1].copy(), weights[::-1].copy()
    if grid == "equiangular":
        cosine = np.cos(np.pi * np.arange(count) / (count - 1))
    else:
        cosine = np.concatenate([[1.0], roots_jacobi(count - 2, 1, 1)[0][::-1], [-1.0]])
    cosine = (cosine - cosine[::-1]) / 2  # the equator at 0
    if grid == "equiangular":
        return cosine, _clenshaw_curtis(count)
    return cosine, 2 / (count * (count - 1) * eval_legendre(count - 1, cosine) ** 2)


def tensors_of_sphere(nlat: int, nlon: int, grid: SphereGrid = "equiangular") -> dict[str, Any]:
    """The tensors of a graph on the unit sphere, as `Graph.from_sphere` says.

    Raises:
        ValueError: for another grid, fewer than 3 latitudes or 4 longitudes.
    """
    cosine, weights = latitudes(nlat, grid)
    if nlon < 4:
        raise ValueError(f"`nlon` should be at least 4, got {nlon}.")
    polar = grid != "legendre-gauss"
    pos = _points(np.sqrt((1 - cosine) * (1 + cosine)), cosine, nlon)
    colatitude = np.arccos(cosine)
    if polar:
        colatitude[[0, -1]] = CAP * colatitude[1], np.pi - CAP * colatitude[1]
    seen = _points(np.sin(colatitude), np.cos(colatitude), nlon)
    number = np.arange(nlat * nlon).reshape(nlat, nlon)
    cells = _cells(number, polar)
    relative = [(seen[corners] - seen[corners[:, :1]]).reshape(-1, 3) for corners in cells.values()]
    kinds = [np.full(len(corners), KINDS.index(kind), np.uint8) for kind, corners in cells.items()]
    return {
        **edge_tensors(torch.from_numpy(pos), torch.from_numpy(_links(number, polar)), None),
        "pos": torch.from_numpy(pos),
        "mass": torch.from_numpy(np.repeat(weights * (2 * np.pi / nlon), nlon)),
        "cell_index": torch.from_numpy(np.concatenate([corners.ravel() for corners in cells.values()])),
        "cell_vectors": torch.from_numpy(np.concatenate(relative)),
        "cell_kind": torch.from_numpy(np.concatenate(kinds)),
        "period": None,
        "sphere_shape": (nlat, nlon),
        "sphere_grid": grid,
    }


def icosphere(cuts: int) -> Mesh:
    """Triangles of the unit sphere: an icosahedron whose triangles are cut into four `cuts` times.

    It has 10 * 4^cuts + 2 points, twelve of them with five neighbours, the others with six.

    Raises:
        ValueError: if `cuts` is negative.

    >>> icosphere(2)
    Mesh(points=162, dim=3, cells={'triangle': 320}, period=None)
    """
    if cuts < 0:
        raise ValueError(f"`cuts` should be at least 0, got {cuts}.")
    golden = (1 + 5**0.5) / 2
    long, short = np.meshgrid([golden, -golden], [1.0, -1.0], indexing="ij")
    zero = np.zeros(4)
    rectangle = np.stack([zero, short.ravel(), long.ravel()], axis=1)
    points = np.concatenate([np.roll(rectangle, turn, axis=1) for turn in range(3)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    triangles = ConvexHull(points).simplices.astype(np.int64)
    flipped = np.linalg.det(points[triangles]) < 0
    triangles[flipped] = triangles[flipped][:, ::-1]
    for _ in range(cuts):
        points, triangles = _cut(points, triangles)
    return Mesh(points, [("triangle", triangles)])


def tensors_of_icosphere(cuts: int) -> dict[str, Any]:
    """The tensors of a graph on `icosphere(cuts)`; masses are thirds of the areas of its triangles on the sphere."""
    mesh = icosphere(cuts)
    corners = mesh.cells_of("triangle")
    a, b, c = (mesh.points[corners[:, place]] for place in range(3))
    # tan(area / 2) = a . (b x c) / (1 + a . b + b . c + c . a)   [Van Oosterom and Strackee 1983]
    volume = np.einsum("ij,ij->i", a, np.cross(b, c))
    sides = sum(np.einsum("ij,ij->i", *pair) for pair in ((a, b), (b, c), (c, a)))
    area = 2 * np.arctan2(volume, 1 + sides)
    mass = np.bincount(corners.ravel(), np.repeat(area / 3, 3), len(mesh.points))
    return {**tensors_from_mesh(mesh), "mass": torch.from_numpy(mass)}


def _clenshaw_curtis(count: int) -> np.ndarray:
    """Weights `[count]` at cos(pi j / (count - 1)): the even Chebyshev polynomials have the integrals 2 / (1 - k^2)."""
    last = count - 1
    order = np.arange(0, last + 1, 2)
    size = 2 / (1 - order.astype(float) ** 2)
    size[(order == 0) | (order == last)] /= 2
    weights = 2 / last * np.cos(np.pi * np.outer(np.arange(count), order) / last) @ size
    weights[[0, -1]] /= 2
    return weights


def _points(sine: np.ndarray, cosine: np.ndarray, nlon: int) -> np.ndarray:
    longitude = 2 * np.pi * np.arange(nlon) / nlon
    x, y = np.outer(sine, np.cos(longitude)), np.outer(sine, np.sin(longitude))
    return np.stack([x, y, np.broadcast_to(cosine[:, None], x.shape)], axis=-1).reshape(-1, 3)


def _links(number: np.ndarray, polar: bool) -> np.ndarray:
    """Pairs `[2, any]`: along parallels, and along meridians, which go on at the other side of a pole."""
    rings = number[1:-1] if polar else number
    pairs = [(number[:-1], number[1:]), (rings, np.roll(rings, -1, axis=1))]
    across = number.shape[1] // 2
    for pole, ring in ((number[0], rings[0]), (number[-1], rings[-1])):
        turns = (across, -across, 1, -1) if polar else (across,)
        pairs += [(pole, np.roll(ring, turn)) for turn in turns]
    return np.stack([np.concatenate([part.ravel() for part in side]) for side in zip(*pairs, strict=True)])


def _cells(number: np.ndarray, polar: bool) -> dict[str, np.ndarray]:
    """Quads between the rings; where there are no points at the poles, also chords across the two caps."""
    east = np.roll(number, -1, axis=1)
    quads = [np.stack([number[:-1], number[1:], east[1:], east[:-1]], axis=-1).reshape(-1, 4)]
    triangles = []
    nlon = number.shape[1]
    first = np.arange((nlon - 2) // 2)
    for ring in () if polar else (number[0], number[-1, ::-1]):
        quads.append(ring[np.stack([first, first + 1, nlon - 2 - first, nlon - 1 - first], axis=1)])
        if nlon % 2:
            triangles.append(ring[[[nlon // 2 - 1, nlon // 2, nlon // 2 + 1]]])
    found = {"quad": np.concatenate(quads)}
    return found | ({"triangle": np.concatenate(triangles)} if triangles else {})


def _cut(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each triangle in four, with the midpoints of its sides on the sphere."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]], axis=2).reshape(-1, 2)
    pairs, place = np.unique(sides, axis=0, return_inverse=True)
    middle = points[pairs].sum(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    (a, b, c), (ab, bc, ca) = triangles.T, len(points) + place.reshape(-1, 3).T
    parts = [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
    return np.concatenate([points, middle]), np.concatenate([np.stack(part, axis=1) for part in parts])
