"""`irno-graph convert`: models that others trained, in this library's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import say_files

app = typer.Typer(help="Take over models from other implementations.")


@app.callback()
def convert() -> None:
    """Take over models from other implementations."""


@app.command("rigno")
def rigno(
    experiment: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with configs.json, stats.pkl and checkpoints/.")
    ],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    epoch: Annotated[int | None, typer.Option(help="Of the checkpoint; default: the last one.")] = None,
) -> None:
    """Turn an experiment of RIGNO's reference implementation (JAX) into a model file for `irno_graph.load`."""
    from irno_graph.bases.rigno import load_reference
    from irno_graph.refine import save

    model = load_reference(experiment, epoch=epoch)
    weights = sum(parameter.numel() for parameter in model.parameters())
    about = {"converted_from": "RIGNO reference implementation", "folder": experiment.name}
    say_files([(f"RIGNO, {weights} weights, {model.stepper} stepper", save(model, out, about=about))])
