"""Exact eigenvalues and Poisson problems on every cell type, with the observed order of convergence."""

from pathlib import Path

import domains
import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh, spsolve
from scipy.special import jn_zeros, jnp_zeros

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.mesh.elements import rule
from irno_graph.spectral import laplacian
from irno_graph.spectral.laplacian import symmetric_laplacian
from irno_graph.testing import assert_converges

SQUARE = np.pi**2 * np.array([0, 1, 1, 2, 4, 4])
CUBE = np.pi**2 * np.array([0, 1, 1, 1, 2, 2, 2, 3])
CASES = {
    "interval of lines": (domains.interval, (8, 16, 32), 1.0, np.pi**2 * np.array([0, 1, 4, 9])),
    "square of triangles": (domains.square_of_triangles, (8, 16, 32), 1.0, SQUARE),
    "square of quads": (domains.square_of_quads, (8, 16, 32), 1.0, SQUARE),
    "cube of tetrahedra": (domains.cube_of_tetrahedra, (4, 8, 16), 1.0, CUBE),
    "cube of hexahedra": (domains.cube_of_boxes, (4, 8, 16), 1.0, CUBE),
    "cube of wedges": (domains.cube_of_wedges, (4, 8, 16), 1.0, CUBE),
    "cube of pyramids": (domains.cube_of_pyramids, (3, 6, 12), 1.0, CUBE),
}


def lowest(graph, count, free=None, **options):
    matrix = symmetric_laplacian(graph, **options)
    if free is not None:
        matrix = matrix[free][:, free]
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    found = eigsh(matrix.tocsc(), k=count, sigma=-0.1, v0=start, return_eigenvectors=False)
    return np.sort(found)


@pytest.mark.parametrize("name", CASES)
def test_neumann_eigenvalues_converge_at_order_two(name):
    make, counts, size, exact = CASES[name]
    errors = []
    for count in counts:
        graph = Graph.from_mesh(make(count))
        assert float(graph.mass.min()) > 0
        assert float(graph.mass.sum()) == pytest.approx(size, rel=1e-12)
        matrix = laplacian(graph)
        assert np.abs(matrix @ np.ones(graph.num_nodes)).max() < 1e-11
        found = lowest(graph, len(exact))
        errors.append(np.abs(found - exact)[1:].max() / exact[-1])
    assert_converges([1 / count for count in counts], errors, order=1.8)
    assert errors[-1] < 0.03


def test_the_disk_has_the_zeros_of_bessel_functions():
    neumann = [0, *[jnp_zeros(1, 1)[0]] * 2, *[jnp_zeros(2, 1)[0]] * 2, jnp_zeros(0, 1)[0]]
    dirichlet = [jn_zeros(0, 1)[0], *[jn_zeros(1, 1)[0]] * 2, *[jn_zeros(2, 1)[0]] * 2, jn_zeros(0, 2)[1]]
    for exact, clamped in ((neumann, False), (dirichlet, True)):
        errors, rings = [], (6, 12, 24)
        for count in rings:
            graph = Graph.from_mesh(domains.disk(count))
            free = np.flatnonzero(np.linalg.norm(graph.pos.numpy(), axis=1) < 1 - 1e-9) if clamped else None
            found = lowest(graph, 6, free)
            errors.append(np.abs(found - np.square(exact)).max())
        assert_converges([1 / count for count in rings], errors, order=1.8)
        assert errors[-1] < 0.02 * exact[-1] ** 2


def test_the_sphere_has_eigenvalues_l_times_l_plus_one():
    exact = np.concatenate([[degree * (degree + 1)] * (2 * degree + 1) for degree in range(4)])
    errors, counts = [], (200, 800, 3200)
    for count in counts:
        graph = Graph.from_mesh(domains.sphere(count))
        errors.append(np.abs(lowest(graph, 16) - exact).max())
    assert_converges([count**-0.5 for count in counts], errors, order=1.7)
    assert errors[-1] < 0.1


