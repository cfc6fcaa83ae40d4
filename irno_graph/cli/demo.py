"""`irno-graph demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irno_graph.cli.console import console, say_files, stage

if TYPE_CHECKING:
    from irno_graph.experiments.demo import Demo

SHIPPED, AROUND = "ce-gauss-small", "obstacles-small"


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("demo-output"),
    model: Annotated[str, typer.Option(help="Shipped model's name, or a model file.")] = SHIPPED,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    trajectories: Annotated[int, typer.Option(help="Number of flows.")] = 4,
    nodes: Annotated[int, typer.Option(help="Points of the mesh.")] = 1024,
    solver_res: Annotated[int, typer.Option(help="Cells of the solver along each side.")] = 128,
    seed: Annotated[int | None, typer.Option(help="Seed of flows and mesh.")] = None,
    obstacles: Annotated[
        bool | None,
        typer.Option(
            help="Also obstacles-small around obstacles; default: where it is shipped and no --model is given."
        ),
    ] = None,
) -> None:
    """Roll a model out on flows and a mesh that it has never seen, with and without refinement."""
    from irno_graph.experiments.demo import SEED, is_shipped, run_demo, run_obstacle_demo
    from irno_graph.report.figures import require_matplotlib

    require_matplotlib()
    console.print(
        f"Rollouts of {model} on new compressible flows, with and without refinement.", markup=False
    )
    found = run_demo(
        output,
        model=model,
        device=device,
        trajectories=trajectories,
        nodes=nodes,
        solver_res=solver_res,
        seed=SEED if seed is None else seed,
        stage=stage,
    )
    _show(found, output)
    if obstacles is None:
        obstacles = model == SHIPPED and is_shipped(AROUND)
    if obstacles:
        console.print(f"Rollouts of {AROUND} around obstacles, on a geometry that it has never seen.")
        where = output / "obstacles"
        _show(
            run_obstacle_demo(where, device=device, seed=SEED if seed is None else seed, stage=stage), where
        )


def _show(found: Demo, output: Path) -> None:
    """Draw pictures of what was found, print its tables, and say where the files are."""
    from irno_graph.report import comparison_tables, error_figure, rollout_figure, write_figure

    result = found.evaluation.to_json()
    vorticity = {run: fields["vorticity"] for run, fields in found.fields.items()}
    pictures = {
        "vorticity of the first flow": write_figure(
            rollout_figure(found.mesh, vorticity, times=found.times), output / "rollout.png"
        ),
        "errors per time step": write_figure(error_figure(result), output / "errors.png"),
    }
    for table in comparison_tables(result):
        console.print(table)
    say_files([*pictures.items(), *found.files.items()])
