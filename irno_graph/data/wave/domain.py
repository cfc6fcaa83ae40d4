"""Where waves run: periodic boxes, meshes from files, the sphere; what of them goes into a data file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from irno_graph.data.points import sample_points
from irno_graph.graph import Graph
from irno_graph.graph.spheres import SphereGrid
from irno_graph.mesh import Mesh, read_mesh
from irno_graph.mesh.cells import CELLS, topological_dim

NAMES = {"triangle": "tri"}  # of arrays of cells in files; other kinds keep meshio's


@dataclass(frozen=True, eq=False)
class Domain:
    """A graph, how it can be made again, and where waves are held at 0.

    Attributes:
        graph: nodes, cells and masses.
        kind: "box", "mesh", "icosphere" or "sphere".
        size: length, root of the area or cube root of the volume.
        fixed: whether u = 0 at a node `[nodes]`.
        cells: name in files to corners `[cells, corners]`.
        attributes: what else a file says of the domain.
    """

    graph: Graph
    kind: str
    size: float
    fixed: np.ndarray
    cells: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def box(cls, nodes: int = 1024, *, points: str = "mesh", seed: int = 0) -> Domain:
        """The periodic unit square; nodes as CE-Gauss's (`sample_points`).

        Raises:
            ValueError: for another kind of points, or a number of nodes that it does not allow.
        """
        positions, triangles = sample_points(points, nodes, seed=seed)
        mesh = Mesh(positions, [("triangle", triangles)], period=(1.0, 1.0))
        return cls._of(Graph.from_mesh(mesh), "box", mesh, {"points": points, "mesh_seed": seed})

    @classmethod
    def of_mesh(cls, mesh: Mesh, *, dirichlet: tuple[str, ...] = ()) -> Domain:
        """A mesh of any cells that `Graph.from_mesh` takes: curves, planes, surfaces, volumes.

        Boundaries reflect (u_n = 0), but u = 0 on the tags `dirichlet`; "boundary" is the whole rim or skin.

        Raises:
            MeshError: for a tag that the mesh does not have, and as `Graph.from_mesh` does.
        """
        sets = (
            mesh.tags.get("cell_sets", {}),
            mesh.tags.get("point_sets", {}),
            mesh.tags.get("field_data", {}),
        )
        fixed = np.zeros(len(mesh.points), dtype=bool)
        for name in dirichlet:
            whole = name == "boundary" and not any(name in names for names in sets)
            fixed |= mesh.boundary if whole else mesh.tagged(name)
        if dirichlet and not fixed.any():
            raise ValueError(f"`dirichlet` should hold some nodes, got none in {', '.join(dirichlet)}.")
        attributes = {"dirichlet": list(dirichlet)} if dirichlet else {}
        return cls._of(Graph.from_mesh(mesh), "mesh", mesh, attributes, fixed)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, dirichlet: tuple[str, ...] = ()) -> Domain:
        """`of_mesh` of a file that meshio reads.

        Raises:
            ValueError: for a missing file or one that holds no mesh, and as `of_mesh` does.
        """
        return cls.of_mesh(read_mesh(path), dirichlet=dirichlet)

    @classmethod
    def icosphere(cls, cuts: int = 4) -> Domain:
        """The unit sphere, 10 * 4^cuts + 2 nodes.

        Raises:
            ValueError: if `cuts` is negative.
        """
        graph = Graph.from_icosphere(cuts)
        return cls._of(graph, "icosphere", _mesh_of(graph), {"icosphere": cuts})

    @classmethod
    def sphere(cls, nlat: int, nlon: int, *, grid: SphereGrid = "legendre-gauss") -> Domain:
        """The unit sphere on latitudes and longitudes, as `Graph.from_sphere` has it; a pole is `nlon` nodes.

        Raises:
            ValueError: for another grid, fewer than 3 latitudes or 4 longitudes.
        """
        graph = Graph.from_sphere(nlat, nlon, grid=grid)
        return cls._of(graph, "sphere", _mesh_of(graph), {"sphere_shape": [nlat, nlon], "sphere_grid": grid})

    @classmethod
    def _of(
        cls,
        graph: Graph,
        kind: str,
        mesh: Mesh,
        attributes: Mapping[str, Any],
        fixed: np.ndarray | None = None,
    ) -> Domain:
        dim = topological_dim(mesh)
        blocks = {name: mesh.cells_of(name) for name, cell in CELLS.items() if cell.dim == dim}
        cells = {
            NAMES.get(name, name): block.astype(np.int32) for name, block in blocks.items() if len(block)
        }
        period = [length or 0.0 for length in mesh.period or (None,) * mesh.dim]
        held = np.zeros(len(mesh.points), dtype=bool) if fixed is None else fixed
        size = float(graph.mass.sum()) ** (1 / dim)
        return cls(graph, kind, size, held, cells, {"domain": kind, "period": period, **attributes})

    @property
    def on_sphere(self) -> bool:
        """Whether the nodes lie on the unit sphere."""
        return self.kind in ("icosphere", "sphere")


def _mesh_of(graph: Graph) -> Mesh:
    return Mesh(graph.pos.numpy(), [(kind, corners.numpy()) for kind, corners, _ in graph.cells()])
