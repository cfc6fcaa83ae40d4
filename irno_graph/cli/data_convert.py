"""`irno-graph data convert`: a data set in RIGNO's layout, or one sample for ParaView."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from irno_graph.cli.console import console, say_files
from irno_graph.cli.data_info import opened_source

if TYPE_CHECKING:
    from irno_graph.data.readers import FieldSource

PARAVIEW = (".xdmf", ".pvd")


def convert(
    source: Annotated[Path, typer.Argument(help="File or folder, as `data info` reads it.")],
    out: Annotated[Path, typer.Argument(help="File to write: .nc, or .xdmf or .pvd for ParaView.")],
    sample: Annotated[int, typer.Option(help="Which one ParaView gets.")] = 0,
    fields: Annotated[list[str] | None, typer.Option(help="Of meshes: a field to take; repeatable.")] = None,
    as_: Annotated[
        Literal["times", "samples"] | None, typer.Option("--as", help="What the snapshots of meshes are.")
    ] = None,
    time_step: Annotated[float | None, typer.Option(help="Between mesh files that have no times.")] = None,
    cells: Annotated[
        Literal["refuse", "average"] | None, typer.Option(help="Fields on cells: average them to the points.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the Well: train, valid or test.")] = None,
    axes: Annotated[str | None, typer.Option(help="Of Poseidon: auto, xy or yx.")] = None,
) -> None:
    """Trajectories in RIGNO's layout (.nc), from snapshots on a mesh too; or one sample as a series for ParaView."""
    if out.suffix not in (".nc", *PARAVIEW):
        raise ValueError(f"`OUT` should end in .nc, {' or '.join(PARAVIEW)}, got '{out}'.")
    given: dict[str, Any] = {"fields": fields or None, "as_": as_, "time_step": time_step}
    given |= {"average_cells": None if cells is None else cells == "average", "split": split, "axes": axes}
    found = opened_source(source, **given)
    for sentence in found.decisions:
        console.print(sentence, markup=False, soft_wrap=True)
    if out.suffix in PARAVIEW:
        _write_series(found, out, sample)
        say_files([(f"sample {sample}", out)])
        return
    from irno_graph.data.writers import convert as write

    say_files([(f"{len(found)} trajectories of {', '.join(found.channels)}", write(found, out))])


def _write_series(source: FieldSource, out: Path, sample: int) -> None:
    from irno_graph.data.writers import mesh_of
    from irno_graph.mesh import write_series

    if not 0 <= sample < len(source):
        raise ValueError(f"--sample should be within 0..{len(source) - 1}, got {sample}.")
    states = source.read(sample)[0]  # [times, nodes, channels]
    columns = {name: states[..., place].numpy() for place, name in enumerate(source.channels)}
    write_series(out, mesh_of(source, sample), source.times, columns)
