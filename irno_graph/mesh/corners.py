"""Curved and higher-order cells become the straight cells between their corners."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np

from irno_graph.mesh.mesh import CORNERS, MeshError, MeshWarning

HIGHER = re.compile(r"(line|triangle|quad|tetra|pyramid|wedge|hexahedron)\d+")
LAGRANGE = {
    "CURVE": "line",
    "TRIANGLE": "triangle",
    "QUADRILATERAL": "quad",
    "TETRAHEDRON": "tetra",
    "HEXAHEDRON": "hexahedron",
    "WEDGE": "wedge",
    "PYRAMID": "pyramid",
}


def straight(fields: dict[str, Any], file: str) -> dict[str, Any]:
    """`fields` of a file with every cell of type triangle6, hexahedron20 and so on cut down to its corners.

    meshio orders the nodes of a cell as VTK does, corners first. Points that were only nodes between corners
    go, with their data; sets and identifications are renumbered. A warning says so once.

    Raises:
        MeshError: if a cell type has no corners known here, as a polygon.
    """
    kinds = [linear_kind(kind) for kind, _ in fields["cells"]]
    unknown = sorted({kind for (kind, _), linear in zip(fields["cells"], kinds, strict=True) if not linear})
    if unknown:
        raise MeshError(
            f"`{file}` should hold cells of types {', '.join(CORNERS)}, got {', '.join(unknown)}: "
            "split these cells, into triangles say."
        )
    higher = sorted({kind for kind, _ in fields["cells"] if kind not in CORNERS})
    if not higher:
        return fields
    warnings.warn(
        f"`{file}` holds cells of type {', '.join(higher)}: they are read as straight cells between their corners.",
        MeshWarning,
        stacklevel=4,
    )
    count = len(fields["points"])
    cut, middle, used = [], np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for (_, nodes), kind in zip(fields["cells"], kinds, strict=True):
        nodes = np.asarray(nodes)
        if nodes.size and not (nodes.min() >= 0 and nodes.max() < count):
            raise MeshError(f"`{file}` should have cells over points 0..{count - 1}, got {nodes.max()}.")
        corners = nodes[:, : CORNERS[kind]]
        used[corners] = True
        middle[nodes[:, CORNERS[kind] :]] = True
        cut.append((kind, corners))
    return keep_points({**fields, "cells": cut}, used | ~middle)


def linear_kind(kind: str) -> str:
    """The type of the straight cell with the same corners; empty where there is none.

    >>> linear_kind("wedge15"), linear_kind("VTK_LAGRANGE_CURVE"), linear_kind("polygon")
    ('wedge', 'line', '')
    """
    if kind in CORNERS:
        return kind
    if match := HIGHER.fullmatch(kind):
        return match.group(1)
    return LAGRANGE.get(kind.removeprefix("VTK_LAGRANGE_"), "") if kind.startswith("VTK_LAGRANGE_") else ""


def keep_points(fields: dict[str, Any], keep: np.ndarray, source: np.ndarray | None = None) -> dict[str, Any]:
    """`fields` with the points `keep` `[points]`; `source` `[points]` says which kept point stands for each."""
    number = np.cumsum(keep) - 1
    renumber = np.where(keep, number, -1) if source is None else number[source]
    point_sets = {}
    for name, members in (fields.get("point_sets") or {}).items():
        members = renumber[np.asarray(members, dtype=np.int64)]
        point_sets[name] = np.unique(members[members >= 0])
    changed = {
        "points": fields["points"][keep],
        "point_data": {name: np.asarray(data)[keep] for name, data in fields["point_data"].items()},
        "cells": [(kind, renumber[np.asarray(corners)]) for kind, corners in fields["cells"]],
        "point_sets": point_sets,
    }
    if fields.get("pairs") is not None:
        pairs = [renumber[pair] for pair in fields["pairs"]]
        changed["pairs"] = [pair[(pair >= 0).all(axis=1)] for pair in pairs]
    return {**fields, **changed}
