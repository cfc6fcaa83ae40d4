"""What is wrong with a mesh, or worth knowing: `audit(mesh)`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from irno_graph.mesh.cells import CELLS, topological_dim
from irno_graph.mesh.defects import (
    Ints,
    coincident_points,
    inverted_cells,
    loose_points,
    repeated_cells,
    repeats_a_corner,
    sharing,
    stray_cells,
    top_cells,
)
from irno_graph.mesh.facets import parts_of
from irno_graph.mesh.findings import findings_of
from irno_graph.mesh.quality import mesh_shapes
from irno_graph.mesh.regions import named_cells, named_points

if TYPE_CHECKING:
    from irno_graph.mesh.findings import Finding
    from irno_graph.mesh.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Audit:
    """What `audit` found. Cells count through the blocks of the mesh: the first of block 1 follows block 0.

    Attributes:
        counts: points and cells, as "points" and the cell types, in words.
        dim: of the points.
        topological_dim: highest dimension of the cells.
        orphans: points that no cell of the highest dimension uses `[any]`.
        duplicates: groups of points in the same place, also modulo the period.
        repeated: cells of the highest dimension `[any]` whose corners an earlier cell has.
        degenerate: cells without length, area or volume `[any]`.
        collapsed: cells with a repeated corner that still have a size `[any]`.
        inverted: cells numbered the other way `[any]`: the minority in a plane, negative volumes.
        tangled: concave or folded cells `[any]`: Jacobians of both signs at their corners.
        crowded: corners of facets that more than two cells share, `[any, corners]` per number of corners.
        overlapping: cells of a plane or volume mesh `[any]` on the same side of a shared facet.
        disagreeing: cells of a surface `[any]` that turn against a neighbour.
        stray: cells of lower dimension `[any]` that are no side of one of the highest.
        unknown: names of cell types that are not understood, with their counts.
        parts: number of points of each connected part, largest first.
        unused_tags: names that no cell and no point has.
        quality: least mean ratio of every cell `[cells]`, 0..1; NaN for vertices and unknown types.
        size: signed length, area or volume of every cell `[cells]`, as `shapes_of` gives it.
    """

    counts: dict[str, int]
    dim: int
    topological_dim: int
    orphans: Ints
    duplicates: tuple[Ints, ...]
    repeated: Ints
    degenerate: Ints
    collapsed: Ints
    inverted: Ints
    tangled: Ints
    crowded: tuple[Ints, ...]
    overlapping: Ints
    disagreeing: Ints
    stray: Ints
    unknown: dict[str, int]
    parts: Ints
    unused_tags: tuple[str, ...]
    quality: np.ndarray = field(repr=False)
    size: np.ndarray = field(repr=False)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What is to be said, errors first."""
        return findings_of(self)

    @property
    def ok(self) -> bool:
        """Whether nothing makes results wrong: no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def measure(self) -> float:
        """Total length, area or volume of the cells of the highest dimension."""
        return float(np.abs(self.size).sum())

    def histogram(self) -> np.ndarray:
        """Cells per tenth of quality `[10]`, of the cells of the highest dimension."""
        known = self.quality[np.isfinite(self.quality)]
        return np.histogram(np.clip(known, 0, 1), bins=10, range=(0.0, 1.0))[0]

    def summary(self) -> str:
        """All of it in a few lines."""
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        lines = [f"{counts}; {self.topological_dim}-dimensional cells in {self.dim} dimensions"]
        known = self.quality[np.isfinite(self.quality)]
        if len(known):
            lines.append(f"quality: least {known.min():.3f}, median {np.median(known):.3f}")
        lines += [f"{finding.severity}: {finding.sentence}" for finding in self.findings]
        return "\n".join(lines if self.findings else [*lines, "nothing to find fault with"])


def audit(mesh: Mesh) -> Audit:
    """Look through `mesh`; nothing is changed and nothing raised. A million points take a few seconds.

    >>> from irno_graph.mesh import Mesh
    >>> found = audit(Mesh([[0, 0], [1, 0], [0, 1], [5, 5]], [("triangle", [[0, 1, 2]])]))
    >>> found.ok, found.orphans
    (False, array([3]))
    """
    dim, shapes, tops = topological_dim(mesh), mesh_shapes(mesh), top_cells(mesh)
    repeated = repeated_cells(mesh)
    sound = ~shapes.flat
    sound[repeated] = False
    collapsed = repeats_a_corner(mesh) & ~shapes.flat
    _, part = parts_of(mesh)
    return Audit(
        counts=_counts(mesh),
        dim=mesh.dim,
        topological_dim=dim,
        orphans=loose_points(mesh),
        duplicates=coincident_points(mesh),
        repeated=repeated,
        degenerate=np.flatnonzero(shapes.flat),
        collapsed=np.flatnonzero(collapsed),
        inverted=inverted_cells(mesh, shapes),
        tangled=np.flatnonzero(shapes.tangled & tops & ~collapsed),
        **sharing(mesh, shapes, sound),
        stray=stray_cells(mesh),
        unknown={kind: count for kind, count in _counts(mesh).items() if kind not in (*CELLS, "points")},
        parts=np.sort(np.bincount(part[part >= 0]))[::-1],
        unused_tags=_unused_tags(mesh),
        quality=np.where(tops, shapes.quality, np.nan),
        size=np.where(tops, np.nan_to_num(shapes.size), 0.0),
    )


def _counts(mesh: Mesh) -> dict[str, int]:
    counts = {"points": len(mesh.points)}
    for kind, corners in mesh.cells:
        counts[kind] = counts.get(kind, 0) + len(corners)
    return counts


def _unused_tags(mesh: Mesh) -> tuple[str, ...]:
    named = {**named_points(mesh), **named_cells(mesh)}
    return tuple(name for name, members in named.items() if not len(members))
