"""Bases from operators on regular grids: on the grid itself, and carried to meshes.

>>> from irno_graph.mesh import periodic_box
>>> grid = Graph.from_grid((32, 32), period=(1.0, 1.0))
>>> operator = torch.nn.Conv2d(3, 2, 5, padding=2, padding_mode="circular")  # an FNO, a U-Net, ...
>>> base = GridBase(operator, grid)
>>> base(torch.randn(4, 1024, 3), grid).shape
torch.Size([4, 1024, 2])
>>> mesh = Graph.from_mesh(periodic_box(500, seed=0))
>>> OnGrid(base, grid, order=3)(torch.randn(4, 500, 3), mesh).shape
torch.Size([4, 500, 2])
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.bases.callable import ask
from irno_graph.graph import Graph, graph_list
from irno_graph.graph.grid_fields import grid_of, to_grid, to_nodes
from irno_graph.graph.resolution import described, rebuilt
from irno_graph.graph.transfer import Held, there_and_back
from irno_graph.nn.fields import check_field, per_graph_of_sample


class GridBase(nn.Module):
    """A base from a module `[batch, in_channels, *grid] -> [batch, channels, *grid]`, axes as in (ny, nx).

    Leading dimensions of x, and the grids of a batch, become one batch. Where the module's `forward` has arguments
    named `time` or `lead_time`, it gets them as `[batch]`, or None.

    Args:
        model: the module; in physical units, as every base.
        graph: the grid that it is for, made by `Graph.from_grid`.

    Raises:
        ValueError: if `graph` is not a grid.
    """

    def __init__(self, model: nn.Module, graph: Graph) -> None:
        super().__init__()
        self.model, self.grid = model, grid_of(graph)

    def extra_repr(self) -> str:
        """What a printed module says."""
        return f"shape={self.grid.shape}, period={self.grid.period}"

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Tensor | float | None = None,
        lead_time: Tensor | float | None = None,
    ) -> Tensor:
        """The module's value `[..., nodes, channels]` for x `[..., nodes, in_channels]` on the grid or a batch of it.

        `time` and `lead_time` are scalars or have x's leading dimensions; on a batch of graphs they may have one more.

        Raises:
            ValueError: if the graph is not the grid that the base is for, x does not fit it, or the module's value has
                another shape than it should.
        """
        check_field(x, graph, None, "x")
        parts = graph_list(graph)
        for part in parts:
            if part.grid_shape is None or not grid_of(part).same(self.grid):
                raise ValueError(
                    f"`graph` should be the grid of this base, {self.grid}, got {part.grid_shape or 'no grid'} with "
                    f"the period {part.period}: build another `GridBase`, or use `OnGrid` for a mesh."
                )
        values = to_grid(x, graph)
        dim = len(self.grid.shape)
        flat = (
            values.flatten(0, -2 - dim) if values.ndim > dim + 1 else values[None]
        )  # [batch, in_channels, *grid]
        found = self.model(flat, **self._times(x, len(parts), time=time, lead_time=lead_time))
        if found.ndim != dim + 2 or found.shape[2:] != flat.shape[2:] or len(found) != len(flat):
            wanted = ", ".join(map(str, (len(flat), "channels", *self.grid.shape)))
            raise ValueError(f"`model` should return [{wanted}], got {list(found.shape)}: pad its layers.")
        return to_nodes(found.reshape(*values.shape[: -1 - dim], *found.shape[1:]), graph)

    def _times(self, x: Tensor, graphs: int, **given: Tensor | float | None) -> dict[str, Tensor | None]:
        """The times `[batch]` that the module takes by name."""
        inner = getattr(self.model, "_orig_mod", self.model)  # what torch.compile wrapped takes any name
        names = inspect.signature(inner.forward).parameters
        samples = x.shape[:-2].numel()
        times: dict[str, Tensor | None] = {}
        for name, value in given.items():
            if name in names:
                own = None if value is None else per_graph_of_sample(value, x.shape[:-2], graphs, x)
                times[name] = None if own is None else own.expand(samples, graphs).reshape(-1)
        return times


class OnGrid(nn.Module):
    """A base on a grid as a base on any graph in the same coordinates: x to the grid, the answer back to the nodes.

    The maps are those of `irno_graph.graph.transfer.Transfer`: linear in the mesh's cells on the way there, of `order`
    on the way back. They are made once per graph. On the grid itself nothing is interpolated. What the grid does not
    resolve is lost, so its spacing should be that of the mesh or less.

    `irno_graph.save` keeps it where it keeps the base: the grid as a shape, lengths, periods and a first point.

    Args:
        base: any base that takes the grid: `FNO`, or `GridBase(model, grid)`.
        grid: made by `Graph.from_grid`.
        order: 1 or 3, of the polynomials on the way back.
        conservative: keep the sum of masses times field, there and back.

    Raises:
        ValueError: if `grid` is not a grid, or for another order.
    """

    def __init__(self, base: nn.Module, grid: Graph, *, order: int = 1, conservative: bool = False) -> None:
        super().__init__()
        if order not in (1, 3):
            raise ValueError(f"`order` should be 1 or 3, got {order}.")
        grid_of(grid)
        self.base, self.order, self.conservative = base, order, conservative
        self._grids = {grid.pos.device: Held(grid)}

    def extra_repr(self) -> str:
        """What a printed module says."""
        return f"shape={self._grid.grid_shape}, order={self.order}, conservative={self.conservative}"

    def config(self) -> dict[str, Any]:
        """What `from_config` needs, without the base's own.

        Raises:
            ValueError: if the grid's nodes are renumbered, which a shape and lengths do not say.
        """
        if "original_index" in self._grid:
            raise ValueError(
                f"a grid is saved with its nodes in their own order, got one of shape {self._grid.grid_shape} that is "
                "renumbered: make it by `Graph.from_grid` without `order`."
            )
        return {"grid": described(self._grid), "order": self.order, "conservative": self.conservative}

    @staticmethod
    def from_config(config: dict[str, Any], base: nn.Module) -> OnGrid:
        """The wrapper that `config` describes around `base`."""
        settings = {name: config[name] for name in ("order", "conservative")}
        return OnGrid(base, rebuilt(config["grid"]), **settings)

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Tensor | float | None = None,
        lead_time: Tensor | float | None = None,
    ) -> Tensor:
        """The base's value `[..., nodes, channels]` for x `[..., nodes, in_channels]` on a graph or a batch of any.

        Raises:
            ValueError: if x does not fit the graph, or the graph fills no domain that the grid could cover.
        """
        check_field(x, graph, None, "x")
        held = self._grid_on(x.device)
        grid = held.graph
        parts = graph_list(graph)
        if len(parts) == 1 and parts[0].grid_shape is not None and grid_of(parts[0]).same(grid_of(grid)):
            return ask(self.base, x, graph, time=time, lead_time=lead_time)
        maps = [there_and_back(part, held, self.order, self.conservative) for part in parts]
        leading = x.shape[:-2]
        samples = leading.numel()
        owns = x.reshape(samples, *x.shape[-2:]).split([len(part.pos) for part in parts], dim=-2)
        on_grid = torch.stack([there(own) for (there, _), own in zip(maps, owns, strict=True)], dim=1)
        given = {
            name: None
            if value is None
            else per_graph_of_sample(value, leading, len(parts), x).expand(samples, len(parts))
            for name, value in (("time", time), ("lead_time", lead_time))
        }
        answer = ask(self.base, on_grid, grid, **given)  # [samples, graphs, nodes of the grid, channels]
        values = [back(answer[:, place]) for place, (_, back) in enumerate(maps)]
        return torch.cat(values, dim=-2).unflatten(0, leading) if leading else torch.cat(values, dim=-2)[0]

    @property
    def _grid(self) -> Graph:
        return next(iter(self._grids.values())).graph

    def _grid_on(self, device: torch.device) -> Held:
        if device not in self._grids:
            self._grids[device] = Held(self._grid.clone().to(device))
        return self._grids[device]
