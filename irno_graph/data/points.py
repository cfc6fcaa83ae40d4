"""The nodes of a generated file: meshes, random points, grids and subsets of cell centres, with triangles."""

from __future__ import annotations

import math

import numpy as np

from irno_graph.data.flows import check_seed
from irno_graph.mesh import periodic_box, periodic_delaunay

POINT_KINDS = ("mesh", "random", "grid", "subsample")


def sample_points(
    kind: str, nodes: int, *, solver_res: int = 128, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Points [nodes, 2] in the unit square and periodic triangles [2 nodes, 3] over them.

    Args:
        kind: `mesh` (relaxed random points), `random` (uniform), `grid` (n x n cell centres, n^2 = nodes, at
            ((i + 1/2) / n, (j + 1/2) / n)) or `subsample` (random cell centres of the solver's grid).
        nodes: how many, at least 16; a square number for `grid`.
        solver_res: cells along each side of the solver's grid, for `subsample`.
        seed: of the points.

    Raises:
        ValueError: for another kind, or a number of nodes that the kind does not allow.
    """
    if kind not in POINT_KINDS:
        raise ValueError(
            f"`points` should be one of {', '.join(POINT_KINDS)}, got '{kind}': pick one of these."
        )
    if nodes < 16:
        raise ValueError(f"`nodes` should be at least 16, got {nodes}: 1024 is the default.")
    check_seed("mesh_seed", seed)
    if kind == "mesh":
        mesh = periodic_box(nodes, seed=seed)
        return mesh.points, np.asarray(mesh.cells[0][1])
    if kind == "grid":
        return _grid(nodes)
    generator = np.random.default_rng(seed)
    if kind == "random":
        points = generator.uniform(0.0, 1.0, (nodes, 2))
    else:
        if nodes > solver_res**2:
            raise ValueError(
                f"`nodes` should be at most solver_res^2 = {solver_res**2} for points='subsample', "
                f"got {nodes}: lower it or raise `solver_res`."
            )
        cells = generator.choice(solver_res**2, nodes, replace=False)
        points = (np.stack([cells // solver_res, cells % solver_res], axis=-1) + 0.5) / solver_res
    return points, np.asarray(periodic_delaunay(points, (1.0, 1.0)))


def _grid(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    side = math.isqrt(nodes)
    if side * side != nodes:
        raise ValueError(
            f"`nodes` should be a square number for points='grid', got {nodes}: "
            f"take {side**2} or {(side + 1) ** 2}."
        )
    i, j = (axis.ravel() for axis in np.indices((side, side)))
    east, north = (i + 1) % side, (j + 1) % side
    here, right, across, above = i * side + j, east * side + j, east * side + north, i * side + north
    triangles = np.concatenate([np.stack([here, right, across], -1), np.stack([here, across, above], -1)])
    return (np.stack([i, j], axis=-1) + 0.5) / side, triangles
