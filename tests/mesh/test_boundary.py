"""Boundaries and tags: which points lie on them."""

import domains
import numpy as np
import pytest

from irno_graph.mesh import Mesh, MeshError, periodic_box

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
CUBES = (domains.cube_of_boxes, domains.cube_of_wedges, domains.cube_of_pyramids, domains.cube_of_tetrahedra)


@pytest.mark.parametrize(
    "make", [domains.interval, domains.square_of_quads, domains.square_of_triangles, *CUBES]
)
def test_the_boundary_of_the_unit_box_is_where_a_coordinate_is_zero_or_one(make):
    mesh = make(4)
    exact = ((mesh.points < 1e-12) | (mesh.points > 1 - 1e-12)).any(axis=1)
    assert np.array_equal(mesh.boundary, exact)


def test_closed_meshes_have_no_boundary():
    assert not periodic_box(64).boundary.any()
    assert not domains.sphere(100).boundary.any()


def test_a_tag_may_be_a_set_of_cells_a_set_of_points_or_a_physical_group():
    mesh = Mesh(
        SQUARE,
        [("quad", [[0, 1, 2, 3]]), ("line", [[0, 1], [1, 2]])],
        cell_data={"gmsh:physical": [np.array([9]), np.array([9, 4])]},
        tags={
            "cell_sets": {"right": [np.array([], dtype=int), np.array([1])]},
            "point_sets": {"corner": np.array([3])},
            "field_data": {"floor": np.array([9, 1]), "inside": np.array([9, 2])},
        },
    )
    assert mesh.tagged("right").tolist() == [False, True, True, False]
    assert mesh.tagged("corner").tolist() == [False, False, False, True]
    assert mesh.tagged("floor").tolist() == [True, True, False, False]  # id 9 of the lines, not of the quad
    assert mesh.tagged("inside").all()
    assert mesh.tagged("floor", "corner").tolist() == [True, True, False, True]
    with pytest.raises(MeshError, match=r"'corner', 'floor', 'inside', 'right'.*got 'roof'"):
        mesh.tagged("roof")
