"""Points at a boundary: of the domain, or of a part that the mesh has a name for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irno_graph.mesh.cells import CELLS, topological_dim

if TYPE_CHECKING:
    from irno_graph.mesh.mesh import Mesh


def boundary_mask(mesh: Mesh) -> np.ndarray:
    """Whether each point `[points]` lies on a side that belongs to one cell of the highest dimension alone.

    The ends of a curve, the rim of a surface, the skin of a volume; nothing where a mesh is closed or periodic.
    """
    dim = topological_dim(mesh)
    found = np.zeros(len(mesh.points), dtype=bool)
    facets = [
        corners[:, list(facet)]
        for kind, corners in mesh.cells
        if kind in CELLS and CELLS[kind].dim == dim
        for facet in CELLS[kind].facets
    ]
    for width in {facet.shape[1] for facet in facets}:
        rows = np.concatenate([facet for facet in facets if facet.shape[1] == width])
        _, first, uses = np.unique(np.sort(rows, axis=1), axis=0, return_index=True, return_counts=True)
        found[rows[first[uses == 1]]] = True
    return found


def tag_names(mesh: Mesh) -> list[str]:
    """Names of the mesh's cell sets, point sets and physical groups."""
    return sorted({name for held in mesh.tags.values() for name in held})


def tag_mask(mesh: Mesh, *names: str) -> np.ndarray:
    """Whether each point `[points]` lies in one of the named sets, or on a cell of one.

    Raises:
        KeyError: if the mesh has no set of a name.
    """
    found = np.zeros(len(mesh.points), dtype=bool)
    for name in names:
        cell_sets, point_sets = mesh.tags.get("cell_sets", {}), mesh.tags.get("point_sets", {})
        groups = mesh.tags.get("field_data", {})
        if name in point_sets:
            found[np.asarray(point_sets[name], dtype=np.int64)] = True
        if name in cell_sets:
            for (_, corners), chosen in zip(mesh.cells, cell_sets[name], strict=True):
                if chosen is not None and len(chosen):
                    found[corners[np.asarray(chosen, dtype=np.int64)]] = True
        elif name in groups and "gmsh:physical" in mesh.cell_data:
            number, dim = np.asarray(groups[name]).tolist()[:2]
            for (kind, corners), ids in zip(mesh.cells, mesh.cell_data["gmsh:physical"], strict=True):
                if kind in CELLS and CELLS[kind].dim == dim:
                    found[corners[np.asarray(ids) == number]] = True
        if not any(name in held for held in (cell_sets, point_sets, groups)):
            raise KeyError(name)
    return found
