"""Which snapshots a PVD, XDMF or ParaView's JSON file of a series names, and at which times."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from irno_graph.files import existing_file
from irno_graph.mesh.mesh import MeshError

MOST_BYTES = 2**28  # of a file that is read here


class Step(NamedTuple):
    """One snapshot.

    Attributes:
        time: of it.
        file: that holds it.
        step: its place in an XDMF series; None for a file of its own.
    """

    time: float
    file: Path
    step: int | None = None


def series_steps(path: str | os.PathLike[str]) -> list[Step]:
    """The snapshots of a `.pvd` file, of ParaView's JSON (`.vtk.series`, `.vtu.series`), or of the temporal collection
    in an `.xdmf` file, in its order.

    An XDMF file without such a collection is one snapshot at time 0.

    Raises:
        MeshError: if the file is damaged, names no snapshot, one whose time is no finite number, or files that are not
            there.
    """
    file = existing_file(path)
    if file.stat().st_size > MOST_BYTES:
        raise MeshError(f"`{file}` should have at most {MOST_BYTES} bytes: keep its numbers in HDF5.")
    suffix = file.suffix.lower()
    kind = "PVD or XDMF file" if suffix != ".series" else "file series of ParaView (JSON)"
    try:
        if suffix == ".series":
            steps = _series(json.loads(file.read_text(encoding="utf-8")), file)
        else:
            root = ElementTree.parse(file).getroot()
            steps = _pvd(root, file) if suffix == ".pvd" else _xdmf(root, file)
        for number, step in enumerate(steps):
            if not math.isfinite(step.time):
                raise ValueError(f"snapshot {number} has the time {step.time}")
    except (
        ElementTree.ParseError,
        UnicodeError,
        LookupError,
        ValueError,
        TypeError,
        RecursionError,
    ) as error:
        raise MeshError(f"`{file}` should be a sound {kind}, got: {error}.") from error
    if not steps:
        raise MeshError(f"`{file}` should name at least one snapshot, got none.")
    missing = [step.file.name for step in steps if not step.file.is_file()]
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise MeshError(
            f"`{file}` should name files that are there, got none at {', '.join(missing[:4])}{more}: put them "
            "beside it."
        )
    return steps


def _series(root: Any, file: Path) -> list[Step]:
    """{"file-series-version": "1.0", "files": [{"name": "a_0.vtk", "time": 0.0}, ...]}"""
    if not isinstance(root, dict) or not isinstance(root.get("files"), list):
        raise ValueError("no list `files`")
    steps = []
    for number, one in enumerate(root["files"]):
        name, time = (one.get("name"), one.get("time")) if isinstance(one, dict) else (None, None)
        if not isinstance(name, str) or isinstance(time, bool) or not isinstance(time, int | float):
            raise ValueError(f"snapshot {number} should have a name and a time, it is {one!r:.80}")
        steps.append(Step(float(time), file.parent / name))
    return steps


def _pvd(root: ElementTree.Element, file: Path) -> list[Step]:
    found = root.findall("./Collection/DataSet")
    return [Step(float(one.attrib["timestep"]), file.parent / one.attrib["file"]) for one in found]


def _xdmf(root: ElementTree.Element, file: Path) -> list[Step]:
    collections = [grid for grid in root.iter("Grid") if grid.get("CollectionType") == "Temporal"]
    if not collections:
        return [Step(0.0, file)]
    steps = []
    for number, grid in enumerate(collections[0]):
        time = grid.find("Time")
        if time is None:
            raise ValueError(f"snapshot {number} has no time")
        steps.append(Step(float(time.attrib["Value"]), file, number))
    return steps
