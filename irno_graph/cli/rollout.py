"""`irno-graph rollout`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files


def rollout(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    data: Annotated[Path, typer.Argument(help="Trajectories (.nc, RIGNO's layout).")],
    out: Annotated[Path, typer.Option(help="File to write: .xdmf or .pvd for ParaView, or .nc.")],
    time_steps: Annotated[int, typer.Option(help="How many.")] = 7,
    steps: Annotated[int | None, typer.Option(help="Refinement steps; default: the model's own.")] = None,
    trajectory: Annotated[int, typer.Option(help="Which trajectory's first snapshot to start from.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Roll a model out from the first snapshot of a trajectory, and write it."""
    from irno_graph.bases import RIGNO
    from irno_graph.experiments.evaluation import load_model, roll_out_file, write_rollout
    from irno_graph.refine import IRNO, Status

    if out.suffix not in (".xdmf", ".pvd", ".nc"):
        raise ValueError(f"`--out` should end in .xdmf, .pvd or .nc, got '{out}'.")
    network = load_model(model, device, kinds=(IRNO, RIGNO))
    found, mesh, graph = roll_out_file(network, data, trajectory, time_steps=time_steps, steps=steps)
    file = write_rollout(out, found, mesh, graph)
    console.print(f"{time_steps} time steps: {Status(int(found.status)).sentence}.")
    say_files([(f"from trajectory {trajectory} of {data}", file)])
