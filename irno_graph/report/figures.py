"""Figures: a rollout on its mesh, errors per time step, training curves. Needs matplotlib."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from irno_graph.files import atomic_path, existing_file
from irno_graph.mesh import Mesh, MeshError
from irno_graph.mesh.periodic import unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.figure import Figure

P = ParamSpec("P")
GREY, BLUE, ORANGE, GREEN, PURPLE = "#6b7280", "#2563a8", "#d9601a", "#2f8f5b", "#7c4fb0"
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
RUNS = {
    "base": ("base alone", GREY, "o"),
    "control": ("control", GREEN, "^"),
    "refined": ("refined", BLUE, "s"),
}
CURVES = {"valid_one_step": "one step from the truth", "valid_rollout": "rolled out"}


def require_matplotlib() -> None:
    """Check that figures can be drawn.

    Raises:
        ImportError: naming the extra to install.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib, which is not installed: run `pip install 'irno-graph[viz]'`."
        ) from error


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with this module's style, without changing that of the caller."""

    @wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> Figure:
        require_matplotlib()
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawing


@styled
def rollout_figure(
    mesh: Mesh,
    fields: Mapping[str, np.ndarray],
    *,
    times: Sequence[float] | np.ndarray,
    rows: Sequence[int] = (1, 4, 7),
    quantity: str = "vorticity",
) -> Figure:
    """Truth, base, refined and the absolute errors of both, on the mesh, a row for each time step of `rows`.

    Within a row the three fields share symmetric limits (from the truth), and the two errors share theirs;
    one in two hundred values is beyond its limit.

    Args:
        mesh: triangles; where it is periodic the whole box is drawn.
        fields: "truth", "base" and "refined" to `[times, points]`.
        times: of the snapshots.
        rows: time steps to show; those that are not there are left out.
        quantity: what the fields are.

    Raises:
        ImportError: if matplotlib is missing.
        MeshError: if the mesh is not made of triangles in the plane.
        ValueError: if no row is there.
    """
    shown = [row for row in rows if 0 <= row < len(times)]
    if not shown:
        raise ValueError(f"`rows` should name time steps 0..{len(times) - 1}, got {list(rows)}.")
    points, triangles, source = drawn_triangles(mesh)
    figure = plain_figure(11.0, 1.95 * len(shown) + 0.3)
    axes = figure.subplots(len(shown), 6, squeeze=False, width_ratios=[1, 1, 1, 0.05, 1, 1])
    for gap in axes[:, 3]:
        gap.set_axis_off()
    axes = np.delete(axes, 3, axis=1)  # [rows, 5]
    for place, row in enumerate(shown):
        truth, base, refined = (np.asarray(fields[name][row]) for name in ("truth", "base", "refined"))
        limit, largest = _largest(truth), _largest(base - truth, refined - truth)
        panels = [(value, "RdBu_r", -limit, limit) for value in (truth, base, refined)]
        panels += [(np.abs(value - truth), "magma_r", 0.0, largest) for value in (base, refined)]
        drawn = []
        for axis, (value, colours, low, high) in zip(axes[place], panels, strict=True):
            axis.set(aspect="equal", xticks=[], yticks=[])
            if np.isfinite(value).all():
                arguments = {
                    "cmap": colours,
                    "vmin": low,
                    "vmax": high,
                    "shading": "gouraud",
                    "rasterized": True,
                }
                drawn.append(axis.tripcolor(*points.T, triangles, value[source], **arguments))
            else:
                axis.text(0.5, 0.5, "ended", ha="center", va="center", transform=axis.transAxes)
            _fit_box(axis, mesh)
        axes[place, 0].set_ylabel(f"time step {row}\nt = {times[row]:.2g}")
        _bar(figure, drawn, axes[place, :3], "RdBu_r", quantity, "both")
        _bar(figure, drawn, axes[place, 3:], "magma_r", "absolute error", "max")
    for axis, title in zip(
        axes[0], ("truth", "base alone", "refined", "|base - truth|", "|refined - truth|"), strict=True
    ):
        axis.set_title(title)
    return figure


