"""Fields between two resolutions of one grid, in the plane, in space or on the sphere: up, and exactly down again.

>>> coarse, fine = Graph.from_grid((3, 4), period=(1.0, None)), Graph.from_grid((9, 16), period=(1.0, None))
>>> resolution = Resolution(coarse, fine)
>>> field = torch.randn(12, 2, dtype=torch.float64)
>>> bool((resolution.lower(resolution.lift(field)) - field).abs().max() < 1e-12)
True
>>> resolution.factors()
(4, 4)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irno_graph.graph.graph import Graph
from irno_graph.graph.grid_fields import SAME, grid_of, to_grid, to_nodes
from irno_graph.graph.pyg import Batch
from irno_graph.graph.spheres import latitudes


@dataclass(frozen=True)
class Line:
    """The points along one axis.

    Attributes:
        places: coordinates `[points]`, rising.
        mass: of each point, up to a factor `[points]`.
        first: where the domain begins.
        last: where it ends.
        period: its length where it closes, else None.
    """

    places: np.ndarray
    mass: np.ndarray
    first: float
    last: float
    period: float | None

    @property
    def spacing(self) -> float:
        """The largest distance of neighbours."""
        return float(np.diff(self.places).max())

    @property
    def ends(self) -> bool:
        """Whether there are points at both ends of the domain, which does not close."""
        rim = max(self.places[0] - self.first, self.last - self.places[-1])
        return self.period is None and bool(rim <= SAME * self.spacing)

    def covers(self, other: Line) -> bool:
        """Whether both have the same domain: the same length where they close."""
        if (self.period is None) != (other.period is None):
            return False
        far = [abs((self.last - self.first) - (other.last - other.first))]
        if self.period is None:
            far.append(abs(self.first - other.first))
        return max(far) <= SAME * min(self.spacing, other.spacing)


class Resolution:
    """The maps between fields on a coarse and on a fine grid of one domain.

    `lift` is linear along each axis, P = P_1 x P_2 x ... (on the sphere in colatitude and longitude; constant beyond
    the last points). `lower` is its inverse by least squares in the masses M of the fine grid, (P^T M P)^-1 P^T M: the
    coarse field whose lift is nearest. It is the product of those along each axis since M is one too. So
    lower(lift(f)) = f to rounding, whether coarse points are fine ones or not. Constants stay constant both ways.
    Differentiable, on any device, in the field's type (float32 within for shorter ones).

    Args:
        coarse: a graph of `Graph.from_grid` or `Graph.from_sphere`.
        fine: likewise, of the same domain.

    Raises:
        ValueError: if one is neither or a batch, their domains differ, or the fine one does not tell all coarse fields
            apart.
    """

    def __init__(self, coarse: Graph, fine: Graph) -> None:
        self.coarse, self.fine = coarse, fine
        self._lines = lines_of(coarse), lines_of(fine)
        if bool(coarse.sphere_shape) != bool(fine.sphere_shape) or len(self._lines[0]) != len(self._lines[1]):
            raise ValueError(
                f"`coarse` and `fine` should be grids of one domain, got {described(coarse)} and {described(fine)}."
            )
        self.shapes = tuple(tuple(len(line.places) for line in lines) for lines in self._lines)
        maps = [_maps(below, above) for below, above in zip(*self._lines, strict=True)]
        self._up, self._down = ([both[way] for both in maps] for way in (0, 1))
        self._ready: dict[tuple[torch.device, torch.dtype], tuple[list[Tensor], list[Tensor]]] = {}

    def __repr__(self) -> str:
        return f"Resolution({self.shapes[0]} -> {self.shapes[1]})"

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Whether each axis closes, the slowest first."""
        return tuple(line.period is not None for line in self._lines[0])

    def factors(self) -> tuple[int, ...]:
        """Fine points for each coarse one along each axis, the slowest first.

        fine = factor * coarse, or factor * (coarse - 1) + 1 where both have points at both ends of an axis that does
        not close.

        Raises:
            ValueError: if one is not an integer.
        """
        found = []
        for axis, (below, above) in enumerate(zip(*self._lines, strict=True)):
            few, many = len(below.places), len(above.places)
            if below.ends and above.ends and (many - 1) % (few - 1) == 0:
                found.append((many - 1) // (few - 1))
            elif many % few == 0:
                found.append(many // few)
            else:
                raise ValueError(
                    f"`fine` should have an integer times the points of `coarse` along every axis (between its ends "
                    f"one may count the intervals), got {many} for {few} along axis {axis}: a factor "
                    f"{many / few:.4g}."
                )
        return tuple(found)

    def lift(self, field: Tensor) -> Tensor:
        """`[..., coarse nodes, channels]` on the fine nodes `[..., fine nodes, channels]`."""
        return from_values(self.lift_values(to_values(field, self.coarse)), self.fine)

    def lower(self, field: Tensor) -> Tensor:
        """`[..., fine nodes, channels]` on the coarse nodes `[..., coarse nodes, channels]`."""
        return from_values(self.lower_values(to_values(field, self.fine)), self.coarse)

    def lift_values(self, values: Tensor) -> Tensor:
        """`[..., *coarse shape]` at the fine points `[..., *fine shape]`."""
        return _along(self._on(values)[0], values)

    def lower_values(self, values: Tensor) -> Tensor:
        """`[..., *fine shape]` at the coarse points `[..., *coarse shape]`."""
        return _along(self._on(values)[1], values)

    def _on(self, values: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        key = values.device, torch.promote_types(values.dtype, torch.float32)
        if key not in self._ready:
            self._ready[key] = [own.to(*key) for own in self._up], [own.to(*key) for own in self._down]
        return self._ready[key]


def lines_of(graph: Graph) -> tuple[Line, ...]:
    """The axes of a grid, the slowest first; of a sphere's the colatitude and the longitude.

    Raises:
        ValueError: if the graph is not a single grid of `Graph.from_grid` or `Graph.from_sphere`.
    """
    mass = to_values(graph.mass[:, None].detach().cpu().double(), graph)[0].numpy()
    masses = [
        mass.sum(tuple(other for other in range(mass.ndim) if other != axis)) for axis in range(mass.ndim)
    ]
    if graph.sphere_shape:
        nlat, nlon = mass.shape
        colatitude, turn = np.arccos(latitudes(nlat, graph.sphere_grid)[0]), 2 * np.pi
        return (
            Line(colatitude, masses[0], 0.0, np.pi, None),
            Line(turn * np.arange(nlon) / nlon, masses[1], 0.0, turn, turn),
        )
    grid = grid_of(graph)
    lines = []
    for axis, (count, length) in enumerate(zip(grid.shape[::-1], grid.extent, strict=True)):
        places = grid.origin[axis] + grid.spacing[axis] * np.arange(count)
        first = grid.origin[axis] - (0.5 * grid.spacing[axis] if grid.centred else 0.0)
        period = length if grid.periodic[axis] else None
        lines.append(Line(places, masses[-1 - axis], first, first + length, period))
    return tuple(lines[::-1])


def to_values(field: Tensor, graph: Graph) -> Tensor:
    """`[..., nodes, channels]` as `[..., channels, *shape]`, also on a grid of the sphere.

    Raises:
        ValueError: if the graph is a batch or not a grid, or the field does not fit it.
    """
    if isinstance(graph, Batch):
        raise ValueError("`graph` should be a single grid, got a batch: take its graphs by `graph_list`.")
    if not graph.sphere_shape:
        return to_grid(field, graph)
    if field.ndim < 2 or field.shape[-2] != graph.num_nodes:
        raise ValueError(
            f"`field` should have shape [..., nodes={graph.num_nodes}, channels], got {list(field.shape)}."
        )
    return field.unflatten(-2, tuple(graph.sphere_shape)).movedim(-1, -3)


def from_values(values: Tensor, graph: Graph) -> Tensor:
    """Undoes `to_values`."""
    return values.movedim(-3, -1).flatten(-3, -2) if graph.sphere_shape else to_nodes(values, graph)


def described(graph: Graph) -> dict[str, Any]:
    """What `rebuilt` makes a grid of the same points from, as JSON holds it; the order of its nodes is not kept."""
    if graph.sphere_shape:
        return {"sphere": list(graph.sphere_shape), "grid": graph.sphere_grid}
    grid = grid_of(graph)
    lengths = grid.period or (None,) * len(grid.shape)
    sides = [length or float(f"{side:.15g}") for length, side in zip(lengths, grid.extent, strict=True)]
    return {
        "shape": list(grid.shape),
        "origin": list(grid.origin),
        "extent": sides,
        "period": None if grid.period is None else list(grid.period),
        "centred": grid.centred,
    }


def rebuilt(description: dict[str, Any]) -> Graph:
    """The grid that `described` describes, its nodes in rows."""
    if "sphere" in description:
        return Graph.from_sphere(*description["sphere"], grid=description["grid"])
    names = ("extent", "period", "centred")
    graph = Graph.from_grid(tuple(description["shape"]), **{name: description[name] for name in names})
    shift = torch.tensor(description["origin"], dtype=graph.pos.dtype) - graph.pos[0]
    if bool((shift.abs() > 1e-9 * graph.edge_attr[:, -1].min()).any()):  # of a spacing: round-off is no shift
        graph.pos = graph.pos + shift
    return graph


def _maps(coarse: Line, fine: Line) -> tuple[Tensor, Tensor]:
    """Linear interpolation `[fine, coarse]` along one axis, and its inverse by least squares `[coarse, fine]`."""
    if not coarse.covers(fine):
        raise ValueError(
            f"`coarse` and `fine` should have the same domain, got [{coarse.first:.6g}, {coarse.last:.6g}] with the "
            f"period {coarse.period} and [{fine.first:.6g}, {fine.last:.6g}] with {fine.period} along an axis."
        )
    units = np.eye(len(coarse.places))
    columns = [np.interp(fine.places, coarse.places, unit, period=coarse.period) for unit in units]
    up, root = torch.from_numpy(np.stack(columns, axis=1)), torch.from_numpy(np.sqrt(fine.mass))
    if int(torch.linalg.matrix_rank(root[:, None] * up)) < len(units):
        raise ValueError(
            f"`fine` should tell all fields on `coarse` apart, got {len(fine.places)} points for {len(units)} along an "
            "axis: take a finer grid, of points between all coarse ones."
        )
    return up, torch.linalg.pinv(root[:, None] * up) * root


def _along(maps: list[Tensor], values: Tensor) -> Tensor:
    """`values` `[..., *shape]` with a matrix along each axis."""
    wanted, values = values.dtype, values.to(maps[0].dtype)
    for axis, own in enumerate(maps):
        place = axis - len(maps)
        values = (values.movedim(place, -1) @ own.T).movedim(-1, place)
    return values.to(wanted)
