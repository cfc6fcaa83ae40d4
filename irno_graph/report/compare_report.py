"""The report of `irno-graph compare`: Markdown and pictures from results in JSON form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from irno_graph.files import atomic_path
from irno_graph.report.compare_facts import error_text, facts, percent_text
from irno_graph.report.compare_figures import BANDS, TOP, bands_figure, pareto_figure
from irno_graph.report.compare_numbers import (
    MARKS,
    Comparison,
    Scores,
    fall,
    family,
    left,
    left_bands,
)
from irno_graph.report.figures import write_figure
from irno_graph.report.tables import table_lines

NOTES = """\
Each base is trained for each seed and then frozen; all correctors of a base and seed refine the same base. The
control is the base itself, trained on as it was, for as much processor time as a corrector gets or to a plateau. All
correctors have about the same number of parameters and are trained alike: same loss, batches, learning rate, alpha
and K. What is measured is an exponential average of their weights. It starts at the weights after the first step, which
after n steps still have the share average^(n-1): at 0.99 a fifth after 150 steps, 5 % after 300. Weights of bases and
controls are those with the least validation error, those of correctors the last ones; a control begins anew with the
full learning rate.

- equal steps: after the same number of optimiser steps; equal time: after the same processor time.
- VRMSE: mean over channels and samples.
- left: VRMSE of the refined answer over that of the base of the same seed, in %. How bases
  of different seeds differ drops out, so correctors are compared by this one.
- low, mid, high: root mean square error in that third of the frequencies over that of the base, in %, at equal time.
  The method's paper (arXiv 2605.24041) reports 27.7-36.1 % of low, 5.1-6.7 % of mid and 1.5-2.0 % of high frequencies
  for its Active Matter.
- a ± b: mean over seeds of the training and half the width of its 95 % confidence interval by Student's t; no b with
  one seed. The test set is one and the same.
"""
SPHERE_NOTE = """\
- RFNE: relative L2 error of all channels together, each in units of its standard deviation; ACC: anomaly
  correlation about the mean of the training data. Both at equal time.
