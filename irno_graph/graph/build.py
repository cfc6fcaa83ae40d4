"""From a mesh to the tensors of a graph. Everything here is float64 and done once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from irno_graph.graph.geometry import minimum_image
from irno_graph.mesh.cells import CELLS, topological_dim
from irno_graph.mesh.elements import Integrals, integrals
from irno_graph.mesh.mesh import Mesh, MeshError, Period

ON_GRIDS = {"quad": "pixel", "hexahedron": "voxel"}  # names of the cells of a grid, with its stencil
KINDS = (*CELLS, "pixel", "voxel")  # a graph keeps the number of a cell's type in here
COUNTS = torch.tensor([*(cell.corners for cell in CELLS.values()), 4, 8])  # corners of each
FLAT = (
    1e-12  # a cell with size below this times its longest side to the power of its dimension has no gradient
)
Blocks = dict[str, np.ndarray]  # cell type -> corners [cells, corners]


def tensors_from_mesh(mesh: Mesh, *, pixels: bool = False) -> dict[str, Any]:
    """The tensors of a graph on the cells of highest dimension of `mesh`; its edges are the sides of these cells.

    Cells of lower dimension mark boundaries and are left out. With `pixels` quads and hexahedra get the stiffness of
    the 5-point and the 7-point stencil.

    Raises:
        MeshError: for other cell types, orphan points, flat, tangled or repeated cells, or edges of half a period.
    """
    blocks = _top_cells(mesh)
    _refuse_orphans(mesh, blocks)
    count = len(mesh.points)
    mass = np.zeros(count)
    kinds, corners, vectors, sides = [], [], [], []
    for kind, cells in blocks.items():
        name = ON_GRIDS.get(kind, kind) if pixels else kind
        positions = mesh.corner_positions(cells)
        positions -= positions[:, :1].copy()
        own = integrals(name, positions)
        _refuse_flat(kind, cells, positions, own)
        mass += np.bincount(cells.ravel(), own.load.ravel(), count)
        kinds.append(np.full(len(cells), KINDS.index(name), dtype=np.uint8))
        corners.append(cells.ravel())
        vectors.append(positions.reshape(-1, mesh.dim))
        sides += [cells[:, list(pair)] for pair in CELLS[kind].edges]
    if mesh.dim == topological_dim(mesh):
        _refuse_overlap(blocks)
    pos = torch.from_numpy(mesh.points.copy())
    return {
        **edge_tensors(pos, torch.from_numpy(np.concatenate(sides).T.copy()), mesh.period),
        "pos": pos,
        "mass": torch.from_numpy(mass),
        "cell_index": torch.from_numpy(np.concatenate(corners)),
        "cell_vectors": torch.from_numpy(np.concatenate(vectors)),
        "cell_kind": torch.from_numpy(np.concatenate(kinds)),
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


def _top_cells(mesh: Mesh) -> Blocks:
    others = sorted({kind for kind, _ in mesh.cells} - set(CELLS))
    if others:
        raise MeshError(
            f"cells should be of the types {', '.join(CELLS)}, got {', '.join(others)}: split or drop them."
        )
    dim = topological_dim(mesh)
    if dim == 0:
        raise MeshError(f"`mesh` should have lines, surface or volume cells for a graph, got {mesh!r}.")
    if dim > mesh.dim:
        raise MeshError(
            f"cells of dimension {dim} should have points with {dim} coordinates, got {mesh.dim}."
        )
    blocks = {kind: mesh.cells_of(kind) for kind, cell in CELLS.items() if cell.dim == dim}
    return {kind: cells for kind, cells in blocks.items() if len(cells)}


def _refuse_orphans(mesh: Mesh, blocks: Blocks) -> None:
    used = np.zeros(len(mesh.points), dtype=bool)
    for cells in blocks.values():
        used[cells] = True
    orphans = np.flatnonzero(~used)
    if len(orphans):
        raise MeshError(
            f"every point should belong to a cell, got {len(orphans)} that do not (first: "
            f"{orphans[:5].tolist()}): drop them, as `mesh.repaired()` does."
        )


def _refuse_flat(kind: str, cells: np.ndarray, positions: np.ndarray, own: Integrals) -> None:
    dim = CELLS[kind].dim
    edges = np.array(CELLS[kind].edges)
    longest = np.linalg.norm(positions[:, edges[:, 0]] - positions[:, edges[:, 1]], axis=-1).max(axis=1)
    size = own.load.sum(axis=1)
    flat = np.flatnonzero(~(size > FLAT * longest**dim))
    if len(flat):
        measure = ("length", "area", "volume")[dim - 1]
        raise MeshError(
            f"cells of type '{kind}' should have a positive {measure}, got {len(flat)} that are flat (first: points "
            f"{cells[flat[0]].tolist()}): drop these cells or merge their points, as `mesh.repaired()` does."
        )
    tangled = np.flatnonzero(~own.sound)
    if len(tangled):
        raise MeshError(
            f"cells of type '{kind}' should be convex with corners in order, got {len(tangled)} that are not (first: "
            f"points {cells[tangled[0]].tolist()}): split or reorder them."
        )


def _refuse_overlap(blocks: Blocks) -> None:
    facets = [
        np.sort(cells[:, list(facet)], axis=1)
        for kind, cells in blocks.items()
        for facet in CELLS[kind].facets
    ]
    for width in {facet.shape[1] for facet in facets}:
        rows = np.concatenate([facet for facet in facets if facet.shape[1] == width])
        order = np.lexsort(rows.T[::-1])
        same = (rows[order[1:]] == rows[order[:-1]]).all(axis=1)
        thrice = np.flatnonzero(same[1:] & same[:-1])
        if len(thrice):
            raise MeshError(
                f"a side should belong to at most 2 cells, got {len(thrice)} with more (first: points "
                f"{rows[order[thrice[0]]].tolist()}): drop repeated cells (`mesh.repaired()` does)."
            )
