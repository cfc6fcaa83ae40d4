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
    if isinstance(graph.get("static"), Tensor):
        new.static = graph.static[order]
    return new


def moved(graph: Graph, turn: Tensor, shift: Tensor) -> Graph:
    """The graph with its nodes at `turn` pos + `shift`, an orthogonal matrix `[dim, dim]` and a vector `[dim]`.

    Raises:
        ValueError: if the graph is periodic: its box would have to be turned, too.
    """
    boxes = graph.period if isinstance(graph.period, list) else [graph.period]
    if any(box is not None for box in boxes):
        raise ValueError(
            f"`graph` should not be periodic, got the period {graph.period}: take an open domain."
        )
    new, dim = graph.clone(), graph.dim
    turn, shift = turn.to(graph.pos), shift.to(graph.pos)
    new.pos, new.cell_vectors = graph.pos @ turn.T + shift, graph.cell_vectors @ turn.T
    new.edge_attr = torch.cat([graph.edge_attr[:, :dim] @ turn.T, graph.edge_attr[:, dim:]], dim=1)
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


def assert_rigid_invariant(
    function: Callable[..., Tensor],
    fields: Sequence[Tensor],
    graph: Graph,
    *,
    tolerance: float,
    seed: int = 0,
) -> None:
    """Assert function(fields, graph) = function(fields, R graph + s): for a rotation, a reflection, and a shift alone.

    Args:
        function: `(*fields, graph) -> [..., nodes, channels]`, of scalar fields, which a motion leaves as they are.
        fields: each `[..., nodes, channels]`.
        graph: a graph or a batch of graphs, not periodic.
        tolerance: on the largest difference over the largest value.
        seed: of the motions.

    Raises:
        AssertionError: with the motion and the difference found.
        ValueError: if the graph is periodic.
    """
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.standard_normal((graph.dim, graph.dim)))
    turn[0] *= np.linalg.det(turn)  # 1 or -1 before, 1 after
    mirror = np.diag([-1.0] + [1.0] * (graph.dim - 1)) @ turn
    extent = float(graph.pos.amax() - graph.pos.amin())
    shift = torch.from_numpy(extent * generator.standard_normal(graph.dim))
    expected = function(*fields, graph)
    for name, matrix in (("shift", np.eye(graph.dim)), ("rotation", turn), ("reflection", mirror)):
        got = function(*fields, moved(graph, torch.from_numpy(matrix), shift))
        difference = float(((got - expected).abs().max() / expected.abs().max()).detach())
        assert difference <= tolerance, f"a {name} changes the values by {difference:.2e} > {tolerance:.0e}"


def assert_converges(sizes: Sequence[float], errors: Sequence[float], order: float) -> None:
    """Assert that `errors` fall at least like size^order: the least-squares slope of their logarithms.

    >>> assert_converges([0.1, 0.05, 0.025], [1e-2, 2.5e-3, 6.25e-4], order=1.99)
    """
    slope = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    assert slope >= order, f"observed order {slope:.2f} is below {order}"
