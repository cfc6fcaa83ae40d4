"""`irno-graph data ce-gauss-obstacles`: boxes, folders of geometries, mesh files with tags, wrong options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from domains import square_of_triangles

pytest.importorskip("numba")

from irno_graph.cli import run
from irno_graph.data.readers import open_data
from irno_graph.data.unstructured import open_geometries
from irno_graph.mesh import Mesh, write_mesh

START = ["data", "ce-gauss-obstacles", "--save-every", "0.01", "--final-time", "0.01"]


def test_the_command_writes_a_file_and_a_folder_of_geometries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = [*START, "--nodes", "100", "--holes", "1"]
    assert run([*box, "--out", str(tmp_path / "a.nc"), "--trajectories", "1"]) == 0
    assert open_data(tmp_path / "a.nc").read().shape == (1, 2, 100, 5)
    assert run([*box, "--out", str(tmp_path / "b"), "--trajectories", "3", "--geometries", "2"]) == 0
    assert [len(source) for source in open_geometries(tmp_path / "b")] == [2, 1]
    assert "3 trajectories on 100 nodes of 2 geometries" in capsys.readouterr().out
    assert run(["data", "info", str(tmp_path / "a.nc")]) == 0
    said = capsys.readouterr().out
    for words in ("Trajectories on a mesh", "rho, vx, vy, p, E", "cells are triangle"):
        assert words in said


def test_the_command_solves_on_a_mesh_file_with_tags(tmp_path: Path) -> None:
    square = square_of_triangles(4)
    left = np.flatnonzero(square.points[:, 0] == 0)
    write_mesh(
        tmp_path / "square.vtu", Mesh(square.points, square.cells, tags={"point_sets": {"wall": left}})
    )
    options = ["--mesh", str(tmp_path / "square.vtu"), "--wall", "wall", "--fine", "1", "--trajectories", "1"]
    assert run([*START, "--out", str(tmp_path / "a.nc"), *options]) == 0
    source = open_data(tmp_path / "a.nc")
    np.testing.assert_array_equal(source.graph().pos.numpy(), square.points)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--wall", "wall"], "--wall should come with --mesh"),
        (["--mesh", "a.msh", "--nodes", "100"], "--nodes and --holes should be left out with --mesh"),
        (["--mesh", "none.vtu"], "none.vtu"),
        (["--fine", "9"], "`fine` should be in 0 ... 4, got 9"),
        (["--nodes", "5"], "`nodes` should be at least 64, got 5"),
        (["--holes", "99"], "got 99 that found no room"),
        (["--narrowest", "0"], "`narrowest` should be in"),
        (["--geometries", "2"], "`trajectories` should be at least 2"),
    ],
)
def test_bad_options_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run([*START, "--out", str(tmp_path / "a.nc"), "--trajectories", "1", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "a.nc").exists()
