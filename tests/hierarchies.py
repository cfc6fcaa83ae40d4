"""Graphs of every kind, and slow definitions to hold the hierarchy against."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import domains
import numpy as np
from scipy.sparse import csr_array, eye_array
from scipy.sparse.csgraph import connected_components
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box, read_mesh

SAMPLES = Path(__file__).parents[1] / "meshes"
FILES = sorted(file.name for file in SAMPLES.iterdir() if file.suffix not in (".py", ".md", ".h5"))


def sample(name):
    return Graph.from_mesh(read_mesh(SAMPLES / name))


def cloud(dim, **options):
    return Graph.from_points(np.random.default_rng(4).random((300, dim)), **options)


def turned(points, seed=0):
    """Points turned, reflected and moved at random."""
    generator = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(generator.standard_normal((points.shape[1],) * 2))
    return points @ rotation + generator.standard_normal(points.shape[1])


def two_squares():
    """One mesh of two parts, the second finer and smaller."""
    parts = [domains.square_of_triangles(4), domains.square_of_triangles(9)]
    points = np.concatenate([parts[0].points, 0.3 * parts[1].points + [1.2, 0.0]])
    cells = [parts[0].cells_of("triangle"), parts[1].cells_of("triangle") + len(parts[0].points)]
    return Mesh(points, [("triangle", np.concatenate(cells))])


def opened_square():
    """A square cut in two along the middle: points of both parts coincide."""
    lower = domains.square_of_quads(4)
    cells = lower.cells_of("quad")
    points = np.concatenate([lower.points, lower.points * [1.0, -1.0]])
    upper = len(lower.points) + cells[:, [0, 3, 2, 1]]
    return Mesh(points, [("quad", np.concatenate([cells, upper]))])


KINDS: dict[str, Callable[[], Graph]] = {
    **{name: partial(sample, name) for name in FILES},
    "interval": lambda: Graph.from_mesh(domains.interval(40)),
    "periodic line": lambda: cloud(1, period=(1.0,)),
    "grid": lambda: Graph.from_grid((12, 15)),
    "periodic grid": lambda: Graph.from_grid((12, 16), period=(1.0, 1.0)),
    "wedges": lambda: Graph.from_mesh(domains.cube_of_wedges(4)),
    "pyramids": lambda: Graph.from_mesh(domains.cube_of_pyramids(4)),
    "cloud in space": lambda: cloud(3),
    "knn in the plane": lambda: cloud(2, method="knn", neighbours=20),
    "knn in a box": lambda: cloud(2, method="knn", period=(1.0, 1.0), manifold_dim=2),
    "radius in space": lambda: cloud(3, method="radius", radius=0.3, manifold_dim=3),
    "knn on a sphere": lambda: Graph.from_points(domains.sphere_points(400), "knn", manifold_dim=2),
    "two parts": lambda: Graph.from_mesh(two_squares()),
    "coincident points": lambda: Graph.from_mesh(opened_square()),
    "one cell": lambda: Graph.from_mesh(Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])])),
    "batch": lambda: Batch.from_data_list(
        [Graph.from_mesh(mesh) for mesh in (periodic_box(80), domains.disk(3), two_squares())]
    ),
}


def matrix(links, targets, sources):
    """Which target `[targets, sources]` a value at a source gets to."""
    ones = np.ones(len(links.sources), dtype=bool)
    return csr_array((ones, (links.targets.numpy(), links.sources.numpy())), shape=(targets, sources))


def hop(level):
    """One message on the links of a level, and the node's own value."""
    return matrix(level.links, level.nodes, level.nodes) + eye_array(level.nodes, dtype=bool, format="csr")


def parts_of(level):
    """Number of connected parts of a level, and the part of each node."""
    return connected_components(matrix(level.links, level.nodes, level.nodes))


def transfers(levels):
    """From the finest to the coarsest level and back, one hop per level: dense `[nodes of coarsest, nodes]` each."""
    coarsest = levels[-1].nodes
    down = np.eye(coarsest, dtype=bool)
    up = np.eye(coarsest, dtype=bool)
    for number in range(len(levels) - 2, -1, -1):
        fine, coarse = levels[number], levels[number + 1]
        down = (hop(fine).T @ (matrix(fine.restrict, coarse.nodes, fine.nodes).T @ down.T)).T > 0
        up = (hop(fine) @ (matrix(fine.prolong, fine.nodes, coarse.nodes) @ up.T)).T > 0
    return down, up


def greedy_set(plain, sweep):
    """A node is taken when its turn comes and no neighbour is."""
    taken = np.zeros(len(plain.pos), dtype=bool)
    for node in sweep:
        taken[node] = not taken[plain.source[plain.target == node]].any()
    return taken
