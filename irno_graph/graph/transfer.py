"""Fields from the nodes of one graph to those of another: meshes to grids and back.

>>> import torch
>>> from irno_graph.mesh import periodic_box
>>> mesh = Graph.from_mesh(periodic_box(256, seed=0))
>>> grid = Graph.from_grid((32, 32), period=(1.0, 1.0))
>>> to_grid_nodes = Transfer.between(mesh, grid, conservative=True)
>>> wave = torch.sin(2 * torch.pi * mesh.pos[:, :1])
>>> bool((to_grid_nodes(wave) - torch.sin(2 * torch.pi * grid.pos[:, :1])).abs().max() < 0.05)
True
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from irno_graph.graph.cache import per_graph
from irno_graph.graph.graph import Graph
from irno_graph.graph.grid_fields import Grid, grid_of
from irno_graph.graph.locate import located
from irno_graph.graph.pyg import Batch


class Transfer:
    """A linear map from fields on one graph to fields on another: each value is a weighted sum of a few.

    Make one with `between`. It is differentiable in the field, on any device, in the field's type
    (float32 within for shorter types).

    Attributes:
        index: source nodes of each target node `[targets, terms]`.
        weight: their weights `[targets, terms]`, float64; each row has the sum 1.
        sources: number of source nodes.
        masses: of source `[sources]` and target `[targets]` nodes where the map is conservative, else None.
    """

    def __init__(
        self, index: Tensor, weight: Tensor, sources: int, masses: tuple[Tensor, Tensor] | None = None
    ) -> None:
        self.index, self.weight, self.sources, self.masses = index, weight, sources, masses
        self._ready: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}

    @classmethod
    def between(cls, source: Graph, target: Graph, *, order: int = 1, conservative: bool = False) -> Transfer:
        """The map from fields on `source` to fields on `target`, two graphs in the same coordinates.

        From a grid (`Graph.from_grid`): products of the polynomials of degree `order` through the nearest order + 1
        points of each axis, exact for polynomials of that degree along each axis; error of order `order` + 1. Beyond
        the domain the value of its boundary. From another graph: linear in the simplices of the mesh's cells, exact for
        linear functions, second order; outside of all cells the value of the nearest node (of hexahedra, wedges and
        pyramids, whose facets may be warped, from a quarter of a cell on). Both go across periods.

        With `conservative` sum_i mass_i field_i is kept: the same constant, the least correction in the norm of the
        masses, is added at every target node. Where both graphs cover the same domain, constants stay exact.

        Raises:
            ValueError: for a batch, other dimensions or periods, `order` other than 1 or (from a grid) 3, or too few
                points for it.
        """
        _check(source, target)
        places = target.pos.detach().cpu().double().numpy()
        if source.grid_shape is not None:
            number, weight = grid_weights(grid_of(source), places, order)
            own = torch.arange(len(source.pos), device=source.pos.device)[:, None]
            node = source.to_original(own)[:, 0].cpu().numpy()  # at each point of the grid
            index = node[number]
        elif order == 1:
            index, weight = located(source, places)
        else:
            raise ValueError(f"`order` should be 1 from a graph that is no grid, got {order}.")
        device = target.pos.device
        masses = (source.mass.double().to(device), target.mass.double()) if conservative else None
        sources = len(source.pos)
        return cls(torch.from_numpy(index).to(device), torch.from_numpy(weight).to(device), sources, masses)

    def __repr__(self) -> str:
        targets, terms = self.index.shape
        return f"Transfer({self.sources} -> {targets} nodes, {terms} terms, conservative={self.masses is not None})"

    def __call__(self, field: Tensor) -> Tensor:
        """`field` `[..., sources, channels]` at the target nodes, `[..., targets, channels]`.

        Raises:
            ValueError: if it does not have the nodes of the source.
        """
        if field.ndim < 2 or field.shape[-2] != self.sources or not field.is_floating_point():
            raise ValueError(
                f"`field` should be floating point of shape [..., nodes={self.sources}, channels], got {field.dtype} "
                f"{list(field.shape)}: pass a field on the source."
            )
        index, weight, *masses = self._on(field)
        wanted, field = field.dtype, field.to(weight.dtype)
        value = field.index_select(-2, index[0]) * weight[0]
        for place in range(1, len(index)):  # not all at once: memory for one term suffices
            value = value + field.index_select(-2, index[place]) * weight[place]
        if masses:
            own, other = masses
            missing = (own * field).sum(dim=-2, keepdim=True) - (other * value).sum(dim=-2, keepdim=True)
            value = value + missing / other.sum()
        return value.to(wanted)

    def _on(self, field: Tensor) -> list[Tensor]:
        """Indices `[terms, targets]`, weights `[terms, targets, 1]` and masses `[nodes, 1]` for a field."""
        key = field.device, torch.promote_types(field.dtype, torch.float32)
        if key not in self._ready:
            weights = [self.weight.T.unsqueeze(-1), *(mass.unsqueeze(-1) for mass in self.masses or ())]
            self._ready[key] = [
                self.index.T.contiguous().to(field.device),
                *(tensor.to(*key) for tensor in weights),
            ]
        return self._ready[key]


@dataclass(frozen=True, eq=False)
class Held:
    """A graph as a key: equal to itself alone."""

    graph: Graph


@per_graph
def there_and_back(graph: Graph, grid: Held, order: int, conservative: bool) -> tuple[Transfer, Transfer]:
    """The maps from `graph` to a grid (linear) and back (of `order`), kept as long as `graph` lives."""
    return (
        Transfer.between(graph, grid.graph, conservative=conservative),
        Transfer.between(grid.graph, graph, order=order, conservative=conservative),
    )


def grid_weights(grid: Grid, places: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of the grid `[places, (order + 1)^dim]` by number, and their weights at `places` `[places, dim]`.

    Raises:
        ValueError: for another order than 1 or 3, or too few points for it along an axis.
    """
    if order not in (1, 3):
        raise ValueError(f"`order` should be 1 or 3, got {order}.")
    counts = grid.shape[::-1]  # x first
    stencils = []
    for axis, count in enumerate(counts):
        at = (places[:, axis] - grid.origin[axis]) / grid.spacing[axis]
        stencils.append(_stencil(at, count, order, grid.periodic[axis], 0.5 if grid.centred else 0.0))
    numbers, weights = [], []
    for terms in product(range(order + 1), repeat=len(counts)):
        number, weight = np.zeros(len(places), dtype=np.int64), np.ones(len(places))
        for (index, own), term, count in reversed(list(zip(stencils, terms, counts, strict=True))):
            number = number * count + index[:, term]  # z slowest
            weight = weight * own[:, term]
        numbers.append(number)
        weights.append(weight)
    return np.stack(numbers, axis=1), np.stack(weights, axis=1)


