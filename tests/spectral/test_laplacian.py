"""The Laplacian: symmetric, positive semidefinite, zero on constants, the 5-point stencil on grids."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.spectral import laplacian, largest_eigenvalue

GRAPHS = {
    "periodic": lambda: Graph.from_mesh(periodic_box(80, seed=0)),
    "plane": lambda: Graph.from_points(np.random.default_rng(0).random((60, 2))),
    "grid": lambda: Graph.from_grid((5, 6), extent=(2.0, 1.0), period=(None, 1.0)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_symmetric_semidefinite_with_zero_row_sums(name):
    matrix = laplacian(GRAPHS[name]()).toarray()
    scale = np.abs(matrix).max()
    assert np.array_equal(matrix, matrix.T)
    assert np.abs(matrix.sum(axis=1)).max() < 1e-12 * scale
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues[0] > -1e-12 * scale
    assert eigenvalues[1] > 1e-4  # only constants are flat: the mesh is connected


def test_energy_of_a_linear_function_is_its_slope_squared_times_the_area():
    graph = GRAPHS["plane"]()
    field = (graph.pos @ torch.tensor([3.0, 4.0], dtype=torch.float64)).numpy()
    energy = field @ laplacian(graph) @ field
    assert energy == pytest.approx(25 * float(graph.mass.sum()), rel=1e-11)


def test_a_periodic_grid_has_the_five_point_stencil():
    n, m, h = 6, 8, 0.25
    graph = Graph.from_grid((n, m), period=(m * h, n * h))
    matrix = laplacian(graph).toarray()
    expected = np.zeros((n * m, n * m))
    for iy in range(n):
        for ix in range(m):
            expected[iy * m + ix, iy * m + ix] = 4
            for jy, jx in ((iy, ix + 1), (iy, ix - 1), (iy + 1, ix), (iy - 1, ix)):
                expected[iy * m + ix, (jy % n) * m + jx % m] = -1
    assert np.allclose(matrix, expected, atol=1e-12)
    assert np.allclose(graph.mass, h * h)


@pytest.mark.parametrize("shape", [(6, 8), (20, 24)])  # dense and Lanczos
def test_the_largest_eigenvalue_of_a_grid_is_its_symbol(shape):
    graph = Graph.from_grid(shape, period=(1.0, 1.0))
    exact = 4 * shape[0] ** 2 + 4 * shape[1] ** 2
    assert largest_eigenvalue(graph) == pytest.approx(exact, rel=1e-7)


def test_the_largest_eigenvalue_bounds_rayleigh_quotients():
    graph = Graph.from_mesh(periodic_box(300, seed=0))
    matrix, mass, top = laplacian(graph), graph.mass.numpy(), largest_eigenvalue(graph)
    dense = np.linalg.eigvals(matrix.toarray() / mass[:, None]).real.max()
    assert top == pytest.approx(dense, rel=1e-7)


def test_a_batch_is_block_diagonal():
    graphs = [GRAPHS["grid"](), GRAPHS["periodic"]()]
    together = laplacian(Batch.from_data_list(graphs)).toarray()
    first = graphs[0].num_nodes
    assert np.array_equal(together[:first, :first], laplacian(graphs[0]).toarray())
    assert np.array_equal(together[first:, first:], laplacian(graphs[1]).toarray())
    assert not together[:first, first:].any()


def test_rigid_motion_leaves_the_laplacian_of_a_surface_unchanged():
    rng = np.random.default_rng(0)
    plane = GRAPHS["plane"]()
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    points = np.pad(plane.pos.numpy(), ((0, 0), (0, 1))) @ rotation.T + [1.0, -2.0, 5.0]
    moved = Graph.from_mesh(Mesh(points, [("triangle", plane.face.T.numpy())]))
    before, after = laplacian(plane).toarray(), laplacian(moved).toarray()
    assert np.allclose(before, after, atol=1e-10 * np.abs(before).max())
    assert torch.allclose(plane.mass, moved.mass, rtol=1e-10)
