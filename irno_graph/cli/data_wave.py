"""`irno-graph data wave`: waves in a periodic box, on a mesh or on the sphere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from irno_graph.cli.console import say_files, stage

if TYPE_CHECKING:
    from irno_graph.data.wave import Domain


def wave(
    out: Annotated[Path, typer.Option(help="File to write (.nc).")],
    trajectories: Annotated[int, typer.Option(help="How many.")],
    mesh: Annotated[Path | None, typer.Option(help="Mesh file, in any format of meshio.")] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Nodes of the periodic unit square [default: 1024].")
    ] = None,
    icosphere: Annotated[int | None, typer.Option(help="Sphere of 10 * 4^N + 2 nodes.")] = None,
    sphere: Annotated[str | None, typer.Option(help="Sphere of latitudes x longitudes, as in 32x64.")] = None,
    grid: Annotated[
        Literal["legendre-gauss", "equiangular", "lobatto"], typer.Option(help="Kind of latitudes.")
    ] = "legendre-gauss",
    points: Annotated[
        Literal["mesh", "random", "grid"], typer.Option(help="Kind of nodes of the square.")
    ] = "mesh",
    dirichlet: Annotated[
        list[str] | None, typer.Option(help='Tag where u = 0, or "boundary"; may be given again.')
    ] = None,
    initial: Annotated[
        Literal["bumps", "modes"], typer.Option(help="Gaussians at rest, or low modes.")
    ] = "bumps",
    modes: Annotated[int, typer.Option(help="How many, of --initial modes.")] = 32,
    speed: Annotated[float, typer.Option(help="Of the waves.")] = 1.0,
    medium: Annotated[int, typer.Option(help="Gaussians in the speed of each trajectory.")] = 0,
    contrast: Annotated[float, typer.Option(help="Largest relative increase of the speed.")] = 1.0,
    time_step: Annotated[float | None, typer.Option(help="Default: just below the stability limit.")] = None,
    save_every: Annotated[float, typer.Option(help="Time between snapshots.")] = 0.1,
    final_time: Annotated[float, typer.Option(help="Time of the last snapshot.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Base seed of the waves.")] = 0,
    mesh_seed: Annotated[
        int | None, typer.Option(help="Seed of the square's nodes; default: --seed.")
    ] = None,
) -> None:
    """Waves u_tt = c^2 lap u: displacement and velocity in a periodic square, on a mesh or on the sphere.

    What was computed is kept if the command is stopped: give it again and it goes on.
    """
    from irno_graph.data.wave import Domain, Waves, generate

    given = [
        name
        for name, value in (("mesh", mesh), ("nodes", nodes), ("icosphere", icosphere), ("sphere", sphere))
        if value is not None
    ]
    if len(given) > 1:
        raise ValueError(
            f"only one of --mesh, --nodes, --icosphere and --sphere should be given, got {given}."
        )
    if dirichlet and mesh is None:
        raise ValueError("--dirichlet should come with --mesh: the square and the sphere have no boundary.")
    waves = Waves(
        initial=initial, modes=modes, speed=speed, medium=medium, contrast=contrast, time_step=time_step
    )
    domain: Domain
    if mesh is not None:
        domain = Domain.from_file(mesh, dirichlet=tuple(dirichlet or ()))
    elif icosphere is not None:
        domain = Domain.icosphere(icosphere)
    elif sphere is not None:
        domain = Domain.sphere(*_shape(sphere), grid=grid)
    else:
        points_seed = seed if mesh_seed is None else mesh_seed
        domain = Domain.box(1024 if nodes is None else nodes, points=points, seed=points_seed)
    count = len(domain.fixed)
    with stage(f"Solving {trajectories} waves on {count} nodes") as progress:
        generate(
            out,
            trajectories=trajectories,
            domain=domain,
            waves=waves,
            seed=seed,
            save_every=save_every,
            final_time=final_time,
            progress=progress,
        )
    say_files([(f"{trajectories} trajectories on {count} nodes", out)])


def _shape(given: str) -> tuple[int, int]:
    sizes = given.lower().split("x")
    if len(sizes) != 2 or not all(size.strip().isdecimal() for size in sizes):
        raise ValueError(f"--sphere should be latitudes x longitudes as in 32x64, got '{given}'.")
    return int(sizes[0]), int(sizes[1])
