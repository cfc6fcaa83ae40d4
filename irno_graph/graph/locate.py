"""Which cell of a mesh a point lies in, in numpy: bins by size, exact for graded meshes and across periods."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from irno_graph.graph.graph import Graph
from irno_graph.graph.interpolation import _barycentric
from irno_graph.graph.size import manifold_dims

# Simplices that fill each type of cell, by its corners.
SPLITS = {
    "line": ((0, 1),),
    "triangle": ((0, 1, 2),),
    "quad": ((0, 1, 2), (0, 2, 3)),
    "tetra": ((0, 1, 2, 3),),
    "pyramid": ((0, 1, 2, 4), (0, 2, 3, 4)),
    "wedge": ((0, 1, 2, 5), (0, 1, 5, 4), (0, 4, 5, 3)),
    "hexahedron": (
        (0, 1, 2, 6),
        (0, 2, 3, 6),
        (0, 3, 7, 6),
        (0, 7, 4, 6),
        (0, 4, 5, 6),
        (0, 5, 1, 6),
    ),
}
SPLITS |= {"pixel": SPLITS["quad"], "voxel": SPLITS["hexahedron"]}
WARPED = ("pyramid", "wedge", "hexahedron")  # facets of four corners: simplices of neighbours may leave gaps
INSIDE, IN_A_GAP = 1e-9, 0.25  # by how much a weight may be negative
FLAT = 1e-14  # a simplex of less than this times its longest side to the power of its dimension is left out
CHUNK = 50_000  # points that are looked for at once


@dataclass(frozen=True)
class Simplices:
    """Simplices of a mesh, unwrapped, with the images that reach into the periodic box.

    Attributes:
        nodes: `[simplices, dim + 1]`.
        first: position of the first node `[simplices, dim]`.
        sides: from it to the others `[simplices, dim, dim]`.
        inverse: of `sides`.
        slack: how negative a weight inside may be `[simplices]`.
    """

    nodes: np.ndarray
    first: np.ndarray
    sides: np.ndarray
    inverse: np.ndarray
    slack: np.ndarray

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates `[simplices, dim]` of each."""
        others = self.first[:, None] + self.sides
        return (
            np.minimum(self.first, others.min(axis=1)),
            np.maximum(self.first, others.max(axis=1)),
        )

    def weights(self, simplex: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Barycentric coordinates `[pairs, dim + 1]` of `places` `[pairs, dim]` in their simplices."""
        rest = np.einsum("pi,pij->pj", places - self.first[simplex], self.inverse[simplex])
        return np.concatenate([1 - rest.sum(axis=1, keepdims=True), rest], axis=1)


def located(graph: Graph, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes `[points, dim + 1]` of the simplex around each of `places` `[points, dim]`, and their weights, sum 1.

    Cells that are no simplices are split into some. A point outside of all cells gets the nearest node with weight 1.
    Hexahedra, wedges and pyramids may have warped facets: a point in a gap between two, and up to a quarter of a cell
    beyond the boundary, gets the weights of the cell next to it. A cloud without cells is triangulated.

    Raises:
        ValueError: for curves and surfaces in space.
    """
    dim = graph.dim
    if int(manifold_dims(graph)[0]) != dim:
        raise ValueError(
            f"values between nodes need a mesh that fills its {dim} dimensions, got one of dimension "
            f"{int(manifold_dims(graph)[0])}: interpolate in coordinates of the curve or surface."
        )
    pos = graph.pos.detach().cpu().double().numpy()
    if len(graph.cell_kind) == 0:
        return _barycentric(pos, graph.period, places)
    lengths = np.array([length or 0.0 for length in graph.period or (None,) * dim])
    low = np.where(lengths > 0, pos.min(axis=0), 0.0)
    places, pos = _wrapped(places, low, lengths), _wrapped(pos, low, lengths)
    simplices = _simplices(graph, pos, low, lengths)
    found = _containing(simplices, places)
    weight = np.zeros((len(places), dim + 1))
    weight[:, 0] = 1.0
    index = np.zeros((len(places), dim + 1), dtype=np.int64)
    inside = found >= 0
    index[inside] = simplices.nodes[found[inside]]
    weight[inside] = simplices.weights(found[inside], places[inside])
    if not inside.all():
        tree = cKDTree(pos - low, boxsize=lengths if lengths.any() else None)
        index[~inside] = tree.query(places[~inside] - low)[1][:, None]
    return index, weight


def _wrapped(places: np.ndarray, low: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions in the box [low, low + length) along periodic axes."""
    closed = lengths > 0
    inner = np.mod(places - low, np.where(closed, lengths, 1.0))
    inner[inner >= np.where(closed, lengths, np.inf)] = 0.0  # by rounding
    return np.where(closed, low + inner, places)


def _simplices(graph: Graph, pos: np.ndarray, low: np.ndarray, lengths: np.ndarray) -> Simplices:
    """The simplices of all cells, and their images that meet the box of the periodic axes."""
    blocks = []
    for kind, cells, offsets in graph.cells():
        corners, vectors = cells.cpu().numpy(), offsets.cpu().double().numpy()
        ordered = np.sort(corners, axis=1)
        whole = (ordered[:, 1:] > ordered[:, :-1]).all(axis=1)  # not on the rim of a grid of centres
        for split in np.array(SPLITS[kind]):
            nodes, own = corners[whole][:, split], vectors[whole][:, split]
            sides = own[:, 1:] - own[:, :1]
            sound = np.abs(np.linalg.det(sides)) > FLAT * np.abs(sides).max(axis=(1, 2)) ** len(low)
            first = (pos[corners[whole, 0]] + own[:, 0])[sound]
            slack = np.full(len(first), IN_A_GAP if kind in WARPED else INSIDE)
            blocks.append((nodes[sound], first, sides[sound], np.linalg.inv(sides[sound]), slack))
    nodes, first, sides, inverse, slack = (np.concatenate(part) for part in zip(*blocks, strict=True))
    lower, upper = Simplices(nodes, first, sides, inverse, slack).box()
    copies, moved = [], []
    for shift in product(*((-1, 0, 1) if length else (0,) for length in lengths)):
        move = np.array(shift) * lengths
        meets = ((lengths == 0) | ((upper + move >= low) & (lower + move <= low + lengths))).all(axis=1)
        copies.append(np.flatnonzero(meets))
        moved.append(first[meets] + move)
    copy = np.concatenate(copies)
    return Simplices(nodes[copy], np.concatenate(moved), sides[copy], inverse[copy], slack[copy])


def _containing(simplices: Simplices, places: np.ndarray) -> np.ndarray:
    """The simplex `[points]` that each place lies deepest in, -1 where there is none."""
    lower, upper = simplices.box()
    margin = (upper - lower).max(axis=1, keepdims=True) * simplices.slack[:, None]
    lower, upper = lower - margin, upper + margin
    size = (upper - lower).max(axis=1)
    level = np.floor(np.log2(size / size.min())).astype(np.int64)
    found, depth = np.full(len(places), -1), np.full(len(places), -np.inf)
    for number in np.unique(level):
        members = np.flatnonzero(level == number)
        bins = Bins(lower[members], upper[members], size.min() * 2.0 ** (number + 1))
        for start in range(0, len(places), CHUNK):
            point, box = bins.candidates(places[start : start + CHUNK])
            own, point = members[box], point + start
            least = simplices.weights(own, places[point]).min(axis=1)
            least[least < -simplices.slack[own]] = -np.inf
            order = np.lexsort((-least, point))
            best = order[np.unique(point[order], return_index=True)[1]]
            better = best[least[best] > depth[point[best]]]
            depth[point[better]], found[point[better]] = least[better], own[better]
    return found


class Bins:
    """Boxes `[boxes, dim]` by the bins that they meet; none is wider than a bin, so these are 2 per axis at most."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray, width: float) -> None:
        self.origin, self.width = lower.min(axis=0), width
        low = np.floor((lower - self.origin) / width).astype(np.int64)
        high = np.floor((upper - self.origin) / width).astype(np.int64)
        self.counts = high.max(axis=0) + 1
        keys, numbers = [], []
        for offset in product((0, 1), repeat=lower.shape[1]):
            bins = low + np.array(offset)
            fits = (bins <= high).all(axis=1)
            keys.append(np.ravel_multi_index(tuple(bins[fits].T), tuple(self.counts)))
            numbers.append(np.flatnonzero(fits))
        key = np.concatenate(keys)
        order = np.argsort(key, kind="stable")
        self.key, self.box = key[order], np.concatenate(numbers)[order]

    def candidates(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a place and a box in its bin, by place."""
        bins = np.floor((places - self.origin) / self.width)
        near = np.flatnonzero(((bins >= 0) & (bins < self.counts)).all(axis=1))
        key = np.ravel_multi_index(tuple(bins[near].astype(np.int64).T), tuple(self.counts))
        first, last = np.searchsorted(self.key, key, "left"), np.searchsorted(self.key, key, "right")
        many = last - first
        point = np.repeat(near, many)
        within = np.arange(len(point)) - np.repeat(np.cumsum(many) - many, many)
        return point, self.box[np.repeat(first, many) + within]
