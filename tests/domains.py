"""Meshes of known domains, at a resolution, for tests."""

import numpy as np
from scipy.spatial import ConvexHull

from irno_graph.mesh import Mesh
from irno_graph.mesh.delaunay import delaunay_mesh


def lattice(*counts):
    """Points `[points, dim]` of the unit box with `counts` cells per axis, and the function from index to number."""
    axes = np.meshgrid(*[np.arange(count + 1) / count for count in counts], indexing="ij")
    number = np.arange(axes[0].size).reshape(axes[0].shape)
    return np.stack([axis.ravel() for axis in axes], axis=1), number


def jittered(points, amount, seed=0):
    """Inner points of the unit box moved by up to `amount`."""
    inner = ((points > 1e-9) & (points < 1 - 1e-9)).all(axis=1)
    moved = points.copy()
    moved[inner] += np.random.default_rng(seed).uniform(-amount, amount, (int(inner.sum()), points.shape[1]))
    return moved


def interval(count):
    points, number = lattice(count)
    return Mesh(jittered(points, 0.2 / count), [("line", np.stack([number[:-1], number[1:]], axis=1))])


def square_of_quads(count):
    points, n = lattice(count, count)
    corners = [n[:-1, :-1], n[1:, :-1], n[1:, 1:], n[:-1, 1:]]
    return Mesh(jittered(points, 0.2 / count), [("quad", np.stack([c.ravel() for c in corners], axis=1))])


def square_of_triangles(count):
    quads = square_of_quads(count)
    corners = quads.cells_of("quad")
    return Mesh(quads.points, [("triangle", np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]))])


def cube_of_boxes(count):
    points, n = lattice(count, count, count)
    low, high = slice(None, -1), slice(1, None)
    places = [(low, low), (high, low), (high, high), (low, high)]
    corners = [n[x, y, z] for z in (low, high) for x, y in places]
    return Mesh(
        jittered(points, 0.1 / count), [("hexahedron", np.stack([c.ravel() for c in corners], axis=1))]
    )


def cube_of_wedges(count):
    boxes = cube_of_boxes(count)
    c = boxes.cells_of("hexahedron")
    wedges = np.concatenate([c[:, [0, 1, 2, 4, 5, 6]], c[:, [0, 2, 3, 4, 6, 7]]])
    return Mesh(boxes.points, [("wedge", wedges)])


def cube_of_pyramids(count):
    boxes = cube_of_boxes(count)
    c = boxes.cells_of("hexahedron")
    middle = len(boxes.points) + np.arange(len(c))
    sides = [[0, 1, 2, 3], [4, 7, 6, 5], [0, 4, 5, 1], [1, 5, 6, 2], [2, 6, 7, 3], [3, 7, 4, 0]]
    pyramids = np.concatenate([np.column_stack([c[:, side], middle]) for side in sides])
    return Mesh(np.concatenate([boxes.points, boxes.points[c].mean(axis=1)]), [("pyramid", pyramids)])


def cube_of_tetrahedra(count):
    boxes = cube_of_boxes(count)
    c = boxes.cells_of("hexahedron")
    paths = [[0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6], [0, 5, 1, 6]]
    return Mesh(boxes.points, [("tetra", np.concatenate([c[:, path] for path in paths]))])


def disk(rings):
    points = [[0.0, 0.0]]
    for ring in range(1, rings + 1):
        angle = 2 * np.pi * (np.arange(6 * ring) + 0.5 * (ring % 2)) / (6 * ring)
        points += (ring / rings * np.stack([np.cos(angle), np.sin(angle)], axis=1)).tolist()
    return delaunay_mesh(Mesh(np.array(points), ()))


def sphere_points(count):
    """Points of a Fibonacci spiral on the unit sphere."""
    place = np.arange(count) + 0.5
    z = 1 - 2 * place / count
    angle = np.pi * (1 + 5**0.5) * place
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def sphere(count):
    points = sphere_points(count)
    return Mesh(points, [("triangle", ConvexHull(points).simplices)])


def bumpy_sphere(count):
    """A sphere without the symmetry of its spiral of points."""
    mesh = sphere(count)
    bumps = np.random.default_rng(0).uniform(0.95, 1.05, (count, 1))
    return Mesh(mesh.points * bumps, mesh.cells)
