"""`irno-graph export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from irno_graph.cli.console import say_files, stage


def export(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    mesh: Annotated[Path, typer.Argument(help="An example mesh, any format that meshio reads.")],
    out: Annotated[
        Path, typer.Argument(help="refine.pt2 for the whole refinement (torch.export), phi.onnx for Phi.")
    ],
    tensors: Annotated[
        Path | None,
        typer.Option(help="Write the tensors of the mesh to this .npz file: inputs of the program."),
    ] = None,
) -> None:
    """Write a model as a program that needs no irno_graph, for any mesh, number of samples and of steps."""
    import numpy as np
    import torch

    from irno_graph.experiments.evaluation import load_model
    from irno_graph.files import atomic_path
    from irno_graph.graph import Graph
    from irno_graph.mesh import read_mesh
    from irno_graph.refine.export import export_onnx, export_refinement, graph_tensors

    if out.suffix not in (".pt2", ".onnx"):
        raise ValueError(f"`out` should end with .pt2 or .onnx, got `{out}`.")
    if tensors is not None and tensors.suffix != ".npz":
        raise ValueError(f"`--tensors` should end with .npz, got `{tensors}`.")
    refined = load_model(model, "cpu")
    graph = Graph.from_mesh(read_mesh(mesh))
    known: dict[str, Any] = {**graph_tensors(refined.corrector, graph), "mass": graph.mass}
    x = torch.zeros(1, graph.num_nodes, refined.corrector.in_channels)
    written = [(f"what it is given of {mesh}", tensors)] if tensors is not None else []
    with stage(f"Tracing {model}"):
        if out.suffix == ".onnx":
            export_onnx(refined, x, x.new_zeros(*x.shape[:2], refined.corrector.channels), graph, out)
        else:
            program = export_refinement(refined, x, graph, time=0.0, lead_time=refined.lead_time)
            with atomic_path(out) as temporary:
                torch.export.save(program, temporary)
    if tensors is not None:
        with atomic_path(tensors) as temporary:
            np.savez(temporary, **{name: value.numpy() for name, value in known.items()})
    say_files([("Phi" if out.suffix == ".onnx" else "the refinement", out), *written])
