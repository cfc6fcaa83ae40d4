"""`irno-graph data ns-gauss`: incompressible flows in the periodic unit square."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from irno_graph.cli.console import say_files, stage


def ns_gauss(
    out: Annotated[Path, typer.Option(help="File to write (.nc).")],
    trajectories: Annotated[int, typer.Option(help="How many.")],
    nodes: Annotated[int, typer.Option(help="Number of sample points.")] = 1024,
    points: Annotated[
        Literal["mesh", "random", "grid", "subsample"], typer.Option(help="Kind of sample points.")
    ] = "mesh",
    solver_res: Annotated[
        int, typer.Option(help="Modes along each side: 64 is fast, 128 as published.")
    ] = 128,
    viscosity: Annotated[
        float | None, typer.Option(help="Kinematic; default: the published spectral viscosity.")
    ] = None,
    tracer: Annotated[bool, typer.Option("--tracer", help="Add a passive tracer.")] = False,
    seed: Annotated[int, typer.Option(help="Base seed of the flows.")] = 0,
    mesh_seed: Annotated[int | None, typer.Option(help="Seed of the points; default: --seed.")] = None,
    save_every: Annotated[float, typer.Option(help="Time between snapshots.")] = 0.1,
    final_time: Annotated[float, typer.Option(help="Time of the last snapshot.")] = 0.7,
    time_step: Annotated[float | None, typer.Option(help="Longest step; default: by the speed.")] = None,
) -> None:
    """NS-Gauss: incompressible flows from CE-Gauss's vortices, at the nodes of one mesh.

    What was computed is kept if the command is stopped: give it again and it goes on.
    """
    from irno_graph.data.navier_stokes import generate

    with stage(f"Solving {trajectories} flows with {solver_res} x {solver_res} modes") as progress:
        generate(
            out,
            trajectories=trajectories,
            nodes=nodes,
            points=points,
            solver_res=solver_res,
            viscosity=viscosity,
            tracer=tracer,
            seed=seed,
            mesh_seed=mesh_seed,
            save_every=save_every,
            final_time=final_time,
            time_step=time_step,
            progress=progress,
        )
    say_files([(f"{trajectories} trajectories on {nodes} nodes", out)])
