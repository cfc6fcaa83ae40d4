"""`irno-graph evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage


def evaluate(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    data: Annotated[Path, typer.Argument(help="Trajectories (.nc, RIGNO's layout).")],
    out: Annotated[Path | None, typer.Option(help="Write all figures to this JSON file.")] = None,
    steps: Annotated[int | None, typer.Option(help="Refinement steps; default: the model's own.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    control: Annotated[str | None, typer.Option(help="Another model, measured beside it.")] = None,
    markdown: Annotated[bool, typer.Option(help="Print nothing but the table, in Markdown.")] = False,
    flow: Annotated[
        bool, typer.Option("--flow", help="Also errors of the last step per kind and frequency band.")
    ] = False,
) -> None:
    """Errors of rollouts with and without refinement, over all trajectories of a file."""
    from irno_graph.bases import RIGNO
    from irno_graph.data import TrajectoryFile
    from irno_graph.experiments.demo import quiet_stage, write_json
    from irno_graph.experiments.evaluation import compare_rollouts, load_model, snapshots
    from irno_graph.experiments.flow_reports import LastStates
    from irno_graph.refine import IRNO
    from irno_graph.report import comparison_tables, flow_markdown, flow_table, markdown_table

    refined = load_model(model, device)
    other = None if control is None else load_model(control, device, kinds=(IRNO, RIGNO))
    source = TrajectoryFile(data)
    truth = snapshots(source, refined.lead_time)
    graph = source.graph().to(device)
    last = LastStates.of_model(refined, graph) if flow else None
    sentence = f"Rolling out {len(truth)} trajectories of {data}"
    with quiet_stage(sentence) if markdown else stage(sentence) as progress:
        found = compare_rollouts(
            refined, truth, graph, steps=steps, control=other, progress=progress, look=last
        )
    result = {**found.to_json(), "model": model, "data": str(data), "control_model": control}
    if last is not None:
        result["flow"] = last.to_json()
    if markdown:
        print(markdown_table(result), end="")
        if last is not None:
            print("\n" + flow_markdown(result["flow"]), end="")
    else:
        for table in comparison_tables(result):
            console.print(table)
        if last is not None:
            console.print(flow_table(result["flow"]))
    if out is not None:
        write_json(out, result)
        say_files([("all figures", out)])
