"""The loss per degree on exact harmonics, next to the loss in the eigenbasis."""

import math

import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.losses import RefinementLoss, SphereSpectralLoss


@pytest.fixture
def _harmonics():
    pytest.importorskip("torch_harmonics")


def sectoral(graph, degree):
    """Re (x + i y)^degree, a harmonic of that degree, scaled to the mean square 1 of the sphere."""
    x, y, _ = graph.pos.T
    field = torch.complex(x, y).pow(degree).real
    square = 2 * math.pi * math.sqrt(math.pi) * math.gamma(degree + 1) / (2 * math.gamma(degree + 1.5))
    square *= 1 if degree else 2  # integral of sin^(2 l) over colatitudes, times that of cos^2 (l phi)
    return (field * (4 * math.pi / square) ** 0.5).unsqueeze(-1)


def test_sectoral_harmonics_have_mean_square_one():
    graph = Graph.from_sphere(17, 32)
    for degree in range(8):
        field = sectoral(graph, degree).squeeze(-1)
        assert float(graph.mass @ field.square()) / (4 * math.pi) == pytest.approx(1, rel=1e-12)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
@pytest.mark.parametrize("grid", ["equiangular", "legendre-gauss", "lobatto"])
def test_an_error_of_one_degree_has_its_weight(grid):
    """w = rho / mean rho with 2 l + 1 modes of each degree and one for the rest."""
    graph = Graph.from_sphere(13, 26, grid=grid)
    loss = SphereSpectralLoss(6, p_start=1.0, p_end=2.0)
    truth = torch.randn(graph.num_nodes, 1, dtype=torch.float64)
    relative = [degree / 12 for degree in range(6)] + [(5 + 12) / 2 / 12]
    modes = [2 * degree + 1 for degree in range(6)] + [1]
    for degree in (0, 1, 5):
        got = loss(torch.stack([truth + 0.3 * sectoral(graph, degree)] * 2), truth, graph)
        expected = 0.0
        for p in (1.0, 2.0):
            rho = [1 + value**p for value in relative]
            mean = sum(count * value for count, value in zip(modes, rho, strict=True)) / sum(modes)
            expected += 0.5 * 0.09 * rho[degree] / mean
        assert float(got) == pytest.approx(expected, rel=1e-12)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
def test_an_error_beyond_the_degrees_has_the_weight_of_the_rest():
    graph = Graph.from_sphere(13, 26, grid="legendre-gauss")
    loss = SphereSpectralLoss(6)
    truth = torch.zeros(graph.num_nodes, 1, dtype=torch.float64)
    weight = loss.weights(graph, 1)
    assert float(loss(sectoral(graph, 9)[None], truth, graph)) == pytest.approx(
        float(weight[0, -1]), rel=1e-12
    )
    assert float(weight[0, -1]) > float(weight[0, 5])


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
@pytest.mark.parametrize("grid", ["equiangular", "legendre-gauss", "lobatto"])
@pytest.mark.parametrize("degrees", [1, 4, None])
def test_with_equal_weights_it_is_the_spatial_error_of_any_field(grid, degrees):
    """Bessel's inequality holds on the grid: the degrees and the rest add up to the mean square of random values."""
    graph = Graph.from_sphere(9, 17, grid=grid)
    states = torch.randn(3, 2, graph.num_nodes, 2, dtype=torch.float64)
    truth = torch.randn(2, graph.num_nodes, 2, dtype=torch.float64)
    flat = SphereSpectralLoss(degrees, p_start=0.0, p_end=0.0)
    spatial = RefinementLoss(flat)(states, truth, graph)
    torch.testing.assert_close(spatial.spectral, spatial.spatial, rtol=1e-11, atol=0)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
def test_it_is_differentiable_takes_float32_and_batches():
    graphs = [Graph.from_sphere(6, 8), Graph.from_sphere(7, 10, grid="lobatto")]
    loss = SphereSpectralLoss()
    truth = [torch.randn(graph.num_nodes, 1, dtype=torch.float64) for graph in graphs]
    states = [torch.randn(2, graph.num_nodes, 1, dtype=torch.float64) for graph in graphs]
    single = [loss(*own) for own in zip(states, truth, graphs, strict=True)]
    together = loss(torch.cat(states, dim=-2), torch.cat(truth), Batch.from_data_list(graphs))
    torch.testing.assert_close(together, torch.stack(single).mean())
    assert torch.autograd.gradcheck(
        lambda own: loss(own, truth[0], graphs[0]), states[0].clone().requires_grad_()
    )
    torch.testing.assert_close(
        loss(states[0].float(), truth[0].float(), graphs[0]).double(), single[0], rtol=1e-5, atol=0
    )


def test_weights_rise_with_the_degree_and_have_mean_one():
    graph = Graph.from_sphere(13, 26, grid="legendre-gauss")
    weight = SphereSpectralLoss().weights(graph, 4)
    degrees = weight.shape[1] - 1
    modes = torch.tensor([2.0 * degree + 1 for degree in range(degrees)] + [1.0], dtype=torch.float64)
    torch.testing.assert_close(weight @ modes / modes.sum(), torch.ones(4, dtype=torch.float64))
    assert (weight[:, :-1].diff(dim=1) > 0).all()
    share = weight[:, -1] / weight[:, 1]
    assert (share.diff() > 0).all()  # later steps look more at high degrees


def test_what_is_no_grid_of_the_sphere_is_refused(box):
    with pytest.raises(ValueError, match="from_sphere"):
        SphereSpectralLoss()(torch.zeros(1, 150, 1), torch.zeros(150, 1), box)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        SphereSpectralLoss(0)
    graph = Graph.from_sphere(5, 8)
    with pytest.raises(ValueError, match=r"in 1\.\.3.*got 4"):
        SphereSpectralLoss(4)(torch.zeros(1, 40, 1), torch.zeros(40, 1), graph)
