"""The report of `irno-graph experiment solver`: Markdown and figures from its results in JSON form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irno_graph.files import atomic_path
from irno_graph.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, plain_figure, styled, write_figure
from irno_graph.report.tables import table_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLES = {"model": "shipped", "contracting": "trained for contraction"}
COLOURS = ("#a8c5e8", "#6fa1d6", BLUE, "#174a80", ORANGE, "#8c3c0f", GREEN, PURPLE, GREY)


def write_solver_report(result: Mapping[str, Any], path: Path, *, config: Path) -> list[Path]:
    """Write the report to `path` and its figures beside it; returns the figures.

    Args:
        result: what `experiments.solver.run_solver` gives, with all parts.
        path: Markdown file.
        config: the experiment's file, which the report names.

    Raises:
        ImportError: if matplotlib is missing.
    """
    roles = [role for role in ROLES if role in result]
    pictures = {
        "bias": bias_figure({ROLES[role]: result[role]["certificates"] for role in roles}),
        "steps": steps_figure({role: result[role]["steps"] for role in roles}),
        "rollouts": energy_figure({role: result[role]["rollouts"] for role in roles}),
    }
    files = {}
    for name, figure in pictures.items():
        files[name] = path.with_name(f"{path.stem}_{name}.png")
        write_figure(figure, files[name])
    with atomic_path(path) as temporary:
        temporary.write_text("".join(_text(result, roles, files, config)), encoding="utf-8")
    return list(files.values())


def _text(
    result: Mapping[str, Any], roles: Sequence[str], files: Mapping[str, Path], config: Path
) -> Iterator[str]:
    yield (
        "# The refinement as a solver\n\n"
        f"Made by `irno-graph experiment solver --config {config}` at commit `{result['commit'][:12]}`; every figure "
        "is in the JSON file beside this one. Errors are those of one time step of CE-Gauss from true states, "
        f"{result['config']['data']['test'][0]['nodes']} nodes, on test trajectories, in the mass-weighted norm with "
        "each channel in units of its standard deviation, unless a table says otherwise. K is the model's own number "
        "of steps.\n\n"
    )
    rows = [
        [ROLES[role], f"`{result['models'][role]}`", f"{result[role]['alpha']:g}", str(result[role]["K"])]
        for role in roles
    ]
    yield table_lines(["model", "file", "alpha", "K"], rows)
    yield from _certificates(result, roles, files["bias"])
    yield from _steps(result, roles, files["steps"])
    yield from _solvers(result, roles)
    yield from _starts(result, roles)
    yield from _rollouts(result, roles, files["rollouts"])
    if "losses" in result["model"]:
        yield from _losses(result["model"]["losses"])


def _certificates(result: Mapping[str, Any], roles: Sequence[str], picture: Path) -> Iterator[str]:
    yield "\n## Certificates\n\nAt the truth, medians over the certified samples (`ig.certify` with a truth).\n\n"
    rows = []
    for role in roles:
        for step, own in result[role]["certificates"]["at"].items():
            medians = [
                _number(own[name])
                for name in ("q", "monotonicity", "bound", "bias", "contraction", "limit_error")
            ]
            verdicts = ", ".join(
                f"{own['verdict'].count(name)} {name.replace('_', ' ')}"
                for name in dict.fromkeys(own["verdict"])
            )
            rows.append([ROLES[role], step, *medians, verdicts])
    head = [
        "model",
        "time step",
        "q",
        "m",
        "M_A",
        "bias",
        "contraction seen",
        "error at the limit",
        "verdicts",
    ]
    yield table_lines(head, rows)
    for role in roles:
        own = result[role]["certificates"]
        yield (
            f"\n{ROLES[role].capitalize()}: bias |Phi(x, y)| against the smallest error min_k |e_k| of 8 K steps, "
            f"{own['samples']} samples: Pearson r = {correlation(own)}.\n"
        )
    yield f"\n![bias against smallest error]({picture.name})\n"


def _steps(result: Mapping[str, Any], roles: Sequence[str], picture: Path) -> Iterator[str]:
    yield (
        "\n## Errors against the number of steps\n\nMean of |e_k| / |e_0| in %. `rise` is by how much the largest of "
        "the means after K is above that at K.\n"
    )
    for role in roles:
        own = result[role]["steps"]
        steps = own["steps"]
        shown = [steps, 2 * steps, 4 * steps, 8 * steps]
        rows = [
            [name, *(f"{100 * curve[k]:.1f}" for k in shown), f"{100 * own['rise_after_K'][name]:.1f} %"]
            for name, curve in own["error"].items()
        ]
        yield f"\n{ROLES[role].capitalize()}, K = {steps}:\n\n"
        yield table_lines(["alpha", *(f"k = {k}" for k in shown), "rise"], rows)
    yield f"\n![error against k]({picture.name})\n"


def _solvers(result: Mapping[str, Any], roles: Sequence[str]) -> Iterator[str]:
    yield (
        "\n## Applications of Phi at equal error\n\nThe goal is the least error of the plain iteration within 8 K "
        "steps, plus one per cent, on validation samples; the number of steps or the tolerance that reaches it with "
        "the fewest applications of Phi is chosen on them, too. Applications and errors (over the plain one) below "
        "are of the test samples; a dash: the goal is not reached.\n"
    )
    for role in roles:
        own = result[role]["solvers"]["alpha"]
        names = list(next(iter(own.values())))
        rows = []
        for alpha, ways in own.items():
            plain = ways["plain"]["error"]
            cells = [
                "-" if way is None else f"{way['applications']:.1f} ({way['error'] / plain:.3f})"
                for way in ways.values()
            ]
            rows.append([alpha, *cells])
        yield f"\n{ROLES[role].capitalize()}:\n\n"
        yield table_lines(["alpha", *names], rows)


def _starts(result: Mapping[str, Any], roles: Sequence[str]) -> Iterator[str]:
    yield (
        "\n## Corrupted starts\n\nh_0 is spoilt on purpose; the guard is calibrated on the states that validation "
        "rollouts meet. `outside`: share of samples where it returns the start; `worse`: share whose answer is "
        "further from the truth than the start; `largest`: the largest ratio of the two errors.\n"
    )
    for role in roles:
        own = result[role]["starts"]
        rates = [key for key in own["starts"]["none"] if key != "without"]
        head = ["start", "without a guard: worse", "largest"]
        for rate in rates:
            head += [f"at {100 * float(rate):g} %: outside", "worse", "largest"]
        rows = []
        for name, entry in own["starts"].items():
            cells = [_percent(entry["without"]["made_worse"]), f"{entry['without']['largest_ratio']:.2f}"]
            for rate in rates:
                one = entry[rate]
                cells += [
                    _percent(one["outside"]),
                    _percent(one["made_worse"]),
                    f"{one['largest_ratio']:.2f}",
                ]
            rows.append([name, *cells])
        yield f"\n{ROLES[role].capitalize()}, calibrated on {own['calibrated_on']} states:\n\n"
        yield table_lines(head, rows)


def _rollouts(result: Mapping[str, Any], roles: Sequence[str], picture: Path) -> Iterator[str]:
    first = result[roles[0]]["rollouts"]
    yield (
        f"\n## Rollouts\n\n{first['samples']} trajectories over {first['time_steps']} time steps, the trained length, "
        f"and {first['long_samples']} over {first['long_time_steps']}. `largest ratio`: of the error to that of the "
        "base's rollout, over all time steps and trajectories. `size`: the largest fluctuation about the mean state, "
        "over that of the start; `guarded`: trajectories in which the guard acted, short and long ones. The guard has "
        f"{100 * first['rate']:g} % false alarms per time step.\n\n"
    )
    rows = []
    for role in roles:
        own = result[role]["rollouts"]
        for name, run in own["runs"].items():
            if name == "base" and role != roles[0]:
                continue
            rows.append(
                [
                    "base" if name == "base" else f"{ROLES[role]}, {name}",
                    f"{run['error'][0]:.3f}",
                    f"{run['error'][-1]:.3f}",
                    f"{run['largest_ratio']:.2f}",
                    _percent(run["worse_share"]),
                    f"{run['outside']}, {run['long_outside']}",
                    f"{run['largest_size']:.2f}",
                    str(run["ended"]),
                ]
            )
    last = first["time_steps"]
    head = ["rollout", "error at 1", f"at {last}", "largest ratio", "worse", "guarded", "size", "ended"]
    yield table_lines(head, rows)
    yield f"\n![kinetic energy of long rollouts]({picture.name})\n"


def _losses(own: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "\n## Spectral losses on Riemann problems (CE-RP)\n\nThe same base and corrector, trained with each loss; "
        f"{own['samples']} unseen trajectories, {own['time_steps']} time steps. What is left of the base's error in "
        "%, mean over seeds and half their range; bands are octaves of frequency, the lowest first.\n\n"
    )
    rows = []
    for name, seeds in own["losses"].items():
        keys = ("left", "left_L1", "left_rollout")
        cells = [_spread([seed[key] for seed in seeds]) for key in keys]
        bands = [
            _spread([seed["left_bands"][b] for seed in seeds]) for b in range(len(seeds[0]["left_bands"]))
        ]
        rows.append([name, str(len(seeds)), *cells, *bands])
    head = ["loss", "seeds", "one step, L2", "one step, L1", "rollout, L2", "band 1", "2", "3", "4"]
    yield table_lines(head, rows)


@styled
def bias_figure(found: Mapping[str, Any]) -> Figure:
    """|Phi(x, y)| against min_k |e_k|, a panel for each model, by name."""
    figure = plain_figure(3.6 * len(found), 3.2)
    for axis, (name, own) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        axis.scatter(own["bias"], own["smallest_error"], s=10, color=BLUE, linewidths=0, alpha=0.6)
        axis.set(title=f"{name}: r = {correlation(own)}", xlabel="bias |Phi(x, y)|")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
    figure.axes[0].set_ylabel("smallest error")
    return figure


@styled
def steps_figure(found: Mapping[str, Any]) -> Figure:
    """Errors against k for every step size and schedule, a panel for each model."""
    figure = plain_figure(3.8 * len(found) + 1.6, 3.4)
    for axis, (role, own) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        for (name, curve), colour in zip(own["error"].items(), COLOURS, strict=False):
            dashes = "-" if name[0].isdigit() else "--"
            axis.plot(100 * np.array(curve), color=colour, linewidth=1.5, linestyle=dashes, label=name)
        axis.axvline(own["steps"], color=GREY, linewidth=0.8)
        axis.set(title=f"{ROLES[role]}, K = {own['steps']}", xlabel="steps k")
        axis.set_ylim(bottom=0)
    figure.axes[0].set_ylabel("error over that of the base in %")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    labels = [name.replace(f", {found[next(iter(found))]['steps']})", ", K)") for name in labels]
    figure.legend(handles, labels, loc="outside right upper", fontsize=7.5, title="alpha")
    return figure


@styled
def energy_figure(found: Mapping[str, Any]) -> Figure:
    """Kinetic energy of the long rollouts beside that of the truth, a panel for each model."""
    figure = plain_figure(4.2 * len(found), 3.2)
    lines = {"base": GREY, "refined": BLUE, "guarded": ORANGE}
    for axis, (role, own) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        axis.plot(own["truth_energy"], color="black", linewidth=1.5, label="truth")
        for name, colour in lines.items():
            dashes = "--" if name == "guarded" else "-"
            axis.plot(own["runs"][name]["energy"], color=colour, linewidth=1.5, linestyle=dashes, label=name)
        axis.axvline(own["time_steps"], color=GREY, linewidth=0.8)
        axis.set(title=ROLES[role], xlabel="time step")
        axis.set_ylim(bottom=0)
    figure.axes[0].set_ylabel("kinetic energy")
    figure.axes[-1].legend()
    return figure


def _number(values: Sequence[float | None]) -> str:
    known = [np.inf if value is None else value for value in values]
    return f"{np.median(known):.3g}"


def correlation(own: Mapping[str, Any]) -> str:
    """Pearson's r of biases and smallest errors, as text."""
    return "-" if own["pearson"] is None else f"{own['pearson']:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _spread(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {50 * (max(values) - min(values)):.1f}"