@styled
def error_figure(result: Mapping[str, Any]) -> Figure:
    """Relative error per time step of base, refined and control, a panel for each group, with the gains.

    Args:
        result: an evaluation in its JSON form.

    Raises:
        ImportError: if matplotlib is missing.
    """
    groups = result["groups"]
    figure = plain_figure(3.0 * len(groups), 3.1)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    steps = np.arange(1, int(result["time_steps"]) + 1)
    for axis, (group, entry) in zip(panels, groups.items(), strict=True):
        for name in (name for name in RUNS if name in entry):
            label, colour, marker = RUNS[name]
            values = 100 * np.array(entry[name], dtype=float)  # None becomes NaN: a gap
            axis.plot(steps, values, color=colour, marker=marker, markersize=4, linewidth=1.6, label=label)
        for step, error, gain in zip(steps, entry["refined"], entry["gain"], strict=True):
            if gain is not None and error is not None:
                place = {"xytext": (0, -9), "textcoords": "offset points", "ha": "center", "va": "top"}
                axis.annotate(f"{gain:+.0f}%", (step, 100 * error), color=BLUE, fontsize=7.5, **place)
        axis.set(
            title=group, xlabel="time step", xticks=steps if len(steps) <= 10 else steps[:: len(steps) // 7]
        )
        axis.set_xlim(0.5, steps[-1] + 0.5)
        axis.set_ylim(bottom=-0.09 * axis.get_ylim()[1])  # room for the gains
    panels[0].set_ylabel("relative L2 error in %")
    panels[0].legend(loc="upper left")
    return figure


@styled
def training_figure(
    runs: Mapping[str, str | os.PathLike[str]] | Mapping[str, list[Path]],
) -> Figure:
    """Validation errors against optimiser steps, after one step from the truth and rolled out.

    Args:
        runs: a label to the metrics.csv of each run, or to several of them where it was cut off and went on.

    Raises:
        ImportError: if matplotlib is missing.
        ValueError: if a file is missing or holds no validation errors.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    colours = (GREY, BLUE, GREEN, ORANGE, PURPLE)
    read = {label: {name: _curve(path, name) for name in CURVES} for label, path in runs.items()}
    figure = plain_figure(8.4, 3.2)
    for axis, (name, title) in zip(figure.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        for place, (label, curves) in enumerate(read.items()):
            (steps, values), colour = curves[name], colours[place % len(colours)]
            axis.plot(steps, values, color=colour, linewidth=1.6, marker=".", markersize=4, label=label)
            last = {"xytext": (4, 0), "textcoords": "offset points", "fontsize": 7.5, "va": "center"}
            axis.annotate(f"{values[-1]:.3g}", (steps[-1], values[-1]), color=colour, **last)
        axis.set(title=f"validation, {title}", xlabel="optimiser steps", yscale="log")
        axis.margins(x=0.14)
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
    figure.axes[0].set_ylabel("error / standard deviation")
    figure.axes[0].legend()
    return figure


def write_figure(figure: Figure, path: str | os.PathLike[str], *, dots_per_inch: int = 160) -> Path:
    """Write a figure; the suffix of `path` says the format, and the file appears whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dots_per_inch)
    return Path(path)


def drawn_triangles(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points `[drawn, 2]`, triangles `[any, 3]` on them, and the mesh's point `[drawn]` that each one shows.

    Triangles of a periodic mesh are unwrapped, and those that stick out of the box are drawn at both ends:
    they cover the box without a gap.

    Raises:
        MeshError: if the mesh is not made of triangles in the plane.
    """
    if mesh.dim != 2 or not len(mesh.cells_of("triangle")):
        raise MeshError(f"`mesh` should be made of triangles in the plane for a picture, got {mesh!r}.")
    flat, source = unwrapped(mesh)
    triangles, points, blocks, shown = flat.cells_of("triangle"), [], [], []
    lengths = [length or 0.0 for length in mesh.period or (None, None)]
    shifts = [np.array([x, y]) for x in {0.0, -lengths[0]} for y in {0.0, -lengths[1]}]
    low = mesh.points.min(axis=0) if mesh.period is None else np.zeros(2)
    for number, shift in enumerate(shifts):
        moved = flat.points + shift
        inside = (moved[triangles].max(axis=1) > low).all(axis=1) | (not shift.any())
        points.append(moved)
        blocks.append(triangles[inside] + number * len(moved))
        shown.append(source)
    return np.concatenate(points), np.concatenate(blocks), np.concatenate(shown)


def plain_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _fit_box(axis: Axes, mesh: Mesh) -> None:
    period = mesh.period or (None, None)
    limits = [
        (mesh.points[:, i].min(), mesh.points[:, i].max()) if period[i] is None else (0.0, period[i])
        for i in range(2)
    ]
    axis.set(xlim=limits[0], ylim=limits[1])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("#9ca3af")


def _bar(
    figure: Figure, drawn: Sequence[Collection], axes: np.ndarray, colours: str, label: str, extend: str
) -> None:
    shown = [image for image in drawn if image.get_cmap().name == colours]
    if shown:
        bar = figure.colorbar(shown[0], ax=list(axes), shrink=0.86, aspect=16, pad=0.015, extend=extend)
        bar.set_label(label, labelpad=2)
        bar.outline.set_visible(False)


def _largest(*fields: np.ndarray) -> float:
    """Magnitude that one in two hundred finite values exceeds, 1 where there is none but zero."""
    sizes = np.abs(np.concatenate([field[np.isfinite(field)] for field in fields]))
    return float(np.quantile(sizes, 0.995)) if sizes.any() else 1.0


def _curve(paths: str | os.PathLike[str] | list[Path], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one column of metrics.csv files, where it is not empty; later files win."""
    values: dict[float, float] = {}
    for path in paths if isinstance(paths, list) else [paths]:
        with existing_file(path).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("step") and row.get(name):
                    values[float(row["step"])] = float(row[name])
    if not values:
        raise ValueError(
            f"`{paths}` should hold the columns step and {name}, got none: has a validation run?"
        )
    table = np.array(sorted(values.items()))
    return table[:, 0], table[:, 1]
