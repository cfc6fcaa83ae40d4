"""Where flows run: the unit box with holes, or a mesh with walls; finer meshes that keep its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irno_graph.data.unstructured.geometry import MedianDual
from irno_graph.data.unstructured.holes import GAP, Holes, box_with_holes, spacing
from irno_graph.graph.order import locality_order, renumbered_mesh
from irno_graph.mesh import Mesh
from irno_graph.mesh.periodic import wrap

GAP_CELLS = 2.5  # of the mesh between holes, at least


@dataclass(frozen=True, eq=False)
class Domain:
    """A mesh, its walls, and how finer meshes follow its holes.

    Attributes:
        mesh: triangles in the plane.
        wall: whether a point lies on a wall `[points]`; None: the whole boundary is one.
        holes: circles on which new points of the boundary are put; None where sides stay straight.
    """

    mesh: Mesh
    wall: np.ndarray | None = None
    holes: Holes | None = None

    @classmethod
    def drawn(cls, nodes: int, *, holes: int = 3, seed: int = 0) -> Domain:
        """The unit box with slip walls and random circular holes that are 2.5 triangles apart at least.

        Raises:
            ValueError: for fewer nodes than the walls need, or holes that find no room.
        """
        circles = Holes.drawn(holes, seed=seed, gap=max(GAP, GAP_CELLS * spacing(nodes)))
        return cls(box_with_holes(nodes, circles, seed=seed), None, circles)

    @classmethod
    def of_mesh(cls, mesh: Mesh, *, walls: Sequence[str] = ()) -> Domain:
        """A mesh of triangles, as `ig.read_mesh` gives it.

        Args:
            mesh: lines and vertices, which mark boundaries, are left out.
            walls: tags of the walls, the rest of the boundary is open; none: the whole boundary is a wall.

        Raises:
            MeshError: for a mesh that `MedianDual.of` refuses, or a tag that the mesh does not have.
            ValueError: for tags that no side of the boundary has.
        """
        wall = mesh.tagged(*walls) if walls else None
        if wall is not None and not wall.any():
            raise ValueError(f"`walls` should hold some points, got none in {', '.join(walls)}.")
        MedianDual.of(mesh, wall=wall)
        cells = [("triangle", mesh.cells_of("triangle"))]
        return cls(Mesh(mesh.points, cells, period=mesh.period), wall)

    def refined(self) -> Domain:
        """Each triangle in four: the points of this mesh, then middles of edges, on a hole where both ends are."""
        triangles, count = self.mesh.cells_of("triangle"), len(self.mesh.points)
        following = np.roll(triangles, -1, axis=1)
        code = np.minimum(triangles, following) * count + np.maximum(triangles, following)
        _, place, number, uses = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
        corners = self.mesh.corner_positions(triangles)
        middle = (0.5 * (corners + np.roll(corners, -1, axis=1))).reshape(-1, 2)[place]
        ends = np.stack([triangles.ravel(), following.ravel()], axis=1)[place]
        if self.holes is not None and len(self.holes.radii):
            round_ = (uses == 1) & (np.abs(self.holes.distance(self.mesh.points)) < 1e-9)[ends].all(axis=1)
            middle[round_] = self.holes.onto(middle[round_])
        a, b, c = (count + number.reshape(-1, 3)).T
        i, j, k = triangles.T
        cells = np.concatenate(
            [np.stack(part, axis=1) for part in ((i, a, c), (a, j, b), (c, b, k), (a, b, c))]
        )
        points = wrap(np.concatenate([self.mesh.points, middle]), self.mesh.period)
        wall = None if self.wall is None else np.concatenate([self.wall, self.wall[ends].all(axis=1)])
        return Domain(Mesh(points, [("triangle", cells)], period=self.mesh.period), wall, self.holes)

    def ordered(self) -> tuple[Domain, np.ndarray]:
        """The same along a Hilbert curve, and where each point of this mesh is in it `[points]`."""
        order = locality_order(self.mesh, "hilbert")
        wall = None if self.wall is None else self.wall[order]
        return Domain(renumbered_mesh(self.mesh, order), wall, self.holes), np.argsort(order)