def test_points_on_a_sphere_without_cells_have_its_spectrum_too():
    graph = Graph.from_points(domains.sphere_points(1500), "knn", neighbours=12, manifold_dim=2)
    assert float(graph.mass.sum()) == pytest.approx(4 * np.pi, rel=0.05)
    exact = np.concatenate([[degree * (degree + 1)] * (2 * degree + 1) for degree in range(4)])
    assert np.abs(lowest(graph, 16) - exact).max() < 0.06 * exact[-1]


@pytest.mark.parametrize("name", CASES)
def test_poisson_with_a_manufactured_solution_converges_at_order_two(name):
    make, counts, _, _ = CASES[name]
    errors = []
    for count in counts:
        graph = Graph.from_mesh(make(count))
        x = graph.pos.numpy()
        u = np.sin(np.pi * x).prod(axis=1)
        free = ((x > 1e-9) & (x < 1 - 1e-9)).all(axis=1)
        load = graph.mass.numpy() * x.shape[1] * np.pi**2 * u
        matrix = laplacian(graph)
        found = spsolve(matrix[free][:, free].tocsc(), load[free])
        errors.append(np.sqrt(graph.mass.numpy()[free] @ (found - u[free]) ** 2))
    assert_converges([1 / count for count in counts], errors, order=1.7)


def test_node_order_motion_and_winding_change_nothing():
    mesh = domains.cube_of_wedges(4)
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    order = rng.permutation(len(mesh.points))
    cells = np.argsort(order)[mesh.cells_of("wedge")]
    cells[::2] = cells[::2][:, [3, 4, 5, 0, 1, 2]]  # inverted
    moved = Mesh(mesh.points[order] @ rotation.T + [3.0, -1.0, 2.0], [("wedge", cells)])
    one, two = Graph.from_mesh(mesh), Graph.from_mesh(moved)
    assert np.allclose(laplacian(one).toarray()[np.ix_(order, order)], laplacian(two).toarray(), atol=1e-12)
    assert np.allclose(one.mass.numpy()[order], two.mass.numpy(), rtol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_an_independent_library_has_the_same_matrices(name):
    skfem = pytest.importorskip("skfem", reason="scikit-fem is not installed")
    kinds = {
        "line": (skfem.MeshLine, skfem.ElementLineP1),
        "triangle": (skfem.MeshTri, skfem.ElementTriP1),
        "quad": (skfem.MeshQuad, skfem.ElementQuad1),
        "tetra": (skfem.MeshTet, skfem.ElementTetP1),
        "hexahedron": (skfem.MeshHex, skfem.ElementHex1),
        "wedge": (skfem.MeshWedge1, skfem.ElementWedge1),
    }
    mesh = CASES[name][0](CASES[name][1][0])
    ((kind, cells),) = mesh.cells
    if kind not in kinds:
        pytest.skip(f"scikit-fem has no '{kind}'")
    if kind == "hexahedron":
        cells = cells[:, [0, 4, 3, 1, 7, 5, 2, 6]]
    order: dict = {"intorder": 2}
    if kind == "wedge":  # its stiffness is no polynomial: equal at equal points of quadrature
        weights, values, _ = rule("wedge")
        places = values @ np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1.0]])
        order = {"quadrature": (places.T.copy(), weights)}
    from skfem.models.poisson import laplace, mass

    made, element = kinds[kind]
    basis = skfem.Basis(made(mesh.points.T.copy(), cells.T.copy(), sort_t=False), element(), **order)
    graph = Graph.from_mesh(mesh)
    assert np.allclose(laplacian(graph).toarray(), laplace.assemble(basis).toarray(), atol=1e-12)
    rows = np.asarray(mass.assemble(basis).sum(axis=1)).ravel()
    assert np.allclose(graph.mass.numpy(), rows, rtol=1e-12)


