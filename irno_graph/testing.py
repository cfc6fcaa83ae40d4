"""Assertions that tests of your own bases and correctors can use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from irno_graph.graph import Graph


def renumbered(graph: Graph, order: Tensor) -> Graph:
    """The graph whose node i is node `order[i]` of `graph`; edges are sorted by their new targets."""
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order))
    source, target = position[graph.edge_index]
    sort = torch.argsort(target * len(order) + source)
    new = graph.clone()
    new.edge_index, new.edge_attr = torch.stack([source, target])[:, sort], graph.edge_attr[sort]
    new.pos, new.mass, new.cell_index = graph.pos[order], graph.mass[order], position[graph.cell_index]
    return new


def assert_permutation_equivariant(
    function: Callable[..., Tensor],
    fields: Sequence[Tensor],
    graph: Graph,
    *,
    tolerance: float,
    seed: int = 0,
) -> None:
    """Assert function(P fields, P graph) = P function(fields, graph) for a random renumbering P of the nodes.

    Args:
        function: `(*fields, graph) -> [..., nodes, channels]`.
        fields: each `[..., nodes, channels]`.
        graph: a graph with triangles.
        tolerance: on the largest difference over the largest value.
        seed: of the renumbering.

    Raises:
        AssertionError: with the difference found.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(graph.pos)))
    expected = function(*fields, graph)[..., order, :]
    got = function(*(field[..., order, :] for field in fields), renumbered(graph, order))
    difference = float(((got - expected).abs().max() / expected.abs().max()).detach())
    assert difference <= tolerance, (
        f"renumbering the nodes changes the values by {difference:.2e} > {tolerance:.0e}"
    )


def assert_converges(sizes: Sequence[float], errors: Sequence[float], order: float) -> None:
    """Assert that `errors` fall at least like size^order: the least-squares slope of their logarithms.

    >>> assert_converges([0.1, 0.05, 0.025], [1e-2, 2.5e-3, 6.25e-4], order=1.99)
    """
    slope = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    assert slope >= order, f"observed order {slope:.2f} is below {order}"
