"""`irno-graph experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage

app = typer.Typer(help="Experiments whose results are in docs/results.")


@app.callback()
def experiment() -> None:
    """Experiments whose results are in docs/results."""


@app.command("solver")
def solver(
    config: Annotated[Path, typer.Option(help="Settings.")] = Path("configs/solver.yaml"),
    out: Annotated[Path, typer.Option(help="Markdown file; figures and JSON go beside it.")] = Path(
        "docs/results/solver.md"
    ),
    part: Annotated[
        list[str] | None,
        typer.Option(help="Only this part, may be repeated; nothing is written to --out then."),
    ] = None,
) -> None:
    """The refinement as a solver: certificates, step sizes, acceleration, guard, long rollouts, losses."""
    from irno_graph.experiments.demo import write_json
    from irno_graph.experiments.solver import PARTS, read_solver_config, run_solver
    from irno_graph.report.solver_report import write_solver_report

    settings = read_solver_config(config)
    result = run_solver(settings, stage=stage, report=console.print, parts=tuple(part or PARTS))
    if part:
        say_files([("what was measured", Path(settings.folder))])
        return
    data = out.with_suffix(".json")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(data, result)
    figures = write_solver_report(result, out, config=config)
    say_files([("the report", out), ("its figures", data), *(("picture", figure) for figure in figures)])


@app.command("ce-gauss")
def ce_gauss(
    config: Annotated[Path, typer.Option(help="Settings.")] = Path("configs/experiment_cpu.yaml"),
    out: Annotated[Path, typer.Option(help="Markdown file; figures and JSON go beside it.")] = Path(
        "docs/results/ce_gauss.md"
    ),
    so_far: Annotated[bool, typer.Option("--so-far", help="Train nothing: report what is finished.")] = False,
) -> None:
    """CE-Gauss rollouts refined on irregular meshes: data, trainings with controls, figures; goes on where it was."""
    from irno_graph.experiments.ce_gauss import read_ce_gauss_config, run_ce_gauss
    from irno_graph.experiments.demo import write_json
    from irno_graph.experiments.provenance import hardware
    from irno_graph.report.ce_gauss_report import write_ce_gauss_report

    settings = read_ce_gauss_config(config)
    result = run_ce_gauss(settings, so_far=so_far, report=lambda line: console.print(line, markup=False)) | {
        "machine": hardware()
    }
    data = out.with_suffix(".json")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(data, result)
    figures = write_ce_gauss_report(result, out, config=config)
    say_files([("the report", out), ("its figures", data), *(("picture", figure) for figure in figures)])
