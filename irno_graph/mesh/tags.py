"""Sets, named ids, the period and dtypes as specially named arrays, for formats that have no other place."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from irno_graph.mesh.mesh import Mesh, MeshError

PREFIX = "irno_graph:"
PERIOD = "irno_graph:period"  # constant point data [points, 3], 0 for an axis that is not periodic
DIM, BLOCK, MADE = "irno_graph:dim", "irno_graph:block", "irno_graph:entities"
GMSH_TAGS = ("gmsh:physical", "gmsh:geometrical")
CELL_DIM = {"vertex": 0, "line": 1, "triangle": 2, "quad": 2}
VOLUME_CELLS = ("tetra", "pyramid", "wedge", "hexahedron")


def encoded(mesh: Mesh, form: str) -> dict[str, Any]:
    """The keyword arguments of a meshio mesh that holds all of `mesh`, in formats with data on points and cells."""
    count, sizes = len(mesh.points), [len(corners) for _, corners in mesh.cells]
    points: dict[str, np.ndarray] = {}
    cells: dict[str, list[np.ndarray]] = {}
    native = _native_tags(mesh) if form == "gmsh" and gmsh_version(mesh) == "2.2" else set()
    for name, values in mesh.point_data.items():
        if name != PERIOD:
            label, kept = _portable(name, values, form, name in native)
            points[label] = kept
    for name, blocks in mesh.cell_data.items():
        joined = np.concatenate(blocks) if blocks else np.zeros(0)
        label, kept = _portable(name, joined, form, name in native)
        cells[label] = np.split(kept, np.cumsum(sizes)[:-1])
    for name, members in mesh.tags.get("cell_sets", {}).items():
        cells[f"{PREFIX}cell_set:{quote(name, safe='')}"] = [
            _indicator(block, size) for block, size in zip(members, sizes, strict=True)
        ]
    for name, members in mesh.tags.get("point_sets", {}).items():
        points[f"{PREFIX}point_set:{quote(name, safe='')}"] = _indicator(members, count)
    fields = {}
    for name, values in mesh.tags.get("field_data", {}).items():
        values = np.asarray(values)
        if (
            form == "gmsh"
            and values.shape == (2,)
            and values.dtype.kind in "iu"
            and re.fullmatch(r"[\w-]+", name)
        ):
            fields[name] = values
            continue
        for place, value in enumerate(_numbers(name, values)):
            label = f"{PREFIX}field:{place}:{values.dtype.str[1:]}:{quote(name, safe='')}"
            points[label] = np.full(count, value)
    if mesh.period is not None:
        row = np.zeros(3)
        row[: mesh.dim] = [length or 0.0 for length in mesh.period]
        points[PERIOD] = np.tile(row, (count, 1))
    if mesh.dim != flat_dim(mesh.points, mesh.cells):
        points[DIM] = np.full(count, float(mesh.dim))
    kinds = [kind for kind, _ in mesh.cells]
    if any(one == two for one, two in pairwise(kinds)):
        cells[BLOCK] = [np.full(size, float(number)) for number, size in enumerate(sizes)]
    if form == "gmsh" and not native:  # its format has two numbers for each cell, wanted or not
        points[MADE] = np.zeros(count)
        if gmsh_version(mesh) == "2.2":
            cells |= {name: [np.zeros(size, dtype=np.int32) for size in sizes] for name in GMSH_TAGS}
    joined_blocks = list(mesh.cells)
    if form == "gmsh":  # its reader joins neighbours of one type, but not all of their data
        starts = [n for n in range(len(kinds)) if n == 0 or kinds[n] != kinds[n - 1]]
        groups = list(pairwise([*starts, len(kinds)]))
        joined_blocks = [
            (kinds[a], np.concatenate([block for _, block in mesh.cells[a:b]])) for a, b in groups
        ]
        cells = {name: [np.concatenate(data[a:b]) for a, b in groups] for name, data in cells.items()}
    return {"cells": joined_blocks, "point_data": points, "cell_data": cells, "field_data": fields}


def restored(fields: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None, int | None]:
    """`fields` of a file with the arrays of `encoded` taken out again; the period row and dim where stored."""
    point_data = {name: _in_order(values) for name, values in fields["point_data"].items()}
    cell_data = {name: [_in_order(block) for block in data] for name, data in fields["cell_data"].items()}
    cell_sets, point_sets = dict(fields["cell_sets"] or {}), dict(fields["point_sets"] or {})
    field_data: dict[str, Any] = dict(fields["field_data"] or {})
    pieces: dict[str, list[tuple[int, Any]]] = {}
    stored = {}
    if MADE in point_data:
        cell_data = {name: blocks for name, blocks in cell_data.items() if name not in GMSH_TAGS}
    for name in [name for name in point_data if name.startswith(PREFIX)]:
        values = point_data.pop(name)
        what, _, rest = name.removeprefix(PREFIX).partition(":")
        if what == "point_set":
            point_sets[unquote(rest)] = np.flatnonzero(values)
        elif what == "field":
            place, dtype, label = rest.split(":", 2)
            pieces.setdefault(unquote(label), []).append((int(place), values[0].astype(dtype)))
        elif what == "as":
            label, values = _original(rest, values)
            point_data[label] = values
        elif len(values):
            stored[name] = values[0]
    for name, numbered in pieces.items():
        field_data[name] = np.array([value for _, value in sorted(numbered, key=lambda pair: pair[0])])
    split_at = cell_data.pop(BLOCK, None)
    for name in [name for name in cell_data if name.startswith(PREFIX)]:
        what, _, rest = name.removeprefix(PREFIX).partition(":")
        if what == "cell_set":
            cell_sets[unquote(rest)] = [np.flatnonzero(block) for block in cell_data.pop(name)]
        elif what == "as":
            both = [_original(rest, block) for block in cell_data.pop(name)]
            cell_data[both[0][0]] = [block for _, block in both]
    new = {
        **fields,
        "point_data": point_data,
        "cell_data": cell_data,
        "cell_sets": cell_sets,
        "point_sets": point_sets,
        "field_data": field_data,
    }
    new = new if split_at is None else _split(new, split_at)
    dim = stored.get(DIM)
    return new, stored.get(PERIOD), None if dim is None else int(dim)


def named_sets(fields: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    """The cell sets of `fields`, with a set for each named physical group of Gmsh: one index array per block."""
    cells, sets = fields["cells"], {}
    for name, blocks in (fields["cell_sets"] or {}).items():
        if not name.startswith("gmsh:") and len(blocks) == len(cells):
            sets[name] = [np.asarray([] if b is None else b, dtype=np.int64).ravel() for b in blocks]
    physical = fields["cell_data"].get("gmsh:physical")
    for name, values in (fields["field_data"] or {}).items():
        values = np.asarray(values)
        if physical is None or name in sets or values.shape != (2,):
            continue
        sets[name] = [
            np.flatnonzero((np.asarray(block) == values[0]) & (CELL_DIM.get(kind, 3) == values[1]))
            for (kind, _), block in zip(cells, physical, strict=True)
        ]
    return sets


def flat_dim(points: np.ndarray, cells: Any) -> int:
    """How many coordinates a reader keeps: 2 where the third is 0 everywhere and no cell is a volume."""
    flat = points.shape[1] < 3 or not points[:, 2].any()
    return 2 if flat and not any(kind.startswith(VOLUME_CELLS) for kind, _ in cells) else 3


def gmsh_version(mesh: Mesh) -> str:
    """The version of Gmsh's format to write: 2.2, or 4.0 where meshio reads data on several cell types only there."""
    kinds = {kind for kind, _ in mesh.cells}
    extra = (
        set(mesh.cell_data) - _native_tags(mesh) or mesh.tags.get("cell_sets") or len(mesh.cells) > len(kinds)
    )
    return "4.0" if extra and len(kinds) > 1 else "2.2"


