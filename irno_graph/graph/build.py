"""From meshes, points and grids to the tensors of a graph. Everything here is float64 and done once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from irno_graph.graph.geometry import lumped_mass, minimum_image, triangle_areas
from irno_graph.mesh.mesh import Mesh, MeshError, Period, checked_period
from irno_graph.mesh.periodic import periodic_delaunay, wrap

FACES = {"triangle": [(0, 1), (1, 2), (2, 0)], "quad": [(0, 1), (1, 2), (2, 3), (3, 0)]}
SPLITS = (((0, 1, 2), (0, 2, 3)), ((1, 2, 3), (1, 3, 0)))  # both ways to split a quad; `face` takes the first
FLAT = 1e-12  # a triangle with area below this times its longest side squared has no gradient


def tensors_from_mesh(mesh: Mesh) -> dict[str, Any]:
    """The tensors of a graph on the triangles and quads of `mesh`; its edges are the sides of these cells.

    Raises:
        MeshError: for other cells, orphan points, flat or repeated cells, or edges of half a period.
    """
    triangles, quads = _surface_cells(mesh)
    _refuse_orphans(mesh, triangles, quads)
    _refuse_concave(mesh, quads)
    halves = [np.concatenate([quads[:, list(corners)] for corners in split]) for split in SPLITS]
    face = torch.from_numpy(np.concatenate([triangles, halves[0]]).T.copy())
    corners = _corner_vectors(mesh, face.T.numpy())
    areas = triangle_areas(corners)
    _refuse_flat(face, corners, areas)
    pairs = [
        block[:, side]
        for kind, block in (("triangle", triangles), ("quad", quads))
        for side in map(list, FACES[kind])
    ]
    sides = np.concatenate(pairs)
    if mesh.dim == 2:
        _refuse_overlap(sides)
    count = len(mesh.points)
    mass = lumped_mass(face, areas, count)
    if len(quads):  # the mean over both splits: a rectangle gives each of its corners a quarter
        other = torch.from_numpy(np.concatenate([triangles, halves[1]]).T.copy())
        other_areas = triangle_areas(_corner_vectors(mesh, other.T.numpy()))
        mass = 0.5 * (mass + lumped_mass(other, other_areas, count))
    pos = torch.from_numpy(mesh.points.copy())
    return {
        **edge_tensors(pos, torch.from_numpy(sides.T.copy()), mesh.period),
        "pos": pos,
        "mass": mass,
        "face": face,
        "corner_vectors": corners,
        "period": mesh.period,
    }


def edge_tensors(pos: Tensor, pairs: Tensor, period: Period) -> dict[str, Tensor]:
    """`edge_index` `[2, edges]` and `edge_attr` `[edges, dim + 1]` of undirected `pairs` `[2, any]`.

    Every pair appears once per direction, sorted by target (row 1), then source (row 0);
    edge_attr = (pos_source - pos_target by the minimum image, its length).

    Raises:
        MeshError: if an edge spans half a period or joins a node to itself.
    """
    nodes = len(pos)
    both = torch.cat([pairs, pairs.flip(0)], dim=1)
    code = torch.unique(both[1] * nodes + both[0])  # sorted
    edge_index = torch.stack([code % nodes, code // nodes])
    vectors = minimum_image(pos[edge_index[0]] - pos[edge_index[1]], period)
    for axis, length in enumerate(period or ()):
        if length is not None and bool((vectors[:, axis].abs() >= 0.5 * length * (1 - 1e-9)).any()):
            raise MeshError(
                f"edges should be shorter than half the period {length} of axis {axis}, got one that is not: "
                "two images would be equally near; use more points along this axis (3 at least)."
            )
    loops = int((edge_index[0] == edge_index[1]).sum())
    if loops:
        raise MeshError(f"cells should have distinct corners, got {loops} edges from a node to itself.")
    lengths = vectors.norm(dim=1, keepdim=True)
    return {"edge_index": edge_index, "edge_attr": torch.cat([vectors, lengths], dim=1)}


def mesh_of_points(points: Any, period: Any) -> Mesh:
    """Delaunay mesh of points `[points, 2]` (array or tensor), on the torus along periodic axes.

    Raises:
        MeshError: for wrong shapes, NaN, coincident or too few points.
    """
    array = np.asarray(points.detach().cpu() if isinstance(points, Tensor) else points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise MeshError(
            f"`points` should have shape [points, 2], got {list(array.shape)}: only the plane works."
        )
    mesh = Mesh(array, (), period=period)
    if len(array) < 3:
        raise MeshError(f"`points` should be at least 3 to span a triangle, got {len(array)}.")
    return Mesh(array, (("triangle", periodic_delaunay(mesh.points, mesh.period)),), period=mesh.period)


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


def mesh_of_grid(shape: tuple[int, int], extent: Any, period: Any) -> Mesh:
    """Quads on a grid of shape (ny, nx); node iy * nx + ix lies at (x_ix, y_iy); `extent` = (x, y) lengths.

    A periodic axis of n points has them at i L / n, another at i L / (n - 1).
    """
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(f"`shape` should be (ny, nx), both at least 2, got {tuple(shape)}.")
    lengths = checked_period(period, 2) or (None, None)
    extent = tuple(length or 1.0 for length in lengths) if extent is None else tuple(extent)
    if len(extent) != 2 or min(extent) <= 0:
        raise ValueError(f"`extent` should be the two lengths (x, y), got {extent}.")
    fits = all(
        length is None or abs(length - side) < 1e-12 * side
        for length, side in zip(lengths, extent, strict=True)
    )
    if not fits:
        raise ValueError(f"`period` should hold None or the extent of its axis, got {lengths} with {extent}.")
    counts = shape[::-1]  # along x, along y
    axes = [
        np.arange(count) * (side / (count if length is not None else count - 1))
        for count, side, length in zip(counts, extent, lengths, strict=True)
    ]
    y, x = np.meshgrid(axes[1], axes[0], indexing="ij")
    cells = [
        count if length is not None else count - 1 for count, length in zip(counts, lengths, strict=True)
    ]
    iy, ix = (index.ravel() for index in np.meshgrid(*map(np.arange, cells[::-1]), indexing="ij"))
    right, above = (ix + 1) % counts[0], (iy + 1) % counts[1]
    corners = ((iy, ix), (iy, right), (above, right), (above, ix))
    quads = np.stack([row * counts[0] + column for row, column in corners], axis=1)
    return Mesh(np.stack([x.ravel(), y.ravel()], axis=1), (("quad", quads),), period=period)


def _surface_cells(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    known = {*FACES, "line", "vertex"}  # lines and vertices mark boundaries
    others = sorted({kind for kind, _ in mesh.cells} - known)
    if others:
        raise MeshError(
            f"cells should be triangles or quads, got {', '.join(others)}: only these are supported."
        )
    if mesh.dim == 1:
        raise MeshError("`mesh` should have 2 or 3 coordinates for a graph, got 1.")
    triangles = mesh.cells_of("triangle").reshape(-1, 3)
    quads = mesh.cells_of("quad").reshape(-1, 4)
    if not len(triangles) + len(quads):
        raise MeshError(f"`mesh` should have triangles or quads for a graph, got {mesh!r}.")
    return triangles, quads


def _corner_vectors(mesh: Mesh, triangles: np.ndarray) -> Tensor:
    """Corners `[triangles, 3, dim]` relative to the first, by the minimum image."""
    positions = mesh.corner_positions(triangles)
    return torch.from_numpy(positions - positions[:, :1])


def _tree(mesh: Mesh) -> tuple[cKDTree, np.ndarray]:
    points = wrap(mesh.points, mesh.period)
    box = None if mesh.period is None else [length or 0.0 for length in mesh.period]
    return cKDTree(points, boxsize=box), points


def _refuse_orphans(mesh: Mesh, triangles: np.ndarray, quads: np.ndarray) -> None:
    used = np.zeros(len(mesh.points), dtype=bool)
    used[triangles], used[quads] = True, True
    orphans = np.flatnonzero(~used)
    if len(orphans):
        raise MeshError(
            f"every point should belong to a cell, got {len(orphans)} that do not (first: "
            f"{orphans[:5].tolist()}): drop them and renumber the cells."
        )


def _refuse_flat(face: Tensor, corners: Tensor, areas: Tensor) -> None:
    sides = corners - corners.roll(1, dims=1)
    flat = torch.nonzero(areas <= FLAT * (sides**2).sum(-1).amax(-1))[:, 0]
    if len(flat):
        first = face[:, int(flat[0])].tolist()
        raise MeshError(
            f"triangles should have a positive area, got {len(flat)} that are flat (first: points {first}): "
            "drop these cells or merge their points."
        )


def _refuse_overlap(sides: np.ndarray) -> None:
    unique, uses = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    if (uses > 2).any():
        raise MeshError(
            f"a side should belong to at most 2 cells of a plane mesh, got {int((uses > 2).sum())} with more "
            f"(first: points {unique[uses > 2][0].tolist()}): drop repeated cells, or refine the mesh."
        )


def _refuse_concave(mesh: Mesh, quads: np.ndarray) -> None:
    corners = mesh.corner_positions(quads)
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    turns = ahead[..., 0] * back[..., 1] - ahead[..., 1] * back[..., 0]  # [quads, 4]
    bad = np.flatnonzero(~((turns > 0).all(axis=1) | (turns < 0).all(axis=1)))
    if mesh.dim == 2 and len(bad):
        raise MeshError(
            f"quads should be convex with corners in order, got {len(bad)} that are not (first: points "
            f"{quads[bad[0]].tolist()}): split or reorder them."
        )
