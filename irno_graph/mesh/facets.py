"""Which cells share a facet, how it turns in each, and what follows: parts, boundary, orientation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from irno_graph.mesh.cells import CELLS, topological_dim

if TYPE_CHECKING:
    from irno_graph.mesh.mesh import Mesh


@dataclass(frozen=True)
class Facets:
    """Facets with the same number of corners of the cells of the highest dimension, one row per cell and side.

    Attributes:
        corners: points `[facets, corners]`, in the order of the cell.
        owner: the cell `[facets]`; cells count through the blocks of the mesh.
        ident: number `[facets]` of the set of points: equal where cells share the facet.
        turn: `[facets]` bool, which way round the cell runs through it.
    """

    corners: np.ndarray
    owner: np.ndarray
    ident: np.ndarray
    turn: np.ndarray

    @property
    def uses(self) -> np.ndarray:
        """How many cells have the facet `[facets]`."""
        return np.bincount(self.ident)[self.ident] if len(self.ident) else np.zeros(0, dtype=np.int64)

    def among(self, cells: np.ndarray) -> Facets:
        """The rows whose owner has a flag in `cells` `[cells]`."""
        kept = cells[self.owner]
        return Facets(self.corners[kept], self.owner[kept], self.ident[kept], self.turn[kept])


def facets_of(mesh: Mesh) -> list[Facets]:
    """Facets of the cells of the highest dimension of `mesh`, those with few corners first."""
    dim, first = topological_dim(mesh), 0
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for kind, corners in mesh.cells:
        if kind in CELLS and CELLS[kind].dim == dim > 0:
            owner = np.arange(first, first + len(corners))
            for side in CELLS[kind].facets:
                found.setdefault(len(side), []).append((corners[:, list(side)], owner))
        first += len(corners)
    tables = []
    for _, parts in sorted(found.items()):
        corners = np.concatenate([part for part, _ in parts])
        owner = np.concatenate([part for _, part in parts])
        tables.append(Facets(corners, owner, row_ids(np.sort(corners, axis=1)), _turn(corners)))
    return tables


def row_ids(rows: np.ndarray) -> np.ndarray:
    """Number `[rows]` of each row of non-negative integers `[rows, columns]`: equal where rows are.

    >>> row_ids(np.array([[1, 2], [0, 5], [1, 2]]))
    array([1, 0, 1])
    """
    code, bound = np.zeros(len(rows), dtype=np.int64), 1
    base = int(rows.max(initial=0)) + 1
    for column in rows.T:
        if bound > np.iinfo(np.int64).max // base:
            unique, code = np.unique(code, return_inverse=True)
            bound = len(unique)
        code, bound = code * base + column, bound * base
    return np.unique(code, return_inverse=True)[1]


def parts_of(mesh: Mesh) -> tuple[int, np.ndarray]:
    """Number of connected parts and the part `[points]` of each point; -1 where no cell uses it."""
    count = len(mesh.points)
    ends = [corners[:, [0, i]] for _, corners in mesh.cells for i in range(1, corners.shape[1])]
    pairs = np.concatenate(ends) if ends else np.empty((0, 2), dtype=np.int64)
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    used = np.ones(count, dtype=bool)
    used[mesh.orphan_points] = False
    part = np.full(count, -1)
    names, part[used] = np.unique(label[used], return_inverse=True)
    return len(names), part


def shared_pairs(table: Facets) -> tuple[np.ndarray, np.ndarray]:
    """Rows `[pairs, 2]` of the facets that exactly two cells have, and whether both turn the same way."""
    order = np.argsort(table.ident, kind="stable")
    order = order[table.uses[order] == 2].reshape(-1, 2)
    return order, table.turn[order[:, 0]] == table.turn[order[:, 1]]


def flips_to_agree(mesh: Mesh) -> np.ndarray:
    """Cells `[any]` to flip so that neighbours turn alike across shared edges; the fewest of each part.

    Parts that cannot be oriented (a Moebius strip) are left out.
    """
    count = sum(len(corners) for _, corners in mesh.cells)
    links, against = [], []
    for table in facets_of(mesh):
        rows, same = shared_pairs(table)
        links.append(table.owner[rows])
        against.append(same)
    pairs = np.concatenate(links) if links else np.empty((0, 2), dtype=np.int64)
    differ = np.concatenate(against) if against else np.empty(0, dtype=bool)
    # Every cell twice, as it is and flipped, linked where both agree: a part is one sheet or two.
    one = np.concatenate([pairs[:, 0], pairs[:, 0] + count])
    other = np.concatenate([pairs[:, 1] + count * differ, pairs[:, 1] + count * ~differ])
    graph = coo_matrix((np.ones(len(one)), (one, other)), shape=(2 * count, 2 * count))
    _, sheet = connected_components(graph, directed=False)
    kept, flipped = sheet[:count], sheet[count:]
    votes = np.bincount(kept, minlength=sheet.max(initial=0) + 1)
    lose = (votes[kept] < votes[flipped]) | ((votes[kept] == votes[flipped]) & (kept > flipped))
    return np.flatnonzero(lose & (kept != flipped))


def _turn(corners: np.ndarray) -> np.ndarray:
    """Whether the corner after the lowest one is lower than the corner before it `[facets]`."""
    count = corners.shape[1]
    if count <= 2:
        return corners.argmin(axis=1) == 0
    lowest, rows = corners.argmin(axis=1), np.arange(len(corners))
    return corners[rows, (lowest + 1) % count] < corners[rows, lowest - 1]
