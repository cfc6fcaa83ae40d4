"""Units and scaled high frequencies: exact modes, least squares, files."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.graph import Graph, mass_mean


@pytest.fixture(scope="module")
def grid():
    return Graph.from_grid((16, 16), period=(1.0, 1.0))


def wave(graph, *numbers):
    return (2 * torch.pi * (graph.pos * torch.tensor(numbers)).sum(dim=1)).cos().unsqueeze(-1)


def unchanged(x, graph):
    return x


def test_only_what_is_above_the_cut_is_scaled(grid):
    """Waves of frequencies 6.2 and 45 on either side of the cut 20, at both of which the filter is flat."""
    low, high = wave(grid, 1, 0), wave(grid, 8, 8)
    factor = torch.tensor([3.0, 0.5])
    base = ig.bases.HighFrequencyScaled(ig.bases.Callable(unchanged), factor, cut=20.0, order=128)
    x = torch.cat([low + high, low - high], dim=-1)
    expected = torch.cat([low + 3 * high, low - 0.5 * high], dim=-1)
    torch.testing.assert_close(base(x, grid), expected, rtol=0, atol=1e-3)


def test_the_fitted_factor_undoes_a_damping_exactly(grid):
    """Truth is low + high, the base keeps a quarter of high in one channel and turns its sign in the other."""
    low, high = wave(grid, 1, 1), wave(grid, 8, 7)
    weight = torch.tensor([0.25, -2.0])
    truth = (low + high).expand(-1, 2)
    damped = low + weight * high
    fitted = ig.bases.HighFrequencyScaled.fit(
        ig.bases.Callable(unchanged), [(damped, truth, grid)], cut=20.0, order=128
    )
    torch.testing.assert_close(fitted.factor, (1 / weight).float(), rtol=1e-2, atol=0)
    torch.testing.assert_close(fitted(damped, grid), truth.double(), rtol=0, atol=1e-2)


def test_no_other_factor_has_a_smaller_error(box):
    truth, x = torch.randn(4, 150, 2, dtype=torch.float64), torch.randn(4, 150, 2, dtype=torch.float64)
    base = ig.bases.Callable(unchanged)
    fitted = ig.bases.HighFrequencyScaled.fit(
        base, [(x[:2], truth[:2], box), (x[2:], truth[2:], box)], cut=15.0
    )

    def error(factor):
        scaled = ig.bases.HighFrequencyScaled(base, factor, cut=15.0)
        return mass_mean((scaled(x, box) - truth).square(), box).mean(dim=0)

    best = error(fitted.factor)
    for other in (fitted.factor + 0.01, fitted.factor - 0.01, torch.ones(2)):
        assert (error(other) > best).all()


def test_a_batch_is_scaled_and_fitted_as_its_graphs(grid, box):
    base = ig.bases.Callable(unchanged)
    graphs = [grid, box]
    x = [torch.randn(graph.num_nodes, 1, dtype=torch.float64) for graph in graphs]
    y = [torch.randn(graph.num_nodes, 1, dtype=torch.float64) for graph in graphs]
    batch = Batch.from_data_list([Graph.from_grid((16, 16), period=(1.0, 1.0)), box])
    apart = ig.bases.HighFrequencyScaled.fit(base, list(zip(x, y, graphs, strict=True)), cut=15.0)
    together = ig.bases.HighFrequencyScaled.fit(base, [(torch.cat(x), torch.cat(y), batch)], cut=15.0)
    torch.testing.assert_close(together.factor, apart.factor, rtol=1e-5, atol=1e-6)
    single = torch.cat([apart(own, graph) for own, graph in zip(x, graphs, strict=True)])
    torch.testing.assert_close(apart(torch.cat(x), batch), single)


def test_units_come_and_go(box):
    """A base that doubles standardised values maps mean_x + std_x u to mean + 2 std u."""
    base = ig.bases.Standardised(
        ig.bases.Callable(lambda x, graph: 2 * x),
        input_mean=torch.tensor([3.0, -1.0]),
        input_std=torch.tensor([0.5, 4.0]),
        mean=torch.tensor([10.0, 20.0]),
        std=torch.tensor([1.0, 7.0]),
    )
    u = torch.randn(3, 150, 2, dtype=torch.float64)
    x = u * torch.tensor([0.5, 4.0]) + torch.tensor([3.0, -1.0])
    torch.testing.assert_close(base(x, box), torch.tensor([10.0, 20.0]) + u * torch.tensor([2.0, 14.0]))


def test_wrapped_bases_are_saved_and_loaded(tmp_path, box):
    inner = ig.bases.RIGNO(2, 2, architecture=Architecture(processor_steps=1, node_hidden=8, edge_hidden=8))
    one = torch.tensor([1.5, 2.5])
    units = ig.bases.Standardised(inner, input_mean=one, input_std=one, mean=-one, std=2 * one)
    base = ig.bases.HighFrequencyScaled(units, torch.tensor([1.3, 0.7]), cut=11.0, order=20)
    model = ig.IRNO(base, ig.correctors.MessagePassing(2, 2, hidden=4, layers=1), steps=1)
    again = ig.load(ig.save(model, tmp_path / "model.safetensors"))
    x = torch.randn(2, 150, 2)
    assert torch.equal(again(x, box).value, model(x, box).value)
    assert again.base.config() == base.config()
    unknown = ig.bases.Standardised(nn.Identity(), input_mean=one, input_std=one, mean=one, std=one)
    with pytest.raises(ValueError, match="Identity"):
        ig.save(unknown, tmp_path / "unknown.safetensors")


def test_wrong_numbers_are_refused():
    base, one = ig.bases.Callable(unchanged), torch.ones(2)
    with pytest.raises(ValueError, match=r"`input_std` should be 2 positive.*\[1\.0, 0\.0\]"):
        ig.bases.Standardised(base, input_mean=one, input_std=torch.tensor([1.0, 0.0]), mean=one, std=one)
    with pytest.raises(ValueError, match=r"`std` should be 2 positive"):
        ig.bases.Standardised(base, input_mean=one, input_std=one, mean=one, std=torch.ones(3))
    with pytest.raises(ValueError, match=r"\[channels\], got \[\]"):
        ig.bases.HighFrequencyScaled(base, torch.tensor(1.0), cut=1.0)
    with pytest.raises(ValueError, match="positive frequency, got 0"):
        ig.bases.HighFrequencyScaled(base, one, cut=0.0)
    with pytest.raises(ValueError, match="got none"):
        ig.bases.HighFrequencyScaled.fit(base, [], cut=1.0)
