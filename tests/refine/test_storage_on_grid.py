"""Bases on grids carried to meshes, saved and loaded; around a module of the user's own they are refused."""

from typing import Any

import pytest
import torch
from torch import nn

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.graph.grid_fields import grid_of
from irno_graph.mesh import periodic_box

GRIDS: dict[str, dict[str, Any]] = {
    "corners": {"extent": (1.0, 0.7)},
    "centres": {"extent": (1.0, 0.7), "centred": True},
    "periodic": {"period": (1.0, 0.7)},
    "periodic centres": {"period": (1.0, 0.7), "centred": True},
    "a channel": {"extent": (1.0, 0.7), "period": (1.0, None), "centred": True},
}


def closed(grid: ig.Graph) -> bool:
    return grid.period is not None and all(grid.period)


def inner(grid: ig.Graph) -> nn.Module:
    torch.manual_seed(0)
    architecture = Architecture(processor_steps=1, node_hidden=8, edge_hidden=8)
    base = ig.bases.RIGNO(3, 2, architecture=architecture, periodic=closed(grid))
    one = torch.rand(3) + 0.5
    return ig.bases.Standardised(base, input_mean=one, input_std=one, mean=one[:2], std=one[1:])


def mesh_of(grid: ig.Graph, shift: torch.Tensor) -> ig.Graph:
    """Within the grid's domain; a box where it is periodic."""
    if closed(grid):
        box = periodic_box(90, seed=1, extent=(1.0, 0.7))
        return ig.Graph.from_mesh(box)
    points = torch.rand(90, 2, generator=torch.Generator().manual_seed(1)).double()
    points = points * torch.tensor([1.0, 0.7]) + shift
    return ig.Graph.from_points(points.numpy(), method="delaunay")


@pytest.mark.parametrize(("order", "conservative"), [(1, False), (3, True)])
@pytest.mark.parametrize("name", GRIDS)
def test_a_base_on_a_grid_comes_back_with_its_grid(tmp_path, name, order, conservative):
    grid = ig.Graph.from_grid((7, 9), **GRIDS[name])
    base = ig.bases.OnGrid(inner(grid), grid, order=order, conservative=conservative)
    again = ig.load(ig.save(base, tmp_path / "base.safetensors"))
    assert again.config() == base.config()
    assert grid_of(again._grid).same(grid_of(grid))
    torch.testing.assert_close(again._grid.mass, grid.mass)
    mesh = mesh_of(grid, torch.zeros(2))
    x = torch.randn(2, mesh.num_nodes, 3)
    torch.testing.assert_close(again(x, mesh), base.eval()(x, mesh), rtol=1e-5, atol=1e-6)
    x = torch.randn(63, 3)
    torch.testing.assert_close(again(x, grid), base(x, grid), rtol=1e-5, atol=1e-6)


def test_a_grid_that_was_moved_comes_back_where_it_was(tmp_path):
    grid = ig.Graph.from_grid((7, 9), extent=(1.0, 0.7), centred=True)
    shift = torch.tensor([-3.0, 2.0], dtype=torch.float64)
    grid.pos = grid.pos + shift
    base = ig.bases.OnGrid(inner(grid), grid).eval()
    again = ig.load(ig.save(base, tmp_path / "base.safetensors"))
    torch.testing.assert_close(again._grid.pos, grid.pos)
    mesh = mesh_of(grid, shift)
    x = torch.randn(mesh.num_nodes, 3)
    torch.testing.assert_close(again(x, mesh), base(x, mesh), rtol=1e-5, atol=1e-6)


def test_it_is_saved_as_the_base_of_a_refinement(tmp_path):
    grid = ig.Graph.from_grid((7, 9), extent=(1.0, 0.7))
    corrector = ig.correctors.MessagePassing(3, 2, hidden=8)
    model = ig.IRNO(ig.bases.OnGrid(inner(grid), grid), corrector, alpha=0.3, steps=2)
    again = ig.load(ig.save(model, tmp_path / "model.safetensors"))
    mesh = mesh_of(grid, torch.zeros(2))
    x = torch.randn(mesh.num_nodes, 3)
    torch.testing.assert_close(again(x, mesh).value, model(x, mesh).value, rtol=1e-5, atol=1e-6)


def test_around_a_module_of_ones_own_it_is_refused(tmp_path):
    grid = ig.Graph.from_grid((7, 9))
    own = ig.bases.GridBase(nn.Conv2d(2, 2, 3, padding=1), grid)
    sphere = ig.bases.SphereBase(nn.Identity(), ig.Graph.from_sphere(5, 8))
    for base, kind in ((own, "GridBase"), (ig.bases.OnGrid(own, grid), "GridBase"), (sphere, "SphereBase")):
        with pytest.raises(ValueError, match=f"got {kind}: save its weights"):
            ig.save(base, tmp_path / "no.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_renumbered_grid_is_refused(tmp_path):
    grid = ig.Graph.from_grid((7, 9), order="hilbert")
    with pytest.raises(ValueError, match=r"renumbered: make it by .Graph.from_grid. without .order."):
        ig.save(ig.bases.OnGrid(inner(grid), grid), tmp_path / "no.safetensors")
