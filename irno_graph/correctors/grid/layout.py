"""Where the nodes of a graph lie on a regular grid, read off their positions, or on a grid of the sphere."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from irno_graph.graph import Graph, graph_list
from irno_graph.graph.cache import per_graph

UNEVEN = 1e-3  # by how much spacings may differ, as files in single precision have them


class Grids(NamedTuple):
    """Grids of one shape: those of a batch that have it, or the one of a single graph.

    Attributes:
        shape: points along each axis, the slowest first: (ny, nx) in the plane, (nlat, nlon) on the sphere.
        periodic: whether each of these axes is periodic.
        members: the numbers of the graphs in the batch `[grids]`.
        nodes: the node at each point `[grids * points]`, one grid after the other.
    """

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    members: Tensor
    nodes: Tensor


class Layout(NamedTuple):
    """The grids of a graph or a batch, by shape.

    Attributes:
        parts: the grids, those of one shape together.
        rows: the place of each node among the points of all parts `[nodes]`; None where the order is the same.
    """

    parts: tuple[Grids, ...]
    rows: Tensor | None

    def to_grids(self, field: Tensor) -> list[Tensor]:
        """A field `[samples, nodes, channels]` as `[samples, grids, channels, *shape]`, for each part."""
        return [
            (field if self.rows is None else field[:, part.nodes])
            .unflatten(1, (len(part.members), *part.shape))
            .movedim(-1, 2)
            for part in self.parts
        ]

    def to_nodes(self, grids: list[Tensor]) -> Tensor:
        """Undoes `to_grids`."""
        flat = [grid.movedim(2, -1).flatten(1, -2) for grid in grids]  # [samples, grids * points, channels]
        field = flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)
        return field if self.rows is None else field[:, self.rows]


@per_graph
def layout_of(graph: Graph) -> Layout:
    """The layout of a graph, or of a batch of graphs, whose nodes are the points of regular grids in any order.

    Grids are recognised by the positions of their points, whoever made the graph and however it numbers its nodes:
    node iy * nx + ix of `Graph.from_grid((ny, nx))` lies at (x_ix, y_iy). A graph of `Graph.from_sphere` is a plane of
    latitudes and longitudes, periodic along the longitudes alone, whose nodes keep their order: those at a pole lie at
    one place.

    Raises:
        ValueError: if a graph is not a regular grid, a period is not that of its grid, or nodes of a sphere were
            renumbered.
    """
    found: dict[tuple[tuple[int, ...], tuple[bool, ...]], list[tuple[int, Tensor]]] = {}
    first = 0
    for number, member in enumerate(graph_list(graph)):
        shape, periodic, nodes = _sphere(member) if member.sphere_shape else _grid(member)
        found.setdefault((shape, periodic), []).append((number, first + nodes))
        first += len(nodes)
    parts = tuple(
        Grids(
            *kind,
            torch.tensor([number for number, _ in members], device=graph.pos.device),
            torch.cat([nodes for _, nodes in members]),
        )
        for kind, members in found.items()
    )
    places = torch.cat([part.nodes for part in parts])  # [nodes]
    own = torch.arange(first, device=places.device)
    in_order = len(parts) == 1 and torch.equal(places, own)
    return Layout(parts, None if in_order else torch.empty_like(places).scatter_(0, places, own))


def _sphere(graph: Graph) -> tuple[tuple[int, ...], tuple[bool, ...], Tensor]:
    """Likewise of latitudes and longitudes, which nodes of all but the poles show by equal chords along a parallel."""
    nlat, nlon = map(int, graph.sphere_shape)
    nodes = len(graph.pos)
    even = nodes == nlat * nlon
    if even:
        points = graph.pos.double().unflatten(0, (nlat, nlon))
        chords = torch.stack([(points.roll(-1, dims=axis) - points).norm(dim=-1) for axis in (0, 1)])
        even = float((chords - chords.mean(dim=-1, keepdim=True)).abs().max()) <= UNEVEN * 2 * torch.pi / nlon
    if not even:
        raise ValueError(
            f"`graph` should have node i_lat * {nlon} + i_lon at each of {nlat} x {nlon} latitudes and longitudes, got "
            f"{nodes} nodes in another order: keep that of `Graph.from_sphere`."
        )
    return (nlat, nlon), (False, True), torch.arange(nodes, device=graph.pos.device)


def _grid(graph: Graph) -> tuple[tuple[int, ...], tuple[bool, ...], Tensor]:
    """Shape, periodic axes and the node at each point of one grid, the slowest axis first."""
    period = graph.period or (None,) * graph.dim
    axes = [_axis(graph.pos[:, axis], period[axis]) for axis in range(graph.dim)][::-1]  # x is the fastest
    shape = tuple(count for count, _ in axes)
    nodes = len(graph.pos)
    if min(shape) < 2 or prod(shape) != nodes:
        raise ValueError(
            f"`graph` should be a regular grid for this corrector, got {nodes} nodes at "
            f"{' x '.join(map(str, shape))} coordinates: make it with `Graph.from_grid` or `Graph.from_sphere`, carry "
            "fields to one with `Transfer`, or use a corrector by message passing."
        )
    place = torch.zeros(nodes, dtype=torch.long, device=graph.pos.device)
    for count, index in axes:
        place = place * count + index
    order = place.argsort()
    if not torch.equal(place[order], torch.arange(nodes, device=place.device)):
        raise ValueError("`graph` should be a regular grid, got points without a node: fill the holes.")
    return shape, tuple(length is not None for length in reversed(period)), order


def _axis(coordinate: Tensor, length: float | None) -> tuple[int, Tensor]:
    """How many different coordinates there are, and the number of that of each node."""
    ordered, order = coordinate.double().sort()
    extent, gaps = float(ordered[-1] - ordered[0]), ordered.diff()
    steps = gaps > 0.5 * extent / len(ordered)  # a grid has fewer points along an axis than nodes
    count = int(steps.sum()) + 1
    spacing = extent / max(count - 1, 1)
    if count > 1 and float((gaps[steps] - spacing).abs().max()) > UNEVEN * spacing:
        raise ValueError(
            "`graph` should be a regular grid for this corrector, got spacings from "
            f"{float(gaps[steps].min()):.3g} to {float(gaps[steps].max()):.3g}: make it with `Graph.from_grid` or "
            "`Graph.from_sphere`, carry fields to one with `Transfer`, or use a corrector by message passing."
        )
    if count > 1 and length is not None and abs(count * spacing - length) > UNEVEN * spacing:
        raise ValueError(
            f"a period should be points times spacing of its axis, {count} * {spacing:.3g}, got {length}: "
            "leave out the points that repeat the first ones."
        )
    index = torch.empty_like(order)
    index[order] = torch.cat([steps.new_zeros(1), steps]).cumsum(0)
    return count, index
