"""Fields on the nodes of a grid graph as arrays over the grid, and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np
from torch import Tensor

from irno_graph.graph.cache import per_graph
from irno_graph.graph.graph import Graph
from irno_graph.mesh.mesh import Period

SAME = 1e-5  # of a spacing: positions that differ by less are the same


@dataclass(frozen=True)
class Grid:
    """Where the points of a grid graph lie.

    Attributes:
        shape: points per axis, the slowest first: (nx,), (ny, nx) or (nz, ny, nx).
        origin: the first point, x first.
        spacing: along x, y, z.
        period: box length per axis, x first, or None; None where no axis is periodic.
        centred: whether points are the centres of cells, so that the domain goes half a spacing beyond them.
    """

    shape: tuple[int, ...]
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    period: Period
    centred: bool

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Whether each axis closes, x first."""
        return tuple(length is not None for length in self.period or (None,) * len(self.shape))

    @property
    def extent(self) -> tuple[float, ...]:
        """Lengths of the domain, x first."""
        return tuple(
            step * (count if closed or self.centred else count - 1)
            for step, count, closed in zip(self.spacing, self.shape[::-1], self.periodic, strict=True)
        )

    def same(self, other: Grid) -> bool:
        """Whether the points are the same, up to 1e-5 spacings."""
        return (
            self.shape == other.shape
            and self.periodic == other.periodic
            and all(
                isclose(one, two, rel_tol=SAME) for one, two in zip(self.spacing, other.spacing, strict=True)
            )
            and all(
                abs(one - two) <= SAME * step
                for one, two, step in zip(self.origin, other.origin, self.spacing, strict=True)
            )
        )


@per_graph
def grid_of(graph: Graph) -> Grid:
    """The grid of a graph made by `Graph.from_grid`; moved or renumbered nodes are allowed.

    Raises:
        ValueError: if the graph is a batch or not such a graph, or its nodes no longer lie on a grid.
    """
    shape = single_shape(graph)
    dim = len(shape)
    places = graph.to_original(graph.pos).detach().cpu().double().numpy().reshape(*shape, dim)
    first = places[(0,) * dim]
    last = places[(-1,) * dim]
    spacing = (last - first) / (np.array(shape[::-1]) - 1)
    steps = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")[::-1], axis=-1)
    if (
        not (spacing > 0).all()
        or (np.abs(places - first - steps * spacing) > SAME * spacing * max(shape)).any()
    ):
        raise ValueError(
            f"`graph` should have its nodes on a grid of shape {shape}, got others: make it by `Graph.from_grid`."
        )
    corner = float(graph.to_original(graph.mass[:, None])[0, 0])
    return Grid(
        shape,
        tuple(first.tolist()),
        tuple(spacing.tolist()),
        graph.period,
        corner > 0.75 * float(spacing.prod()) and not all(length for length in graph.period or (None,)),
    )


def single_shape(graph: Graph) -> tuple[int, ...]:
    """The shape of the grid of one graph, the slowest axis first.

    Raises:
        ValueError: if it is a batch, or was not made by `Graph.from_grid`.
    """
    shape: Any = getattr(graph, "grid_shape", None)
    if isinstance(shape, list):
        raise ValueError("`graph` should be a single graph, got a batch: take its graphs by `graph_list`.")
    if shape is None or int(np.prod(shape)) != graph.num_nodes:
        raise ValueError(
            f"`graph` should be a grid, got {graph.num_nodes} nodes with the shape {shape}: make it by "
            "`Graph.from_grid`, or carry the field to a grid by `Transfer`."
        )
    return shape


def common_shape(graph: Graph) -> tuple[int, ...]:
    """The shape of the grid of a graph, or the one that all grids of a batch have.

    Raises:
        ValueError: if a graph is no grid, or the shapes differ.
    """
    shapes = graph.grid_shape
    if not isinstance(shapes, list):
        return single_shape(graph)
    if len(set(shapes)) > 1 or shapes[0] is None or len(shapes) * int(np.prod(shapes[0])) != graph.num_nodes:
        raise ValueError(
            f"a batch should hold grids of one shape, got {sorted(set(map(str, shapes)))} with {graph.num_nodes} nodes "
            "in all: batch grids that are alike."
        )
    return shapes[0]


def to_grid(field: Tensor, graph: Graph) -> Tensor:
    """`field` `[..., nodes, channels]` as `[..., channels, *grid]`, axes as in (ny, nx).

    On a batch of grids of one shape `[..., graphs, channels, *grid]`. `to_nodes` undoes it.

    Raises:
        ValueError: if the graph was not made by `Graph.from_grid`, grids of a batch differ, or the field does not fit.

    >>> import torch
    >>> graph = Graph.from_grid((2, 3))
    >>> to_grid(torch.arange(6.0).view(6, 1), graph)
    tensor([[[0., 1., 2.],
             [3., 4., 5.]]])
    """
    shape = common_shape(graph)
    if field.ndim < 2 or field.shape[-2] != graph.num_nodes:
        raise ValueError(
            f"`field` should have shape [..., nodes={graph.num_nodes}, channels], got {list(field.shape)}: "
            "reorder or rebuild the graph."
        )
    graphs = (len(graph.grid_shape),) if isinstance(graph.grid_shape, list) else ()
    values = graph.to_original(field).unflatten(-2, (*graphs, *shape))  # [..., *grid, channels]
    return values.movedim(-1, -1 - len(shape))


def to_nodes(values: Tensor, graph: Graph) -> Tensor:
    """`values` `[..., channels, *grid]`, on a batch `[..., graphs, channels, *grid]`, as `[..., nodes, channels]`.

    Raises:
        ValueError: if the graph was not made by `Graph.from_grid`, grids of a batch differ, or the values do not fit.
    """
    shape = common_shape(graph)
    dim = len(shape)
    graphs = (len(graph.grid_shape),) if isinstance(graph.grid_shape, list) else ()
    fits = values.ndim > dim + len(graphs) and tuple(values.shape[-dim:]) == shape
    if not fits or (graphs and values.shape[-2 - dim] != graphs[0]):
        wanted = ", ".join(["...", *(f"graphs={n}" for n in graphs), "channels", *map(str, shape)])
        raise ValueError(f"`values` should have shape [{wanted}], got {list(values.shape)}.")
    field = values.movedim(-1 - dim, -1).flatten(-1 - dim - len(graphs), -2)  # [..., nodes, channels]
    return graph.from_original(field)
