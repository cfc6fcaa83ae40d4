"""`irno-graph bench`: the benchmarks of a checkout."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from irno_graph.cli.console import console

MAIN = 'if __name__ == "__main__":'  # modules without it are parts of benchmarks
# What follows the name is the benchmark's, --help too.
SETTINGS = {"allow_interspersed_args": False, "ignore_unknown_options": True}


def bench(
    name: Annotated[str | None, typer.Argument(help="Which one; without, all are listed.")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGS...", help="Its arguments.")] = None,
) -> None:
    """Run a benchmark; `bench NAME --help` says what it takes."""
    known = benchmarks(benchmark_folder())
    if name is None:
        for known_name, path in known.items():
            console.print(f"{known_name:<20}{first_line(path)}", markup=False, soft_wrap=True)
        return
    if name not in known:
        raise ValueError(f"`NAME` should be a benchmark, got '{name}': there are {', '.join(known)}.")
    code = subprocess.run([sys.executable, str(known[name]), *(arguments or [])]).returncode
    raise typer.Exit(code if code >= 0 else 128 - code)  # as a shell reports a signal


def benchmark_folder() -> Path:
    """The benchmarks beside this package, or in the current directory.

    Raises:
        ValueError: where there are none.
    """
    for root in (Path(__file__).resolve().parents[2], Path.cwd()):
        folder = root / "benchmarks"
        if (folder / "harness.py").is_file():
            return folder
    raise ValueError(
        "benchmarks come with a checkout, got an installed package without them: run this in a clone's root."
    )


def benchmarks(folder: Path) -> dict[str, Path]:
    """Scripts in `folder` by name."""
    scripts = (path for path in sorted(folder.glob("*.py")) if MAIN in path.read_text(encoding="utf-8"))
    return {path.stem: path for path in scripts}


def first_line(path: Path) -> str:
    """The first line of a script's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
