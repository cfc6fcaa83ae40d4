"""`irno-graph train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from irno_graph.cli.console import console, say_files


def train(
    config: Annotated[Path, typer.Argument(help="Experiment file (YAML), as in configs/.")],
    stage: Annotated[
        Literal["base", "corrector", "control", "all"], typer.Option(help="Which part to train.")
    ] = "all",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train what an experiment file describes; a run that was cut off goes on where it was."""
    from irno_graph.experiments.train import train as run

    written = run(config, stage=stage, device=device, report=lambda line: console.print(line, markup=False))
    say_files([("model", Path(path)) for path in written])