def _stencil(
    at: np.ndarray, count: int, order: int, periodic: bool, rim: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points `[places, order + 1]` around `at`, in spacings from the first point, and Lagrange's weights there."""
    if not periodic:
        if count <= order:
            raise ValueError(f"`order` {order} needs {order + 1} points along every axis, got {count}.")
        at = np.clip(at, -rim, count - 1 + rim)
    first = np.floor(at).astype(np.int64) - (order - 1) // 2
    if not periodic:
        first = np.clip(first, 0, count - 1 - order)
    local = at - first
    steps = np.arange(order + 1)
    weight = np.stack(
        [
            np.prod([(local - other) / (step - other) for other in steps if other != step], axis=0)
            for step in steps
        ],
        axis=1,
    )
    return (first[:, None] + steps) % count, weight


def _check(source: Graph, target: Graph) -> None:
    if isinstance(source, Batch) or isinstance(target, Batch):
        raise ValueError(
            "`source` and `target` should be single graphs, got a batch: take them by `graph_list`."
        )
    if source.dim != target.dim:
        raise ValueError(
            f"`source` and `target` should have the same number of coordinates, got {source.dim} and {target.dim}."
        )
    for graph, name in ((source, "source"), (target, "target")):
        if not bool(torch.isfinite(graph.pos).all()):
            raise ValueError(f"`{name}` should have finite positions, got others: repair them.")
    ours, theirs = (graph.period or (None,) * graph.dim for graph in (source, target))
    if any(one and two and abs(one - two) > 1e-6 * one for one, two in zip(ours, theirs, strict=True)):
        raise ValueError(
            f"`source` and `target` should have the same period, got {source.period} and {target.period}: scale one "
            "to the box of the other."
        )
