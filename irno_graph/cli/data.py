"""`irno-graph data`: generators of data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from irno_graph.cli.console import say_files, stage
from irno_graph.cli.data_convert import convert
from irno_graph.cli.data_info import info
from irno_graph.cli.data_ns import ns_gauss
from irno_graph.cli.data_obstacles import ce_gauss_obstacles
from irno_graph.cli.data_sphere import shallow_water
from irno_graph.cli.data_validate import validate
from irno_graph.cli.data_wave import wave

app = typer.Typer(help="Generate data, and look at other people's.")
app.command("info")(info)
app.command("validate")(validate)
app.command("convert")(convert)


@app.callback()
def data() -> None:
    """Generate data, and look at other people's."""


Out = Annotated[Path, typer.Option(help="File to write (.nc).")]
Trajectories = Annotated[int, typer.Option(help="How many.")]
Nodes = Annotated[int, typer.Option(help="Number of sample points.")]
Points = Annotated[
    Literal["mesh", "random", "grid", "subsample"], typer.Option(help="Kind of sample points.")
]
SolverRes = Annotated[int, typer.Option(help="Cells along each side: 64 is fast, 128 good, 256 faithful.")]
Seed = Annotated[int, typer.Option(help="Base seed of the flows.")]
MeshSeed = Annotated[int | None, typer.Option(help="Seed of the points; default: --seed.")]
SaveEvery = Annotated[float, typer.Option(help="Time between snapshots.")]
FinalTime = Annotated[float, typer.Option(help="Time of the last snapshot.")]
Modes = Annotated[int | None, typer.Option(help="Modes of the interfaces (ce-crp, ce-kh, ce-rpui).")]
Threads = Annotated[int | None, typer.Option(help="Worker threads; default: all CPUs.")]


def _add(flow: str, about: str) -> None:
    @app.command(flow, help=f"{about}, at the nodes of one mesh.", short_help=about)
    def command(
        out: Out,
        trajectories: Trajectories,
        nodes: Nodes = 1024,
        points: Points = "mesh",
        solver_res: SolverRes = 128,
        seed: Seed = 0,
        mesh_seed: MeshSeed = None,
        save_every: SaveEvery = 0.1,
        final_time: FinalTime = 0.7,
        modes: Modes = None,
        threads: Threads = None,
    ) -> None:
        from irno_graph.data.ce_gauss import generate

        sentence = (
            f"Solving {trajectories} flows on {solver_res} x {solver_res} cells (compiles on first use)"
        )
        with stage(sentence) as progress:
            generate(
                out,
                trajectories=trajectories,
                flow=flow,
                modes=modes,
                nodes=nodes,
                points=points,
                solver_res=solver_res,
                seed=seed,
                mesh_seed=mesh_seed,
                save_every=save_every,
                final_time=final_time,
                batch=threads or os.cpu_count() or 1,
                threads=threads,
                progress=progress,
            )
        say_files([(f"{trajectories} trajectories on {nodes} nodes", out)])


_add("ce-gauss", "CE-Gauss: Euler flows from random Gaussian vortices")
_add("ce-rp", "CE-RP: Euler flows from four quadrants of constant states")
_add("ce-crp", "CE-CRP: Euler flows from four curved regions of constant states")
_add("ce-kh", "CE-KH: Euler flows from two wavy shear layers")
_add("ce-rpui", "CE-RPUI: fast Euler flows from quadrants with rippled interfaces")
app.command("ce-gauss-obstacles")(ce_gauss_obstacles)
app.command("shallow-water")(shallow_water)
app.command("ns-gauss")(ns_gauss)
app.command("wave")(wave)
