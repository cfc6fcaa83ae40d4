"""The sample meshes: all are sound, the README counts them, and their size and topology are those of the shape."""

import re
from pathlib import Path

import numpy as np
import pytest

from irno_graph.mesh import Mesh, read_mesh
from irno_graph.mesh.audit import audit
from irno_graph.mesh.cells import CELLS
from irno_graph.mesh.facets import facets_of, row_ids
from irno_graph.mesh.regions import named_cells
from irno_graph.mesh.repair import repaired

HERE = Path(__file__).parents[1] / "meshes"
FILES = sorted(file.name for file in HERE.iterdir() if file.suffix not in (".py", ".md", ".h5"))
ROW = re.compile(
    r"^\| `(?P<file>[^`]+)` \|[^|]*\|[^|]*\| (?P<points>\d+) \| (?P<cells>[^|]*) \|(?P<tags>.*)\|$", re.M
)
TABLE = {row["file"]: row for row in ROW.finditer((HERE / "README.md").read_text())}
LARGEST = 60_000  # bytes of a file

# File: exact length, area or volume of the shape, relative error allowed for straight sides, Euler characteristic.
SHAPES = {
    "periodic_box.vtu": (1.0, 1e-12, 0),
    "l_shape.vtu": (3.0, 1e-12, 1),
    "plate_with_holes.msh": (2 - np.pi * (2 * 0.2**2 + 0.12**2), 0.01, -2),
    "cylinder_channel.msh": (2.2 * 0.41 - np.pi * 0.05**2, 1e-3, 0),
    "periodic_sides.msh": (1.0, 1e-12, 0),
    "naca0012.su2": (np.pi * 16 - 0.0817, 0.015, 0),
    "mixed.vtk": (2.0, 1e-12, 1),
    "ball.mesh": (4 / 3 * np.pi, 0.06, 1),
    "bar.xdmf": (4.0, 1e-12, 1),
    "icosphere.ply": (4 * np.pi, 0.03, 2),
    "torus.stl": (4 * np.pi**2 * 0.4, 0.015, 0),
    "helix.vtu": (3 * np.sqrt(4 * np.pi**2 + 1), 2e-3, 1),
}


@pytest.fixture(scope="module")
def meshes() -> dict[str, Mesh]:
    return {name: read_mesh(HERE / name) for name in FILES}


def euler_characteristic(mesh: Mesh) -> int:
    """Alternating sum of the numbers of points, edges, faces and volumes of the cells of the highest dimension."""
    dim = max(CELLS[kind].dim for kind, _ in mesh.cells)
    top = [(kind, corners) for kind, corners in mesh.cells if CELLS[kind].dim == dim]
    total = len(np.unique(np.concatenate([corners.ravel() for _, corners in top])))
    total += (-1) ** dim * sum(len(corners) for _, corners in top)
    if dim > 1:
        edges = np.concatenate(
            [corners[:, list(pair)] for kind, corners in top for pair in CELLS[kind].edges]
        )
        total -= row_ids(np.sort(edges, axis=1)).max() + 1
    if dim > 2:
        total += sum(table.ident.max() + 1 for table in facets_of(mesh))
    return int(total)


def test_the_tables_name_every_file() -> None:
    assert set(FILES) == set(TABLE) == set(SHAPES)
    assert all((HERE / name).stat().st_size < LARGEST for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sound_and_needs_no_repair(name: str, meshes: dict[str, Mesh]) -> None:
    found = audit(meshes[name])
    assert found.ok, found.summary()
    assert len(found.parts) == 1
    assert repaired(meshes[name])[1] == []


@pytest.mark.parametrize("name", FILES)
def test_the_readme_counts_points_and_cells(name: str, meshes: dict[str, Mesh]) -> None:
    counts = audit(meshes[name]).counts
    written = {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", TABLE[name]["cells"])}
    assert {kind: count for kind, count in counts.items() if kind != "points"} == written
    assert counts["points"] == int(TABLE[name]["points"])


@pytest.mark.parametrize("name", FILES)
def test_size_and_topology_are_those_of_the_shape(name: str, meshes: dict[str, Mesh]) -> None:
    exact, error, euler = SHAPES[name]
    assert audit(meshes[name]).measure == pytest.approx(exact, rel=error)
    assert euler_characteristic(meshes[name]) == euler


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".msh")])
def test_gmsh_files_name_their_whole_boundary(name: str, meshes: dict[str, Mesh]) -> None:
    named = {key: cells for key, cells in named_cells(meshes[name]).items() if len(cells)}
    assert set(named) == {tag.strip() for tag in TABLE[name]["tags"].split(",")}
    counts = audit(meshes[name]).counts
    assert len(named["domain"]) == counts["triangle"]
    assert sum(len(cells) for key, cells in named.items() if key != "domain") == counts["line"]


@pytest.mark.parametrize(("name", "counts"), [("naca0012.su2", [26, 80]), ("ball.mesh", [256, 468])])
def test_numbered_parts_are_told_apart(name: str, counts: list[int], meshes: dict[str, Mesh]) -> None:
    assert sorted(len(cells) for cells in named_cells(meshes[name]).values()) == counts
