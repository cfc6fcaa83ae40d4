"""`irno-graph certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage


def certify(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    data: Annotated[Path, typer.Argument(help="Trajectories (.nc, RIGNO's layout).")],
    samples: Annotated[int, typer.Option(help="Trajectories to judge, from the first.", min=1)] = 4,
    time_step: Annotated[int, typer.Option(help="Snapshot to start from.", min=0)] = 0,
    no_truth: Annotated[
        bool, typer.Option(help="Judge at the limit, as if the next snapshot were unknown.")
    ] = False,
    iterations: Annotated[int, typer.Option(help="Jacobian products of each norm, at most.", min=1)] = 60,
    out: Annotated[Path | None, typer.Option(help="Write all figures to this JSON file.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Whether a refinement contracts, how fast, and how far from the truth it ends, sample by sample."""
    from irno_graph.data import TrajectoryFile
    from irno_graph.experiments.certification import certificates, to_json
    from irno_graph.experiments.demo import write_json
    from irno_graph.experiments.evaluation import load_model, snapshots
    from irno_graph.report import certificate_table

    refined = load_model(model, device)
    source = TrajectoryFile(data)
    truth = snapshots(source, refined.lead_time)[:samples].to(device)
    graph = source.graph().to(device)
    with stage(f"Judging {len(truth)} samples of {data}") as progress:
        found = certificates(
            refined,
            truth,
            graph,
            time_step=time_step,
            with_truth=not no_truth,
            iterations=iterations,
            progress=progress,
        )
    result = {**to_json(found), "model": model, "data": str(data), "time_step": time_step}
    console.print(certificate_table(result))
    if out is not None:
        write_json(out, result)
        say_files([("all figures", out)])
