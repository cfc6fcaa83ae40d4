"""`irno-graph load`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from irno_graph.cli.console import console


def load(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that the file says, as JSON, and nothing else.")
    ] = False,
) -> None:
    """Read a model file, compare its hashes, and say what the model is."""
    from rich import box
    from rich.table import Table

    from irno_graph.refine import load as loaded
    from irno_graph.refine.facts import facts, weights_of
    from irno_graph.refine.storage import FORMAT, describe, locate

    path = locate(model)
    network, description = loaded(path), describe(path)
    weights = weights_of(network)
    if as_json:
        print(json.dumps({"path": str(path), "weights": weights, **description}, indent=1))
        return
    sealed = "all hashes agree"
    if description["format"] < FORMAT:
        sealed = "the weights have their hash; the format is the one before, whose other entries have none"
    table = Table(
        title=f"{path}: {sealed}", title_justify="left", box=box.SIMPLE, show_header=False, pad_edge=False
    )
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for fact in facts(description, weights):
        table.add_row(fact.name, fact.text)
    console.print(table, markup=False)
