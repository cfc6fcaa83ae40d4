"""The sentences of an audit: what was found, where first, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from irno_graph.mesh.audit import Audit

SHOWN = 5  # indices that a sentence names
POOR = 0.05  # quality below which a cell is mentioned


@dataclass(frozen=True)
class Finding:
    """One thing that an audit found.

    Attributes:
        severity: "error" where it makes results wrong, else "note".
        name: of the attribute of `Audit` that holds all of it.
        count: how many points, cells, facets, parts or tags.
        first: the first few of their indices; empty for names.
        sentence: what it is and what to do.
    """

    severity: Literal["error", "note"]
    name: str
    count: int
    first: tuple[int, ...]
    sentence: str


def findings_of(audit: Audit) -> tuple[Finding, ...]:
    """All findings of `audit`, errors first."""
    found = [*_errors(audit), *_sharing(audit), *_notes(audit)]
    return tuple(sorted((one for one in found if one.count), key=lambda one: one.severity != "error"))


def _finding(severity: Literal["error", "note"], name: str, what: np.ndarray, text: str) -> Finding:
    first = tuple(int(index) for index in np.asarray(what).ravel()[:SHOWN])
    where = f" (first: {', '.join(map(str, first))})" if first else ""
    head, _, advice = text.partition(": ")
    return Finding(severity, name, len(what), first, f"{len(what)} {head}{where}: {advice}")


def _errors(audit: Audit) -> list[Finding]:
    return [
        _finding(
            *("error", "orphans", audit.orphans),
            "points in no cell of the highest dimension: `mesh.repaired()` drops them.",
        ),
        _finding(
            *("error", "repeated", audit.repeated),
            "cells that repeat an earlier one: `mesh.repaired()` drops them.",
        ),
        _finding(
            *("error", "degenerate", audit.degenerate),
            "cells without length, area or volume: `mesh.repaired()` drops them.",
        ),
        _finding(
            *("error", "collapsed", audit.collapsed),
            "cells with a repeated corner: write them as a type with fewer corners.",
        ),
        _finding(
            *("error", "tangled", audit.tangled),
            "concave or folded cells: move their corners, or cut them into triangles or tetrahedra.",
        ),
    ]


def _sharing(audit: Audit) -> list[Finding]:
    solid = audit.topological_dim == audit.dim > 1
    found = [
        _finding(
            *("error" if solid else "note", "crowded", rows),
            f"{_SIDES[rows.shape[1]]} shared by more than two cells: "
            + ("cells overlap there, mesh the region again." if solid else "sheets or curves meet there."),
        )
        for rows in audit.crowded
    ]
    return [
        *found,
        _finding(
            *("error", "overlapping", audit.overlapping),
            "cells on the same side of a facet they share, so they overlap: mesh the region again.",
        ),
        _finding(
            *("note", "disagreeing", audit.disagreeing),
            "cells whose normal points against that of a neighbour: `mesh.repaired()` turns them where the "
            "surface has two sides.",
        ),
    ]


def _notes(audit: Audit) -> list[Finding]:
    again = [group[0] for group in audit.duplicates]
    several = audit.parts[1:]
    names = ", ".join(audit.unused_tags[:SHOWN])
    kinds = ", ".join(f"{count} {kind}" for kind, count in audit.unknown.items())
    poor = np.flatnonzero(np.nan_to_num(audit.quality, nan=1.0) < POOR)
    poor = np.setdiff1d(poor, np.concatenate([audit.degenerate, audit.tangled]))
    parts = f"{len(audit.parts)} parts that share no point, with {_list(audit.parts)} points: "
    unused = f"{len(audit.unused_tags)} tags without a cell or point: {names}."
    return [
        _finding(
            *("note", "inverted", audit.inverted),
            "cells numbered the other way round: `mesh.repaired()` turns them.",
        ),
        _finding(
            *("note", "duplicates", np.array(again)),
            "places with more than one point: `mesh.repaired()` merges them; keep them where the mesh should be "
            "cut.",
        ),
        _finding(
            *("note", "stray", audit.stray),
            "cells of lower dimension that are no side of another: graphs leave them out.",
        ),
        Finding(
            "note",
            "unknown",
            len(audit.unknown),
            (),
            f"cells of other types ({kinds}): they are not checked.",
        ),
        Finding("note", "parts", len(several), (), parts + "nothing passes between them."),
        Finding("note", "unused_tags", len(audit.unused_tags), (), unused),
        _finding(
            *("note", "quality", poor),
            f"cells with a quality below {POOR}: solutions are poor there, mesh the region again.",
        ),
    ]


def _list(sizes: np.ndarray) -> str:
    shown = ", ".join(str(int(size)) for size in sizes[:SHOWN])
    return f"{shown}, ..." if len(sizes) > SHOWN else shown


_SIDES = {1: "points", 2: "edges", 3: "triangles", 4: "quads"}
