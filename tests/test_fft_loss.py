"""The FFT's spectral loss against the eigenbasis and against the official code's formula, written out."""

from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph, mass_mean
from irno_graph.losses import FFTSpectralLoss, RefinementLoss, SpectralLoss, magnitude_distance
from irno_graph.mesh import periodic_box

GRIDS = {
    "line": ((11,), (2.0,)),
    "odd and even": ((5, 8), (2.0, 0.7)),
    "space": ((3, 4, 5), (1.0, 0.4, 2.0)),
}
by_grid = pytest.mark.parametrize("kind", GRIDS)


def grid(kind, **options):
    shape, period = GRIDS[kind]
    return Graph.from_grid(shape, period=period, **options)


def fields(graph, *leading, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    make = [
        torch.randn(*lead, graph.num_nodes, channels, generator=generator, dtype=torch.float64)
        for lead in ((3, *leading), leading)
    ]
    return make[0], make[1]


@by_grid
@pytest.mark.parametrize("options", [{}, {"order": "hilbert"}, {"centred": True}])
def test_it_is_the_loss_of_all_eigenvectors(kind, options):
    graph = grid(kind, **options)
    states, truth = fields(graph, 2)
    ours = FFTSpectralLoss(0.7, 1.9, distance="coefficient")(states, truth, graph)
    theirs = SpectralLoss(graph.num_nodes, p_start=0.7, p_end=1.9)(states, truth, graph)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)


@pytest.mark.parametrize("count", [10, 11])
def test_on_a_line_magnitudes_are_those_of_eigenspaces(count):
    """The eigenspaces of a periodic line are the pairs k, -k."""
    graph = Graph.from_grid((count,), period=(1.0,))
    states, truth = fields(graph)
    ours = FFTSpectralLoss()(states, truth, graph)
    theirs = SpectralLoss(count, distance=magnitude_distance)(states, truth, graph)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)


def test_one_wave_costs_its_weight():
    """An error of a cos(k x) has the mean square a^2 / 2; its weight is that of |k| over the corner's."""
    shape, period = (6, 8), (2.0, 1.0)
    graph = Graph.from_grid(shape, period=period)
    waves = 2 * np.pi * np.array([1, 2]) / period
    error = 0.3 * torch.cos(graph.pos @ torch.from_numpy(waves))[:, None]
    truth = torch.randn(48, 1, dtype=torch.float64)
    kx, ky = (
        2 * np.pi * np.fft.fftfreq(n) * n / length for n, length in zip(shape[::-1], period, strict=True)
    )
    k = np.sqrt(kx**2 + ky[:, None] ** 2)
    for p in (1.0, 2.0):
        rho = np.append(1 + (k / k.max()) ** p, 2.0)
        weight = (1 + (np.linalg.norm(waves) / k.max()) ** p) / rho.mean()
        loss = FFTSpectralLoss(p, p, frequency="wavenumber", distance="coefficient")
        assert float(loss(truth + error[None], truth, graph)) == pytest.approx(weight * 0.09 / 2, rel=1e-12)


@by_grid
def test_magnitudes_do_not_see_a_shift_and_coefficients_do(kind):
    graph = grid(kind)
    truth = fields(graph)[1]
    shifted = truth.unflatten(0, graph.grid_shape).roll(1, dims=-2).flatten(0, -2)
    assert FFTSpectralLoss()(shifted[None], truth, graph) < 1e-28
    assert FFTSpectralLoss(distance="coefficient")(shifted[None], truth, graph) > 0.1


def official(states, truth, shape):
    """mean over samples, channels and the half spectrum of w (|h| - |y|)^2 / points, step by step, in numpy."""
    ny, nx = shape
    terms = []
    for step, state in enumerate(states):
        p = 1 + step / (len(states) - 1)
        h, y = (
            np.abs(np.fft.rfft2(f.reshape(*f.shape[:-2], ny, nx, -1), axes=(-3, -2))) for f in (state, truth)
        )
        size = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)) / 0.5
        weight = 1 + size**p
        weight = (weight / weight.mean())[:, :, None]
        terms.append((weight * (h - y) ** 2).mean() / (ny * nx))
    return np.mean(terms)


@pytest.mark.parametrize("shape", [(6, 9), (5, 8)])
@pytest.mark.parametrize("options", [{"period": (2.0, 0.5)}, {}])
def test_the_official_form(shape, options):
    graph = Graph.from_grid(shape, **options)
    states, truth = fields(graph, 2)
    ours = float(FFTSpectralLoss(official=True)(states, truth, graph))
    assert ours == pytest.approx(official(states.numpy(), truth.numpy(), shape), rel=1e-12)


def test_a_batch_is_the_mean_of_its_grids():
    graphs = [grid("odd and even"), Graph.from_grid((6, 7), period=(1.0, 1.0))]
    pairs = [fields(graph, seed=seed) for seed, graph in enumerate(graphs)]
    states, truth = (torch.cat(parts, dim=-2) for parts in zip(*pairs, strict=True))
    for loss in (FFTSpectralLoss(), FFTSpectralLoss(official=True)):
        alone = [loss(*pair, graph) for pair, graph in zip(pairs, graphs, strict=True)]
        got = loss(states, truth, Batch.from_data_list(graphs))
        torch.testing.assert_close(got, torch.stack(alone).mean())


def test_it_plugs_into_the_refinement_loss():
    graph = grid("odd and even")
    states, truth = fields(graph)
    spectral: Any = FFTSpectralLoss(0.0, 0.0, distance="coefficient")
    terms = RefinementLoss(spectral, beta_spectral=3.0)(states, truth, graph)
    torch.testing.assert_close(terms.spectral, terms.spatial)
    torch.testing.assert_close(terms.total, 4 * mass_mean((states - truth).square(), graph).mean())


def test_gradients_and_low_precision():
    graph = grid("odd and even")
    states, truth = fields(graph, channels=1)
    for distance in ("magnitude", "coefficient"):
        loss = FFTSpectralLoss(distance=distance)
        assert torch.autograd.gradcheck(lambda h, loss=loss: loss(h, truth, graph), states.requires_grad_())
        exact = float(loss(states, truth, graph).detach())
        assert float(loss(states.detach().bfloat16(), truth.bfloat16(), graph)) == pytest.approx(
            exact, rel=0.02
        )
    at_truth = truth.expand(2, -1, -1).clone().requires_grad_()
    FFTSpectralLoss()(at_truth, truth, graph).backward()
    assert at_truth.grad is not None
    assert torch.equal(at_truth.grad, torch.zeros_like(at_truth))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="periodic along every axis"):
        FFTSpectralLoss()(
            torch.zeros(1, 20, 1), torch.zeros(20, 1), Graph.from_grid((4, 5), period=(1.0, None))
        )
    with pytest.raises(ValueError, match="make it by"):
        FFTSpectralLoss()(
            torch.zeros(1, 30, 1), torch.zeros(30, 1), Graph.from_mesh(periodic_box(30, seed=0))
        )
    with pytest.raises(ValueError, match="'symbol' or 'wavenumber'"):
        FFTSpectralLoss(frequency="degree")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'magnitude' or 'coefficient'"):
        FFTSpectralLoss(distance="phase")  # type: ignore[arg-type]
