"""neuraloperator's FNO and TFNO on grid graphs: symmetries, axes, resolutions, files."""

import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.bases.neuralop import FourierDetails
from irno_graph.graph import Graph

pytestmark = pytest.mark.extras
KINDS = ["FNO", "TFNO"]


@pytest.fixture(autouse=True)
def _neuralop(request):
    if "without" not in request.node.name:
        pytest.importorskip("neuralop", exc_type=ImportError)


def wave(graph, *numbers):
    """cos(2 pi k . x) `[nodes, 1]`."""
    return (2 * torch.pi * (graph.pos * torch.tensor(numbers)).sum(dim=1)).cos().float().unsqueeze(-1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [None, "hilbert"])
def test_on_a_periodic_grid_it_commutes_with_shifts(kind, order):
    plain = Graph.from_grid((8, 12), period=(3.0, 2.0))
    graph = Graph.from_grid((8, 12), period=(3.0, 2.0), order=order)
    base = getattr(ig.bases, kind)(2, 3, graph, modes=(4, 6), hidden=6, layers=2)
    x = torch.randn(2, 5, 96, 2)

    def applied(field):
        return graph.to_original(base(graph.from_original(field), graph))

    shifted = x.unflatten(-2, (8, 12)).roll((3, 5), dims=(-3, -2)).flatten(-3, -2)
    out = applied(x)
    assert out.shape == (2, 5, 96, 3)
    expected = out.unflatten(-2, (8, 12)).roll((3, 5), dims=(-3, -2)).flatten(-3, -2)
    torch.testing.assert_close(applied(shifted), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out, base(x, plain) if order is None else out)
    assert out.std() > 1e-2


def test_rows_are_y_and_columns_are_x():
    """With three modes along x and all along y, a spectral layer keeps the wave across y and loses the one across x."""
    graph = Graph.from_grid((16, 16), period=(1.0, 1.0))
    base = ig.bases.FNO(1, 1, graph, modes=(16, 4), hidden=4, layers=1)
    network: Any = base.network
    convolution = network.fno_blocks.convs[0]
    for field, kept in ((wave(graph, 0, 5), True), (wave(graph, 5, 0), False)):
        lifted = field.expand(-1, 4).unflatten(0, (16, 16)).movedim(-1, 0)[None]
        out = convolution(lifted) - convolution(torch.zeros_like(lifted))
        assert bool(out.abs().max() > 1e-3) == kept


