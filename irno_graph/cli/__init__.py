"""The command line: `irno-graph --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from irno_graph.cli import (
    bench,
    cache,
    calibrate,
    certify,
    compare,
    convert,
    data,
    demo,
    evaluate,
    experiment,
    export,
    fit,
    load,
    meshes,
    refine,
    rollout,
    train,
    version,
)

app = typer.Typer(
    name="irno-graph",
    help="Iterative refinement of neural operators on irregular meshes.",
    add_completion=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("rollout")(rollout.rollout)
app.command("load")(load.load)
app.command("export")(export.export)
app.command("fit")(fit.fit)
app.command("refine")(refine.refine)
app.command("certify")(certify.certify)
app.command("calibrate")(calibrate.calibrate)
app.add_typer(meshes.app, name="mesh")
app.add_typer(convert.app, name="convert")
app.add_typer(experiment.app, name="experiment")
app.command("compare")(compare.compare)
app.add_typer(cache.app, name="cache")
app.command("bench", context_settings=bench.SETTINGS)(bench.bench)
app.command("version")(version.version)

__all__ = ["app", "main", "run"]


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code: 0, or 2 after one line on stderr that says what is wrong."""
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="irno-graph", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except (ValueError, ImportError, OSError, FloatingPointError) as error:
        return _refused(str(error))
    except Exception as error:
        # Typer brings Click's exceptions along under a name that differs between versions.
        if not hasattr(error, "format_message"):
            raise
        return _refused(f"{error.format_message()} Try --help.")
    return code if isinstance(code, int) else 0


def _refused(reason: str) -> int:
    print("error:", " ".join(reason.split()), file=sys.stderr)
    return 2
