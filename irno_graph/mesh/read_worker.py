"""The process that reads mesh files: one request after another from a pipe; needs meshio and numpy only."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
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


def read_fields(path: str) -> dict[str, Any]:
    """What meshio reads from `path`, as plain arrays; `{"error": reason}` where it reads nothing."""
    import meshio

    said = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")
            raw = meshio.read(*_source(path))
    except MemoryError:
        return {"error": "it asks for more memory than a file of its size should need"}
    except (Exception, SystemExit) as error:  # some readers call sys.exit, and parsers raise what they like
        reason = " ".join(f"{said.getvalue()} {error}".split())[:300]
        return {"error": reason or type(error).__name__}
    cells = [(block.type, block.data) for block in raw.cells]
    return {"points": raw.points, "cells": cells, **{name: getattr(raw, name) for name in FIELDS}}


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


def limit_memory(budget: int) -> None:
    """Let this process grow by `budget` bytes from here, where the system can say so."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = now + budget if hard == resource.RLIM_INFINITY else min(now + budget, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    except (ImportError, OSError, ValueError):
        return


def main() -> None:
    """Answer requests `(path, bytes of memory)` until the pipe closes."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    import meshio  # noqa: F401  imported before memory is limited

    answers.write(pickle.dumps("ready"))
    answers.flush()
    while True:
        try:
            path, budget = pickle.load(requests)
        except EOFError:
            return
        limit_memory(budget)
        answer = read_fields(path)
        try:
            data = pickle.dumps(answer, protocol=5)
        except Exception as error:
            data = pickle.dumps({"error": f"it cannot be handed over ({type(error).__name__})"}, protocol=5)
        answers.write(data)
        answers.flush()
        del answer, data


if __name__ == "__main__":
    main()
