import numpy as np
import pytest
import torch

from irno_graph.graph import Graph, interpolate
from irno_graph.mesh import periodic_box


def test_linear_functions_are_exact_and_nodes_keep_their_values():
    generator = np.random.default_rng(0)
    graph = Graph.from_points(generator.uniform(size=(200, 2)))
    field = (1.0 + graph.pos @ torch.tensor([[2.0, 0.5], [-1.0, 3.0]], dtype=torch.float64)).expand(3, 200, 2)
    inside = torch.from_numpy(generator.uniform(0.2, 0.8, (50, 2)))
    expected = 1.0 + inside @ torch.tensor([[2.0, 0.5], [-1.0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(interpolate(field, graph, inside), expected.expand(3, 50, 2))
    torch.testing.assert_close(interpolate(field, graph, graph.pos), field)


def test_periodic_functions_converge_at_second_order_across_the_seam():
    generator = np.random.default_rng(1)
    places = torch.from_numpy(generator.uniform(-1.0, 2.0, (400, 2)))
    places[:100] = torch.remainder(0.02 * places[:100], 1.0)  # around the corner that all four images share

    def wave(at):
        return torch.sin(2 * torch.pi * at[:, :1]) * torch.cos(2 * torch.pi * at[:, 1:])

    errors = []
    for nodes in (256, 1024, 4096):
        graph = Graph.from_mesh(periodic_box(nodes, seed=2))
        error = interpolate(wave(graph.pos), graph, places) - wave(places)
        errors.append(float(error.square().mean().sqrt()))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (orders > 1.8).all(), (errors, orders)


def test_outside_of_the_hull_the_nearest_node_counts():
    graph = Graph.from_points(np.random.default_rng(3).uniform(size=(60, 2)))
    far = torch.tensor([[9.0, 9.0], [-5.0, 0.5]], dtype=torch.float64)
    nearest = torch.cdist(far, graph.pos).argmin(dim=1)
    field = torch.randn(60, 2)
    torch.testing.assert_close(interpolate(field, graph, far), field[nearest])


def test_gradients_flow_to_the_field():
    graph = Graph.from_mesh(periodic_box(64, seed=4))
    field = torch.randn(64, 1, requires_grad=True)
    interpolate(field, graph, torch.rand(30, 2)).sum().backward()
    assert field.grad is not None
    assert float(field.grad.sum()) == pytest.approx(30, rel=1e-5)


def test_bad_points_are_refused():
    graph = Graph.from_mesh(periodic_box(64, seed=4))
    with pytest.raises(ValueError, match=r"\[points, 2\], got \[5, 3\]"):
        interpolate(torch.randn(64, 1), graph, torch.rand(5, 3))
    with pytest.raises(ValueError, match="finite"):
        interpolate(torch.randn(64, 1), graph, torch.full((5, 2), torch.nan))
    with pytest.raises(ValueError, match="nodes=64"):
        interpolate(torch.randn(63, 1), graph, torch.rand(5, 2))
