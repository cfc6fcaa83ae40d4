"""`irno-graph calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console, say_files, stage


def calibrate(
    model: Annotated[str, typer.Argument(help="Model file, or a shipped model's name.")],
    data: Annotated[list[Path], typer.Argument(help="Validation trajectories (.nc), one file or more.")],
    out: Annotated[Path, typer.Option(help="Model file to write.")],
    alpha: Annotated[str, typer.Option(help="Step size: a number, auto, or keep.")] = "keep",
    rate: Annotated[float, typer.Option(help="False alarms of the guard per time step; 0: no guard.")] = 0.01,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Give a refined model a step size and a guard that validation trajectories ask for."""
    from irno_graph.data import TrajectoryFile
    from irno_graph.experiments.calibration import calibrate as calibrated
    from irno_graph.experiments.evaluation import load_model, snapshots
    from irno_graph.refine import save
    from irno_graph.refine.storage import describe

    refined = load_model(model, device)
    sources = [TrajectoryFile(path) for path in data]
    sets = [
        (snapshots(source, refined.lead_time).to(device), source.graph().to(device)) for source in sources
    ]
    count = sum(len(truth) for truth, _ in sets)
    with stage(f"Calibrating on {count} trajectories"):
        found = calibrated(
            refined, sets, alpha=None if alpha == "keep" else alpha, rate=rate if rate > 0 else None
        )
    how = "kept" if alpha == "keep" else "given"
    if found.choice is not None:
        how = "proven to contract" if found.choice.proven else "seen to contract, not proven"
    console.print(f"alpha = {found.alpha:.3g} ({how})")
    if found.guard is not None:
        console.print(f"guard: {found.samples} states, {100 * found.guard.rate:g} % false alarms")
    about = {**(describe(model).get("about") or {}), "calibrated_on": [str(path) for path in data]}
    say_files([("the model", save(refined.cpu(), out, about=about))])
