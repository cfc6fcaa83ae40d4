"""Intrinsic Delaunay triangulations: edges of bad triangles are flipped within the surface, which stays as it is.

Source: Bobenko and Springborn, A discrete Laplace-Beltrami operator for simplicial surfaces, 2007.
"""

from __future__ import annotations

import numpy as np

from irno_graph.graph import Graph

TOLERANCE = 1e-10  # of the cotangent sum below which an edge is flipped
Weights = tuple[np.ndarray, np.ndarray, np.ndarray]


def intrinsic_delaunay(graph: Graph) -> Weights:
    """Pairs and entries L_ij = -(cot a + cot b) / 2 <= 0 over the edges of the intrinsic Delaunay triangulation.

    All edges whose opposite angles add up to more than pi and that do not share a triangle are flipped at once, until
    none is left. Lengths alone are kept; an edge at a boundary, or between more than two triangles, stays.

    Raises:
        ValueError: if not all cells are triangles.
    """
    blocks = graph.cells()
    if [kind for kind, _, _ in blocks] != ["triangle"]:
        raise ValueError(
            "an intrinsic Delaunay triangulation needs triangles alone, got "
            f"{', '.join(kind for kind, _, _ in blocks)}: split the other cells."
        )
    _, corners, vectors = blocks[0]
    face = corners.cpu().numpy().copy()  # [triangles, 3]
    positions = vectors.double().cpu().numpy()
    if positions.shape[2] == 2:
        one, two = positions[:, 1], positions[:, 2]
        clockwise = one[:, 0] * two[:, 1] < one[:, 1] * two[:, 0]
        face[clockwise], positions[clockwise] = face[clockwise, ::-1], positions[clockwise, ::-1]
    length = np.linalg.norm(
        np.roll(positions, -1, axis=1) - positions, axis=2
    )  # side s joins corner s and s + 1
    twin = _twins(face)  # number 3 t + s of the same side in the next triangle, or -1
    for _ in range(100 * len(face)):
        chosen = _independent(_cotangents(length).ravel(), twin)
        if not len(chosen):
            break
        _flip(face, length, twin, chosen)
    weight = -0.5 * _cotangents(length).ravel()
    ends = np.stack([face.ravel(), np.roll(face, -1, axis=1).ravel()])
    once = ends[0] != ends[1]  # a side from a node to itself carries nothing
    return ends[0][once], ends[1][once], weight[once]


def _twins(face: np.ndarray) -> np.ndarray:
    sides = np.sort(np.stack([face, np.roll(face, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    order = np.lexsort(sides.T[::-1])
    same = (sides[order[1:]] == sides[order[:-1]]).all(axis=1)
    shared = np.concatenate([[False], same, [False]])
    alone = same & ~shared[:-2] & ~shared[2:]  # exactly two triangles
    twin = np.full(len(sides), -1)
    one, two = order[:-1][alone], order[1:][alone]
    twin[one], twin[two] = two, one
    # Triangles of other winding have their twin's ends the other way round: they cannot be flipped by lengths alone.
    starts = face.ravel()
    turned = (twin >= 0) & (starts == starts[twin])
    twin[turned] = -1
    return twin


def _cotangents(length: np.ndarray) -> np.ndarray:
    """Cotangent `[triangles, 3]` of the angle opposite to each side; area by Kahan's stable form of Heron's."""
    a, b, c = np.sort(length, axis=1).T[::-1]
    square = (a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c))
    area = 0.25 * np.sqrt(np.maximum(square, 1e-300))
    squares = length**2
    return (squares.sum(axis=1, keepdims=True) - 2 * squares) / (4 * area[:, None])


def _independent(cotangent: np.ndarray, twin: np.ndarray) -> np.ndarray:
    """Sides to flip at once: the worst of both of its triangles, numbered by its lower side."""
    total = np.where(twin >= 0, cotangent + cotangent[twin], np.inf)
    size = np.where(twin >= 0, np.abs(cotangent) + np.abs(cotangent[twin]), 1.0)
    bad = (twin >= 0) & (total < -TOLERANCE * size) & (twin // 3 != np.arange(len(twin)) // 3)
    score = np.where(bad, total, np.inf)
    edge = np.minimum(np.arange(len(twin)), np.where(twin >= 0, twin, len(twin)))  # one number for both sides
    key = np.lexsort((edge, score))
    rank = np.empty(len(twin), dtype=np.int64)
    rank[key] = np.arange(len(twin))
    rank = np.minimum(rank, np.where(twin >= 0, rank[twin], rank))  # equal for both sides
    best = rank.reshape(-1, 3).min(axis=1)
    number = np.flatnonzero(bad & (np.arange(len(twin)) < twin))
    return number[(best[number // 3] == rank[number]) & (best[twin[number] // 3] == rank[number])]


def _flip(face: np.ndarray, length: np.ndarray, twin: np.ndarray, chosen: np.ndarray) -> None:
    """Replace triangles (i, j, k) and (j, i, l) with (k, l, j) and (l, k, i), in place."""
    one, two = chosen, twin[chosen]
    t, u = one // 3, two // 3
    s, r = one % 3, two % 3
    i, j, k = face[t, s], face[t, (s + 1) % 3], face[t, (s + 2) % 3]
    opposite = face[u, (r + 2) % 3]
    ij, jk, ki = length[t, s], length[t, (s + 1) % 3], length[t, (s + 2) % 3]
    il, lj = length[u, (r + 1) % 3], length[u, (r + 2) % 3]
    outer = [
        3 * t + (s + 1) % 3,
        3 * t + (s + 2) % 3,
        3 * u + (r + 1) % 3,
        3 * u + (r + 2) % 3,
    ]  # jk, ki, il, lj
    kl = _diagonal(ij, jk, ki, il, lj)
    face[t] = np.stack([k, opposite, j], axis=1)
    face[u] = np.stack([opposite, k, i], axis=1)
    length[t] = np.stack([kl, lj, jk], axis=1)
    length[u] = np.stack([kl, ki, il], axis=1)
    moved = np.arange(len(twin) + 1)  # where each side went; the last stands for -1
    for old, new in zip(outer, (3 * t + 2, 3 * u + 1, 3 * u + 2, 3 * t + 1), strict=True):
        moved[old] = new
    partners = [moved[twin[old]] for old in outer]
    partners = [np.where(partner == len(twin), -1, partner) for partner in partners]
    for new, partner in zip((3 * t + 2, 3 * u + 1, 3 * u + 2, 3 * t + 1), partners, strict=True):
        twin[new] = partner
        inside = partner >= 0
        twin[partner[inside]] = new[inside]
    twin[3 * t], twin[3 * u] = 3 * u, 3 * t


def _diagonal(ij: np.ndarray, jk: np.ndarray, ki: np.ndarray, il: np.ndarray, lj: np.ndarray) -> np.ndarray:
    """Length of k-l when both triangles are laid into the plane, i at the origin and j on the axis."""
    x_k = (ki**2 - jk**2 + ij**2) / (2 * ij)
    x_l = (il**2 - lj**2 + ij**2) / (2 * ij)
    y_k = np.sqrt(np.maximum(ki**2 - x_k**2, 0.0))
    y_l = np.sqrt(np.maximum(il**2 - x_l**2, 0.0))
    return np.hypot(x_k - x_l, y_k + y_l)
