"""Points at a boundary: of the domain, or of a part that the mesh has a name for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irno_graph.mesh.facets import facets_of
from irno_graph.mesh.regions import named_cells, named_points

if TYPE_CHECKING:
    from irno_graph.mesh.mesh import Mesh


def boundary_mask(mesh: Mesh) -> np.ndarray:
    """Whether each point `[points]` lies on a side that belongs to one cell of the highest dimension alone.

    The ends of a curve, the rim of a surface, the skin of a volume; nothing where a mesh is closed or periodic.
    """
    found = np.zeros(len(mesh.points), dtype=bool)
    for facets in facets_of(mesh):
        found[facets.corners[facets.uses == 1]] = True
    return found


def tag_mask(mesh: Mesh, *names: str) -> np.ndarray:
    """Whether each point `[points]` lies in one of the named sets of points, or on a cell of a named set of cells.

    Raises:
        KeyError: if the mesh has no set of a name; its argument lists those that it has.
    """
    cells, points = named_cells(mesh), named_points(mesh)
    found = np.zeros(len(mesh.points), dtype=bool)
    for name in names:
        if name not in cells and name not in points:
            raise KeyError(f"{sorted({*cells, *points})}, got '{name}'")
        found[points.get(name, [])] = True
        chosen, start = cells.get(name, np.zeros(0, dtype=np.int64)), 0
        for _, corners in mesh.cells:
            own = chosen[(chosen >= start) & (chosen < start + len(corners))] - start
            found[corners[own]] = True
            start += len(corners)
    return found
