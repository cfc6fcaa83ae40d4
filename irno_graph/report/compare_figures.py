"""Pictures of a comparison of correctors: error against time, and what is left in each band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irno_graph.report.compare_numbers import Comparison, family, interval, left_bands
from irno_graph.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, plain_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "unet": BLUE,
    "resnet": "#6fa1d6",
    "convnext": GREEN,
    "fno": PURPLE,
    "message-passing": ORANGE,
    "multi-scale": "#8c3c0f",
}
DASHES = {"grids": "--", "graphs": "-"}
TOP = 1.15  # of the base's error, where lines are cut off
BANDS = ("low", "mid", "high")


@styled
def pareto_figure(own: Comparison) -> Figure:
    """VRMSE on the first test against milliseconds per sample at k = 0 ... 2 K, a panel for each base.

    Mean over seeds; a dot on each line is at K, and lines are cut off at TOP times the error of the base. The base and
    its control are at the time of the base.
    """
    figure = plain_figure(3.5 * len(own.bases) + 1.9, 3.4)
    for axis, base in zip(figure.subplots(1, len(own.bases), squeeze=False)[0], own.bases, strict=True):
        start = 1e3 * own.base_seconds(base)
        for kind in own.kinds:
            errors = own.curve(base, kind).mean(axis=0)
            times = start + 1e3 * own.cost(base, kind, "step_seconds") * np.arange(len(errors))
            look = {"color": COLOURS.get(kind, GREY), "linestyle": DASHES[family(kind)], "label": kind}
            axis.plot(times, errors, linewidth=1.5, marker="o", markersize=4, markevery=[own.steps], **look)
        alone, control = (
            float(np.mean([one["vrmse"] for one in scores]))
            for scores in (own.alone(base, own.tests[0]), own.control(base, own.tests[0]))
        )
        for label, error, colour, marker in (
            ("base alone", alone, GREY, "s"),
            ("control", control, "black", "^"),
        ):
            look = {"color": colour, "linestyle": "none", "label": label}
            axis.plot([start], [error], marker=marker, markersize=6, zorder=3, **look)
        if axis.get_ylim()[1] > TOP * alone > control:
            least = min(np.min(line.get_ydata()) for line in axis.lines)
            axis.set_ylim(least - 0.05 * (TOP * alone - least), TOP * alone)
        axis.set(title=f"base: {base}", xlabel="ms per sample", xscale="log")
        _plain_ticks(axis)
    figure.axes[0].set_ylabel(f"VRMSE, {own.tests[0]}")
    _legend(figure)
    return figure


@styled
def bands_figure(own: Comparison) -> Figure:
    """What is left of the base's error in each band of the first test at equal time, a panel for each base."""
    figure, test = plain_figure(3.9 * len(own.bases) + 1.9, 3.2), own.tests[0]
    panels = figure.subplots(1, len(own.bases), squeeze=False, sharey=True)[0]
    for axis, base in zip(panels, own.bases, strict=True):
        alone = own.alone(base, test)
        scores = {"control": own.control(base, test)}
        scores |= {kind: own.refined(base, kind, test, "time") for kind in own.kinds}
        width = 0.84 / len(scores)
        for place, (kind, refined) in enumerate(scores.items()):
            found = [interval(values) for values in left_bands(refined, alone).T]
            middle = np.arange(len(found)) + width * (place - (len(scores) - 1) / 2)
            colour = COLOURS.get(kind, GREY)
            hatch = "//" if kind in own.kinds and family(kind) == "grids" else None
            look = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0, "label": kind}
            axis.bar(middle, [one.mean for one in found], 0.9 * width, **look)
            if len(own.seeds) > 1:
                halves = [one.half for one in found]
                bars = {"fmt": "none", "ecolor": "black", "elinewidth": 0.8, "capsize": 1.5}
                axis.errorbar(middle, [one.mean for one in found], halves, **bars)
        axis.axhline(100, color="black", linewidth=0.8)
        names = BANDS if len(found) == len(BANDS) else [str(band + 1) for band in range(len(found))]
        axis.set_xticks(range(len(found)), names)
        axis.set(title=f"base: {base}", xlabel="band of frequency")
        axis.grid(False, axis="x")
        axis.set_ylim(bottom=0)
    panels[0].set_ylabel("left of the base's error in %")
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, handlelength=2.6)


def _plain_ticks(axis: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = axis.get_xlim()
    subs = (
        (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high < 4 * low else (1.0, 2.0, 5.0) if high < 50 * low else (1.0,)
    )
    axis.xaxis.set_major_locator(LogLocator(subs=subs))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
