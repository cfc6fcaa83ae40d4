import pytest
import torch

from irno_graph.graph import Graph
from irno_graph.testing import assert_converges, assert_permutation_equivariant


def test_permutation_assertion_fails_where_the_order_matters():
    graph = Graph.from_grid((6, 6), period=(1.0, 1.0))
    field = torch.rand(36, 1)
    with pytest.raises(AssertionError, match="renumbering"):
        assert_permutation_equivariant(lambda u, _: u.cumsum(dim=-2), [field], graph, tolerance=1e-6)


def test_permutation_assertion_holds_for_a_function_of_the_node():
    graph = Graph.from_grid((6, 6), period=(1.0, 1.0))
    assert_permutation_equivariant(lambda u, _: u.square(), [torch.rand(36, 1)], graph, tolerance=0.0)


def test_order_assertion_fails_for_a_lower_order():
    with pytest.raises(AssertionError, match="observed order"):
        assert_converges([0.1, 0.05], [0.1, 0.05], order=1.5)