def bad_triangles(count=200, stretch=0.02):
    """A Delaunay triangulation squeezed along one axis: most of its triangles are obtuse."""
    points = np.random.default_rng(0).random((count, 2))
    graph = Graph.from_points(points)
    return Mesh(points * [1.0, stretch], [("triangle", graph.face.T.numpy())])


def test_the_intrinsic_laplacian_has_no_positive_weights_and_keeps_the_energy_of_linear_functions():
    graph = Graph.from_mesh(bad_triangles())
    plain, intrinsic = laplacian(graph), laplacian(graph, intrinsic=True)
    off, before = (matrix.toarray() - np.diag(matrix.diagonal()) for matrix in (intrinsic, plain))
    rim = _boundary(graph)
    off[np.ix_(rim, rim)] = 0.0  # sides of the boundary may be obtuse
    assert off.max() < 1e-9
    assert before.max() > 1
    assert np.linalg.eigvalsh(intrinsic.toarray())[0] > -1e-10
    field = graph.pos.numpy() @ [3.0, 4.0]
    assert field @ intrinsic @ field == pytest.approx(25 * float(graph.mass.sum()), rel=1e-10)


def test_the_intrinsic_laplacian_of_a_torus_is_that_of_its_periodic_delaunay_triangulation():
    # Flipping any triangulation of flat points without sides leads to the Delaunay triangulation.
    points = np.random.default_rng(1).random((150, 2))
    good = Graph.from_points(points, period=(1.0, 1.0))
    face = good.face.T.numpy()
    bad = face.copy()
    for first in range(0, 40):  # flip convex pairs away from the Delaunay triangulation
        bad = _flip_one(bad, points, first)
    assert not np.array_equal(bad, face)
    worse = Graph.from_mesh(Mesh(points, [("triangle", bad)], period=(1.0, 1.0)))
    assert np.abs(laplacian(worse) - laplacian(good)).max() > 0.1
    assert np.allclose(laplacian(worse, intrinsic=True).toarray(), laplacian(good).toarray(), atol=1e-9)


def test_an_independent_library_has_the_same_intrinsic_laplacian():
    robust_laplacian = pytest.importorskip("robust_laplacian", reason="robust-laplacian is not installed")
    mesh = domains.sphere(300)
    points = mesh.points * [1.0, 0.3, 2.0]
    oriented = mesh.cells_of("triangle")
    corners = points[oriented]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = (normal * corners.mean(axis=1)).sum(axis=1) < 0
    oriented[inward] = oriented[inward, ::-1]
    graph = Graph.from_mesh(Mesh(points, [("triangle", oriented)]))
    theirs, _ = robust_laplacian.mesh_laplacian(points, oriented, mollify_factor=0.0)
    assert np.allclose(laplacian(graph, intrinsic=True).toarray(), theirs.toarray(), atol=1e-9)
    assert np.abs(laplacian(graph) - theirs).max() > 0.1


def test_intrinsic_needs_triangles():
    with pytest.raises(ValueError, match="needs triangles alone, got quad"):
        laplacian(Graph.from_mesh(domains.square_of_quads(3)), intrinsic=True)


def test_a_grid_of_points_without_cells_has_the_five_point_stencil():
    grid = Graph.from_grid((6, 6), period=(1.0, 1.0))
    cloud = Graph.from_points(grid.pos, "radius", radius=0.2, period=(1.0, 1.0), manifold_dim=2)
    density = float(cloud.mass.mean()) * 36  # of the masses, not of the stencil
    assert density == pytest.approx(1.0, rel=0.02)
    assert np.allclose(laplacian(cloud).toarray(), laplacian(grid).toarray() * density, atol=1e-8)


def _boundary(graph):
    sides = torch.cat([graph.face[[0, 1]], graph.face[[1, 2]], graph.face[[2, 0]]], dim=1).T.numpy()
    unique, uses = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    return np.unique(unique[uses == 1])


