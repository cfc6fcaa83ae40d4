"""`irno-graph refine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage


def refine(
    mesh: Annotated[Path, typer.Argument(help="Mesh file, any format that meshio reads.")],
    field: Annotated[
        Path,
        typer.Argument(
            help="Arrays x [samples, nodes, channels], the operator's input, and h, its answer; truth, time and "
            "lead_time if known: .npz, .h5, .nc, or a mesh file with point data."
        ),
    ],
    model: Annotated[str, typer.Option(help="Model file, or a shipped model's name.")],
    out: Annotated[Path, typer.Option(help="File to write: .npz, .h5, .nc; a mesh file for one sample.")],
    steps: Annotated[int | None, typer.Option(help="Refinement steps; default: the model's own.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Stop where the residual has fallen to this part of the first.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples in memory at once.", min=1)] = 8,
    parts: Annotated[
        int | None,
        typer.Option(help="Cut the mesh into so many parts and refine one after the other.", min=1),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Refine answers that any operator gave, from a file: the model's own base is not asked.

    Several processes share the parts: torchrun --nproc-per-node 2 -m irno_graph refine ...
    """
    from irno_graph.experiments.answers import refine_file
    from irno_graph.experiments.evaluation import load_model
    from irno_graph.mesh import read_mesh
    from irno_graph.refine import Status
    from irno_graph.training.processes import join_processes, world

    network = load_model(model, join_processes(device))
    with stage(f"Refining the answers in {field}") as progress:
        found = refine_file(
            network,
            read_mesh(mesh),
            field,
            out,
            steps=steps,
            tolerance=tolerance,
            batch=batch,
            parts=parts,
            group=world(),
            progress=progress,
        )
    for code in sorted(set(found.status.tolist())):
        count = int((found.status == code).sum())
        console.print(f"{count} of {len(found.status)} samples: {Status(code).sentence}.")
    for name, errors in found.errors.items():
        console.print(f"error, {name}: " + ", ".join(f"{error:.3g} %" for error in errors))
    say_files([(f"refined answers on {mesh}", out)])