"""
PLANE_NOTE = """\
- relative L2: of all channels together, each in units of its standard deviation, at equal time.
"""


def write_compare_report(results: Sequence[Mapping[str, Any]], path: Path) -> list[Path]:
    """Write the report to `path` and its pictures beside it; returns the pictures.

    Args:
        results: what `experiments.compare.run_compare` gives, one or more, each with the `command` that made it.
        path: Markdown file.

    Raises:
        ImportError: if matplotlib is missing.
        ValueError: if there is no result, or two have one name.
    """
    found = [Comparison(result) for result in results]
    files = {own.name: _pictures(own, path) for own in found}
    places = [file for pair in files.values() for file in pair]
    if not found or len(files) < len(found) or len(set(places)) < len(places):
        names = ", ".join(own.name for own in found) or "none"
        raise ValueError(f"`results` should have one result or more of different names, got {names}.")
    for own in found:
        pareto, bands = files[own.name]
        write_figure(pareto_figure(own), pareto)
        write_figure(bands_figure(own), bands)
    with atomic_path(path) as temporary:
        temporary.write_text("".join(_text(found, path, files)), encoding="utf-8")
    return places


def _pictures(own: Comparison, path: Path) -> tuple[Path, Path]:
    name = re.sub(r"[^\w.-]+", "-", own.name)
    pareto, bands = (path.with_name(f"{path.stem}_{name}_{what}.png") for what in ("pareto", "bands"))
    return pareto, bands


def _text(found: Sequence[Comparison], path: Path, files: Mapping[str, tuple[Path, Path]]) -> Iterator[str]:
    yield f"# Correctors on grids and on graphs\n\nEvery number is in `{path.with_suffix('.json').name}`.\n\n"
    yield from _settings(found)
    yield f"\n{NOTES}"
    if not all(own.on_sphere for own in found):
        yield PLANE_NOTE
    if any(own.on_sphere for own in found):
        yield SPHERE_NOTE
    for own in found:
        pareto, bands = files[own.name]
        yield f"\n## {own.config['title'] or own.name}\n\n### What it says\n\n"
        yield from facts(own)
        yield from _correctors(own)
        yield from _bases(own)
        for test in own.tests:
            yield from _errors(own, test)
        yield (
            f"\n![what is left in each band]({bands.name})\n\n![error against time]({pareto.name})\n\n"
            f"Along a line k = 0 ... {2 * own.steps}, the dot is at K = {own.steps}; grid correctors are dashed. "
            f"Lines are cut off at {TOP:g} times the error of the base.\n"
        )
        yield from _past(own)
        if len(own.bases) > 1:
            yield from _transfer(own)


def _settings(found: Sequence[Comparison]) -> Iterator[str]:
    made, trained = [], []
    for own in found:
        hardware, settings = own.result["hardware"], own.config["corrector"]
        torch, threads = hardware["torch"], str(hardware["threads"])
        command, version = own.result["command"], own.result["commit"][:12]
        made.append([own.name, f"`{command}`", f"`{version}`", hardware["processor"], threads, torch])
        trained.append(
            [
                own.name,
                ", ".join(own.seeds),
                f"{settings['parameters']}",
                f"{settings['optimizer_steps']}",
                f"{settings['seconds']:g}",
                f"{settings['batch_size']}",
                f"{settings['learning_rate']:g}",
                f"{settings['average']:g}",
                settings["spectral_loss"] or "-",
                f"{settings['steps']}",
                f"{settings['alpha']:g}",
            ]
        )
    yield table_lines(["comparison", "made by", "collected at", "processor", "threads", "torch"], made)
    head = [
        "correctors of",
        "seeds",
        "parameters",
        "equal steps",
        "equal time in s",
        "batch",
        "learning rate",
    ]
    yield "\n" + table_lines([*head, "average", "spectral loss", "K", "alpha"], trained)


def _correctors(own: Comparison) -> Iterator[str]:
    yield (
        "\n### Correctors\n\nMeans over bases, and over seeds where they were measured. Times are of the processor, "
        f"per sample of a batch; memory is what {own.steps} steps keep for a backward pass, per sample.\n\n"
    )
    rows = []
    for kind in own.kinds:
        about = own.result["correctors"][kind]
        taken = [
            fit["steps_at"]["time"]
            for base in own.bases
            for fit in own.result["corrector"][base][kind].values()
        ]
        milliseconds, kept = (
            float(np.mean([own.cost(base, kind, key) for base in own.bases]))
            for key in ("step_seconds", "kept_bytes")
        )
        rows.append(
            [
                kind,
                family(kind),
                str(about["width"]),
                str(about["parameters"]),
                f"{np.mean(taken):.0f}",
                f"{1e3 * milliseconds:.3g}",
                f"{kept / 1e6:.3g}",
            ]
        )
    head = [
        "corrector",
        "on",
        "width",
        "parameters",
        "optimiser steps in equal time",
        "ms per step",
        "MB kept",
    ]
    yield table_lines(head, rows)


def _bases(own: Comparison) -> Iterator[str]:
    yield (
        f"\n### Bases\n\nTrained to a plateau of the validation error or for {own.config['base']['seconds']:g} s of "
        "the processor. `last quarter`: by how much the least validation error fell in the last quarter of the "
        "training. Correctors learn from the errors on the training pairs: where these are far below those on other "
        "pairs, a corrector meets larger errors than it has seen.\n\n"
    )
    rows = []
    for base in own.bases:
        fits = [own.result["base"][base]["base"][seed] for seed in own.seeds]
        ended = Counter(fit["ended"] for fit in fits)
        rows.append(
            [
                base,
                str(fits[0]["parameters"]),
                f"{np.mean([fit['seconds'] for fit in fits]):.0f}",
                f"{np.mean([fit['optimizer_steps'] for fit in fits]):.0f}",
                ", ".join(f"{how}: {count}" for how, count in sorted(ended.items())),
                percent_text([fall(fit) for fit in fits]) + " %",
                *(error_text(own.seen(base, part)) for part in ("train", "valid")),
                error_text([scores["vrmse"] for scores in own.alone(base, own.tests[0])]),
            ]
        )
    head = ["base", "parameters", "s", "optimiser steps", "ended by", "last quarter", "VRMSE, training pairs"]
    yield table_lines([*head, "validation pairs", own.tests[0]], rows)


def _errors(own: Comparison, test: str) -> Iterator[str]:
    yield f"\n### Errors, {test}\n\n{own.result['samples'][test]} samples.\n\n"
    rows, has_acc = [], False
    for base in own.bases:
        alone = own.alone(base, test)
        has_acc = has_acc or any("acc" in scores for scores in alone)
        control = own.control(base, test)
        rows.append([base, "base alone", *_cells(alone, None, None)])
        rows.append([base, "control", *_cells(control, None, alone)])
        for kind in own.kinds:
            steps, timed = (own.refined(base, kind, test, mark) for mark in MARKS)
            rows.append([base, kind, *_cells(timed, steps, alone)])
    relative = "RFNE" if own.on_sphere else "relative L2"
    head = ["base", "", "VRMSE", "left, equal steps", "left, equal time", relative, "ACC", *BANDS]
    if not has_acc:
        place = head.index("ACC")
        head, rows = (
            head[:place] + head[place + 1 :],
            [row[:place] + row[place + 1 :] for row in rows],
        )
    yield table_lines(head, rows)


def _cells(timed: Scores, steps: Scores | None, alone: Scores | None) -> list[str]:
    """VRMSE, left at equal steps and at equal time, relative L2, ACC, bands; a dash where there is none."""
    bands = ["-"] * len(BANDS) if alone is None else [percent_text(own) for own in left_bands(timed, alone).T]
    return [
        error_text([own["vrmse"] for own in timed]),
        "-" if steps is None or alone is None else percent_text(left(steps, alone)),
        "-" if alone is None else percent_text(left(timed, alone)),
        error_text([own["relative_l2"] for own in timed]),
        error_text([own["acc"] for own in timed]) if all("acc" in own for own in timed) else "-",
        *bands,
    ]


def _past(own: Comparison) -> Iterator[str]:
    shown = sorted({max(1, own.steps // 2), own.steps, 2 * own.steps})
    yield (
        f"\n### Steps past K = {own.steps}\n\nVRMSE after k steps over that of the base, in %, on {own.tests[0]} at "
        "equal time.\n\n"
    )
    rows = []
    for base in own.bases:
        for kind in own.kinds:
            curve = own.curve(base, kind)
            rows.append([base, kind, *(percent_text(100 * curve[:, k] / curve[:, 0]) for k in shown)])
    yield table_lines(["base", "corrector", *(f"k = {k}" for k in shown)], rows)


def _transfer(own: Comparison) -> Iterator[str]:
    test = own.tests[0]
    yield (
        f"\n### Transfer\n\nWhat a corrector that was trained on one base leaves of the error of another, in %, on "
        f"{test} at equal time, beside that of the corrector that was trained on it.\n\n"
    )
    rows = []
    for kind in own.kinds:
        for trained, refined in permutations(own.bases, 2):
            moved = left(own.transferred(trained, kind, test, refined), own.alone(refined, test))
            at_home = own.left(refined, kind, "time")
            rows.append([kind, trained, refined, percent_text(moved), percent_text(at_home)])
    yield table_lines(["corrector", "trained on", "refines", "left", "left, trained on it"], rows)