def _flip_one(face, points, number):
    """Flip the first side of triangle `number` where the two triangles form a convex quad."""
    i, j, k = face[number]
    other = [t for t in range(len(face)) if t != number and {i, j} <= set(face[t])]
    if len(other) != 1:
        return face
    opposite = (set(face[other[0]]) - {i, j}).pop()

    def seen(node):
        delta = points[node] - points[i]
        return delta - np.round(delta)

    def turn(a, b, c):
        u, v = seen(b) - seen(a), seen(c) - seen(a)
        return u[0] * v[1] - u[1] * v[0]

    if turn(k, i, opposite) < 1e-4 or turn(opposite, j, k) < 1e-4 or len({i, j, k, opposite}) < 4:
        return face
    spans = [np.abs(seen(a) - seen(b)).max() for a in (k, opposite, i, j) for b in (k, opposite, i, j)]
    if max(spans) > 0.4:
        return face
    flipped = face.copy()
    flipped[number], flipped[other[0]] = [k, i, opposite], [opposite, j, k]
    return flipped


@pytest.mark.parametrize("extent", [(1.0, 1.0), (2.0, 0.5)])
def test_a_periodic_box_has_the_fourier_frequencies(extent):
    # (2 pi k / L_x)^2 + (2 pi l / L_y)^2
    waves = [(2 * np.pi * np.arange(-6, 7) / length) ** 2 for length in extent]
    exact = np.sort((waves[0][:, None] + waves[1]).ravel())[:9]
    errors = []
    for count in (400, 1600):
        graph = Graph.from_mesh(periodic_box(count, extent=extent))
        errors.append(np.abs(lowest(graph, 9) - exact).max() / exact[-1])
    assert errors[-1] < 0.03
    assert np.log2(errors[0] / errors[1]) > 1.7


def test_a_periodic_row_of_hexahedra_has_the_fourier_frequencies_across_its_seam():
    points, n = domains.lattice(16, 2, 2)
    n = n.copy()
    n[-1] = n[0]
    low, high = slice(None, -1), slice(1, None)
    places = [(low, low), (high, low), (high, high), (low, high)]
    corners = np.stack([n[x, y, z].ravel() for z in (low, high) for x, y in places], axis=1)
    used, cells = np.unique(corners, return_inverse=True)
    mesh = Mesh(points[used], [("hexahedron", cells.reshape(-1, 8))], period=(1.0, None, None))
    graph = Graph.from_mesh(mesh)
    assert float(graph.mass.sum()) == pytest.approx(1.0, rel=1e-12)
    h = 1 / 16  # lumped mass: the symbol of the 3-point stencil
    assert lowest(graph, 2)[1] == pytest.approx(np.pi**2, rel=0.2)  # across, 2 cells
    wave = np.cos(2 * np.pi * mesh.points[:, 0])
    quotient = (wave @ laplacian(graph) @ wave) / (graph.mass.numpy() @ wave**2)
    assert quotient == pytest.approx(4 / h**2 * np.sin(np.pi * h) ** 2, rel=1e-12)


CHANNEL = Path(__file__).parents[3] / "shared" / "reference" / "ezyrb_channel"


@pytest.mark.skipif(not CHANNEL.is_dir(), reason=f"the reference mesh is not at {CHANNEL}")
def test_a_channel_with_a_hole():
    points, cells = np.load(CHANNEL / "pts.npy"), np.load(CHANNEL / "cells.npy")
    mesh = Mesh(points[:, :2], [("triangle", cells.astype(np.int64))])
    graph = Graph.from_mesh(mesh)
    assert graph.num_nodes == 3067
    assert graph.num_nodes - graph.num_edges // 2 + len(cells) == 0  # one hole
    assert float(graph.mass.sum()) == pytest.approx(4.9686, abs=5e-5)
    found = lowest(graph, 3)
    assert found[0] == pytest.approx(0, abs=1e-10)
    assert found[1] == pytest.approx(0.392, abs=0.002)
