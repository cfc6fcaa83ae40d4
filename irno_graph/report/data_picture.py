"""A picture of a data set: one sample, a row for each channel, a column for each of a few snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from irno_graph.data.readers import FieldSource
from irno_graph.graph import Graph, to_grid
from irno_graph.mesh import Mesh
from irno_graph.report.figures import BLUE, drawn_triangles, plain_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 8  # channels that are drawn


class Drawing(NamedTuple):
    """How fields on one graph are drawn.

    Attributes:
        draw: puts values `[nodes]` on an axis, in colours and limits; gives what has colours, or None.
        size: of a panel in inches.
        solid: whether the axes are three-dimensional.
    """

    draw: Callable[[Any, np.ndarray, dict[str, Any]], Any]
    size: tuple[float, float] = (2.5, 2.4)
    solid: bool = False


@styled
def data_figure(source: FieldSource, *, sample: int = 0, times: Sequence[int] | None = None) -> Figure:
    """Channels of one sample at the first, the middle and the last time, those of a channel in one scale.

    Grids are drawn as images (of volumes the middle plane), triangles and quads of the plane as linear functions,
    grids of the sphere by longitude and latitude, lines as curves, and all else as points.

    Args:
        source: of the data.
        sample: which.
        times: places of the snapshots; None for the first, the middle and the last.

    Raises:
        ImportError: if matplotlib is missing.
        IndexError: for a sample or a time that is not there.
        ValueError: if the sample cannot be read.
    """
    count = len(source.times)
    places = sorted({0, count // 2, count - 1}) if times is None else list(times)
    outside = [place for place in places if not 0 <= place < count]
    if outside:
        raise IndexError(f"`times` should be within 0..{count - 1}, got {outside}.")
    values = [
        source.read(sample, slice(k, k + 1))[0, 0].double().numpy() for k in places
    ]  # [nodes, channels]
    own: Any = source
    graph: Graph = own.graph(sample) if getattr(source, "moving", False) else source.graph()
    drawing = _drawing(source, graph)
    names = source.channels[:ROWS]
    figure = plain_figure(drawing.size[0] * len(places) + 1.0, drawing.size[1] * len(names) + 0.4)
    solid: Any = {"projection": "3d"} if drawing.solid else {}
    axes = figure.subplots(len(names), len(places), squeeze=False, subplot_kw=solid)
    for row, name in enumerate(names):
        shown = [fields[:, row] for fields in values]
        look = _look(shown)
        drawn = [drawing.draw(axis, field, look) for axis, field in zip(axes[row], shown, strict=True)]
        label: Any = {
            "xycoords": "axes fraction",
            "rotation": 90,
            "ha": "right",
            "va": "center",
            "fontsize": 10,
        }
        axes[row, 0].annotate(name, (-0.12, 0.5), **label)
        if drawn[-1] is not None:
            bar = figure.colorbar(drawn[-1], ax=list(axes[row]), shrink=0.86, aspect=16, pad=0.015)
            bar.outline.set_visible(False)
    for axis, place in zip(axes[0], places, strict=True):
        axis.set_title(f"t = {source.times[place]:.4g}")
    return figure


def _look(fields: list[np.ndarray]) -> dict[str, Any]:
    """Colours and limits of one channel: symmetric about 0 where its values have both signs."""
    low, high = min(field.min() for field in fields), max(field.max() for field in fields)
    if low < 0 < high:
        most = max(-low, high)
        return {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    return {"cmap": "viridis", "vmin": low, "vmax": high}


def _drawing(source: FieldSource, graph: Graph) -> Drawing:
    shape = _sphere_shape(source, graph)
    if shape is not None:
        return _on_sphere(graph, shape)
    if graph.dim == 1:
        return _on_line(graph)
    if graph.grid_shape:
        return _on_grid(graph)
    if graph.dim == 2 and graph.face.shape[1]:
        return _on_triangles(graph)
    return _as_points(graph)


def _sphere_shape(source: FieldSource, graph: Graph) -> tuple[int, int] | None:
    own: Any = graph
    if own.sphere_shape:
        return int(own.sphere_shape[0]), int(own.sphere_shape[1])
    grid: Any = getattr(source, "grid", None)
    if hasattr(grid, "latitude") and hasattr(grid, "longitude"):
        return len(grid.latitude), len(grid.longitude)
    return None


def _on_sphere(graph: Graph, shape: tuple[int, int]) -> Drawing:
    x, y, z = graph.pos.numpy().reshape(*shape, 3).transpose(2, 0, 1)
    middle = shape[0] // 2  # a pole has no longitude
    east = np.unwrap(np.round(np.degrees(np.arctan2(y[middle], x[middle])), 9) % 360, period=360)
    north = np.degrees(np.arcsin(np.clip(z[:, 0], -1, 1)))

    def draw(axis: Any, field: np.ndarray, look: dict[str, Any]) -> Any:
        _frame(axis)
        return axis.pcolormesh(east, north, field.reshape(shape), shading="nearest", rasterized=True, **look)

    return Drawing(draw, (3.6, 1.9))


def _on_grid(graph: Graph) -> Drawing:
    def plane(values: torch.Tensor) -> np.ndarray:
        found = to_grid(values, graph).numpy()  # [channels, ny, nx] or [channels, nz, ny, nx]
        middle: np.ndarray = found[:, found.shape[1] // 2] if graph.dim == 3 else found
        return middle

    x, y = plane(graph.pos[:, :2])

    def draw(axis: Any, field: np.ndarray, look: dict[str, Any]) -> Any:
        _frame(axis)
        (flat,) = plane(torch.from_numpy(field)[:, None])
        return axis.pcolormesh(x, y, flat, shading="nearest", rasterized=True, **look)

    return Drawing(draw, _size(graph))


def _on_triangles(graph: Graph) -> Drawing:
    mesh = Mesh(graph.pos.numpy(), [("triangle", graph.face.T.numpy())], period=graph.period)
    points, triangles, shown = drawn_triangles(mesh)

    def draw(axis: Any, field: np.ndarray, look: dict[str, Any]) -> Any:
        _frame(axis)
        drawn = axis.tripcolor(*points.T, triangles, field[shown], shading="gouraud", rasterized=True, **look)
        lengths = graph.period or (None, None)
        ends = [
            (0.0, one) if one else (low, high) for one, low, high in zip(lengths, *_box(graph), strict=True)
        ]
        axis.set(xlim=ends[0], ylim=ends[1])
        return drawn

    return Drawing(draw, _size(graph))


def _on_line(graph: Graph) -> Drawing:
    order = np.argsort(graph.pos[:, 0].numpy())

    def draw(axis: Any, field: np.ndarray, look: dict[str, Any]) -> None:
        axis.plot(graph.pos[order, 0].numpy(), field[order], color=BLUE, linewidth=1.4)
        room = 0.05 * max(look["vmax"] - look["vmin"], 1e-300)
        axis.set(ylim=(look["vmin"] - room, look["vmax"] + room))

    return Drawing(draw, (3.2, 1.8))


def _as_points(graph: Graph) -> Drawing:
    size = float(np.clip(20000 / len(graph.pos), 0.5, 20))

    def draw(axis: Any, field: np.ndarray, look: dict[str, Any]) -> Any:
        _frame(axis)
        return axis.scatter(*graph.pos.numpy().T, c=field, s=size, linewidths=0, rasterized=True, **look)

    return Drawing(draw, (2.8, 2.6), solid=graph.dim == 3)


def _frame(axis: Any) -> None:
    axis.grid(False)
    axis.set(aspect="equal", xticks=[], yticks=[])
    if axis.name == "3d":
        axis.set(zticks=[])


def _box(graph: Graph) -> tuple[list[float], list[float]]:
    return graph.pos[:, :2].amin(dim=0).tolist(), graph.pos[:, :2].amax(dim=0).tolist()


def _size(graph: Graph) -> tuple[float, float]:
    """Of a panel: as long as the domain is, within limits."""
    low, high = _box(graph)
    ratio = (high[0] - low[0]) / max(high[1] - low[1], 1e-300)
    return (float(np.clip(2.2 * ratio, 2.0, 4.4)), float(np.clip(2.2, 0.8, 4.4 / ratio)))
