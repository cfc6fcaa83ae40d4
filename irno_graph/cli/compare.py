"""`irno-graph compare`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage


def compare(
    configs: Annotated[list[Path], typer.Argument(help="Comparisons (YAML), as in configs/compare_*.yaml.")],
    workers: Annotated[int, typer.Option(help="Processes that train at once.")] = 1,
    out: Annotated[Path, typer.Option(help="Markdown file; pictures and JSON go beside it.")] = Path(
        "docs/results/grid_vs_graph.md"
    ),
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value that wins over all files, may be repeated."),
    ] = None,
) -> None:
    """Correctors on grids and on graphs compared; what was trained already is taken from the configs' folders.

    Comparisons of other names that the report's JSON holds already stay in the report.
    """
    from irno_graph.experiments.compare import read_compare_config, run_compare
    from irno_graph.experiments.compare.results import earlier, with_earlier
    from irno_graph.experiments.demo import write_json
    from irno_graph.report.compare_report import write_compare_report
    from irno_graph.report.figures import require_matplotlib

    require_matplotlib()
    data, changes = out.with_suffix(".json"), tuple(change or ())
    if data == out:
        raise ValueError(f"`--out` should be a Markdown file, got `{out}`: JSON goes beside it.")
    if workers < 1:
        raise ValueError(f"`--workers` should be at least 1, got {workers}.")
    read = [read_compare_config(path, changes) for path in configs]
    names = [config.name for config in read]
    if len(set(names)) < len(names):
        raise ValueError(
            f"`configs` should have different names, got {', '.join(names)}: change the key `name` of one."
        )
    earlier(data)
    results = {}
    for path, config in zip(configs, read, strict=True):
        with stage(config.title or config.name) as progress:
            results[config.name] = run_compare(
                config,
                workers=workers,
                progress=progress,
                report=lambda line: console.print(line, markup=False),
            )
        changed = [word for own in changes for word in ("--set", own)]
        command = shlex.join(["irno-graph", "compare", path.as_posix(), *changed])
        results[config.name] = {"command": command, **results[config.name]}
    out.parent.mkdir(parents=True, exist_ok=True)
    results = with_earlier(data, results)
    write_json(data, results)
    pictures = write_compare_report(list(results.values()), out)
    say_files([("the report", out), ("its numbers", data), *(("picture", picture) for picture in pictures)])
