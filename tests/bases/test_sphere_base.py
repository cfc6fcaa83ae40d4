"""Models on latitudes and longitudes as bases: axes, exact heat flow, symmetries of the spherical Fourier operator."""

import sys

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.graph import Graph
from irno_graph.refine.storage import describe


class Turned(nn.Module):
    """The field one longitude further east, and the one mirrored at the equator."""

    def forward(self, field):
        return torch.cat([field.roll(1, dims=-1), field.flip(-2)], dim=1)


class Heat(nn.Module):
    """exp(t Laplacian) in spherical harmonics."""

    def __init__(self, shape, grid, time):
        super().__init__()
        harmonics = pytest.importorskip("torch_harmonics")
        count = min((shape[0] + 1) // 2, shape[1] // 2)
        self.forth = harmonics.RealSHT(*shape, lmax=count, mmax=count, grid=grid)
        self.back = harmonics.InverseRealSHT(*shape, lmax=count, mmax=count, grid=grid)
        degree = torch.arange(count, dtype=torch.float64)
        self.decay = (-time * degree * (degree + 1)).exp()

    def forward(self, field):
        return self.back(self.forth(field) * self.decay[:, None])


@pytest.mark.parametrize("grid", ["equiangular", "legendre-gauss", "lobatto"])
def test_rows_are_latitudes_from_the_north_and_columns_go_east(grid):
    """The positions themselves as fields: a roll turns them about the axis, a flip mirrors z."""
    graph = Graph.from_sphere(7, 12, grid=grid)
    base = ig.bases.SphereBase(Turned(), graph)
    out = base(graph.pos.expand(2, 3, -1, -1), graph)  # leading dimensions are samples
    assert out.shape == (2, 3, graph.num_nodes, 6)
    angle = torch.tensor(2 * torch.pi / 12, dtype=torch.float64)
    cosine, sine = angle.cos(), angle.sin()
    back = torch.stack([torch.stack([cosine, -sine]), torch.stack([sine, cosine])])
    torch.testing.assert_close(out[1, 2, :, :2], graph.pos[:, :2] @ back)
    torch.testing.assert_close(
        out[1, 2, :, 3:], graph.pos * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    )


def test_a_batch_of_spheres_is_each_of_them():
    graphs = [Graph.from_sphere(5, 8) for _ in range(3)]
    base = ig.bases.SphereBase(nn.Conv2d(2, 3, 3, padding=1).double(), graphs[0])
    batch = Batch.from_data_list(graphs)
    x = torch.randn(2, 4, 120, 2, dtype=torch.float64)
    alone = [base(own, graphs[0]) for own in x.split(40, dim=-2)]
    torch.testing.assert_close(base(x, batch), torch.cat(alone, dim=-2))
    torch.testing.assert_close(base(x[0, 0], batch), base(x, batch)[0, 0])
    with pytest.raises(ValueError, match=r"got \(5, 8\) of type 'lobatto'"):
        base(x, Batch.from_data_list([*graphs[:2], Graph.from_sphere(5, 8, grid="lobatto")]))
    with pytest.raises(ValueError, match=r"got \(5, 10\) of type"):
        base(x, Batch.from_data_list([*graphs[:2], Graph.from_sphere(5, 10)]))
    with pytest.raises(ValueError, match=r"nodes=120.*got \[80, 2\]"):
        base(x[0, 0, :80], batch)


@pytest.mark.extras
@pytest.mark.parametrize("grid", ["equiangular", "legendre-gauss", "lobatto"])
def test_heat_flow_of_polynomials_is_exact(grid):
    """x and z are of degree 1, xy and x^2 - y^2 of degree 2: they decay by exp(-2 t) and exp(-6 t), poles included."""
    pytest.importorskip("torch_harmonics")
    graph = Graph.from_sphere(11, 20, grid=grid)
    x, y, z = graph.pos.T
    fields = torch.stack([x, z, x * y, x * x - y * y], dim=-1)
    base = ig.bases.SphereBase(Heat((11, 20), grid, 0.3), graph)
    rate = torch.tensor([2.0, 2.0, 6.0, 6.0], dtype=torch.float64)
    torch.testing.assert_close(base(fields, graph), fields * (-0.3 * rate).exp(), rtol=0, atol=1e-13)


@pytest.mark.extras
def test_the_spherical_fourier_operator_commutes_with_turns_and_mirrors():
    pytest.importorskip("torch_harmonics")
    graph = Graph.from_sphere(13, 24)
    base = ig.bases.SFNO(2, 3, graph, hidden=6, layers=2)
    x = torch.randn(2, graph.num_nodes, 2)
    out = base(x, graph).unflatten(-2, (13, 24))
    on_grid = x.unflatten(-2, (13, 24))
    turned = base(on_grid.roll(5, dims=-2).flatten(-3, -2), graph).unflatten(-2, (13, 24))
    torch.testing.assert_close(turned, out.roll(5, dims=-2), rtol=1e-4, atol=1e-5)
    mirrored = base(on_grid.flip(-3).flatten(-3, -2), graph).unflatten(-2, (13, 24))
    torch.testing.assert_close(mirrored, out.flip(-3), rtol=1e-4, atol=1e-5)
    assert out.std() > 0.1


@pytest.mark.extras
def test_a_refined_spherical_operator_is_saved_and_loaded(tmp_path):
    pytest.importorskip("torch_harmonics")
    graph = Graph.from_sphere(9, 16, grid="legendre-gauss")
    base = ig.bases.SFNO(1, 1, graph, hidden=4, layers=1)
    corrector = ig.correctors.MessagePassing(1, 1, hidden=4, layers=1, dim=3)
    model = ig.IRNO(base, corrector, alpha=0.5, steps=2)
    path = ig.save(model, tmp_path / "sphere.safetensors")
    x = torch.randn(3, graph.num_nodes, 1)
    assert torch.equal(ig.load(path)(x, graph).value, model(x, graph).value)
    assert describe(path)["base"]["config"]["shape"] == [9, 16]


def test_other_graphs_and_modules_are_refused(box):
    graph = Graph.from_sphere(7, 12)
    base = ig.bases.SphereBase(Turned(), graph)
    with pytest.raises(ValueError, match="from_sphere"):
        ig.bases.SphereBase(Turned(), box)
    with pytest.raises(ValueError, match=r"\(7, 12\) of type 'equiangular', got \(7, 12\) of type 'lobatto'"):
        base(torch.zeros(84, 1), Graph.from_sphere(7, 12, grid="lobatto"))
    with pytest.raises(ValueError, match=r"nodes=84.*got \[80, 1\]"):
        base(torch.zeros(80, 1), graph)
    coarser = ig.bases.SphereBase(nn.AvgPool2d(2), graph)
    with pytest.raises(ValueError, match=r"\[batch, channels, 7, 12\], got \[1, 1, 3, 6\]"):
        coarser(torch.zeros(84, 1), graph)


def test_without_torch_harmonics_the_operator_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_harmonics", None)
    with pytest.raises(ImportError, match="sphere"):
        ig.bases.SFNO(1, 1, Graph.from_sphere(7, 12))
