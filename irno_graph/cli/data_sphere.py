"""`irno-graph data shallow-water`: flows on the sphere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from irno_graph.cli.console import say_files, stage


def shallow_water(
    out: Annotated[Path, typer.Option(help="File to write (.nc).")],
    trajectories: Annotated[int, typer.Option(help="How many.")],
    initial: Annotated[
        Literal["random", "galewsky"], typer.Option(help="Random balanced flows, or the unstable jet.")
    ] = "random",
    seed: Annotated[int, typer.Option(help="Of the initial states.")] = 0,
    nlat: Annotated[int, typer.Option(help="Latitudes of the file.")] = 32,
    nlon: Annotated[int, typer.Option(help="Longitudes of the file.")] = 64,
    grid: Annotated[
        Literal["legendre-gauss", "equiangular", "lobatto"], typer.Option(help="Kind of latitudes.")
    ] = "legendre-gauss",
    coarse: Annotated[
        str | None, typer.Option(help="The same states on a coarser grid too, as in 8x16.")
    ] = None,
    save_every: Annotated[float, typer.Option(help="Hours between snapshots.")] = 6.0,
    final_time: Annotated[float, typer.Option(help="Hour of the last snapshot.")] = 72.0,
    spin_up: Annotated[float, typer.Option(help="Hours before the first snapshot.")] = 0.0,
    wind: Annotated[float, typer.Option(help="Root mean square wind of random flows, m/s.")] = 20.0,
    degrees: Annotated[int, typer.Option(help="Highest degree of random vorticity.")] = 10,
    published: Annotated[
        bool, typer.Option("--published", help="Trajectory 0 is the jet as published.")
    ] = False,
    solver_nlat: Annotated[int, typer.Option(help="Latitudes of the solver, half its longitudes.")] = 64,
    time_step: Annotated[float, typer.Option(help="Of the solver, seconds.")] = 600.0,
) -> None:
    """Shallow water on the rotating earth: height, vorticity and divergence on a grid of the sphere.

    What was computed is kept if the command is stopped: give it again and it goes on.
    """
    from irno_graph.data.sphere import ShallowWater, generate

    flow = ShallowWater(
        initial=initial,
        wind=wind,
        degrees=degrees,
        published=published,
        solver_nlat=solver_nlat,
        time_step=time_step,
        spin_up=spin_up,
    )
    with stage(f"Solving {trajectories} flows on {solver_nlat} x {2 * solver_nlat} nodes") as progress:
        generate(
            out,
            trajectories=trajectories,
            flow=flow,
            seed=seed,
            nlat=nlat,
            nlon=nlon,
            grid=grid,
            coarse=None if coarse is None else _shape(coarse),
            save_every=save_every,
            final_time=final_time,
            progress=progress,
        )
    say_files([(f"{trajectories} trajectories on {nlat} x {nlon} nodes", out)])


def _shape(words: str) -> tuple[int, int]:
    sizes = words.lower().split("x")
    if len(sizes) != 2 or not all(size.strip().isdecimal() for size in sizes):
        raise ValueError(f"--coarse should be latitudes x longitudes as in 8x16, got '{words}'.")
    return int(sizes[0]), int(sizes[1])