def _native_tags(mesh: Mesh) -> set[str]:
    """The names of Gmsh's own two numbers for each cell, where the mesh has both."""
    blocks = [block for name in GMSH_TAGS for block in mesh.cell_data.get(name, ())]
    whole = all(block.dtype.kind in "iu" and block.ndim == 1 for block in blocks)
    return set(GMSH_TAGS) if whole and set(GMSH_TAGS) <= set(mesh.cell_data) else set()


def _portable(name: str, values: np.ndarray, form: str, native: bool) -> tuple[str, np.ndarray]:
    """A name and array that the format keeps; where it would not, the name says how to undo it."""
    if values.dtype.kind not in "iufb":
        raise MeshError(f"data '{name}' should be numbers to write them, got {values.dtype}.")
    shape, kind = values.shape[1:], values.dtype.str[1:]
    same = kind in ("f8", "f4", "i4", "i8") and (form != "gmsh" or kind == "f8")
    whole = (
        len(shape) == 0 or shape == (3,) or (len(shape) == 1 and form in ("vtu", "xdmf") and shape != (1,))
    )
    plain = bool(name) and not re.search(r"[\s\"<>&]", name) and not name.startswith("gmsh:")
    if native or (same and whole and plain):
        return name, np.ascontiguousarray(values)
    if len(shape) > 1 or (len(shape) == 1 and not 1 <= shape[0] <= 9):
        raise MeshError(
            f"data '{name}' should have shape [rows] or [rows, 1 to 9], got {list(values.shape)}."
        )
    wide = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    if not np.array_equal(wide.astype(values.dtype).reshape(values.shape), values, equal_nan=kind[0] == "f"):
        raise MeshError(
            f"data '{name}' should hold whole numbers below 2**53 to write them, got larger ones."
        )
    width = next(size for size in (1, 3, 9) if size >= wide.shape[1])
    wide = np.pad(wide, ((0, 0), (0, width - wide.shape[1])))
    label = f"{PREFIX}as:{kind}:{'x'.join(map(str, shape))}:{quote(name, safe='')}"
    return label, wide[:, 0].copy() if width == 1 else wide


