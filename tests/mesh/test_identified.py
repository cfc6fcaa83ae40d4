"""Identified points become one, and every cell keeps its shape; curved cells lose their middle points."""

from pathlib import Path

import numpy as np
import pytest

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, MeshError, read_mesh, write_mesh
from irno_graph.mesh.corners import linear_kind, straight
from irno_graph.mesh.identified import merged
from irno_graph.mesh.mesh import CORNERS, MeshWarning

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("periodic_gmsh22.msh", (None, 1.0)),
        ("periodic_gmsh41.msh", (1.0, 1.0)),
        ("periodic_gmsh41_binary.msh", (1.0, 1.0)),
    ],
)
def test_merged_cells_keep_their_shape(name, period):
    apart, one = read_mesh(FILES / name, merge_periodic=False), read_mesh(FILES / name)
    assert apart.period is None
    assert one.period == pytest.approx(period) if None not in period else one.period is not None
    assert len(one.points) < len(apart.points)
    assert not len(one.orphan_points)
    for kind in ("line", "triangle"):
        before, after = (mesh.corner_positions(mesh.cells_of(kind)) for mesh in (apart, one))
        np.testing.assert_allclose(after - after[:, :1], before - before[:, :1], atol=1e-9)
    edges = np.sort(np.concatenate([one.cells_of("triangle")[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]))
    _, uses = np.unique(edges, axis=0, return_counts=True)
    if None not in period:
        assert (uses == 2).all()  # a torus has no boundary
        assert len(one.points) - len(uses) + len(one.cells_of("triangle")) == 0


def grid(steps, shift=1.0):
    """A strip of quads whose right end is identified with its left end."""
    x = np.linspace(0, shift, steps + 1)
    points = np.array([[a, b, 0.0] for a in x for b in (0.0, 0.2)])
    quads = [[2 * k, 2 * k + 2, 2 * k + 3, 2 * k + 1] for k in range(steps)]
    return points, np.array(quads), np.array([[2 * steps, 0], [2 * steps + 1, 1]])


def as_fields(points, quads, pairs):
    empty = {"cell_data": {}, "point_sets": {"all": np.arange(len(points))}}
    data = {"u": np.arange(len(points))}
    return {"points": points, "cells": [("quad", quads)], "point_data": data, "pairs": [pairs], **empty}


def test_data_and_sets_of_merged_points_go():
    fields, period = merged(as_fields(*grid(4)), "a")
    assert period == [1.0, None, None]
    assert fields["point_data"]["u"].tolist() == list(range(8))
    assert fields["point_sets"]["all"].tolist() == list(range(8))
    assert fields["cells"][0][1][-1].tolist() == [6, 0, 1, 7]


def test_cells_of_half_the_period_are_refused():
    with pytest.raises(MeshError, match="shorter than half"):
        merged(as_fields(*grid(1)), "a")


def test_other_identifications_are_left_apart_with_a_warning():
    points, quads, pairs = grid(4)
    with pytest.warns(MeshWarning, match="left apart"):
        fields, period = merged(as_fields(points, quads, pairs[:, ::-1] + [[0, 0], [-1, 0]]), "a")
    assert period is None
    assert len(fields["points"]) == len(points)


def test_identifications_of_netgen_count_from_one(tmp_path):
    points, quads, pairs = grid(4)
    write_mesh(tmp_path / "a.vol", Mesh(points[:, :2], [("quad", quads)]))
    text = (tmp_path / "a.vol").read_text()
    rows = "\n".join(f"{slave + 1} {master + 1} 1" for slave, master in pairs)
    (tmp_path / "a.vol").write_text(
        text.replace("endmesh", f"identifications\n{len(pairs)}\n{rows}\nendmesh")
    )
    mesh = read_mesh(tmp_path / "a.vol")
    assert mesh.period == (1.0, None)
    assert len(mesh.points) == 8


@pytest.mark.parametrize(
    "kind", ["line3", "triangle6", "triangle7", "quad8", "quad9", "tetra10", "pyramid13"]
)
def test_a_curved_cell_becomes_its_corners(kind):
    size = int("".join(letter for letter in kind if letter.isdigit()))
    fields = as_fields(np.random.default_rng(0).random((size + 1, 3)), np.zeros((0, 4), dtype=int), None)
    fields = {**fields, "cells": [(kind, np.arange(size)[None])], "pairs": None}
    with pytest.warns(MeshWarning, match=kind) as said:
        cut = straight(fields, "a")
    corners = CORNERS[linear_kind(kind)]
    assert len(said) == 1
    assert cut["cells"][0][1].tolist() == [list(range(corners))]
    assert cut["point_data"]["u"].tolist() == [*range(corners), size]  # the point of no cell stays
    assert cut["point_sets"]["all"].tolist() == list(range(corners + 1))


def test_a_polygon_is_refused_by_name():
    fields = {**as_fields(*grid(4)), "cells": [("polygon", np.arange(5)[None])]}
    with pytest.raises(MeshError, match="got polygon: split"):
        straight(fields, "a")


def test_a_file_of_todays_netgen_becomes_a_torus_with_named_sides():
    # Made by Netgen 6.2.2608: the unit square, its upper and left sides copies of the others.
    mesh = read_mesh(FILES / "periodic_netgen.vol")
    assert mesh.period == (1.0, 1.0)
    assert len(mesh.cells_of("triangle")) == 2 * len(mesh.points) == 58
    graph = Graph.from_mesh(mesh)
    assert float(graph.mass.sum()) == pytest.approx(1.0, rel=1e-12)
    assert graph.num_nodes - graph.num_edges // 2 + len(mesh.cells_of("triangle")) == 0
    assert not mesh.boundary.any()
    apart = read_mesh(FILES / "periodic_netgen.vol", merge_periodic=False)
    for name, axis, place in (("lower", 1, 0), ("right", 0, 1), ("upper", 1, 1), ("left", 0, 0)):
        assert np.array_equal(apart.tagged(name), apart.points[:, axis] == place)
    assert np.array_equal(mesh.tagged("left"), mesh.tagged("right"))
