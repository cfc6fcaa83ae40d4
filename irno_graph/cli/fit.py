"""`irno-graph fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from irno_graph.cli.console import console, say_files


def fit(
    mesh: Annotated[Path, typer.Argument(help="Mesh file, any format that meshio reads.")],
    field: Annotated[
        Path,
        typer.Argument(
            help="Arrays x, h and truth [samples, nodes, channels]: an operator's inputs, its answers, the truth; time "
            "and lead_time if the corrector should know them: .npz, .h5, .nc."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Model file to write (.safetensors).")],
    valid: Annotated[
        Path | None,
        typer.Option(help="Samples to choose weights and steps by; default: the last fifth of FIELD."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="For checkpoint and logs; default: OUT without its suffix.")
    ] = None,
    hidden: Annotated[int, typer.Option(help="Width of the corrector.", min=1)] = 64,
    layers: Annotated[int, typer.Option(help="Layers per level.", min=1)] = 1,
    levels: Annotated[int, typer.Option(help="Coarser graphs.", min=1)] = 4,
    modes: Annotated[
        int, typer.Option(help="Laplacian modes of the corrector's spectral filters.", min=0)
    ] = 0,
    steps: Annotated[int, typer.Option(help="Refinement steps K.", min=1)] = 4,
    alpha: Annotated[float, typer.Option(help="Step size in (0, 1].")] = 0.4,
    optimizer_steps: Annotated[int, typer.Option(help="Length of the training.", min=1)] = 2000,
    batch: Annotated[int, typer.Option(help="Samples in a batch.", min=1)] = 8,
    learning_rate: Annotated[float, typer.Option(help="Its peak.")] = 1e-3,
    spectral_loss: Annotated[
        Literal["eigenbasis", "fft", "none"], typer.Option(help="fft: on periodic grids.")
    ] = "eigenbasis",
    precision: Annotated[
        Literal["32", "bf16"], typer.Option(help="bf16: products of matrices in bfloat16.")
    ] = "32",
    accumulate: Annotated[int, typer.Option(help="Batches for each optimiser step.", min=1)] = 1,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights; 0: none.")] = 0.0,
    patience: Annotated[
        int, typer.Option(help="Validations without a better one that end the training; 0: never.", min=0)
    ] = 0,
    recompute: Annotated[bool, typer.Option(help="Less memory for more time.")] = False,
    seed: Annotated[int, typer.Option(help="Of weights and the order of samples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train a corrector on an operator's answers in a file; the same command goes on where it was cut off."""
    from irno_graph.experiments.fit_answers import Architecture, fit_file
    from irno_graph.mesh import read_mesh
    from irno_graph.training.answers_fit import AnswersFit
    from irno_graph.training.options import FitOptions

    if out.suffix != ".safetensors":
        raise ValueError(f"`--out` should end in .safetensors, got `{out}`.")
    found = fit_file(
        read_mesh(mesh),
        field,
        out,
        valid=valid,
        folder=folder or out.with_suffix(""),
        architecture=Architecture(hidden, layers, levels, modes, steps, alpha),
        settings=AnswersFit(
            optimizer_steps=optimizer_steps,
            batch_size=batch,
            learning_rate=learning_rate,
            spectral_loss="" if spectral_loss == "none" else spectral_loss,
            recompute=recompute,
            seed=seed,
            options=FitOptions(precision, accumulate, ema=ema, patience=patience, keep_best=True),
        ),
        device=device,
        report=lambda line: console.print(line, markup=False),
    )
    for step, left in enumerate(found.left):
        chosen = ", the model's number of steps" if step == found.steps else ""
        console.print(f"k = {step}: {100 * left:.1f} % of the answers' error on validation samples{chosen}")
    say_files([("the refined model, without its operator", out)])
