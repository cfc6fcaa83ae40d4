"""Nested dissection: a permutation whose factors are small, and the solver's modes do not depend on it."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.spectral import solver
from irno_graph.spectral.dissection import LEAF, dissection
from irno_graph.spectral.krylov import factorised
from irno_graph.spectral.laplacian import symmetric_laplacian
from irno_graph.spectral.solver import lowest_modes


def entries(matrix, order):
    return factorised(csr_array(matrix[order][:, order]), -1.0, "NATURAL").L.nnz


@pytest.mark.parametrize("sides", [(200,), (64, 65), (100, 20), (2, 3)])
def test_the_factors_of_grids_stay_near_those_of_minimum_degree(sides):
    if len(sides) == 1:
        graph = Graph.from_points(np.arange(float(sides[0]))[:, None])
    else:
        graph = Graph.from_grid(sides, extent=(sides[1] - 1.0, sides[0] - 1.0))
    matrix = symmetric_laplacian(graph)
    order = dissection(matrix, graph.pos.numpy())
    assert np.array_equal(np.sort(order), np.arange(len(order)))
    assert entries(matrix, order) <= 2 * factorised(matrix, -1.0).L.nnz
    if len(order) > 500:
        shuffled = np.random.default_rng(0).permutation(len(order))
        assert entries(matrix, order) < 0.2 * entries(matrix, shuffled)


def test_in_space_too():
    points = np.random.default_rng(0).uniform(size=(6000, 3))
    graph = Graph.from_points(points)
    matrix = symmetric_laplacian(graph)
    assert entries(matrix, dissection(matrix, points)) < 1.2 * factorised(matrix, -1.0).L.nnz


def test_the_last_separator_cuts_the_graph_in_two_halves():
    graph = Graph.from_grid((40, 31), extent=(30.0, 39.0))
    matrix, pos = symmetric_laplacian(graph), graph.pos.numpy()
    order = dissection(matrix, pos)
    separator = order[-31:]  # a row of the grid, for the longest axis is cut
    assert len(np.unique(pos[separator, 1])) == 1
    rest = order[:-31]
    below = pos[rest, 1] < pos[separator[0], 1]
    assert abs(below.sum() - (~below).sum()) <= 31
    assert matrix[rest[below]][:, rest[~below]].nnz == 0
    assert LEAF < 31


@pytest.mark.parametrize("seed", [0, 1])
def test_modes_are_the_same_in_either_elimination_order(monkeypatch, seed):
    graph = Graph.from_mesh(periodic_box(900, seed=seed))
    matrix, pos = symmetric_laplacian(graph), graph.pos.numpy()
    values, vectors = lowest_modes(matrix, 20, pos)
    monkeypatch.setattr(solver, "LARGE", 1)
    other_values, others = lowest_modes(matrix, 20, pos)
    assert np.allclose(values, other_values, rtol=1e-9, atol=1e-9)
    assert np.allclose(np.abs(np.sum(vectors * others, axis=0)), 1, atol=1e-8)