def test_a_linear_operator_does_not_depend_on_the_resolution():
    """Band-limited fields on a finer grid have the same values at the points of the coarse one."""
    coarse, fine = (Graph.from_grid((count, count), period=(1.0, 1.0)) for count in (12, 24))
    base = ig.bases.FNO(1, 2, coarse, modes=8, hidden=5, layers=2, details=FourierDetails(mixing=False))
    network: Any = base.network
    network.lifting.non_linearity = network.projection.non_linearity = nn.Identity()
    network.non_linearity = nn.Identity()
    on_coarse, on_fine = (wave(graph, 2, 1) + 0.5 * wave(graph, 1, -3) for graph in (coarse, fine))
    sampled = base(on_fine, fine).unflatten(0, (24, 24))[::2, ::2].flatten(0, 1)
    torch.testing.assert_close(sampled, base(on_coarse, coarse), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("period", [(1.0, None), (None, 1.0)])
def test_padding_is_along_open_axes_only(period):
    """Without positions, shifts along the periodic axis commute, shifts along the open one do not."""
    graph = Graph.from_grid((16, 16), extent=(1.0, 1.0), period=period)
    base = ig.bases.FNO(1, 1, graph, modes=6, hidden=5, layers=2, details=FourierDetails(positions=False))
    x = torch.randn(16, 16, 1)

    def commutes(dim):
        shifted = base(x.roll(3, dims=dim).flatten(0, 1), graph).unflatten(0, (16, 16))
        expected = base(x.flatten(0, 1), graph).unflatten(0, (16, 16)).roll(3, dims=dim)
        return torch.allclose(shifted, expected, rtol=1e-4, atol=1e-5)

    open_axis = 0 if period[1] is None else 1  # rows are y
    assert commutes(1 - open_axis)
    assert not commutes(open_axis)


def test_a_turned_network_sees_x_first():
    """On the transposed grid with transposed modes it is the same network."""
    graph, across = (Graph.from_grid(shape, period=(1.0, 1.0)) for shape in ((8, 12), (12, 8)))
    turned = ig.bases.FNO(1, 1, graph, modes=(6, 4), hidden=4, layers=2, details=FourierDetails(turned=True))
    plain = ig.bases.FNO(1, 1, across, modes=(6, 4), hidden=4, layers=2)
    plain.load_state_dict(turned.state_dict())
    x = torch.randn(2, 8, 12, 1)
    expected = plain(x.transpose(1, 2).flatten(1, 2), across).unflatten(1, (12, 8)).transpose(1, 2)
    torch.testing.assert_close(turned(x.flatten(1, 2), graph).unflatten(1, (8, 12)), expected)


def test_a_batch_of_grids_gives_what_each_gives():
    graph = Graph.from_grid((6, 8), period=(1.0, 1.0))
    base = ig.bases.FNO(1, 2, graph, modes=4, hidden=4, layers=1)
    x = torch.randn(3, 48, 1)
    together = base(x.flatten(0, 1), Batch.from_data_list([graph] * 3))
    torch.testing.assert_close(together.unflatten(0, (3, 48)), base(x, graph))
    other = Graph.from_grid((8, 6), period=(1.0, 1.0))
    with pytest.raises(ValueError, match="one shape and period"):
        base(x[:2].flatten(0, 1), Batch.from_data_list([graph, other]))


def test_positions_are_given_where_an_axis_is_open_unless_told():
    closed, half = Graph.from_grid((8, 8), period=(1.0, 1.0)), Graph.from_grid((8, 8), period=(1.0, None))
    settings: dict[str, Any] = {"modes": 4, "hidden": 4, "layers": 1}
    assert ig.bases.FNO(1, 1, closed, **settings).network.positional_embedding is None
    assert ig.bases.FNO(1, 1, half, **settings).network.positional_embedding is not None
    given = ig.bases.FNO(1, 1, closed, **settings, details=FourierDetails(positions=True))
    assert given.network.positional_embedding is not None


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_refined_operator_is_saved_and_loaded(kind, dim, tmp_path):
    period = (1.0, None, 1.0)[:dim]
    graph = Graph.from_grid((6,) * dim, extent=(1.0,) * dim, period=period)
    details = FourierDetails(lifting=7, mixing=False)
    base = getattr(ig.bases, kind)(2, 1, graph, modes=4, hidden=4, layers=2, details=details)
    model = ig.IRNO(base, ig.correctors.MessagePassing(2, 1, hidden=4, layers=1, dim=dim), steps=2)
    again = ig.load(ig.save(model, tmp_path / "model.safetensors"))
    x = torch.randn(3, graph.num_nodes, 2)
    assert torch.equal(again(x, graph).value, model(x, graph).value)
    assert again.base.config() == base.config()


def test_a_factorised_operator_has_a_fraction_of_the_weights():
    graph = Graph.from_grid((16, 16), period=(1.0, 1.0))
    networks: list[Any] = [
        ig.bases.FNO(1, 1, graph, modes=12, hidden=16, layers=2).network,
        ig.bases.TFNO(1, 1, graph, modes=12, hidden=16, layers=2, rank=0.1).network,
    ]
    sizes = [sum(value.numel() for value in network.fno_blocks.convs.parameters()) for network in networks]
    assert 0.05 < sizes[1] / sizes[0] < 0.2


def test_gradients_reach_all_weights():
    graph = Graph.from_grid((8, 8), period=(1.0, 1.0))
    base = ig.bases.FNO(1, 1, graph, modes=4, hidden=4, layers=2)
    base(torch.randn(2, 64, 1), graph).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in base.parameters())


def test_other_graphs_and_modes_are_refused(box):
    graph = Graph.from_grid((8, 8), period=(1.0, 1.0))
    with pytest.raises(ValueError, match="from_grid"):
        ig.bases.FNO(1, 1, box)
    with pytest.raises(ValueError, match=r"each of 2 axes, got \(4, 4, 4\)"):
        ig.bases.FNO(1, 1, graph, modes=(4, 4, 4))
    with pytest.raises(ValueError, match="positive, got 0"):
        ig.bases.TFNO(1, 1, graph, rank=0)
    base = ig.bases.FNO(1, 1, graph, modes=4, hidden=4, layers=1)
    with pytest.raises(ValueError, match=r"\(True, True\).*got \(False, True\)"):
        base(torch.zeros(64, 1), Graph.from_grid((8, 8), period=(1.0, None)))
    with pytest.raises(ValueError, match=r"channels=1\], got \[64, 2\]"):
        base(torch.zeros(64, 2), graph)


def test_without_neuraloperator_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "neuralop", None)
    with pytest.raises(ImportError, match="grid"):
        ig.bases.FNO(1, 1, Graph.from_grid((8, 8), period=(1.0, 1.0)))
