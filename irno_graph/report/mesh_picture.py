"""A picture of a mesh: its cells in the colour of their quality, its named boundary in other colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irno_graph.mesh import Mesh, MeshError
from irno_graph.mesh.cells import CELLS, topological_dim
from irno_graph.mesh.facets import facets_of
from irno_graph.mesh.periodic import unwrapped
from irno_graph.mesh.quality import mesh_shapes
from irno_graph.mesh.regions import named_cells, named_points
from irno_graph.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (ORANGE, BLUE, GREEN, PURPLE, "#b3261e", "#0e7490", "#a16207", "#be185d")
INK, PALE = "#374151", "#e5e7eb"
Drawn = list[tuple[np.ndarray, np.ndarray]]  # polygons [any, corners, dim] and the cell [any] of each


@styled
def mesh_figure(mesh: Mesh, *, title: str = "") -> Figure:
    """Cells of the highest dimension, coloured by quality; of volumes their boundary.

    Cells of a periodic mesh are unwrapped, so they stick out of the box. Named cells of lower dimension and named
    points are drawn in colours of their own, for volumes in a second panel.

    Args:
        mesh: lines, triangles and quads, or volumes, in up to three dimensions.
        title: over the picture.

    Raises:
        ImportError: if matplotlib is missing.
        MeshError: if no cell can be drawn.

    >>> mesh_figure(Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])])).axes[0].get_aspect()
    1.0
    """
    from matplotlib.figure import Figure

    dim = topological_dim(mesh)
    if dim == 0:
        raise MeshError(f"`mesh` should have lines, triangles, quads or volumes to draw, got {mesh!r}.")
    flat, _ = unwrapped(mesh)
    flat = Mesh(np.pad(flat.points, ((0, 0), (0, 1))), flat.cells) if mesh.dim == 1 else flat
    named = _named(mesh, flat, dim)
    panels = 2 if dim == 3 and named else 1
    figure = Figure(figsize=(6.4 * panels, 5.0), layout="constrained")
    solid: Any = {"projection": "3d"} if flat.dim == 3 else {}
    axes = [figure.add_subplot(1, panels, place + 1, **solid) for place in range(panels)]
    body = _body(flat, dim)
    _frame(axes, flat, title)
    _draw_quality(figure, axes[0], body, mesh_shapes(mesh).quality, dim)
    if panels == 2:
        for polygons, _ in body:
            _add(axes[1], polygons, facecolor="none", edgecolor=PALE, linewidth=0.3)
    for place, (name, parts) in enumerate(named.items()):
        _draw_named(axes[-1], name, parts, place)
    if named:
        columns = min(4, len(named))
        figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure


def _body(mesh: Mesh, dim: int) -> Drawn:
    """Polygons or lines to draw, with the cells that they belong to; in space all in one array, to sort by depth."""
    found, first = [], 0
    if dim == 3:
        for table in facets_of(mesh):
            alone = table.uses == 1
            found.append((mesh.points[table.corners[alone]], table.owner[alone]))
    for kind, corners in mesh.cells if dim < 3 else ():
        if kind in CELLS and CELLS[kind].dim == dim and len(corners):
            found.append((mesh.points[corners], np.arange(first, first + len(corners))))
        first += len(corners)
    if mesh.dim < 3:
        return found
    width = max(polygons.shape[1] for polygons, _ in found)
    wide = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), mode="edge") for p, _ in found]
    return [(np.concatenate(wide), np.concatenate([owner for _, owner in found]))]


def _named(mesh: Mesh, flat: Mesh, dim: int) -> dict[str, list[np.ndarray]]:
    """Name to positions `[cells, corners, dim]` of named cells of lower dimension and of named points."""
    found: dict[str, list[np.ndarray]] = {}
    for name, cells in named_cells(mesh).items():
        first = 0
        for kind, corners in flat.cells:
            here = cells[(cells >= first) & (cells < first + len(corners))] - first
            first += len(corners)
            if len(here) and kind in CELLS and CELLS[kind].dim < dim:
                found.setdefault(name, []).append(flat.points[corners[here]])
    for name, points in named_points(mesh).items():
        if len(points):
            found.setdefault(name, []).append(flat.points[points][:, None])
    return found


def _draw_quality(figure: Figure, axis: Axes, body: Drawn, quality: np.ndarray, dim: int) -> None:
    if dim == 1:
        for lines, _ in body:
            _add(axis, lines, color=GREY, linewidth=1.4)
            ends = lines.reshape(-1, lines.shape[2])
            _dots(axis, ends, s=6, color=INK, linewidths=0)
        return
    count = sum(len(polygons) for polygons, _ in body)
    width = 0.35 if count < 5000 else 0.1 if count < 50000 else 0.0
    for polygons, owner in body:
        drawn = _add(axis, polygons, cmap="RdYlGn", edgecolor=INK, linewidth=width, rasterized=True)
        drawn.set_array(quality[owner])
        drawn.set_clim(0, 1)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.7, aspect=24, pad=0.02)
    bar.set_label("quality of the cell (least mean ratio)")
    bar.outline.set_visible(False)


def _draw_named(axis: Axes, name: str, parts: list[np.ndarray], place: int) -> None:
    colour, width = (
        COLOURS[place % len(COLOURS)],
        max(3.0 - 0.6 * place, 1.0),
    )  # lines on each other stay visible
    label: str | None = name
    for positions in parts:
        if positions.shape[1] == 1:
            _dots(axis, positions[:, 0], s=14, color=colour, label=label, zorder=4)
        elif positions.shape[1] == 2:
            _add(axis, positions, color=colour, linewidth=width, label=label, zorder=3)
        else:
            _add(axis, positions, facecolor=colour, edgecolor=INK, linewidth=0.3, alpha=0.85, label=label)
        label = None


def _add(axis: Axes, polygons: np.ndarray, **look: Any) -> Any:
    """Add polygons or, with two corners, lines `[any, corners, dim]`."""
    from matplotlib.collections import LineCollection, PolyCollection
    from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

    solid: Any = axis
    if polygons.shape[2] == 3:
        kind: Any = Line3DCollection if polygons.shape[1] == 2 else Poly3DCollection
        return solid.add_collection3d(kind(polygons, **look))
    flat: Any = LineCollection if polygons.shape[1] == 2 else PolyCollection
    return axis.add_collection(flat(polygons, **look))


def _dots(axis: Any, points: np.ndarray, **look: Any) -> None:
    axis.scatter(*points.T, **look)


def _frame(axes: list[Any], mesh: Mesh, title: str) -> None:
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    room = 0.02 * max(float((high - low).max()), 1e-300)
    for axis in axes:
        axis.set(xlim=(low[0] - room, high[0] + room), ylim=(low[1] - room, high[1] + room))
        axis.set(xlabel="x", ylabel="y", title=title, aspect="equal")
        axis.grid(mesh.dim == 3)
        if mesh.dim == 3:
            axis.set(zlim=(low[2] - room, high[2] + room), zlabel="z")
            axis.set_aspect("equal")
            axis.locator_params(nbins=5)
