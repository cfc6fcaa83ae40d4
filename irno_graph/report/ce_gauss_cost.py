"""What base and refined rollouts cost beside the solver that made the test flows, at equal error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irno_graph.report.figures import BLUE, GREY, ORANGE, plain_figure, styled
from irno_graph.report.tables import table_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUPS = ("velocity", "pressure")
ROLLOUTS = {"base": GREY, "refined": BLUE}
LINES = {"velocity": ("o", "-"), "pressure": ("s", "--")}
Result = Mapping[str, Any]


@styled
def cost_figure(result: Result) -> Figure:
    """Errors against seconds, both logarithmic: the solver's grids, base and refined; the first and the last time."""
    last = result["solver"]["time_steps"]
    figure = plain_figure(8.4, 3.4)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, step in zip(axes, (0, last - 1), strict=True):
        _draw(axis, result, step)
        axis.set(title=f"t = {step + 1}", xlabel="seconds of one processor per time step")
    axes[0].set_ylabel("relative error, %")
    for group, (mark, line) in LINES.items():
        axes[0].plot([], [], line, marker=mark, color=ORANGE, label=f"solver, {group}")
    axes[0].plot([], [], ":", color=ORANGE, linewidth=0.8, label="solver, the truth's grid")
    for name, colour in ROLLOUTS.items():
        axes[0].plot([], [], "o", color=colour, label=name)
    axes[0].legend(fontsize=7, title="numbers: cells a side", title_fontsize=7)
    return figure


def _draw(axis: Axes, result: Result, step: int) -> None:
    solver, cost = result["solver"], result["cost"]
    grids = _coarse(solver)
    axis.set(xscale="log", yscale="log")
    axis.margins(0.1)
    for group, (mark, line) in LINES.items():
        errors = [100 * own["groups"][group][step] for own in grids]
        axis.plot([own["seconds"] for own in grids], errors, line, marker=mark, color=ORANGE, markersize=4)
        for name, colour in ROLLOUTS.items():
            error = solver["equal"][name][group][step]["error"]
            if error is not None:
                axis.plot(cost[name], 100 * error, mark, color=colour, markersize=6)
    for own in grids:
        place = (own["seconds"], 100 * own["groups"]["velocity"][step])
        axis.annotate(
            str(own["cells"]), place, xytext=(-3, -9), textcoords="offset points", fontsize=6, ha="right"
        )
    axis.axvline(solver["grids"][-1]["seconds"], color=ORANGE, linewidth=0.8, linestyle=":")


def cost_section(result: Result, picture: Path) -> Iterator[str]:
    """The report's section on cost.

    Args:
        result: of `experiments.ce_gauss.run_ce_gauss`; in "solver" what `solver_figures` gives, with "equal", what
            `equal_error` makes of it.
        picture: where `cost_figure` is.
    """
    own, solver, last = result["cost"], result["solver"], result["solver"]["time_steps"]
    yield (
        f"\n## Cost\n\nOne step of one flow on one processor: base {own['base']:.3f} s, refined ({own['steps']} steps) "
        f"{own['refined']:.3f} s; {own['weights']['base']} and {own['weights']['corrector']} weights. Beside them the "
        "solver that made the flows, on coarser grids, from the same initial data and read at the same nodes. Errors "
        f"(%) are those of the first {solver['flows']} test flows, of base and refined the means over the seeds; "
        "seconds are those of one flow and time step.\n\n"
    )
    head = ["", "velocity, t = 1", f"t = {last}", "pressure, t = 1", f"t = {last}", "s"]
    rows = [_grid_row(grid, solver) for grid in solver["grids"]]
    rows += [_rollout_row(name, result) for name in ROLLOUTS]
    yield table_lines(head, rows) + f"\n![errors against seconds]({picture.name})\n\n"
    yield f"At equal error (between two grids log(seconds) is linear in log(error)){_range(result)}:\n\n"
    for group, step, name in product(GROUPS, (0, last - 1), ROLLOUTS):
        yield f"- {_sentence(result, name, group, step)}\n"
    yield (
        f"\nThe truth is the solver's on {solver['solver_res']} x {solver['solver_res']} cells, so errors say how far "
        "others are from that grid, not from the exact flow. The solver knows the initial data, of which it takes cell "
        "averages; base and refined know the nodes' values alone. Seconds are the least of "
        f"{solver['repeats']} solutions and of {own['repeats']} answers of the model, on one thread of one processor; "
        "a GPU changes both, and so do more flows at once. Making graphs and initial data and reading at the nodes are "
        "in neither.\n"
    )


def _coarse(solver: Result) -> Sequence[Result]:
    return [own for own in solver["grids"] if own["cells"] < solver["solver_res"]]


def _grid_row(grid: Result, solver: Result) -> list[str]:
    truth = ", the truth's" if grid["cells"] == solver["solver_res"] else ""
    cells = [f"{100 * grid['groups'][group][step]:.2f}" for group in GROUPS for step in (0, -1)]
    return [f"solver, {grid['cells']} x {grid['cells']} cells{truth}", *cells, f"{grid['seconds']:.2g}"]


def _rollout_row(name: str, result: Result) -> list[str]:
    errors = [result["solver"]["equal"][name][group][step]["error"] for group in GROUPS for step in (0, -1)]
    cells = ["ended" if error is None else f"{100 * error:.2f}" for error in errors]
    return [name, *cells, f"{result['cost'][name]:.2g}"]


def _range(result: Result) -> str:
    """Of the solver's seconds over those of refined, at all time steps."""
    equal = result["solver"]["equal"]["refined"]
    known = [own["seconds"] for group in GROUPS for own in equal[group] if own["seconds"] is not None]
    if not known:
        return ""
    least, most = (seconds / result["cost"]["refined"] for seconds in (min(known), max(known)))
    return f" the solver needs {least:.2g} to {most:.2g} times the seconds of refined, over all time steps"


def _sentence(result: Result, name: str, group: str, step: int) -> str:
    found, own = result["solver"]["equal"][name][group][step], result["cost"][name]
    what = f"{group} at t = {step + 1}, {name}"
    if found["error"] is None:
        return f"{what}: {found['reason']}."
    what += f", {100 * found['error']:.2f} %, {own:.2g} s"
    if found["seconds"] is None:
        return f"{what}: the solver's seconds were not measured, the error is {found['reason']}."
    return f"{what}: the solver needs {found['seconds']:.2g} s, {found['seconds'] / own:.2g} times as much."
