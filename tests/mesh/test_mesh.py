"""A Mesh refuses what does not fit together and keeps what does."""

import numpy as np
import pytest

from irno_graph.mesh import Mesh, MeshError

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


def test_arrays_become_float64_and_int64_copies():
    points = np.array(SQUARE, dtype=np.float32)
    mesh = Mesh(points, [("quad", np.array([[0, 1, 2, 3]], dtype=np.int32))], period=[2, None])
    points[:] = 9
    assert mesh.points.dtype == np.float64
    assert mesh.points.max() == 1.0
    assert mesh.cells[0][1].dtype == np.int64
    assert mesh.period == (2.0, None)


@pytest.mark.parametrize(
    ("points", "cells", "said"),
    [
        ([0.0, 1.0], [], r"\[points, dim"),
        ([[0.0, np.nan]], [], "1 points"),
        (SQUARE, [("triangle", [[0, 1, 2, 3]])], "3 corners, got 4"),
        (SQUARE, [("triangle", [[0, 1, 4]])], r"0\.\.3, got 0\.\.4"),
        (SQUARE, [("triangle", [[0, 1, -1]])], r"got -1\.\.1"),
        (SQUARE, [("triangle", [[0.0, 1.0, 2.0]])], "integers"),
        (SQUARE, [("hexahedron", [[0, 1, 2, 3]])], "8 corners, got 4"),
    ],
)
def test_wrong_arrays_are_named(points, cells, said):
    with pytest.raises(MeshError, match=said):
        Mesh(points, cells)


@pytest.mark.parametrize("period", [(1.0,), (1.0, -1.0), (np.inf, 1.0), (0.0, None)])
def test_wrong_periods_are_refused(period):
    with pytest.raises(MeshError, match="period"):
        Mesh(SQUARE, [("quad", [[0, 1, 2, 3]])], period=period)


def test_data_of_wrong_length_are_refused():
    cells = [("quad", [[0, 1, 2, 3]])]
    with pytest.raises(MeshError, match=r"point_data\['u'\] should have 4 rows"):
        Mesh(SQUARE, cells, {"u": np.zeros(3)})
    with pytest.raises(MeshError, match=r"cell_data\['c'\]"):
        Mesh(SQUARE, cells, {}, {"c": [np.zeros(2)]})


def test_orphan_points_are_allowed_and_listed():
    mesh = Mesh([*SQUARE, [5.0, 5.0]], [("triangle", [[0, 1, 2]])])
    assert mesh.orphan_points.tolist() == [3, 4]


def test_blocks_of_one_type_are_joined():
    mesh = Mesh(SQUARE, [("triangle", [[0, 1, 2]]), ("line", [[0, 1]]), ("triangle", [[0, 2, 3]])])
    assert mesh.cells_of("triangle").tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.cells_of("quad").shape == (0, 4)
