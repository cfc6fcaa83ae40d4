"""Mesh files: whatever meshio reads and writes, without losing a part of it in silence."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import meshio
import numpy as np

from irno_graph.files import existing_file
from irno_graph.mesh.audit import audit
from irno_graph.mesh.corners import straight
from irno_graph.mesh.declared import check_complete, check_possible, declared
from irno_graph.mesh.formats import check_holds, format_of, held
from irno_graph.mesh.identified import identified_pairs, merged
from irno_graph.mesh.mesh import Mesh, MeshError, MeshWarning
from irno_graph.mesh.periodic import unwrapped
from irno_graph.mesh.reader import read_bounded, total_size
from irno_graph.mesh.series import write_series
from irno_graph.mesh.staging import as_array, quiet, staged_files
from irno_graph.mesh.tags import encoded, flat_dim, gmsh_version, named_sets, restored

__all__ = ["read_mesh", "write_mesh", "write_series"]


def read_mesh(
    path: str | os.PathLike[str],
    period: Sequence[float | None] | None = None,
    *,
    merge_periodic: bool = True,
    time_limit: float | None = None,
    isolated: bool = True,
    audited: bool = True,
    step: int | None = None,
) -> Mesh:
    """Read a mesh in any format that meshio knows; the suffix of `path` says which.

    A third coordinate that is 0 everywhere is dropped where no cell is a volume. Cells of higher order are
    cut down to their corners, with a MeshWarning. Named physical groups of Gmsh are in `tags["cell_sets"]`.
    Points that Gmsh or Netgen identify across a box become one, and give the period, unless
    `merge_periodic=False`. `period` overrides this one and the one that `write_mesh` stored. `step` is the place of
    a snapshot in an XDMF series, see `series_steps.series_steps`.

    meshio runs in another process, for at most `time_limit` seconds (by default 20, and 4 more per MB), and
    in memory in proportion to the file; `isolated=False` runs it here, without limits. The mesh is audited, and
    what would make results wrong is a MeshWarning, unless `audited=False`.

    Raises:
        MissingFileError: if there is no file (a FileNotFoundError and a ValueError).
        MeshError: if the file holds no mesh, or less than its header declares.
    """
    file = existing_file(path)
    counts = declared(file)
    check_possible(counts, total_size(file), file)
    fields = read_bounded(file, time_limit=time_limit, isolated=isolated, step=step)
    if np.ndim(fields["points"]) != 2:
        raise MeshError(f"`{file}` should hold points [points, dim], got shape {np.shape(fields['points'])}.")
    cells = sum(len(block) for _, block in fields["cells"])
    check_complete(counts, len(fields["points"]), cells, file)
    if not len(fields["points"]) or not cells:
        raise MeshError(
            f"`{file}` should hold points and cells, got {len(fields['points'])} points and {cells} cells."
        )
    try:
        mesh = _mesh(fields, str(file), period, merge_periodic)
    except MeshError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise MeshError(
            f"`{file}` should hold points, cells and data that fit together, got: {error}. Check the file."
        ) from error
    if audited:
        _warn_of_errors(mesh, file)
    return mesh


def write_mesh(
    path: str | os.PathLike[str],
    mesh: Mesh,
    point_data: Mapping[str, Any] | None = None,
    *,
    unwrap: bool = False,
    lossy: bool = False,
) -> None:
    """Write `mesh` and `point_data` (name to `[points, ...]`); the suffix of `path` says the format.

    VTU, VTK, XDMF and Gmsh keep everything: sets, named ids, the period and dtypes stand in arrays whose names
    begin with `irno_graph:`. `formats.FORMATS` says what others hold; what they do not hold is refused, or
    left out with `lossy=True`. Blocks without cells are not written. `unwrap=True` writes a picture of a
    periodic mesh, without cells drawn across the box, and no period. The file appears whole or not at all.

    Raises:
        MeshError: if the suffix is unknown or the format cannot hold the mesh.
    """
    target = Path(path)
    form = format_of(target)
    if form is None:
        raise MeshError(
            f"`{target.name}` should be a mesh file that meshio can write, as .vtu: check its suffix."
        )
    data = {**mesh.point_data, **{name: as_array(values) for name, values in (point_data or {}).items()}}
    mesh = Mesh(mesh.points, mesh.cells, data, mesh.cell_data, mesh.tags, mesh.period)
    if unwrap:
        mesh, _ = unwrapped(mesh)
    mesh = _without_empty_blocks(mesh)
    if not lossy:
        check_holds(form, mesh, target.name)
    points = np.pad(mesh.points, ((0, 0), (0, 3 - mesh.dim)))
    try:
        if form.tags:
            content = encoded(mesh, form.name)
        else:
            content = {
                "cells": list(mesh.cells),
                "point_data": {k: v for k, v in mesh.point_data.items() if held(form.point_data, v.ndim)},
                "cell_data": {
                    k: list(v) for k, v in mesh.cell_data.items() if held(form.cell_data, v[0].ndim)
                },
            }
        with staged_files(target) as staged, quiet() as said:
            raw = meshio.Mesh(points, **content)
            if form.name == "gmsh":
                meshio.gmsh.write(staged, raw, fmt_version=gmsh_version(mesh))
            else:
                raw.write(staged)
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{said.getvalue() if 'said' in locals() else ''} {error}".split())[:300]
        raise MeshError(
            f"`{target.name}` should be a mesh file that meshio can write, got: {reason}."
        ) from error


def _mesh(
    fields: dict[str, Any], file: str, period: Sequence[float | None] | None, merge_periodic: bool
) -> Mesh:
    fields = {**fields, "pairs": identified_pairs(fields)}
    fields, stored, dim = restored(straight(fields, file))
    found: Sequence[float | None] | None = None
    if fields["pairs"] and merge_periodic:
        fields, found = merged(fields, file)
    points = np.asarray(fields["points"])
    if points.ndim == 2 and points.shape[1] == 3:
        points = points[:, : dim or flat_dim(points, fields["cells"])]
    if stored is not None:
        found = [float(length) if length > 0 else None for length in stored]
    if period is None and found is not None:
        period = tuple(found[: points.shape[1]])
    tags = {
        "cell_sets": named_sets(fields),
        "point_sets": {name: np.asarray(members) for name, members in fields["point_sets"].items()},
        "field_data": dict(fields["field_data"]),
    }
    tags = {name: value for name, value in tags.items() if value}
    return Mesh(points, fields["cells"], fields["point_data"], fields["cell_data"], tags, period)


def _warn_of_errors(mesh: Mesh, file: Path) -> None:
    errors = [finding.sentence for finding in audit(mesh).findings if finding.severity == "error"]
    if errors:
        warnings.warn(
            f"`{file}` should be repaired before use, it has {' '.join(errors)}", MeshWarning, stacklevel=3
        )


def _without_empty_blocks(mesh: Mesh) -> Mesh:
    keep = [number for number, (_, corners) in enumerate(mesh.cells) if len(corners)]
    if len(keep) == len(mesh.cells):
        return mesh
    tags = dict(mesh.tags)
    if "cell_sets" in tags:
        tags["cell_sets"] = {name: [blocks[k] for k in keep] for name, blocks in tags["cell_sets"].items()}
    data = {name: [blocks[k] for k in keep] for name, blocks in mesh.cell_data.items()}
    return Mesh(mesh.points, [mesh.cells[k] for k in keep], mesh.point_data, data, tags, mesh.period)
