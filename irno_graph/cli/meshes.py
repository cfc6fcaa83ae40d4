"""`irno-graph mesh`: what is in a mesh file, what is wrong with it, and other formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from irno_graph.cli.console import console, say_files

if TYPE_CHECKING:
    from irno_graph.mesh import Mesh
    from irno_graph.mesh.audit import Audit

app = typer.Typer(help="Look at mesh files, repair and convert them.")
MEASURES = ("points", "length", "area", "volume")
BAR = 40  # characters of the longest bar


@app.callback()
def mesh() -> None:
    """Look at mesh files, repair and convert them."""


@app.command("info")
def info(
    file: Annotated[Path, typer.Argument(help="In any format that meshio reads.")],
    plot: Annotated[Path | None, typer.Option(help="Picture to write: .png, .pdf or .svg.")] = None,
    repair: Annotated[Path | None, typer.Option(help="Mesh file to write, with what can be mended.")] = None,
) -> None:
    """Points, cells, tags, faults, quality, size and edges; exit code 2 where results would be wrong."""
    from irno_graph.mesh import read_mesh
    from irno_graph.mesh.audit import audit

    found = read_mesh(file, audited=False)
    checked = audit(found)
    _say_mesh(found, checked)
    written = _write_picture(plot, found, file.name) if plot else []
    if repair:
        written += _write_repaired(repair, found)
    refused = _say_graph(found)
    if written:
        say_files(written)
    if refused is not None:
        raise refused
    if not checked.ok:
        error = checked.findings[0].sentence
        raise ValueError(f"`{file.name}` should have no faults that make results wrong, got {error}")


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="Mesh file in any format that meshio reads.")],
    target: Annotated[Path, typer.Argument(help="Mesh file to write; its suffix says the format.")],
    lossy: Annotated[bool, typer.Option("--lossy", help="Leave out what the format does not hold.")] = False,
) -> None:
    """Read a mesh file and write it in another format."""
    from irno_graph.mesh import read_mesh, write_mesh

    found = read_mesh(source, audited=False)
    write_mesh(target, found, lossy=lossy)
    say_files([(repr(found), target)])


def _say_mesh(found: Mesh, checked: Audit) -> None:
    from irno_graph.mesh.regions import named_cells, named_points

    _say("points", f"{len(found.points)} in {found.dim} dimensions")
    for kind, count in checked.counts.items():
        if kind != "points":
            _say(f"cells, {kind}", count)
    _say("dimension", checked.topological_dim)
    _say("period", found.period or "none")
    for name, cells in named_cells(found).items():
        _say("tag", f"{name}: {len(cells)} cells")
    for name, points in named_points(found).items():
        _say("tag", f"{name}: {len(points)} points")
    for place, names in (("point data", found.point_data), ("cell data", found.cell_data)):
        if names:
            _say(place, " ".join(map(str, names)))
    _say("orphan points", len(checked.orphans))
    for finding in checked.findings:
        _say(finding.severity, finding.sentence)
    _say_quality(checked)
    if checked.topological_dim:
        _say(MEASURES[checked.topological_dim], f"{checked.measure:.6g}")


def _say_quality(checked: Audit) -> None:
    counts = checked.histogram()
    if not counts.sum():
        return
    known = checked.quality[np.isfinite(checked.quality)]
    _say("quality", f"least {known.min():.3f} median {np.median(known):.3f}")
    for place, count in enumerate(counts):
        if count:
            bar = "#" * max(1, round(BAR * count / counts.max()))
            _say(f"  {place / 10:.1f}-{(place + 1) / 10:.1f}", f"{bar} {count}")


def _say_graph(found: Mesh) -> ValueError | None:
    """Say what the graph has; where there is none, give the reason back."""
    from irno_graph.graph import Graph

    try:
        graph = Graph.from_mesh(found)
    except ValueError as error:
        return error
    _say("edges", graph.edge_index.shape[1] // 2)
    return None


def _write_picture(path: Path, found: Mesh, title: str) -> list[tuple[str, Path]]:
    from irno_graph.report.figures import require_matplotlib, write_figure
    from irno_graph.report.mesh_picture import mesh_figure

    require_matplotlib()
    return [("picture", write_figure(mesh_figure(found, title=title), path))]


def _write_repaired(path: Path, found: Mesh) -> list[tuple[str, Path]]:
    from irno_graph.mesh import write_mesh
    from irno_graph.mesh.repair import repaired

    mended, done = repaired(found)
    for sentence in done or ["nothing to do"]:
        _say("repair", sentence)
    write_mesh(path, mended)
    return [("repaired mesh", path)]


def _say(name: str, value: object) -> None:
    console.print(f"{name:<18}{value}", markup=False, soft_wrap=True)
