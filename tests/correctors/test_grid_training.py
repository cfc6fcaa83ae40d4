"""Correctors on grids as what is trained, saved and certified."""

import pytest
import torch
from grid_kinds import GRID_CORRECTORS, grid_fields, lattice

import irno_graph as ig
from irno_graph.correctors import FNO, ConvNeXt, ResNet, UNet
from irno_graph.graph import Graph


@pytest.fixture(params=GRID_CORRECTORS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def mixed():
    """8 x 12 points, periodic along x alone."""
    return Graph.from_grid((8, 12), period=(1.5, None), extent=(1.5, 1.0))


def test_first_correction_is_as_small_as_the_gain(kind, mixed):
    values = []
    for small in (0.1, 1.0):
        torch.manual_seed(5)
        corrector = GRID_CORRECTORS[kind](small=small).double().eval()
        torch.manual_seed(6)
        values.append(corrector(*grid_fields(mixed), mixed))
    torch.testing.assert_close(values[0], 0.1 * values[1], rtol=1e-4, atol=1e-6)
    last = corrector.last.weight
    assert float(last.detach().abs().max()) <= (6 / (last.shape[0] + last.shape[1])) ** 0.5


def test_gradients_reach_all_weights_and_are_right(kind):
    corrector = GRID_CORRECTORS[kind](small=1.0).double()
    graph = lattice((5, 6), (True, False))
    x, h = grid_fields(graph)
    corrector(x, h, graph).square().sum().backward()
    for name, weight in corrector.named_parameters():
        assert weight.grad is not None, name
        assert float(weight.grad.abs().max()) > 0.0, name
    torch.autograd.gradcheck(
        lambda h: corrector(x, h, graph), h.requires_grad_(True), atol=1e-5, fast_mode=True
    )


def test_defaults_have_the_sizes_that_are_documented():
    counts = {
        kind: sum(weight.numel() for weight in kind(4, 4).parameters())
        for kind in (UNet, ResNet, ConvNeXt, FNO)
    }
    expected = {UNet: 2.2e6, ResNet: 3.0e5, ConvNeXt: 2.2e5, FNO: 3.9e5}
    assert all(abs(counts[kind] / expected[kind] - 1.0) < 0.03 for kind in counts)


@pytest.mark.parametrize("kind", ["unet, layer", "resnet", "convnext", "fno"], indirect=True)
def test_refinement_learns_a_stencil(kind):
    """y = x + the mean of the neighbours' differences: a correction of one stencil, from the base h_0 = x."""
    torch.manual_seed(1)
    graph = lattice((16, 16), (True, True))
    corrector = GRID_CORRECTORS[kind]()
    corrector = type(corrector).from_config({**corrector.config(), "in_channels": 1, "channels": 1})
    model = ig.IRNO(lambda x, graph: x, corrector, alpha=0.5, steps=2)
    k = torch.tensor([2 * torch.pi * 2, 2 * torch.pi * 3])
    x = torch.cos(graph.pos.float() @ k + 6.0 * torch.rand(8, 1))[..., None]
    field = x.unflatten(1, (16, 16))
    neighbours = sum(field.roll(step, axis) for step in (1, -1) for axis in (1, 2)) / 4
    y = (field + 2.0 * (neighbours - field)).flatten(1, 2)
    optimiser = torch.optim.Adam(corrector.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = (model(x, graph).value - y).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_saved_and_loaded_models_give_the_same_bits(kind, mixed, tmp_path):
    corrector = GRID_CORRECTORS[kind](time=True)
    x, h = (field.float() for field in grid_fields(mixed, 2))
    corrector(x, h, mixed, time=0.1)  # statistics of batch norms
    again = ig.load(ig.save(corrector, tmp_path / "corrector.safetensors"))
    corrector.eval()
    assert torch.equal(again(x, h, mixed, time=0.5), corrector(x, h, mixed, time=0.5))
    assert again.config() == corrector.config()


@pytest.mark.parametrize("kind", ["unet, layer", "fno"], indirect=True)
def test_certified_contraction_is_that_of_the_dense_jacobian(kind):
    """Phi is differentiated forwards and backwards there; on equal masses q is the largest singular value."""
    corrector = GRID_CORRECTORS[kind](small=1.0).double()
    graph = lattice((5, 6), (True, True))
    x, y = grid_fields(graph)
    model = ig.IRNO(lambda x, graph: y, corrector, alpha=0.25, steps=2)
    dense = torch.autograd.functional.jacobian(lambda h: model.step(x, h, graph), y).reshape(60, 60)
    q = ig.certify(model, x, graph, truth=y).q
    torch.testing.assert_close(q.reshape(()), torch.linalg.matrix_norm(dense, 2), rtol=1e-4, atol=0.0)
