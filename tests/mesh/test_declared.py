"""Declared counts: the scanner agrees with every writer, and a file that holds less is refused."""

import importlib.util
import sys
from pathlib import Path

import meshio
import numpy as np
import pytest

from irno_graph.mesh import Mesh, MeshError, read_mesh, write_mesh
from irno_graph.mesh.declared import SCANNERS, Declared, check_complete, declared
from irno_graph.mesh.formats import format_of
from irno_graph.mesh.staging import quiet

POINTS = np.random.default_rng(0).random((9, 3))
CELLS = {"triangle": [[0, 1, 2], [2, 1, 3], [4, 5, 6]], "tetra": [[0, 1, 2, 3], [4, 5, 6, 7]]}
WRITTEN = [suffix for suffix in SCANNERS if format_of(Path(f"a{suffix}")) and suffix != ".stl"]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_the_scanner_finds_what_a_writer_declares(suffix, tmp_path):
    form = format_of(Path(f"a{suffix}"))
    assert form is not None
    kind = "triangle" if "triangle" in form.cells else "tetra"
    write_mesh(tmp_path / f"a{suffix}", Mesh(POINTS, [(kind, CELLS[kind])]))
    assert declared(tmp_path / f"a{suffix}") == Declared(9, len(CELLS[kind]))


@pytest.mark.parametrize("version", ["gmsh22", "gmsh40", "gmsh41"])
@pytest.mark.parametrize("binary", [True, False])
def test_every_version_of_gmsh_is_scanned(version, binary, tmp_path):
    raw = meshio.Mesh(POINTS, [("tetra", np.array(CELLS["tetra"]))])
    one = [np.ones(2, dtype=int)]
    raw.cell_data = {"gmsh:physical": one, "gmsh:geometrical": one}
    with quiet():
        meshio.gmsh.write(tmp_path / "a.msh", raw, fmt_version=f"{version[4]}.{version[5]}", binary=binary)
    assert declared(tmp_path / "a.msh") == Declared(9, 2)


def test_two_pieces_of_a_vtu_are_not_half_a_mesh(tmp_path):
    meshio.Mesh(POINTS, [("triangle", np.array(CELLS["triangle"]))]).write(tmp_path / "a.vtu", binary=False)
    text = (tmp_path / "a.vtu").read_text()
    start, end = text.index("<Piece"), text.index("</Piece>") + len("</Piece>")
    (tmp_path / "a.vtu").write_text(text[:end] + text[start:end] + text[end:])
    assert declared(tmp_path / "a.vtu") == Declared(18, 6)
    with pytest.raises(MeshError, match="declares 6 cells, got 3"):
        read_mesh(tmp_path / "a.vtu")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.off", "OFF\n1000000000000 1 0\n0 0 0\n"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 1000000000000\nproperty float x\nend_header\n"),
        (
            "a.vtk",
            "# vtk DataFile Version 4.2\na\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS 1000000000000 double\n",
        ),
        ("a.msh", "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n1000000000000\n1 0 0 0\n"),
        ("a.mesh", "MeshVersionFormatted 2\nDimension 3\nVertices\n1000000000000\n"),
        ("a.su2", "NDIME= 2\nNPOIN= 1000000000000\n"),
        ("a.vtu", '<VTKFile><Piece NumberOfPoints="1000000000000" NumberOfCells="1"></Piece></VTKFile>'),
    ],
)
def test_a_promise_larger_than_the_file_is_refused_at_once(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(MeshError, match="promises 1000000000000 points"):
        read_mesh(tmp_path / name)


def test_fewer_points_or_cells_than_declared_name_both_numbers():
    check_complete(Declared(3, 1), 3, 1, Path("a"))
    check_complete(Declared(), 3, 1, Path("a"))
    with pytest.raises(MeshError, match="declares 4 points, got 3"):
        check_complete(Declared(4, 1), 3, 1, Path("a"))
    with pytest.raises(MeshError, match="declares 2 cells, got 1"):
        check_complete(Declared(3, 2), 3, 1, Path("a"))


def test_damaged_files_are_refused_or_give_sound_meshes():
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_meshes.py"
    spec = importlib.util.spec_from_file_location("fuzz_meshes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_meshes"] = module
    spec.loader.exec_module(module)
    rows = module.fuzz(150, seed=1)
    assert [problem for row in rows.values() for problem in row.wrong] == []
    assert sum(row.read + row.refused for row in rows.values()) == 150
