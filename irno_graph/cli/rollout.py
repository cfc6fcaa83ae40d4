"""`irno-graph rollout`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage


def rollout(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    data: Annotated[Path, typer.Argument(help="Trajectories (.nc, RIGNO's layout).")],
    out: Annotated[Path, typer.Option(help="File to write: .xdmf or .pvd for ParaView, or .nc.")],
    time_steps: Annotated[int, typer.Option(help="How many the file will hold.")] = 7,
    steps: Annotated[int | None, typer.Option(help="Refinement steps; default: the model's own.")] = None,
    trajectory: Annotated[
        str,
        typer.Option(
            help="Which trajectory's first snapshot to start from; several (0,3,5) or 'all' for .nc."
        ),
    ] = "0",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file or parts of another rollout, or a longer one.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Roll a model out from the first snapshot of a trajectory, and write it.

    States are kept in the folder OUT.parts as they are made. After an interruption the same command goes on behind the
    last of them. More time steps than a half-made rollout or a finished .nc file has make it longer.
    """
    from irno_graph.experiments.streaming import roll_out_file, trajectory_numbers
    from irno_graph.refine import Status

    with stage(f"Rolling out {time_steps} time steps of trajectory {trajectory} of {data}") as progress:
        found = roll_out_file(
            model,
            data,
            out,
            trajectories=trajectory_numbers(trajectory),
            time_steps=time_steps,
            steps=steps,
            device=device,
            overwrite=overwrite,
            progress=progress,
        )
    if found.before:
        console.print(f"{found.before} of {time_steps} time steps were there already.")
    for code, count in sorted(Counter(found.status).items()):
        samples = "" if len(found.status) == 1 else f" of {count} of {len(found.status)} samples"
        console.print(f"{time_steps} time steps{samples}: {Status(code).sentence}.")
    say_files([(f"from trajectory {trajectory} of {data}", found.path)])
