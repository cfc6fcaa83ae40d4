"""Operators on grids as bases: an exact derivative by the FFT, on the grid and carried to meshes."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from irno_graph.bases import Callable, GridBase, OnGrid
from irno_graph.graph import Graph, Transfer
from irno_graph.mesh import periodic_box
from irno_graph.refine import IRNO

BOX = (1.0, 0.7, 1.5)


class Derivative(nn.Module):
    """d / dx by the FFT of `[batch, channels, *grid]`, the last axis along x; times the lead time where one comes."""

    def __init__(self, length=BOX[0]):
        super().__init__()
        self.length = length

    def forward(self, values, lead_time=None):
        count = values.shape[-1]
        k = 2 * torch.pi * torch.fft.fftfreq(count, self.length / count, dtype=torch.float64)
        found = torch.fft.ifft(1j * k * torch.fft.fft(values.double())).real.to(values.dtype)
        if lead_time is None:
            return found
        assert lead_time.shape == (len(values),)
        return found * lead_time.view(-1, *[1] * (values.ndim - 1))


def waves(at):
    phase = 2 * torch.pi * (at / torch.tensor(BOX[: at.shape[1]], dtype=at.dtype)).cumsum(dim=1)
    return torch.sin(phase)  # [nodes, dim] channels


def slopes(at):
    phase = 2 * torch.pi * (at / torch.tensor(BOX[: at.shape[1]], dtype=at.dtype)).cumsum(dim=1)
    return 2 * torch.pi / BOX[0] * torch.cos(phase)


def box(nodes, seed=0):
    return Graph.from_mesh(periodic_box(nodes, seed=seed, extent=BOX[:2], relaxation_sweeps=3))


@pytest.mark.parametrize("options", [{}, {"order": "hilbert"}, {"centred": True, "order": "cuthill_mckee"}])
@pytest.mark.parametrize("shape", [(9,), (6, 9), (7, 6, 9)])
def test_the_axes_of_a_grid_are_those_of_its_points(shape, options):
    graph = Graph.from_grid(shape, period=BOX[: len(shape)], **options)
    base = GridBase(Derivative(), graph)
    got = base(waves(graph.pos), graph)
    torch.testing.assert_close(got, slopes(graph.pos), rtol=0, atol=1e-11)
    scale = torch.randn(2, 3, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(
        base(scale * waves(graph.pos), graph), scale * slopes(graph.pos), rtol=0, atol=1e-10
    )


def test_a_batch_of_grids_is_each_of_them_and_times_go_along():
    graphs = [Graph.from_grid((6, 9), period=BOX[:2]) for _ in range(2)]
    permuted = [
        Graph.from_grid((6, 9), period=BOX[:2], order="hilbert"),
        Graph.from_grid((6, 9), period=BOX[:2], order="cuthill_mckee"),
    ]
    base = GridBase(Derivative(), graphs[0])
    for members in (graphs, permuted):
        batch = Batch.from_data_list(members)
        x = torch.randn(4, 108, 2, dtype=torch.float64)
        times = torch.rand(4, 2, dtype=torch.float64)
        got = base(x, batch, lead_time=times)
        for place, (graph, own) in enumerate(zip(members, x.split(54, dim=-2), strict=True)):
            alone = base(own, graph, lead_time=times[:, place])
            torch.testing.assert_close(got[:, 54 * place : 54 * (place + 1)], alone)
            torch.testing.assert_close(alone, base(own, graph) * times[:, place, None, None])
    x = torch.randn(54, 2, dtype=torch.float64)
    torch.testing.assert_close(base(x, graphs[0], time=7.0, lead_time=2.0), 2 * base(x, graphs[0]))


def test_it_is_the_base_of_a_refinement_and_has_gradients():
    graph = Graph.from_grid((6, 9), period=BOX[:2], order="hilbert")
    base = GridBase(nn.Conv2d(2, 1, 3, padding=1, padding_mode="circular").double(), graph)
    x = torch.randn(2, 54, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda own: base(own, graph), x)
    model = IRNO(base, Callable(lambda x, graph: x), steps=1)
    torch.testing.assert_close(model(x.detach(), graph, steps=0).value, base(x, graph).detach())


@pytest.mark.parametrize("conservative", [False, True])
def test_on_a_mesh_a_derivative_loses_one_order(conservative):
    errors = []
    for side in (12, 24, 48):
        grid, mesh = Graph.from_grid((side, side), period=BOX[:2]), box(side**2, seed=side)
        base = OnGrid(GridBase(Derivative(), grid), grid, order=3, conservative=conservative)
        got = base(torch.stack([waves(mesh.pos)] * 2), mesh)
        errors.append((got - slopes(mesh.pos)).square().mean().sqrt().item())
    assert (-np.diff(np.log2(errors)) > 1.0).all(), errors


def test_smooth_operators_on_a_mesh_converge_at_second_order():
    errors = []
    for side in (12, 24, 48):
        grid, mesh = Graph.from_grid((side, side), period=BOX[:2]), box(side**2, seed=side)
        base = OnGrid(GridBase(nn.Identity(), grid), grid)
        errors.append((base(waves(mesh.pos), mesh) - waves(mesh.pos)).square().mean().sqrt().item())
    assert (-np.diff(np.log2(errors)) > 1.8).all(), errors


def test_a_conservative_identity_keeps_the_sum():
    grid, mesh = Graph.from_grid((11, 13), period=BOX[:2]), box(150)
    x = torch.randn(3, 150, 2, dtype=torch.float64)
    kept = {}
    for conservative in (False, True):
        got = OnGrid(GridBase(nn.Identity(), grid), grid, order=3, conservative=conservative)(x, mesh)
        kept[conservative] = ((got - x) * mesh.mass[:, None]).sum(dim=-2).abs().max().item()
    assert kept[True] < 1e-12
    assert kept[False] > 1e-5


def test_on_the_grid_itself_nothing_is_interpolated():
    grid = Graph.from_grid((6, 9), period=BOX[:2])
    base, permuted = GridBase(Derivative(), grid), Graph.from_grid((6, 9), period=BOX[:2], order="hilbert")
    x = torch.randn(2, 54, 3, dtype=torch.float64)
    for graph in (grid, permuted):
        assert torch.equal(OnGrid(base, grid)(x, graph, lead_time=0.5), base(x, graph, lead_time=0.5))


def test_a_batch_of_meshes_is_each_of_them():
    grid, meshes = Graph.from_grid((8, 9), period=BOX[:2]), [box(60), box(81, seed=1)]
    base = OnGrid(GridBase(Derivative(), grid), grid, order=3, conservative=True)
    x, times = torch.randn(3, 141, 2, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    got = base(x, Batch.from_data_list(meshes), lead_time=times).split([60, 81], dim=-2)
    for place, (mesh, own) in enumerate(zip(meshes, x.split([60, 81], dim=-2), strict=True)):
        torch.testing.assert_close(got[place], base(own, mesh, lead_time=times[:, place]))
    torch.testing.assert_close(base(x[0, :60], meshes[0]), base(x[:1, :60], meshes[0])[0])


def test_maps_are_made_once_and_go_with_their_mesh(monkeypatch):
    made = []
    between = Transfer.between

    def counted(*graphs, **options):
        made.append(graphs)
        return between(*graphs, **options)

    monkeypatch.setattr(Transfer, "between", counted)
    grid, mesh = Graph.from_grid((8, 9), period=BOX[:2]), box(60)
    base = OnGrid(GridBase(nn.Identity(), grid), grid)
    for _ in range(3):
        base(torch.randn(60, 1), mesh)
    assert len(made) == 2
    made.clear()
    gone = weakref.ref(mesh)
    del mesh
    gc.collect()
    assert gone() is None


def test_what_does_not_fit_is_refused():
    grid = Graph.from_grid((6, 9), period=BOX[:2])
    base = GridBase(Derivative(), grid)
    others = [
        Graph.from_grid((9, 6), period=BOX[:2]),
        Graph.from_grid((6, 9), extent=BOX[:2]),
        Graph.from_grid((6, 9), period=(2.0, 0.7)),
        Graph.from_grid((6, 9), period=BOX[:2], centred=True),
        box(54),
    ]
    for other in others:
        with pytest.raises(ValueError, match="should be the grid of this base"):
            base(torch.zeros(54, 1), other)
    with pytest.raises(ValueError, match=r"should return \[1, channels, 6, 9\], got \[1, 1, 4, 7\]"):
        GridBase(nn.Conv2d(1, 1, 3), grid)(torch.zeros(54, 1), grid)
    with pytest.raises(ValueError, match="nodes=54"):
        base(torch.zeros(53, 1), grid)
    with pytest.raises(ValueError, match="should be a grid"):
        GridBase(Derivative(), box(54))
    with pytest.raises(ValueError, match="1 or 3, got 2"):
        OnGrid(base, grid, order=2)