def _original(rest: str, values: np.ndarray) -> tuple[str, np.ndarray]:
    kind, shape, name = rest.split(":", 2)
    columns = values.reshape(len(values), -1)
    size = int(shape) if shape else 1
    kept = columns[:, :size].astype(kind)
    return unquote(name), kept if shape else kept[:, 0]


def _in_order(values: Any) -> np.ndarray:
    """`values` in this machine's byte order."""
    array = np.asarray(values)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _indicator(members: Any, count: int) -> np.ndarray:
    array = np.zeros(count)
    array[np.asarray([] if members is None else members, dtype=np.int64)] = 1.0
    return array


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise MeshError(
            f"field_data['{name}'] should be numbers [values], got {values.dtype} {list(values.shape)}."
        )
    return values.astype(np.float64)


def _split(fields: dict[str, Any], numbers: list[np.ndarray]) -> dict[str, Any]:
    """`fields` with each block cut where the number of the block that was written changes."""
    cuts = [np.flatnonzero(np.diff(block)) + 1 for block in numbers]

    def each(blocks: Any) -> list[np.ndarray]:
        return [
            part for block, cut in zip(blocks, cuts, strict=True) for part in np.split(np.asarray(block), cut)
        ]

    kinds = [kind for (kind, _), cut in zip(fields["cells"], cuts, strict=True) for _ in range(len(cut) + 1)]
    sizes = [len(corners) for _, corners in fields["cells"]]
    masks = {
        name: [_indicator(block, size) for block, size in zip(blocks, sizes, strict=True)]
        for name, blocks in fields["cell_sets"].items()
    }
    return {
        **fields,
        "cells": list(zip(kinds, each([corners for _, corners in fields["cells"]]), strict=True)),
        "cell_data": {name: each(blocks) for name, blocks in fields["cell_data"].items()},
        "cell_sets": {name: [np.flatnonzero(part) for part in each(mask)] for name, mask in masks.items()},
    }
