"""`irno-graph data ce-gauss-obstacles`: Euler flows in boxes with holes, or on a mesh with walls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import say_files, stage


def ce_gauss_obstacles(
    out: Annotated[Path, typer.Option(help="File to write (.nc); a folder with several geometries.")],
    trajectories: Annotated[int, typer.Option(help="How many in all.")],
    geometries: Annotated[int, typer.Option(help="Boxes with other holes, one file each.")] = 1,
    nodes: Annotated[int | None, typer.Option(help="Of each box [default: 1024].")] = None,
    fine: Annotated[
        int, typer.Option(help="Solve with each triangle split in four, so often; write the coarse nodes.")
    ] = 0,
    holes: Annotated[int | None, typer.Option(help="Circular, in each box [default: 3].")] = None,
    mesh: Annotated[Path | None, typer.Option(help="Triangles, in any format of meshio.")] = None,
    wall: Annotated[
        list[str] | None, typer.Option(help="Tag of a wall of --mesh; default: the whole boundary.")
    ] = None,
    narrowest: Annotated[float, typer.Option(help="Least width of the vortices; CE-Gauss has 0.01.")] = 0.03,
    limited: Annotated[bool, typer.Option("--limited", help="Limit slopes (van Albada).")] = False,
    seed: Annotated[int, typer.Option(help="Base seed of boxes and flows.")] = 0,
    save_every: Annotated[float, typer.Option(help="Time between snapshots.")] = 0.1,
    final_time: Annotated[float, typer.Option(help="Time of the last snapshot.")] = 0.7,
    threads: Annotated[int | None, typer.Option(help="Worker threads; default: all CPUs.")] = None,
) -> None:
    """CE-Gauss between slip walls: Euler flows from random vortices in boxes with circular holes, or on a mesh.

    What was computed is kept if the command is stopped: give it again and it goes on.
    """
    from irno_graph.data.unstructured import Domain, Flow, generate_obstacles
    from irno_graph.mesh import read_mesh

    if mesh is None and wall:
        raise ValueError("--wall should come with --mesh: all walls of the box and its holes are slip walls.")
    if mesh is not None and (nodes is not None or holes is not None):
        raise ValueError("--nodes and --holes should be left out with --mesh: they are of boxes with holes.")
    domain = None if mesh is None else Domain.of_mesh(read_mesh(mesh), walls=tuple(wall or ()))
    count = (1024 if nodes is None else nodes) if domain is None else len(domain.mesh.points)
    where = f"{count} nodes" + (f" of {geometries} geometries" if geometries > 1 else "")
    with stage(f"Solving {trajectories} flows on {where} (compiles on first use)") as progress:
        files = generate_obstacles(
            out,
            trajectories=trajectories,
            geometries=geometries,
            domain=domain,
            nodes=count,
            holes=3 if holes is None else holes,
            flow=Flow(narrowest=narrowest, fine=fine, limited=limited),
            seed=seed,
            save_every=save_every,
            final_time=final_time,
            threads=threads,
            progress=progress,
        )
    share = f"{trajectories} trajectories on {where}"
    say_files([(share, files[0] if len(files) == 1 else out)])
