"""On a periodic grid the eigenbasis is the FFT when its frequency is the root of the grid's symbol."""

import numpy as np
import pytest
import torch

from irno_graph.graph import Graph
from irno_graph.losses import SpectralLoss
from irno_graph.spectral import EigenBasis, grid_band_energy, grid_frequencies
from irno_graph.spectral.grid import grid_coefficients

SHAPE, EXTENT = (12, 16), (2.0, 1.0)


@pytest.fixture(scope="module")
def graph():
    return Graph.from_grid(SHAPE, period=EXTENT)


@pytest.fixture(scope="module")
def basis(graph):
    return EigenBasis.compute(graph, 192, cache=False)


def test_eigenvalues_are_the_squared_frequencies(basis):
    exact = grid_frequencies(SHAPE, EXTENT).flatten().sort().values ** 2
    assert torch.allclose(basis.eigenvalues, exact, rtol=0, atol=1e-12 * float(exact[-1]))


def test_band_energies_are_those_of_the_fft(basis):
    field = torch.randn(2, 192, 3, dtype=torch.float64)
    distinct = np.unique(basis.frequencies.numpy().round(6))
    for edges in ([0.0, 5.0, 11.0, 20.0, 100.0], [3.0, 8.0], [0.0, *(distinct[1:] + distinct[:-1]) / 2]):
        ours, theirs = basis.band_energy(field, edges), grid_band_energy(field, SHAPE, EXTENT, edges)
        assert torch.allclose(ours, theirs, rtol=1e-11, atol=1e-12 * float(theirs.max()))


def test_an_edge_on_an_eigenvalue_takes_the_whole_eigenspace(basis):
    field = torch.randn(192, 1, dtype=torch.float64)
    edge = float(grid_frequencies(SHAPE, EXTENT)[1, 2])
    energy = grid_band_energy(field, SHAPE, EXTENT, [0.0, edge, 1e3])
    below = grid_frequencies(SHAPE, EXTENT).flatten() < edge - 1e-9
    assert torch.allclose(energy[0], grid_coefficients(field, SHAPE, EXTENT)[below].abs().square().sum(dim=0))


def test_the_spectral_loss_is_that_of_the_fft(graph):
    states, truth = torch.randn(3, 192, 1, dtype=torch.float64), torch.randn(192, 1, dtype=torch.float64)
    relative = grid_frequencies(SHAPE, EXTENT).flatten()
    relative = torch.cat([relative, relative.max()[None]]) / relative.max()
    loss = SpectralLoss(192)
    weights = loss.weights(relative, 3)[:, :-1, None]
    energy = grid_coefficients(states - truth, SHAPE, EXTENT).abs().square()
    expected = (weights * energy).sum(dim=-2).mean() / float(graph.mass.sum())
    torch.testing.assert_close(loss(states, truth, graph), expected, rtol=1e-10, atol=0)


def test_wavenumbers_agree_where_k_h_is_small():
    """sqrt(symbol) = |k| (1 - O(k^2 h^2))."""
    shape, extent = (64, 64), (1.0, 1.0)
    symbol, wave = (grid_frequencies(shape, extent, kind) for kind in ("symbol", "wavenumber"))
    low = (wave > 0) & (wave < 2 * np.pi * 8)
    assert ((symbol / wave)[low] - 1).abs().max() < (2 * np.pi * 8 / 64) ** 2 / 24 * 1.01
    assert (wave / symbol)[32, 32] == pytest.approx(np.pi / 2)
    x = torch.arange(64, dtype=torch.float64) / 64
    field = (torch.cos(2 * np.pi * 3 * x) + torch.sin(2 * np.pi * 6 * x)[:, None]).reshape(-1, 1)
    edges = [0.0, 2 * np.pi * 2.5, 2 * np.pi * 4.5, 2 * np.pi * 7.5]
    both = [grid_band_energy(field, shape, extent, edges, kind) for kind in ("symbol", "wavenumber")]
    assert torch.allclose(both[0], both[1], atol=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="nodes=192"):
        grid_band_energy(torch.zeros(190, 1), SHAPE, EXTENT, [0.0, 1.0])
    with pytest.raises(ValueError, match="ascending"):
        grid_band_energy(torch.zeros(192, 1), SHAPE, EXTENT, [1.0])
    with pytest.raises(ValueError, match="wavenumber"):
        grid_frequencies(SHAPE, EXTENT, "degree")  # type: ignore[arg-type]
