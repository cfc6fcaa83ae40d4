"""Chebyshev banks: equal to the eigenbasis through their polynomials, complete, differentiable, per graph."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.spectral import (
    ChebyshevBank,
    EigenBasis,
    jackson_steps,
    largest_eigenvalue,
    smooth_steps,
    wavelets,
)
from irno_graph.spectral.laplacian import symmetric_laplacian
from irno_graph.spectral.recurrence import eigenvalue_bound

F64 = torch.float64
WINDOWS = [smooth_steps, jackson_steps, wavelets]


@pytest.fixture(scope="module")
def graph():
    return Graph.from_mesh(periodic_box(150, seed=3))


@pytest.fixture(scope="module")
def complete(graph):
    return EigenBasis.compute(graph, 150, cache=False)


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("order", [1, 2, 7, 32])
def test_energies_are_the_polynomials_at_the_eigenvalues(graph, complete, windows, order):
    """energy_b = sum_i p_b(lambda_i) c_i^2."""
    bank = ChebyshevBank(graph, 5, order=order, windows=windows)
    field = torch.randn(2, 3, 150, 2, dtype=F64)
    expected = torch.einsum(
        "bm,...mc->...bc", bank.windows_at(complete.eigenvalues), complete.transform(field) ** 2
    )
    assert torch.allclose(bank.band_energy(field), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (F64, 1e-12)])
def test_bands_are_a_partition_of_unity(graph, windows, dtype, tolerance):
    bank = ChebyshevBank(graph, 6, windows=windows)
    field = torch.randn(2, 150, 3, dtype=dtype)
    norm = (graph.mass.to(dtype)[:, None] * field**2).sum(dim=-2)
    energy = bank.band_energy(field)
    assert energy.dtype == dtype
    assert torch.allclose(energy.sum(dim=-2), norm, rtol=tolerance)
    if windows is not wavelets:
        assert torch.allclose(bank.filter(field).sum(dim=-3), field, atol=50 * tolerance)


def test_wavelets_are_a_tight_frame(graph):
    """sum_b |W_b u|^2 = |u|^2, and each |W_b u|^2 is the energy of its band, to the polynomials' error."""
    bank = ChebyshevBank(graph, 5, order=96, windows=wavelets)
    field = torch.randn(150, 2, dtype=F64)
    filtered = bank.filter(field)
    energy = (graph.mass[:, None] * filtered**2).sum(dim=-2)
    assert torch.allclose(energy.sum(dim=0), (graph.mass[:, None] * field**2).sum(dim=0), rtol=1e-3)
    assert torch.allclose(energy, bank.band_energy(field), atol=1e-3)


@pytest.mark.parametrize("windows", WINDOWS)
def test_a_mode_well_inside_a_band_has_its_energy_there(graph, complete, windows):
    order = 128
    top = float(complete.frequencies[-1])
    edges = [0.0, 0.3 * top, 0.7 * top, 1.1 * top]
    bank = ChebyshevBank(graph, order=order, edges=edges, windows=windows)
    clear = (complete.frequencies[:, None] - torch.tensor(edges[1:-1])).abs().min(dim=1).values > 0.08 * top
    modes = complete.vectors[:, clear]
    assert modes.shape[1] > 50
    polynomial, sharp = bank.band_energy(modes), complete.band_energy(modes, edges)[:-1]
    assert torch.allclose(polynomial, sharp, atol=1e-3 if windows is smooth_steps else 2e-2)


def test_filters_of_modes_are_multiples_of_them(graph, complete):
    bank = ChebyshevBank(graph, 4, order=20)
    expected = bank.windows_at(complete.eigenvalues)[:, None] * complete.vectors
    assert torch.allclose(bank.filter(complete.vectors), expected, atol=1e-9)


def test_a_batch_gives_the_energies_of_each_graph():
    graphs = [Graph.from_mesh(periodic_box(n, seed=n)) for n in (60, 90)]
    bank = ChebyshevBank(Batch.from_data_list(graphs), 4, order=24)
    fields = [torch.randn(2, n, 3, dtype=F64) for n in (60, 90)]
    energy, filtered = bank.band_energy(torch.cat(fields, dim=1)), bank.filter(torch.cat(fields, dim=1))
    assert energy.shape == (2, 2, 4, 3)
    for place, (graph, field, part) in enumerate(
        zip(graphs, fields, filtered.split([60, 90], dim=-2), strict=True)
    ):
        single = ChebyshevBank(graph, 4, order=24)
        assert torch.allclose(energy[:, place], single.band_energy(field), rtol=1e-9)
        assert torch.allclose(part, single.filter(field), atol=1e-9)
        assert torch.allclose(bank.windows_at(torch.ones(3), place), single.windows_at(torch.ones(3)))


def test_energies_and_filters_are_differentiable():
    graphs = [Graph.from_grid((3, n), period=(1.0, 1.0)) for n in (3, 4)]
    for graph in (graphs[0], Batch.from_data_list(graphs)):
        bank = ChebyshevBank(graph, 3, order=9)
        field = torch.randn(2, graph.num_nodes, 2, dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(bank.band_energy, field)
        assert torch.autograd.gradcheck(bank.filter, field)


@pytest.mark.parametrize("nodes", [50, 400])
def test_the_bound_is_above_the_largest_eigenvalue_and_near(nodes):
    graph = Graph.from_mesh(periodic_box(nodes, seed=0))
    top = largest_eigenvalue(graph)
    assert top <= eigenvalue_bound(symmetric_laplacian(graph)) <= 1.02 * top
    assert eigenvalue_bound(0 * symmetric_laplacian(graph)) == 1.0


def test_what_does_not_fit_is_refused(graph):
    for bands, order in ((0, 8), (8, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            ChebyshevBank(graph, bands, order=order)
    for edges in ([1.0], [2.0, 1.0]):
        with pytest.raises(ValueError, match="ascending"):
            ChebyshevBank(graph, edges=edges)
    bank = ChebyshevBank(graph, 3)
    with pytest.raises(ValueError, match="nodes=150"):
        bank.band_energy(torch.zeros(149, 1))
    assert repr(bank) == "ChebyshevBank(graphs=1, bands=3, order=64)"
    assert np.isfinite(bank.edges.numpy()).all()
