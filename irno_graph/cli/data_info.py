"""`irno-graph data info`: what is in a data file or folder of a layout that can be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irno_graph.cli.console import console, say_files

if TYPE_CHECKING:
    from irno_graph.data.readers import FieldSource

LAYOUT_OF = {
    "split": "well", "axes": "poseidon", "unpickle": "darcy", "fields": "series", "as_": "series",
    "time_step": "series", "average_cells": "series",
}  # fmt: skip
WORDS = {"as_": "as", "time_step": "time-step", "average_cells": "cells"}


def info(
    path: Annotated[
        Path, typer.Argument(help="File or folder: The Well, Poseidon, Darcy .pt, ERA5, RIGNO, meshes.")
    ],
    split: Annotated[str | None, typer.Option(help="Of the Well: train, valid or test.")] = None,
    axes: Annotated[str | None, typer.Option(help="Of Poseidon: auto, xy or yx.")] = None,
    unpickle: Annotated[
        bool, typer.Option("--unpickle", help="Load a .pt file (a pickle; no code runs).")
    ] = False,
    samples: Annotated[int, typer.Option(help="How many to read for the statistics; 0 reads none.")] = 4,
    plot: Annotated[Path | None, typer.Option(help="Picture to write: .png, .pdf or .svg.")] = None,
    sample: Annotated[int, typer.Option(help="Which one is drawn.")] = 0,
) -> None:
    """Format, shape, channels, statistics, period, and how the order of the axes was found."""
    source = opened_source(path, split=split, axes=axes, unpickle=unpickle or None)
    _say(source, samples)
    if plot is not None:
        say_files([(f"sample {sample}", _write_picture(plot, source, sample))])


def _write_picture(target: Path, source: FieldSource, sample: int) -> Path:
    from irno_graph.report.figures import require_matplotlib, write_figure

    require_matplotlib()
    from irno_graph.report.data_picture import data_figure

    if not -len(source) <= sample < len(source):
        raise ValueError(f"--sample should be within 0..{len(source) - 1}, got {sample}.")
    return write_figure(data_figure(source, sample=sample), target)


def opened_source(path: Path, **given: Any) -> FieldSource:
    """The source at `path`, with those options in `LAYOUT_OF` that are not None.

    Raises:
        ValueError: for an option of another layout.
    """
    from irno_graph.data.readers import layout_of, open_data

    layout = layout_of(path)
    options = {name: value for name, value in given.items() if value is not None}
    wrong = [f"--{WORDS.get(name, name)}" for name in options if LAYOUT_OF[name] != layout]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} should be left out: `{path}` has the layout '{layout}'.")
    return open_data(path, **options)


def _say(source: FieldSource, samples: int) -> None:
    first = source.read(slice(0, 1), slice(0, 1))
    rows = [
        ("path", str(source.path)),
        ("format", source.format),
        ("samples", str(len(source))),
        ("times", f"{len(source.times)} from {source.times[0]:g} to {source.times[-1]:g}"),
        ("nodes", str(first.shape[2])),
        ("channels", ", ".join(source.channels)),
        ("period", "none" if source.period is None else _box(source.period)),
    ]
    boundaries = getattr(source, "boundaries", None)
    if boundaries:
        rows.append(("boundaries", ", ".join(f"{name} {kind}" for name, kind in boundaries.items())))
    if getattr(source, "constant_channels", ()):
        rows.append(("constants", ", ".join(getattr(source, "constant_channels", ()))))
    rows += [("found", sentence) for sentence in source.decisions]
    for name, value in rows:
        console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)
    _say_statistics(source, samples)


def _box(period: tuple[float | None, ...]) -> str:
    return ", ".join(
        f"{name} {'none' if length is None else f'{length:g}'}"
        for name, length in zip("xyz", period, strict=False)
    )


def _say_statistics(source: FieldSource, samples: int) -> None:
    from irno_graph.data.readers import sampled_moments

    width = max(len(name) for name in source.channels) + 2
    tables = [("stored", source.moments)]
    if samples > 0:
        count = min(samples, len(source))
        tables.append((f"{count} sample{'s' if count > 1 else ''}", sampled_moments(source, samples)))
    for title, moments in tables:
        if moments is None:
            continue
        console.print(f"{title + ':':<12}{'channel':<{width}}{'mean':>14}{'deviation':>14}", markup=False)
        for name, mean, std in zip(source.channels, moments.mean, moments.std, strict=True):
            console.print(f"{'':<12}{name:<{width}}{float(mean):>14.6g}{float(std):>14.6g}", markup=False)
