"""`irno-graph mesh`: what is in a mesh file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console

app = typer.Typer(help="Look at mesh files.")


@app.callback()
def mesh() -> None:
    """Look at mesh files."""


@app.command("info")
def info(file: Annotated[Path, typer.Argument(help="In any format that meshio reads.")]) -> None:
    """Points, cells, period, orphan points, area; exit code 2 where the mesh makes no graph."""
    from irno_graph.graph import Graph
    from irno_graph.mesh import read_mesh

    found = read_mesh(file)
    cells: Counter[str] = Counter()
    for kind, corners in found.cells:
        cells[kind] += len(corners)
    _say("points", f"{len(found.points)} in {found.dim} dimensions")
    for kind, count in cells.items():
        _say(f"cells, {kind}", count)
    _say("period", found.period or "none")
    _say("orphan points", len(found.orphan_points))
    graph = Graph.from_mesh(found)
    _say("edges", graph.edge_index.shape[1] // 2)
    _say("area", f"{float(graph.mass.sum()):.6g}")


def _say(name: str, value: object) -> None:
    console.print(f"{name:<16}{value}", markup=False)
