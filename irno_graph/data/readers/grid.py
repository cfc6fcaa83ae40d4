"""Regular grids of others: one coordinate vector per axis, a period where there is one, and the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from irno_graph.graph import Graph

TOLERANCE = 1e-3  # of the spacing: coordinates are often float32


@dataclass(frozen=True)
class Grid:
    """Points of a rectangular grid.

    Attributes:
        names: of the coordinates, x first.
        coordinates: one ascending, evenly spaced vector per name.
        period: box length per coordinate, None for one that is not periodic.
        centred: whether the points are the middles of cells, which go on half a step beyond the outermost points.
    """

    names: tuple[str, ...]
    coordinates: tuple[np.ndarray, ...]
    period: tuple[float | None, ...]
    centred: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Counts, the last coordinate first: (ny, nx)."""
        return tuple(len(values) for values in reversed(self.coordinates))

    @property
    def nodes(self) -> int:
        """Number of points."""
        return int(np.prod(self.shape))

    @property
    def box(self) -> tuple[float | None, ...] | None:
        """`period`, or None where no coordinate is periodic."""
        return self.period if any(length is not None for length in self.period) else None

    def flatten(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Merge the spatial axes, the first of which is `axis` and runs along x, into nodes iy * nx + ix.

        >>> Grid(("x", "y"), (np.arange(2.0), np.arange(3.0)), (None, None)).flatten(
        ...     np.array([[0, 1, 2], [10, 11, 12]]), 0)
        array([ 0, 10,  1, 11,  2, 12])
        """
        dim = len(self.names)
        turned = np.moveaxis(values, range(axis, axis + dim), range(axis + dim - 1, axis - 1, -1))
        return turned.reshape(*values.shape[:axis], self.nodes, *values.shape[axis + dim :])

    def graph(self) -> Graph:
        """Edges to the neighbours along the axes; node iy * nx + ix lies at (x_ix, y_iy).

        Raises:
            ValueError: if an axis is not evenly spaced, or for a number of axes that `Graph.from_grid` refuses.
        """
        extent = []
        for name, values, length in zip(self.names, self.coordinates, self.period, strict=True):
            step = spacing(values, name)
            steps = len(values) if self.centred else len(values) - 1
            extent.append(step * steps if length is None else length)
        graph = Graph.from_grid(self.shape, extent=tuple(extent), period=self.box, centred=self.centred)
        offset = torch.tensor([float(values[0]) for values in self.coordinates], dtype=torch.float64)
        graph.pos = graph.pos - graph.pos[0] + offset
        return graph


def spacing(values: np.ndarray, name: str) -> float:
    """The step of an evenly spaced, ascending vector.

    Raises:
        ValueError: if there are fewer than 2 values, or steps differ by more than the tolerance.
    """
    steps = np.diff(values)
    step = float((values[-1] - values[0]) / (len(values) - 1)) if len(values) > 1 else 0.0
    if not step > 0 or np.abs(steps - step).max() > TOLERANCE * step:
        found = f"steps from {steps.min():.3g} to {steps.max():.3g}" if len(steps) else "1 value"
        raise ValueError(
            f"coordinate {name} should ascend in even steps, got {found}: `Graph.from_points` takes any points."
        )
    return step
