"""Which snapshots a PVD or XDMF file of a series names, and at which times."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from irno_graph.files import existing_file
from irno_graph.mesh.mesh import MeshError

MOST_BYTES = 2**28  # of an XML file that is read here


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
    """The snapshots of a `.pvd` file, or of the temporal collection in an `.xdmf` file, in its order.

    An XDMF file without such a collection is one snapshot at time 0.

    Raises:
        MeshError: if the file is damaged, names no snapshot, or one whose time is no number.
    """
    file = existing_file(path)
    if file.stat().st_size > MOST_BYTES:
        raise MeshError(f"`{file}` should have at most {MOST_BYTES} bytes of XML: keep its numbers in HDF5.")
    try:
        root = ElementTree.parse(file).getroot()
        steps = _pvd(root, file) if file.suffix.lower() == ".pvd" else _xdmf(root, file)
    except (ElementTree.ParseError, UnicodeError, LookupError, ValueError) as error:
        raise MeshError(f"`{file}` should be a sound PVD or XDMF file, got: {error}.") from error
    if not steps:
        raise MeshError(f"`{file}` should name at least one snapshot, got none.")
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
