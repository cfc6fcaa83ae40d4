from dataclasses import replace

import domains
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.testing import (
    assert_converges,
    assert_permutation_equivariant,
    assert_rigid_invariant,
    moved,
    renumbered,
)


def test_permutation_assertion_fails_where_the_order_matters():
    graph = Graph.from_grid((6, 6), period=(1.0, 1.0))
    field = torch.rand(36, 1)
    with pytest.raises(AssertionError, match="renumbering"):
        assert_permutation_equivariant(lambda u, _: u.cumsum(dim=-2), [field], graph, tolerance=1e-6)


def test_permutation_assertion_holds_for_a_function_of_the_node():
    graph = Graph.from_grid((6, 6), period=(1.0, 1.0))
    assert_permutation_equivariant(lambda u, _: u.square(), [torch.rand(36, 1)], graph, tolerance=0.0)


def test_features_of_the_nodes_are_renumbered_along():
    graph = Graph.from_grid((6, 6), period=(1.0, 1.0))
    graph.static = torch.arange(36.0)[:, None]
    order = torch.randperm(36)
    assert torch.equal(renumbered(graph, order).static[:, 0], order.float())


def open_graphs():
    square = Graph.from_mesh(domains.square_of_triangles(4))
    return {
        "interval": Graph.from_mesh(domains.interval(9)),
        "square": square,
        "cube": Graph.from_mesh(domains.cube_of_tetrahedra(2)),
        "sphere": Graph.from_mesh(domains.sphere(40)),
        "batch": Batch.from_data_list([square, Graph.from_mesh(domains.disk(2))]),
    }


def scalars(graph):
    return torch.rand(2, graph.num_nodes, 1, dtype=torch.float64)


def sum_of_edges(numbers):
    """A function (u, graph) that sums u_source numbers(graph) over the edges of each node."""

    def function(u, graph):
        source, target = graph.edge_index
        return torch.zeros_like(u).index_add(-2, target, u[..., source, :] * numbers(graph)[:, None])

    return function


@pytest.mark.parametrize("name", open_graphs())
def test_rigid_assertion_holds_for_lengths_and_fails_for_what_a_shift_or_a_turn_changes(name):
    graph = open_graphs()[name]
    u = scalars(graph)
    lengths = sum_of_edges(lambda graph: graph.edge_attr[:, -1])
    assert_rigid_invariant(lengths, [u], graph, tolerance=1e-12)
    with pytest.raises(AssertionError, match="a shift changes"):
        assert_rigid_invariant(lambda u, graph: u + graph.pos[:, :1], [u], graph, tolerance=1e-3)
    along = sum_of_edges(lambda graph: graph.edge_attr[:, 0])
    turning = "reflection" if graph.dim == 1 else "rotation"  # no line can be rotated
    with pytest.raises(AssertionError, match=f"a {turning} changes"):
        assert_rigid_invariant(along, [u], graph, tolerance=1e-3)


def test_rigid_assertion_fails_for_what_a_reflection_alone_changes():
    """The sense in which triangles go round."""
    graph = open_graphs()["square"]

    def sense(u, graph):
        ((_, _, vectors),) = graph.cells()
        return u * torch.linalg.det(vectors[:, 1:]).sum()

    with pytest.raises(AssertionError, match="a reflection changes"):
        assert_rigid_invariant(sense, [scalars(graph)], graph, tolerance=1e-3)


def test_a_moved_graph_is_that_of_the_moved_points():
    mesh = domains.cube_of_tetrahedra(2)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    shift = torch.randn(3, dtype=torch.float64)
    found = moved(Graph.from_mesh(mesh), turn, shift)
    wanted = Graph.from_mesh(replace(mesh, points=mesh.points @ turn.numpy().T + shift.numpy()))
    for name in ("pos", "edge_index", "edge_attr", "mass", "cell_index", "cell_vectors", "cell_kind"):
        torch.testing.assert_close(found[name], wanted[name])


def test_a_periodic_graph_is_not_moved():
    graph = Graph.from_grid((6, 6), period=(1.0, 1.0))
    with pytest.raises(ValueError, match="should not be periodic"):
        assert_rigid_invariant(lambda u, _: u, [torch.rand(36, 1)], graph, tolerance=0.0)


def test_order_assertion_fails_for_a_lower_order():
    with pytest.raises(AssertionError, match="observed order"):
        assert_converges([0.1, 0.05], [0.1, 0.05], order=1.5)
