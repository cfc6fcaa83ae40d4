"""`irno-graph train`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from irno_graph.cli.console import console, say_files


def train(
    config: Annotated[Path, typer.Argument(help="Experiment file (YAML), as in configs/.")],
    stage: Annotated[
        Literal["base", "corrector", "control", "all"], typer.Option(help="Which part to train.")
    ] = "all",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="key=value that wins over the file, may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train what an experiment file describes; a run that was cut off goes on where it was."""
    from irno_graph.experiments.train import curves
    from irno_graph.experiments.train import train as run
    from irno_graph.report import training_figure, write_figure
    from irno_graph.report.training_picture import vorticity_picture

    changes = tuple(change or ())
    written = run(
        config,
        stage=stage,
        device=device,
        changes=changes,
        report=lambda line: console.print(line, markup=False),
        draw=vorticity_picture,
    )
    files = [("model", path) for path in written]
    logs = curves(config, changes)
    if logs and find_spec("matplotlib") is not None:
        picture = write_figure(training_figure(logs), written[-1].parent / "curves.png")
        files.append(("validation errors", picture))
    say_files(files)
