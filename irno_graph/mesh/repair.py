"""A mesh without the faults that can be mended safely: `repaired(mesh)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from irno_graph.mesh.cells import CELLS, topological_dim
from irno_graph.mesh.defects import coincident_points, loose_points, original_cells, top_cells
from irno_graph.mesh.facets import flips_to_agree
from irno_graph.mesh.mesh import Mesh
from irno_graph.mesh.quality import mesh_shapes

MIRROR = {
    "triangle": (0, 2, 1),
    "quad": (0, 3, 2, 1),
    "tetra": (0, 2, 1, 3),
    "pyramid": (0, 3, 2, 1, 4),
    "wedge": (0, 2, 1, 3, 5, 4),
    "hexahedron": (0, 3, 2, 1, 4, 7, 6, 5),
}
Step = Callable[["_Parts"], tuple["_Parts", list[str]]]


def repaired(
    mesh: Mesh,
    *,
    merge_duplicates: bool = True,
    drop_orphans: bool = True,
    drop_degenerate: bool = True,
    drop_repeated: bool = True,
    orient: bool = True,
) -> tuple[Mesh, list[str]]:
    """A mended copy of `mesh`, and a sentence on each thing that was done; none where there was nothing to do.

    Data, `cell_sets` and `point_sets` follow the renumbering. Of merged points and repeated cells the first
    stays, with its data and the tags of all. Blocks of cells stay where they are, even if they become empty.
    Concave, folded, collapsed and overlapping cells stay as they are: `audit` keeps finding them.

    Args:
        mesh: stays as it is.
        merge_duplicates: make points in the same place one, also modulo the period.
        drop_orphans: leave out points that no cell of the highest dimension uses, with what hangs on them.
        drop_degenerate: leave out cells without length, area or volume.
        drop_repeated: leave out cells of the highest dimension that an earlier one equals.
        orient: cells of a plane counter-clockwise, volumes positive, surfaces alike across their edges.

    >>> back, done = repaired(Mesh([[0, 0], [0, 1], [1, 0], [5, 5]], [("triangle", [[0, 1, 2]])]))
    >>> back.cells_of("triangle"), done
    (array([[0, 2, 1]]), ['dropped 1 points in no cell of the highest dimension', 'turned 1 cells round'])
    """
    steps: list[tuple[bool, Step]] = [
        (merge_duplicates, _merged),
        (drop_degenerate, _without_flat),
        (drop_repeated, _without_repeated),
        (drop_orphans, _without_orphans),
        (orient, _oriented),
    ]
    parts, done = _Parts.of(mesh), []
    for wanted, step in steps:
        if wanted:
            parts, said = step(parts)
            done += said
    return parts.mesh, done


@dataclass(frozen=True)
class _Parts:
    """A mesh and its sets, as flags: of cells `[cells]` through all blocks, and of points."""

    mesh: Mesh
    sets: dict[str, np.ndarray]

    @classmethod
    def of(cls, mesh: Mesh) -> _Parts:
        copy = Mesh(mesh.points, mesh.cells, mesh.point_data, mesh.cell_data, mesh.tags, mesh.period)
        starts = np.cumsum([0, *(len(corners) for _, corners in mesh.cells)])
        sets = {}
        for name, blocks in mesh.tags.get("cell_sets", {}).items():
            if _is_index(name):
                flags = np.zeros(starts[-1], dtype=bool)
                for start, block in zip(starts, blocks, strict=False):
                    if block is not None:
                        flags[np.asarray(block, dtype=np.int64) + start] = True
                sets[name] = flags
        return cls(copy, sets)

    def keep_cells(self, kept: np.ndarray) -> _Parts:
        """Those with a flag `[cells]`, in the same blocks."""
        mesh = self.mesh
        ends = np.cumsum([len(corners) for _, corners in mesh.cells])[:-1]
        flags = np.split(kept, ends)
        cells = [(kind, corners[flag]) for (kind, corners), flag in zip(mesh.cells, flags, strict=True)]
        data = {
            name: [block[flag] for block, flag in zip(blocks, flags, strict=True)]
            for name, blocks in mesh.cell_data.items()
        }
        sets = {name: flag[kept] for name, flag in self.sets.items()}
        return _Parts(Mesh(mesh.points, cells, mesh.point_data, data, mesh.tags, mesh.period), sets).tagged()

    def keep_points(self, kept: np.ndarray, becomes: np.ndarray) -> _Parts:
        """The points with a flag `[points]`; `becomes` names the kept point that stands for each, or -1."""
        mesh, number = self.mesh, np.cumsum(kept) - 1
        target = np.where(becomes >= 0, number[becomes], -1)
        cells = [(kind, target[corners]) for kind, corners in mesh.cells]
        data = {name: values[kept] for name, values in mesh.point_data.items()}
        tags = dict(mesh.tags)
        if "point_sets" in tags:
            tags["point_sets"] = {
                name: _renumbered(target, points) for name, points in tags["point_sets"].items()
            }
        return replace(self, mesh=Mesh(mesh.points[kept], cells, data, mesh.cell_data, tags, mesh.period))

    def tagged(self) -> _Parts:
        """The flags of cells written back as `cell_sets`."""
        mesh, tags = self.mesh, dict(self.mesh.tags)
        if not self.sets:
            return self
        ends = np.cumsum([len(corners) for _, corners in mesh.cells])[:-1]
        fresh = {name: [np.flatnonzero(part) for part in np.split(f, ends)] for name, f in self.sets.items()}
        tags["cell_sets"] = {name: fresh.get(name, blocks) for name, blocks in tags["cell_sets"].items()}
        cells = Mesh(mesh.points, mesh.cells, mesh.point_data, mesh.cell_data, tags, mesh.period)
        return replace(self, mesh=cells)


def _merged(parts: _Parts) -> tuple[_Parts, list[str]]:
    groups = coincident_points(parts.mesh)
    if not groups:
        return parts, []
    becomes = np.arange(len(parts.mesh.points))
    becomes[np.concatenate(groups)] = np.repeat([g[0] for g in groups], [len(g) for g in groups])
    kept = becomes == np.arange(len(becomes))
    gone = int((~kept).sum())
    return parts.keep_points(kept, becomes), [f"merged {gone} points into others in the same place"]


def _without_flat(parts: _Parts) -> tuple[_Parts, list[str]]:
    flat = mesh_shapes(parts.mesh).flat
    if not flat.any():
        return parts, []
    return parts.keep_cells(~flat), [f"dropped {flat.sum()} cells without length, area or volume"]


def _without_repeated(parts: _Parts) -> tuple[_Parts, list[str]]:
    original = original_cells(parts.mesh)
    again = original != np.arange(len(original))
    if not again.any():
        return parts, []
    sets = {name: flags.copy() for name, flags in parts.sets.items()}
    for flags in sets.values():
        flags[original[again & flags]] = True
    kept = _Parts(parts.mesh, sets).keep_cells(~again)
    return kept, [f"dropped {again.sum()} cells that repeat an earlier one"]


def _without_orphans(parts: _Parts) -> tuple[_Parts, list[str]]:
    mesh = parts.mesh
    loose = loose_points(mesh)
    if not len(loose):
        return parts, []
    kept = np.ones(len(mesh.points), dtype=bool)
    kept[loose] = False
    whole = np.concatenate([kept[corners].all(axis=1) for _, corners in mesh.cells] or [kept[:0]])
    done = [f"dropped {len(loose)} points in no cell of the highest dimension"]
    if not whole.all():
        parts, done = parts.keep_cells(whole), [f"{done[0]}, and {(~whole).sum()} cells on them"]
    return parts.keep_points(kept, np.where(kept, np.arange(len(kept)), -1)), done


def _oriented(parts: _Parts) -> tuple[_Parts, list[str]]:
    mesh, dim = parts.mesh, topological_dim(parts.mesh)
    if dim == mesh.dim:
        shapes = mesh_shapes(mesh)
        turned = np.flatnonzero((shapes.sign < 0) & ~shapes.tangled & top_cells(mesh))
    else:
        turned = flips_to_agree(mesh) if dim == 2 else np.zeros(0, dtype=np.int64)
    if not len(turned):
        return parts, []
    cells, first = [], 0
    for kind, corners in mesh.cells:
        here = turned[(turned >= first) & (turned < first + len(corners))] - first
        first += len(corners)
        if len(here) and CELLS[kind].dim == dim:
            corners = corners.copy()
            corners[here] = corners[here][:, list(MIRROR[kind])]
        cells.append((kind, corners))
    fresh = Mesh(mesh.points, cells, mesh.point_data, mesh.cell_data, mesh.tags, mesh.period)
    return replace(parts, mesh=fresh), [f"turned {len(turned)} cells round"]


def _renumbered(target: np.ndarray, points: Any) -> np.ndarray:
    fresh = target[np.asarray(points, dtype=np.int64)]
    return np.unique(fresh[fresh >= 0])


def _is_index(name: Any) -> bool:
    return not str(name).startswith("gmsh:")  # those name entities of the geometry
