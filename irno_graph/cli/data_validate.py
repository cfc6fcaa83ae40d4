"""`irno-graph data validate`: is a data set what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from irno_graph.cli.console import console, say_files, stage
from irno_graph.cli.data_info import opened_source

if TYPE_CHECKING:
    from irno_graph.data.validation import Finding

COLOURS = {"ok": "green", "look": "yellow", "wrong": "red"}


def validate(
    path: Annotated[Path, typer.Argument(help="File or folder, as `data info` reads it.")],
    samples: Annotated[
        int | None, typer.Option(help="How many to read, spread evenly; default: all.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the Well: train, valid or test.")] = None,
    axes: Annotated[str | None, typer.Option(help="Of Poseidon: auto, xy or yx.")] = None,
    unpickle: Annotated[
        bool, typer.Option("--unpickle", help="Load a .pt file (a pickle; no code runs).")
    ] = False,
    gamma: Annotated[float, typer.Option(help="Ratio of specific heats.")] = 1.4,
    to_json: Annotated[Path | None, typer.Option("--json", help="File to write the findings to.")] = None,
) -> None:
    """Values, times, duplicates; of flows axes, conservation, energy and positivity. Exit code 1 if one is wrong."""
    from irno_graph.data.validation import validate as check
    from irno_graph.data.validation import worst

    source = opened_source(path, split=split, axes=axes, unpickle=unpickle or None)
    with stage(f"Reading {path}") as progress:
        findings = check(source, samples=samples, gamma=gamma, progress=progress)
    console.print(_table(findings))
    if to_json is not None:
        _write(to_json, path, findings)
        say_files([(f"{len(findings)} findings", to_json)])
    if worst(findings) == "wrong":
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    table = Table("check", "found", "expected", "verdict", show_lines=True)
    for one in findings:
        table.add_row(
            Text(one.check),
            Text(one.found),
            Text(one.expected),
            Text(one.verdict, style=COLOURS[one.verdict]),
        )
    return table


def _write(target: Path, path: Path, findings: list[Finding]) -> None:
    from irno_graph.files import atomic_path

    content = {"path": str(path), "findings": [finding.as_dict() for finding in findings]}
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
