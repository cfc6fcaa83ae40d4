"""`irno-graph evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage


def evaluate(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    data: Annotated[list[Path], typer.Argument(help="Trajectories (.nc), one file or several.")],
    out: Annotated[Path | None, typer.Option(help="Write all figures to this JSON file.")] = None,
    steps: Annotated[int | None, typer.Option(help="Refinement steps; default: the model's own.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    control: Annotated[str | None, typer.Option(help="Another model, measured beside it.")] = None,
    markdown: Annotated[bool, typer.Option(help="Print nothing but the table, in Markdown.")] = False,
    flow: Annotated[
        bool, typer.Option("--flow", help="Also errors of the last step per kind and frequency band.")
    ] = False,
) -> None:
    """Errors of rollouts with and without refinement, over all trajectories of a file or of several.

    On meshes with walls also what goes through them.
    """
    from irno_graph.bases import RIGNO
    from irno_graph.experiments.demo import quiet_stage, write_json
    from irno_graph.experiments.evaluation import load_model
    from irno_graph.experiments.file_evaluation import evaluate_files
    from irno_graph.refine import IRNO
    from irno_graph.report import comparison_tables, flow_markdown, flow_table, markdown_table

    refined = load_model(model, device)
    other = None if control is None else load_model(control, device, kinds=(IRNO, RIGNO))
    result = evaluate_files(
        refined,
        data,
        stage=quiet_stage if markdown else stage,
        device=device,
        steps=steps,
        control=other,
        flow=flow,
    )
    result |= {"model": model, "control_model": control}
    if markdown:
        print(markdown_table(result), end="")
        if flow:
            print("\n" + flow_markdown(result["flow"]), end="")
    else:
        for table in comparison_tables(result):
            console.print(table)
        if flow:
            console.print(flow_table(result["flow"]))
        for run, share in result.get("through_walls", {}).items():
            console.print(f"Through walls, {run}: {100 * share:.3g} % of the true velocity there.")
    if out is not None:
        write_json(out, result)
        say_files([("all figures", out)])
