"""Nodal gradients: exact for linear functions, convergent for smooth ones, linear and batched."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph, divergence, gradient, vorticity
from irno_graph.mesh import Mesh, periodic_box

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def wave(pos):
    """sin(2 pi x) cos(2 pi y) and its gradient."""
    x, y = (2 * np.pi * pos).unbind(-1)
    slopes = torch.stack([x.cos() * y.cos(), -x.sin() * y.sin()], dim=-1)
    return (x.sin() * y.cos())[:, None], 2 * np.pi * slopes


def error(graph):
    field, slopes = wave(graph.pos)
    off = gradient(field, graph)[:, 0] - slopes
    return float((graph.mass @ (off**2).sum(-1) / (graph.mass @ (slopes**2).sum(-1))).sqrt())


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_the_gradient_of_a_linear_function_is_exact(dtype):
    points = np.random.default_rng(0).random((60, 2))
    graph = Graph.from_points(points)
    slopes = torch.tensor([[2.0, -3.0], [0.5, 1.0]], dtype=dtype)
    field = (graph.pos.to(dtype) @ slopes.T + 7).expand(4, 3, -1, -1)
    result = gradient(field, graph)
    assert result.shape == (4, 3, 60, 2, 2)
    assert result.dtype == dtype
    assert (result - slopes).abs().max() < 100 * TOLERANCE[dtype]


def test_second_order_on_regular_periodic_grids():
    errors = [error(Graph.from_grid((n, n), period=(1.0, 1.0))) for n in (16, 32, 64)]
    orders = -np.diff(np.log2(errors))
    assert orders.min() > 1.9


def test_at_least_first_order_on_irregular_periodic_meshes():
    errors = [error(Graph.from_mesh(periodic_box(n * n, seed=0))) for n in (10, 20, 40)]
    assert errors[-1] < 0.02
    assert np.log2(errors[0] / errors[-1]) / 2 > 1.2


def test_vorticity_and_divergence_of_rotation_and_source():
    graph = Graph.from_points(np.random.default_rng(0).random((50, 2)))
    x, y = graph.pos.unbind(-1)
    rotation, source = torch.stack([-y, x], dim=-1), torch.stack([x, y], dim=-1)
    two, zero = torch.full_like(x, 2), torch.zeros_like(x)
    for field, turns, flows in ((rotation, two, zero), (source, zero, two)):
        assert torch.allclose(vorticity(field, graph), turns, atol=1e-11)
        assert torch.allclose(divergence(field, graph), flows, atol=1e-11)


def test_the_divergence_integrates_to_zero_on_the_torus():
    # sum of areas * cell gradients telescopes: the integral of a derivative over a closed surface is zero.
    graph = Graph.from_mesh(periodic_box(64, seed=0))
    velocity = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 2)))
    assert abs(float(3 * graph.mass @ divergence(velocity, graph))) < 1e-12


def test_a_batch_has_the_gradients_of_its_graphs():
    graphs = [Graph.from_mesh(periodic_box(30, seed=0)), Graph.from_grid((4, 5), extent=(1.0, 2.0))]
    fields = [
        torch.from_numpy(np.random.default_rng(k).random((2, g.num_nodes, 3))) for k, g in enumerate(graphs)
    ]
    together = gradient(torch.cat(fields, dim=1), Batch.from_data_list(graphs))
    apart = torch.cat([gradient(field, graph) for field, graph in zip(fields, graphs, strict=True)], dim=1)
    assert torch.allclose(together, apart, rtol=1e-13, atol=1e-13)


def test_the_gradient_is_differentiable():
    graph = Graph.from_mesh(periodic_box(20, seed=0))
    field = torch.from_numpy(np.random.default_rng(0).random((20, 1))).requires_grad_()
    assert torch.autograd.gradcheck(lambda field: gradient(field, graph), field)


def test_fields_and_graphs_that_do_not_fit_are_refused():
    graph = Graph.from_grid((3, 3))
    with pytest.raises(ValueError, match="nodes=9"):
        gradient(torch.zeros(8, 1), graph)
    with pytest.raises(ValueError, match="velocity"):
        vorticity(torch.zeros(9, 3), graph)
    sheet = Graph.from_mesh(Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 1.0]], [("triangle", [[0, 1, 2]])]))
    with pytest.raises(ValueError, match="3 dimensions"):
        divergence(torch.zeros(3, 2), sheet)
