"""Figures of the report of `irno-graph experiment ce-gauss`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from irno_graph.report.ce_gauss_numbers import GROUPS
from irno_graph.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, plain_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (GREY, GREEN, BLUE, PURPLE, ORANGE)


@styled
def rollout_errors_figure(result: Mapping[str, Any]) -> Figure:
    """Errors of base and refined rollouts, a panel for each group, a line for each seed."""
    figure = plain_figure(9.6, 2.8)
    for axis, group in zip(figure.subplots(1, len(GROUPS)), GROUPS, strict=True):
        for run in result["main"].values():
            for name, colour in (("base", GREY), ("refined", BLUE)):
                errors = np.array(run["groups"][group][name], dtype=float)
                axis.plot(np.arange(1, len(errors) + 1), 100 * errors, color=colour, linewidth=1.2)
        axis.axvline(result["config"]["time_steps"], color=ORANGE, linewidth=0.8, linestyle=":")
        axis.set(title=group, xlabel="time step", ylim=(0, None))
    figure.axes[0].set_ylabel("relative error, %")
    figure.axes[0].plot([], [], color=GREY, label="base")
    figure.axes[0].plot([], [], color=BLUE, label="refined")
    figure.axes[0].plot([], [], color=ORANGE, linestyle=":", label="trained up to here")
    figure.axes[0].legend(fontsize=7)
    return figure


@styled
def bands_figure(result: Mapping[str, Any]) -> Figure:
    """What is left of each octave's error against the refinement step."""
    found = result["bands"]["error"]
    figure = plain_figure(9.6, 2.8)
    for axis, (group, steps) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        values = np.array(steps, dtype=float)
        for band, colour in zip(range(values.shape[1]), COLOURS, strict=False):
            axis.plot(values[:, band] / values[0, band], color=colour, label=f"octave {band + 1}")
        axis.axvline(result["cost"]["steps"], color=ORANGE, linewidth=0.8, linestyle=":")
        axis.set(title=group, xlabel="k", ylim=(0, None))
    figure.axes[0].set_ylabel("error over that of h_0")
    figure.axes[0].legend(fontsize=7)
    return figure


@styled
def settings_figure(result: Mapping[str, Any]) -> Figure:
    """Error of the velocity at the first and the last time by number of steps, and by step size."""
    own = result["settings"]
    figure = plain_figure(7.2, 2.8)
    for axis, key, label in zip(figure.subplots(1, 2), ("steps", "alphas"), ("K", "alpha"), strict=True):
        places = [float(name) for name in own[key]]
        for at, colour, time in ((0, BLUE, 1), (1, GREEN, result["config"]["time_steps"])):
            axis.plot(
                places,
                [100 * found["velocity"][at] for found in own[key].values()],
                "o-",
                color=colour,
                label=f"t = {time}",
            )
            axis.axhline(100 * own["base"]["velocity"][at], color=colour, linewidth=0.8, linestyle=":")
        axis.set(xlabel=label, ylim=(0, None))
    figure.axes[0].set_ylabel("velocity, relative error, %")
    figure.axes[0].legend(fontsize=7, title="dotted: the base", title_fontsize=7)
    return figure
