import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.losses import (
    ChebyshevSpectralLoss,
    RefinementLoss,
    SpectralLoss,
    magnitude_distance,
    spectrum,
)
from irno_graph.mesh import periodic_box


def test_fixed_point_term_is_zero_at_a_fixed_point_and_the_norm_of_the_defect_elsewhere(box):
    truth = torch.randn(2, box.num_nodes, 1, dtype=torch.float64)
    loss = RefinementLoss(beta_fp=0.5)
    states = truth.expand(3, *truth.shape)
    assert loss(states, truth, box, torch.zeros_like(truth)).total == 0
    terms = loss(states, truth, box, torch.full_like(truth, 2.0))
    torch.testing.assert_close(terms.total, torch.tensor(2.0, dtype=torch.float64))


def test_spatial_term_is_the_mass_weighted_mean_over_steps(box):
    truth = torch.zeros(box.num_nodes, 1, dtype=torch.float64)
    states = torch.stack([truth + 1.0, truth + 3.0])
    assert float(RefinementLoss()(states, truth, box).spatial) == pytest.approx((1 + 9) / 2)


def test_spectral_term_of_one_mode_is_its_weight(box):
    """An error along mode i with energy e gives w_i e, w = rho / mean rho, rho = 1 + (omega / omega_nyq)^p."""
    loss = SpectralLoss(20, p_start=1.0, p_end=2.0)
    basis, relative, total = spectrum(box, 20, torch.float64)
    truth = torch.randn(box.num_nodes, 1, dtype=torch.float64)
    for mode in (0, 7, 19):
        error = 0.3 * basis.vectors[:, mode : mode + 1]
        got = loss(torch.stack([truth + error] * 2), truth, box)
        rho = 1 + relative[None] ** torch.tensor([[1.0], [2.0]], dtype=torch.float64)
        expected = (rho[:, mode] / rho.mean(dim=1)).mean() * 0.09 / total
        torch.testing.assert_close(got, expected)


def test_nothing_outside_the_first_modes_is_dropped(box):
    """With the distances' weights all one, the term is the spatial error whatever the number of modes."""
    states = torch.randn(3, box.num_nodes, 2, dtype=torch.float64)
    truth = torch.randn(box.num_nodes, 2, dtype=torch.float64)
    spatial = RefinementLoss()(states, truth, box).spatial
    for modes in (1, 30, 150):
        flat = SpectralLoss(modes, p_start=0.0, p_end=0.0)  # rho = 2 everywhere
        torch.testing.assert_close(flat(states, truth, box), spatial)


def test_magnitude_distance_does_not_depend_on_signs_or_rotations():
    """On a square grid eigenvalues repeat: rotate each eigenspace and the term stays."""
    graph = Graph.from_grid((8, 8), period=(1.0, 1.0))
    basis = spectrum(graph, 21, torch.float64).basis
    generator = torch.Generator().manual_seed(0)
    rotated = basis.vectors.clone()
    for space in basis.eigenspaces.unique():
        columns = (basis.eigenspaces == space).nonzero().squeeze(-1)
        q, _ = torch.linalg.qr(
            torch.randn(len(columns), len(columns), generator=generator, dtype=torch.float64)
        )
        rotated[:, columns] = basis.vectors[:, columns] @ q
    h, y = (torch.randn(64, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    mass = basis.mass[:, None]
    before = magnitude_distance(basis.transform(h), basis.transform(y), basis)
    after = magnitude_distance((rotated * mass).T @ h, (rotated * mass).T @ y, basis)
    torch.testing.assert_close(after, before, rtol=1e-8, atol=1e-14)
    assert basis.eigenspaces.max() < 20


def test_magnitude_distance_is_blind_to_phase_and_coefficient_distance_is_not(box):
    basis = spectrum(box, 10, torch.float64).basis
    truth = basis.vectors[:, 3:4]
    assert SpectralLoss(10)(-truth[None], truth, box) > 1e-3
    assert SpectralLoss(10, distance=magnitude_distance, p_start=0, p_end=0)(-truth[None], truth, box) < 1e-12


def test_a_batch_gives_the_mean_over_its_graphs(box):
    other = Graph.from_mesh(periodic_box(60, seed=4))
    loss = SpectralLoss(12)
    parts = [(torch.randn(2, g.num_nodes, 1), torch.randn(g.num_nodes, 1), g) for g in (box, other)]
    together = loss(
        torch.cat([parts[0][0], parts[1][0]], dim=1),
        torch.cat([parts[0][1], parts[1][1]]),
        Batch.from_data_list([box, other]),
    )
    expected = torch.stack([loss(*part) for part in parts]).mean()
    torch.testing.assert_close(together, expected)


def test_the_chebyshev_loss_is_the_loss_of_all_modes(box):
    """Exactly where the weight is a polynomial (p = 2), and to 0.6 / order where it has a root at 0 (p = 1)."""
    states = torch.randn(3, 2, box.num_nodes, 2, dtype=torch.float64)
    truth = torch.randn(2, box.num_nodes, 2, dtype=torch.float64)
    exact = SpectralLoss(box.num_nodes, p_start=2.0)(states, truth, box)
    torch.testing.assert_close(
        ChebyshevSpectralLoss(8, p_start=2.0)(states, truth, box), exact, rtol=1e-9, atol=0
    )
    exact = SpectralLoss(box.num_nodes)(states, truth, box)
    torch.testing.assert_close(ChebyshevSpectralLoss(64)(states, truth, box), exact, rtol=2e-4, atol=0)
    constant = torch.ones(1, box.num_nodes, 1, dtype=torch.float64)
    exact = SpectralLoss(box.num_nodes, p_end=1.0)(constant, 0 * constant[0], box)
    got = ChebyshevSpectralLoss(64, p_end=1.0)(constant, 0 * constant[0], box)
    torch.testing.assert_close(got, exact, rtol=0.01, atol=0)


def test_the_chebyshev_loss_estimates_the_mean_weight_of_a_large_graph():
    graph = Graph.from_mesh(periodic_box(400, seed=0))
    states, truth = torch.randn(2, 400, 1, dtype=torch.float64), torch.randn(400, 1, dtype=torch.float64)
    exact = SpectralLoss(400)(states, truth, graph)
    torch.testing.assert_close(ChebyshevSpectralLoss()(states, truth, graph), exact, rtol=0.01, atol=0)


def test_the_chebyshev_loss_is_differentiable_and_takes_float32(box):
    truth = torch.randn(box.num_nodes, 1, dtype=torch.float64)
    states = torch.randn(2, box.num_nodes, 1, dtype=torch.float64, requires_grad=True)
    loss = ChebyshevSpectralLoss(12)
    assert torch.autograd.gradcheck(lambda own: loss(own, truth, box), states)
    single = RefinementLoss(loss)(states.float(), truth.float(), box)
    torch.testing.assert_close(single.spectral.double(), loss(states, truth, box), rtol=1e-5, atol=0)


def test_the_chebyshev_loss_of_a_batch_is_the_mean_over_its_graphs(box):
    other = Graph.from_mesh(periodic_box(60, seed=4))
    loss = ChebyshevSpectralLoss(20)
    states = [torch.randn(2, 3, graph.num_nodes, 1, dtype=torch.float64) for graph in (box, other)]
    truth = [torch.randn(3, graph.num_nodes, 1, dtype=torch.float64) for graph in (box, other)]
    together = loss(torch.cat(states, dim=-2), torch.cat(truth, dim=-2), Batch.from_data_list([box, other]))
    single = [loss(*own) for own in zip(states, truth, (box, other), strict=True)]
    torch.testing.assert_close(together, torch.stack(single).mean())
