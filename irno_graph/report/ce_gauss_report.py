"""The report of `irno-graph experiment ce-gauss`: Markdown and figures from its results in JSON form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from irno_graph.files import atomic_path
from irno_graph.report.ce_gauss_cost import cost_figure, cost_section
from irno_graph.report.ce_gauss_figures import (
    bands_figure,
    rollout_errors_figure,
    settings_figure,
)
from irno_graph.report.ce_gauss_numbers import GROUPS, finite, gains, median, signed, spread
from irno_graph.report.figures import write_figure
from irno_graph.report.solver_report import bias_figure, correlation
from irno_graph.report.tables import table_lines

PUBLISHED = "12.5 % at t = 1 to 21.3 % at t = 7"
Result = Mapping[str, Any]


def write_ce_gauss_report(result: Result, path: Path, *, config: Path) -> list[Path]:
    """Write the report to `path` and its figures beside it; returns the figures.

    Args:
        result: what `experiments.ce_gauss.run_ce_gauss` gives, with "machine" beside.
        path: Markdown file.
        config: the experiment's file, which the report names.

    Raises:
        ImportError: if matplotlib is missing.
    """
    pictures = {
        "errors": rollout_errors_figure(result),
        "bands": bands_figure(result),
        "settings": settings_figure(result),
        "cost": cost_figure(result),
        "bias": bias_figure({"seed " + str(result["config"]["seeds"][0]): result["certificates"]}),
    }
    files = {}
    for name, figure in pictures.items():
        files[name] = write_figure(figure, path.with_name(f"{path.stem}_{name}.png"))
    with atomic_path(path) as temporary:
        temporary.write_text("".join(_text(result, files, config)), encoding="utf-8")
    return list(files.values())


def _text(result: Result, files: Mapping[str, Path], config: Path) -> Iterator[str]:
    test, seeds = result["config"]["test"]["test"][0], result["config"]["seeds"]
    yield (
        "# CE-Gauss rollouts refined on irregular meshes\n\n"
        f"Made by `irno-graph experiment ce-gauss --config {config}` at commit `{result['commit'][:12]}`, on "
        f"{result['machine']}; every figure is in the JSON file beside this one. {test['trajectories']} test flows on "
        f"{test['nodes']} nodes (seed {test['seed']}) that no weight, step or option was chosen by; trainings with "
        f"seeds {', '.join(map(str, seeds))}, base and corrector both. Errors are relative, in %, in the mass-weighted "
        "norm: velocity and vorticity as they are, pressure and density about the mean of the training data. Gain: how "
        "much smaller the error is than the base's, in %. a ± b is the mean over the seeds and half the width of its "
        "95 % confidence interval (Student's t).\n"
    )
    yield from _headline(result, files["errors"])
    yield from _finished(result)
    yield from _variants(result)
    yield from _settings(result, files["settings"])
    yield from _shifts(result)
    yield from _transfers(result)
    yield from _bands(result, files["bands"])
    yield from _certificates(result, files["bias"])
    yield from cost_section(result, files["cost"])


def _headline(result: Result, picture: Path) -> Iterator[str]:
    runs, last = list(result["main"].values()), result["config"]["time_steps"]
    whole = runs[0]["time_steps"]
    yield (
        f"\n## Base and refined\n\nThe published gain of iterative refinement for this experiment (arXiv 2605.24041) "
        f"is {PUBLISHED}. Trained rollouts have {last} time steps, these have {whole}.\n\n"
    )
    for group in GROUPS:
        rows = []
        for step in range(whole):
            base, refined = (
                [100 * finite(run["groups"][group][name][step]) for run in runs]
                for name in ("base", "refined")
            )
            rows.append(
                [
                    str(step + 1),
                    spread(base),
                    spread(refined),
                    spread([gains(run, group)[step] for run in runs]),
                ]
            )
        yield f"{group.capitalize()}:\n\n" + table_lines(["t", "base", "refined", "gain"], rows) + "\n"
    ended = sum(run["ended"]["refined"] for run in runs)
    yield f"Rollouts that ended before t = {whole}: {ended} of {len(runs) * runs[0]['samples']} refined ones.\n"
    rows = []
    for measure, words in (("published", "RIGNO's metric"), ("scaled", "in deviations of the data")):
        for group in runs[0]["flow"]["rollouts"]["base"][measure]:
            cells = [
                spread([100 * finite(run["flow"]["rollouts"][name][measure][group]) for run in runs])
                for name in ("base", "refined")
            ]
            rows.append([words, group, *cells])
    yield f"\nOther metrics at t = {last}:\n\n" + table_lines(["metric", "of", "base", "refined"], rows)
    yield f"\n![errors of rollouts]({picture.name})\n"


def _finished(result: Result) -> Iterator[str]:
    """Models that other configs trained: errors and gains of rollouts, all groups in one table."""
    for own in result["finished"]:
        control = f" Control: `{own['control']}`, its base trained on." if own["control"] else ""
        yield f"\n## {own['model']}\n\n{own['about']} Measured on the same test flows.{control}\n\n"
        names = ["refined", "control"] if own["control"] else ["refined"]
        head, columns = ["t"], [[str(step + 1) for step in range(own["time_steps"])]]
        for group in GROUPS:
            head += [f"{group}: base", *(f"{name}, gain" for name in names)]
            columns.append([f"{100 * finite(error):.1f}" for error in own["groups"][group]["base"]])
            columns += [[signed(gain) for gain in gains(own, group, name)] for name in names]
        rows = [list(row) for row in zip(*columns, strict=True)]
        ended = f"{own['ended']['refined']} of {own['samples']} refined rollouts"
        yield table_lines(head, rows) + f"\nEnded before t = {own['time_steps']}: {ended}.\n"


def _variants(result: Result) -> Iterator[str]:
    last = result["config"]["time_steps"]
    reference = result["config"]["reference"]
    like = f"'{reference}', which is the main one with {_listed(result['config']['corrector_changes'])}"
    yield (
        f"\n## Controls and variants\n\nA corrector is trained like {like if reference else 'the main one'} but for "
        "what its name says, on the same base. A base or control is a base alone, compared with the main base of the "
        "same seed. Gain over that base in %, weights in thousands, seconds of one processor for a step of one flow.\n"
    )
    head = ["", "seeds", "velocity, t = 1", f"t = {last}", "pressure, t = 1", f"t = {last}", "weights", "s"]
    main = [
        {
            **run,
            "cost": result["cost"] if seed == str(result["config"]["seeds"][0]) else None,
        }
        for seed, run in result["main"].items()
    ]
    groups: dict[str, dict[str, list[Any]]] = {}
    for own in result["variants"]:
        groups.setdefault(own["group"], {}).setdefault(own["name"], []).append(own)
    if result["missing"]:
        yield f"\nNot trained yet: {'; '.join(result['missing'])}.\n"
    compared = [own for own in result["variants"] if own["name"] == reference]
    for group, names in groups.items():
        correctors = any(run["stage"] == "corrector" for runs in names.values() for run in runs)
        shown = ({reference: compared} if compared and correctors else {"main": main}) | names
        rows = [_variant_row(name, runs, result, last) for name, runs in shown.items()]
        if len(rows) > 1:
            yield f"\n{group.capitalize()}:\n\n" + table_lines(head, rows)


def _variant_row(name: str, runs: Sequence[Result], result: Result, last: int) -> list[str]:
    alone = runs[0].get("stage", "corrector") != "corrector"
    cells = []
    for group in ("velocity", "pressure"):
        for step in (0, last - 1):
            cells.append(spread([_gain_over_main(own, result, group, step, alone) for own in runs]))
    cost = next((own["cost"] for own in runs if own["cost"]), None)
    assert cost is not None
    weights = cost["weights"]["base"] + (0 if alone else cost["weights"]["corrector"])
    return [
        name,
        str(len(runs)),
        *cells,
        f"{weights / 1000:.1f}",
        f"{cost['base' if alone else 'refined']:.3f}",
    ]


def _gain_over_main(own: Result, result: Result, group: str, step: int, alone: bool) -> float:
    """Over the main base of the same seed."""
    seed = str(own.get("seed", result["config"]["seeds"][0]))
    reference = own if "seed" not in own else result["main"][seed]
    base = finite(reference["groups"][group]["base"][step])
    return 100.0 * (1.0 - finite(own["groups"][group]["base" if alone else "refined"][step]) / base)


def _settings(result: Result, picture: Path) -> Iterator[str]:
    own, last = result["settings"], result["config"]["time_steps"]
    yield (
        f"\n## Steps and step sizes\n\nThe main model (K = {own['own'][0]}, alpha = {own['own'][1]:g}) asked for other "
        "ones, without training: errors in %.\n\n"
    )
    head = ["", "velocity, t = 1", f"t = {last}", "pressure, t = 1", f"t = {last}"]
    kinds = [("base", own["base"])]
    kinds += [(f"K = {name}", found) for name, found in own["steps"].items()]
    kinds += [(f"alpha = {name}", found) for name, found in own["alphas"].items()]
    rows = [
        [name, *(f"{100 * error:.2f}" for group in ("velocity", "pressure") for error in found[group])]
        for name, found in kinds
    ]
    yield table_lines(head, rows) + f"\n![errors by steps and step sizes]({picture.name})\n"


def _shifts(result: Result) -> Iterator[str]:
    if not result["shifts"]:
        return
    yield "\n## Other flows, nodes and starts, without training\n\n"
    head = ["", "nodes", "base: velocity, last t", "gain, t = 1", "last t", "pressure: gain, t = 1", "last t"]
    rows = []
    for name, own in result["shifts"].items():
        cells = [f"{gains(own, group)[step]:+.1f}" for group in ("velocity", "pressure") for step in (0, -1)]
        error = 100 * finite(own["groups"]["velocity"]["base"][-1])
        rows.append([name, str(own["nodes"]), f"{error:.1f}", *cells])
    yield table_lines(head, rows)


def _transfers(result: Result) -> Iterator[str]:
    bases = [own for own in result["variants"] if own["stage"] != "corrector"]
    if not bases:
        return
    yield (
        "\n## The main corrector on bases that it was not trained on\n\nGain over that base in %, in velocity and "
        "pressure.\n\n"
    )
    last = result["config"]["time_steps"]
    rows = [
        [f"{own['name']}, seed {own['seed']}"]
        + [f"{gains(own, group)[step]:+.1f}" for group in ("velocity", "pressure") for step in (0, last - 1)]
        for own in bases
    ]
    yield table_lines(["base", "velocity, t = 1", f"t = {last}", "pressure, t = 1", f"t = {last}"], rows)


def _bands(result: Result, picture: Path) -> Iterator[str]:
    own, places = result["bands"], result["places"]
    yield (
        "\n## Where it helps\n\nOne time step: error of h_k over that of h_0 in octaves of the frequency, the highest "
        f"octave last.\n\n![errors by band and step]({picture.name})\n\n"
    )
    count = len(own["frequencies"])
    rows = []
    for group, steps in own["error"].items():
        for k in (result["cost"]["steps"], len(steps) - 1):
            rows.append(
                [f"{group}, k = {k}", *(f"{100 * steps[k][b] / steps[0][b]:.0f}" for b in range(count))]
            )
    yield "Left, in %:\n\n" + table_lines(["", *(f"octave {b + 1}" for b in range(count))], rows)
    ratio = [
        100 * (1 - (new / old) ** 0.5) for new, old in zip(places["refined"], places["base"], strict=True)
    ]
    yield (
        "\nGain in the velocity at nodes sorted by the vorticity's size, from the calmest fifth to the strongest: "
        + ", ".join(f"{value:+.1f}" for value in ratio)
        + " %.\n"
    )


def _certificates(result: Result, picture: Path) -> Iterator[str]:
    own = result["certificates"]
    yield (
        "\n## Certificates\n\nMedians at the truth (`ig.certify`), one time step from true states; r, the correlation "
        f"of the bias with the smallest error of up to 8 K steps: {correlation(own)}.\n\n"
    )
    names = ("q", "monotonicity", "bias", "floor", "contraction")
    rows = [
        [str(int(step) + 1), *(median(found[name]) for name in names)] for step, found in own["at"].items()
    ]
    yield table_lines(["t", *names], rows) + f"\n![bias and error]({picture.name})\n"


def _listed(changes: Sequence[str]) -> str:
    return ", ".join(f"`{change}`" for change in changes)
