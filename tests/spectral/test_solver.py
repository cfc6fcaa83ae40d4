"""The eigensolver: nothing missing, nothing twice, parts one by one, fixed nodes, small residuals."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from scipy.sparse import block_diag, csr_array, diags_array

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.spectral import EigenBasis, EigenError, laplacian, solver
from irno_graph.spectral.krylov import factorised, nearest_modes, negative_pivots
from irno_graph.spectral.laplacian import symmetric_laplacian
from irno_graph.spectral.solver import lowest_modes, residual_norms


def grid_spectrum(*shape):
    symbols = [4 * n**2 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in shape]
    return np.sort((symbols[0][:, None] + symbols[1]).ravel())


@pytest.mark.parametrize("count", [60, 171])
def test_every_copy_of_a_repeated_eigenvalue_is_found(count):
    """Eigenvalues of a square periodic grid repeat 4 and 8 times and more, blocks have 4 vectors."""
    graph = Graph.from_grid((24, 24), period=(1.0, 1.0))
    matrix = symmetric_laplacian(graph)
    eigenvalues, vectors = lowest_modes(matrix, count, graph.pos.numpy())
    exact = grid_spectrum(24, 24)[:count]
    assert np.allclose(eigenvalues, exact, rtol=1e-9, atol=1e-9 * exact[-1])
    assert np.abs(vectors.T @ vectors - np.eye(count)).max() < 1e-10
    assert residual_norms(matrix, (eigenvalues, vectors)).max() < 1e-8


def test_lanczos_and_the_dense_solver_agree_on_an_irregular_mesh():
    graph = Graph.from_mesh(periodic_box(900, seed=0))
    matrix = symmetric_laplacian(graph)
    exact = eigh(matrix.toarray(), eigvals_only=True)[:100]
    found = lowest_modes(matrix, 100, graph.pos.numpy())[0]
    assert np.allclose(found, exact, rtol=1e-9, atol=1e-9)


def test_missing_copies_are_counted_and_asked_for_again(monkeypatch):
    """The solver is made to lose one of four copies at first; inertia tells, and a larger block finds it."""
    graph = Graph.from_grid((20, 20), period=(1.0, 1.0))
    blocks = []

    def forgetful(factors, shift, count, block):
        blocks.append(block)
        values, vectors = nearest_modes(factors, shift, count + 4, block)
        kept = np.delete(np.arange(len(values)), 2) if block == solver.BLOCK else slice(None)
        return values[kept], vectors[:, kept]

    monkeypatch.setattr(solver, "nearest_modes", forgetful)
    found = lowest_modes(symmetric_laplacian(graph), 12, graph.pos.numpy())[0]
    assert len(blocks) == 2
    assert np.allclose(found, grid_spectrum(20, 20)[:12], atol=1e-8)


def test_negative_pivots_count_the_eigenvalues_below_a_shift():
    matrix = symmetric_laplacian(Graph.from_grid((20, 24), period=(1.0, 1.0)))
    exact = grid_spectrum(20, 24)
    for cut in (-1.0, 20.0, 300.0, 1000.0):
        assert negative_pivots(factorised(matrix, cut)) == (exact < cut).sum()


def test_each_connected_part_gives_one_zero_mode():
    one, two = periodic_box(300, seed=0), periodic_box(40, seed=1)
    points = np.concatenate([one.points, two.points])
    cells = np.concatenate([one.cells_of("triangle"), two.cells_of("triangle") + 300])
    graph = Graph.from_mesh(Mesh(points, [("triangle", cells)], period=(1.0, 1.0)))
    basis = EigenBasis.compute(graph, 30, cache=False)
    assert (basis.eigenvalues == 0).sum() == 2
    assert basis.eigenvalues[2] > 30
    alone = [EigenBasis.compute(Graph.from_mesh(part), 30, cache=False).eigenvalues for part in (one, two)]
    assert torch.allclose(basis.eigenvalues, torch.cat(alone).sort().values[:30], rtol=1e-9)
    gram = basis.vectors.T @ (basis.mass[:, None] * basis.vectors)
    assert torch.allclose(gram, torch.eye(30, dtype=torch.float64), atol=1e-10)


@pytest.mark.parametrize("sides", [(12, 13), (30, 31)])  # dense and Lanczos
def test_fixed_nodes_give_the_sines_of_the_square(sides):
    ny, nx = sides
    graph = Graph.from_grid(sides)
    edge = ((graph.pos == 0) | (graph.pos == 1)).any(dim=1)
    basis = EigenBasis.compute(graph, 20, dirichlet=edge, cache=False)
    sines = [4 * (n - 1) ** 2 * np.sin(np.pi * np.arange(1, n - 1) / (2 * (n - 1))) ** 2 for n in (ny, nx)]
    exact = np.sort((sines[0][:, None] + sines[1]).ravel())[:20]
    assert np.allclose(basis.eigenvalues, exact, rtol=1e-9)
    assert not basis.vectors[edge].any()
    gram = basis.vectors.T @ (basis.mass[:, None] * basis.vectors)
    assert torch.allclose(gram, torch.eye(20, dtype=torch.float64), atol=1e-10)


def test_a_mask_that_does_not_fit_is_refused(box):
    for mask in (torch.zeros(3, dtype=torch.bool), torch.zeros(150)):
        with pytest.raises(ValueError, match="boolean mask"):
            EigenBasis.compute(box, 3, dirichlet=mask, cache=False)
    fixed = torch.ones(150, dtype=torch.bool)
    fixed[:4] = False
    with pytest.raises(ValueError, match=r"1\.\.4"):
        EigenBasis.compute(box, 5, dirichlet=fixed, cache=False)


def test_residuals_are_those_of_the_equation():
    graph = Graph.from_mesh(periodic_box(900, seed=0))
    basis = EigenBasis.compute(graph, 24, cache=False)
    assert basis.residuals is not None
    vectors, mass = basis.vectors.numpy(), basis.mass.numpy()[:, None]
    rest = (laplacian(graph) @ vectors - basis.eigenvalues.numpy() * mass * vectors) / np.sqrt(mass)
    expected = np.linalg.norm(rest, axis=0) / np.maximum(
        basis.eigenvalues.numpy(), float(basis.eigenvalues[1])
    )
    assert np.allclose(basis.residuals, expected, atol=1e-11)
    assert basis.residuals.max() < 1e-8
    single = basis.to(dtype=torch.float32).residuals
    assert single is not None
    assert single.dtype == torch.float32


def test_a_mode_that_is_none_is_named():
    matrix = symmetric_laplacian(Graph.from_mesh(periodic_box(100, seed=0)))
    eigenvalues, vectors = lowest_modes(matrix, 5, np.zeros((100, 2)))
    vectors = vectors.copy()
    vectors[3, 4] += 0.1
    with pytest.raises(EigenError, match="for mode 4"):
        residual_norms(matrix, (eigenvalues, vectors))


def test_many_copies_of_one_matrix_without_coupling():
    part = diags_array([np.full(2, -1.0), np.array([1.0, 2.0, 1.0]), np.full(2, -1.0)], offsets=[-1, 0, 1])
    matrix = csr_array(block_diag([part] * 7))
    eigenvalues, vectors = lowest_modes(matrix, 15, np.zeros((21, 2)))
    assert np.allclose(eigenvalues, [0] * 7 + [1] * 7 + [3], atol=1e-12)
    assert np.allclose(vectors.T @ vectors, np.eye(15), atol=1e-12)
