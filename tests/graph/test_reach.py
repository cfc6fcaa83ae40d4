"""How far a V-cycle carries: two hops at the coarsest level and one at every other, down and up."""

import domains
import numpy as np
import pytest
from hierarchies import KINDS, hop, parts_of, sample, transfers

from irno_graph.graph import Graph
from irno_graph.graph.hierarchy import SMALLEST, hierarchy, levels_of


def felt(levels, hops):
    """Which nodes `[nodes, nodes]` a V-cycle carries each node's value to, multiplied out."""
    down, up = transfers(levels)
    across = np.linalg.matrix_power(hop(levels[-1]).toarray().astype(int), hops)
    return (up.T.astype(int) @ across @ down.astype(int)) > 0


@pytest.mark.parametrize("order", ["position", "intrinsic"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_v_cycle_carries_every_value_to_all_nodes_of_its_part(kind, order):
    graph = KINDS[kind]()
    _, part = parts_of(hierarchy(graph, 0)[0])
    assert np.array_equal(felt(hierarchy(graph, None, order=order), hops=2), part[:, None] == part)


def test_a_v_cycle_of_too_few_levels_does_not():
    """On a curve, 30 nodes at the coarsest level would need many hops."""
    graph = sample("helix.vtu")
    assert not felt(hierarchy(graph, levels_of(graph, 30)), hops=2).all()


@pytest.mark.parametrize("sides", [45, 447])  # 2 thousand and 200 thousand nodes
def test_a_v_cycle_carries_every_value_everywhere_on_large_meshes_too(sides):
    """All nodes with the same nodes reached at the coarsest level are one case: there are at most 2^3 of them."""
    levels = hierarchy(Graph.from_mesh(domains.square_of_triangles(sides)), None)
    assert levels[-1].nodes <= SMALLEST
    down, up = (np.unique(side, axis=1).astype(int) for side in transfers(levels))
    across = np.linalg.matrix_power(hop(levels[-1]).toarray().astype(int), 2)
    assert (up.T @ across @ down > 0).all()
