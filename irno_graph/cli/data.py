"""`irno-graph data`: generators of data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from irno_graph.cli.console import say_files, stage

app = typer.Typer(help="Generate data.")


@app.callback()
def data() -> None:
    """Generate data."""


@app.command("ce-gauss")
def ce_gauss(
    out: Annotated[Path, typer.Option(help="File to write (.nc).")],
    trajectories: Annotated[int, typer.Option(help="How many.")],
    nodes: Annotated[int, typer.Option(help="Number of sample points.")] = 1024,
    points: Annotated[
        Literal["mesh", "random", "grid", "subsample"], typer.Option(help="Kind of sample points.")
    ] = "mesh",
    solver_res: Annotated[
        int, typer.Option(help="Cells along each side: 64 is fast, 128 good, 256 faithful.")
    ] = 128,
    seed: Annotated[int, typer.Option(help="Base seed of the flows.")] = 0,
    mesh_seed: Annotated[int | None, typer.Option(help="Seed of the points; default: --seed.")] = None,
    save_every: Annotated[float, typer.Option(help="Time between snapshots.")] = 0.1,
    final_time: Annotated[float, typer.Option(help="Time of the last snapshot.")] = 0.7,
    threads: Annotated[int | None, typer.Option(help="Worker threads; default: all CPUs.")] = None,
) -> None:
    """Compressible Euler flows from random Gaussian vortices (CE-Gauss), at the nodes of one mesh."""
    from irno_graph.data.ce_gauss import generate

    sentence = f"Solving {trajectories} flows on {solver_res} x {solver_res} cells (compiles on first use)"
    with stage(sentence) as progress:
        generate(
            out,
            trajectories=trajectories,
            nodes=nodes,
            points=points,
            solver_res=solver_res,
            seed=seed,
            mesh_seed=mesh_seed,
            save_every=save_every,
            final_time=final_time,
            batch=threads or os.cpu_count() or 1,
            threads=threads,
            progress=progress,
        )
    say_files([(f"{trajectories} trajectories on {nodes} nodes", out)])
