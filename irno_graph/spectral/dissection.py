"""Elimination orders that keep the factors of a sparse matrix small: nested dissection by position."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

LEAF = 8  # nodes of a part that is not cut any more


def dissection(matrix: csr_array, positions: np.ndarray) -> np.ndarray:
    """An order of the nodes `[nodes]` in which separators come after the two halves that they separate.

    Every part is cut at the median of its longest axis; the nodes of the first half that have a neighbour in the
    second one separate them. All parts of a level are cut at once. Source: A. George, Nested dissection of a
    regular finite element mesh, SIAM J. Numer. Anal. 10 (1973).

    Args:
        matrix: symmetric; its entries are the edges.
        positions: `[nodes, dim]`.
    """
    nodes = len(positions)
    entries = matrix.tocoo()
    upper = entries.row < entries.col
    a, b = entries.row[upper], entries.col[upper]
    path = np.zeros(nodes, dtype=np.int64)  # in base 3: first half 0, second half 1, separator 2
    inside = np.ones(nodes, dtype=bool)
    for _ in range(max(int(np.ceil(np.log2(nodes / LEAF))), 0)):
        own = np.flatnonzero(inside)
        if not len(own):
            break
        second = np.zeros(nodes, dtype=bool)
        second[own] = _second_half(path[own], positions[own])
        same = inside[a] & inside[b] & (path[a] == path[b])
        a, b = a[same], b[same]
        cross = second[a] != second[b]
        separator = np.where(second[a[cross]], b[cross], a[cross])
        path = 3 * path + second
        path[separator] += 2
        inside[separator] = False
    return np.lexsort((positions[:, 0], path))


def _second_half(part: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Which nodes lie beyond the median of the longest axis of their part."""
    order = np.argsort(part, kind="stable")
    begins = np.flatnonzero(np.diff(part[order], prepend=-1))
    count = np.diff(begins, append=len(part))
    number = np.empty(len(part), dtype=np.int64)
    number[order] = np.repeat(np.arange(len(begins)), count)
    ordered = positions[order]
    extent = np.maximum.reduceat(ordered, begins) - np.minimum.reduceat(ordered, begins)
    coordinate = positions[np.arange(len(part)), extent.argmax(axis=1)[number]]
    place = np.empty(len(part), dtype=np.int64)
    place[np.lexsort((coordinate, number))] = np.arange(len(part))
    return place - begins[number] >= count[number] // 2
