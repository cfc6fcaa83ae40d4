"""The cell types: corners, edges and facets in VTK's order, which is meshio's too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irno_graph.mesh.mesh import Mesh


@dataclass(frozen=True)
class Cell:
    """One linear cell type.

    Attributes:
        name: in meshio's words.
        dim: topological dimension: 0 for a vertex up to 3 for a volume.
        corners: number of corners.
        edges: pairs of local corners.
        facets: local corners of each side of dimension `dim - 1`; those of volumes turn counter-clockwise
            seen from outside.
    """

    name: str
    dim: int
    corners: int
    edges: tuple[tuple[int, int], ...]
    facets: tuple[tuple[int, ...], ...]


def _ring(first: int, count: int) -> tuple[tuple[int, int], ...]:
    return tuple((first + i, first + (i + 1) % count) for i in range(count))


CELLS = {
    cell.name: cell
    for cell in (
        Cell("vertex", 0, 1, (), ()),
        Cell("line", 1, 2, ((0, 1),), ((0,), (1,))),
        Cell("triangle", 2, 3, _ring(0, 3), _ring(0, 3)),
        Cell("quad", 2, 4, _ring(0, 4), _ring(0, 4)),
        Cell(
            "tetra",
            3,
            4,
            (*_ring(0, 3), (0, 3), (1, 3), (2, 3)),
            ((0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3)),
        ),
        Cell(
            "pyramid",
            3,
            5,
            (*_ring(0, 4), (0, 4), (1, 4), (2, 4), (3, 4)),
            ((0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)),
        ),
        # A right-handed wedge: the normal of 0, 1, 2 points to 3, 4, 5.
        Cell(
            "wedge",
            3,
            6,
            (*_ring(0, 3), *_ring(3, 3), (0, 3), (1, 4), (2, 5)),
            ((0, 2, 1), (3, 4, 5), (0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5)),
        ),
        Cell(
            "hexahedron",
            3,
            8,
            (*_ring(0, 4), *_ring(4, 4), (0, 4), (1, 5), (2, 6), (3, 7)),
            ((0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)),
        ),
    )
}


def topological_dim(mesh: Mesh) -> int:
    """Highest dimension of the cells of `mesh`; 0 where there are none."""
    return max((CELLS[kind].dim for kind, corners in mesh.cells if kind in CELLS and len(corners)), default=0)
