"""What the process that reads mesh files does (`irno_graph.child`); needs meshio and numpy only."""

from __future__ import annotations

import contextlib
import gzip
import io
import warnings
from typing import Any

NEWER_NETGEN = (
    "edgedescriptors",
    "edgesegmentsgi3",
    "face_transparencies",
    "facedescriptors",
    "identificationnames",
)
FIELDS = ("point_data", "cell_data", "field_data", "point_sets", "cell_sets", "gmsh_periodic", "info")


def read_fields(path: str, step: int | None = None) -> dict[str, Any]:
    """What meshio reads from `path`, as plain arrays; `{"error": reason}` where it reads nothing.

    `step` is the place of a snapshot in an XDMF series.
    """
    import meshio

    said = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")
            raw = meshio.read(*_source(path)) if step is None else _snapshot(path, step)
    except MemoryError:
        return {"error": "it asks for more memory than a file of its size should need"}
    except (Exception, SystemExit) as error:  # some readers call sys.exit, and parsers raise what they like
        reason = " ".join(f"{said.getvalue()} {error}".split())[:300]
        return {"error": reason or type(error).__name__}
    cells = [(block.type, block.data) for block in raw.cells]
    return {"points": raw.points, "cells": cells, **{name: getattr(raw, name) for name in FIELDS}}


def _snapshot(path: str, step: int) -> Any:
    import meshio

    with meshio.xdmf.TimeSeriesReader(path) as reader:
        points, cells = reader.read_points_cells()
        _, point_data, cell_data = reader.read_data(step)
    return meshio.Mesh(points, cells, point_data=point_data, cell_data=cell_data)


def _source(path: str) -> tuple[Any, ...]:
    """What meshio is to read: a path or, for Netgen, what meshio knows of the file."""
    if not path.lower().endswith((".vol", ".vol.gz")):
        return (path,)
    opener: Any = gzip.open if path.lower().endswith(".gz") else open
    with opener(path, "rt") as file:
        return io.StringIO("\n".join(known_netgen(file.read().splitlines()))), "netgen"


def known_netgen(lines: list[str]) -> list[str]:
    """The lines of a Netgen file without the sections that came after meshio, its edges in the older form.

    `edgesegmentsgi3` has the points first and last the edge's place among the descriptors, counted from 0.
    """
    kept, place = [], 0
    while place < len(lines):
        word = lines[place].strip()
        if word not in NEWER_NETGEN:
            kept.append(lines[place])
            place += 1
            continue
        count = int(lines[place + 1])
        rows = lines[place + 2 : place + 2 + count]
        if word == "edgesegmentsgi3":
            ends = [row.split() for row in rows]
            kept += ["edgesegments", str(count)]
            kept += [f"{int(row[-1]) + 1} 0 {row[0]} {row[1]}" for row in ends]
        place += 2 + count
    return kept
