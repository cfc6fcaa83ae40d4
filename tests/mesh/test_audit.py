"""The audit: every fault that is put in is found, where it is; sound meshes have none; quality is what it says."""

import numpy as np
import pytest

from irno_graph.mesh import Mesh, periodic_box
from irno_graph.mesh.audit import Audit, audit
from irno_graph.mesh.cells import CELLS
from irno_graph.mesh.facets import row_ids
from irno_graph.mesh.quality import IDEAL, LEAVING, mesh_shapes, shapes_of
from irno_graph.mesh.regions import named_cells
from irno_graph.mesh.repair import MIRROR

VOLUMES = {
    "line": 1.0,
    "triangle": np.sqrt(3) / 4,
    "quad": 1.0,
    "tetra": 1 / (6 * np.sqrt(2)),
    "pyramid": 1 / (3 * np.sqrt(2)),
    "wedge": np.sqrt(3) / 4,
    "hexahedron": 1.0,
}


def square(side: int = 4, kind: str = "triangle") -> Mesh:
    count = side + 1
    iy, ix = np.mgrid[:count, :count]
    points = np.stack([ix.ravel(), iy.ravel()], axis=1) / side
    low = (iy * count + ix)[:-1, :-1].ravel()
    quads = np.stack([low, low + 1, low + count + 1, low + count], axis=1)
    if kind == "quad":
        return Mesh(points, [("quad", quads)])
    return Mesh(points, [("triangle", np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))])


def cells_changed(mesh: Mesh, change: np.ndarray) -> Mesh:
    return Mesh(mesh.points, [(mesh.cells[0][0], change)], period=mesh.period)


def names(found: Audit) -> dict[str, int]:
    return {finding.name: finding.count for finding in found.findings}


def rotation(seed: int, dim: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    q[0] *= np.sign(np.linalg.det(q))
    return q


@pytest.mark.parametrize("kind", VOLUMES)
def test_ideal_cells_have_quality_one_and_their_size_wherever_they_lie(kind: str) -> None:
    ideal = np.array(IDEAL[kind])
    for seed in range(3):
        moved = 3.0 * ideal @ rotation(seed, 3).T + seed
        shape = shapes_of(kind, moved[None])
        assert shape.quality[0] == pytest.approx(1, abs=1e-12)
        assert shape.size[0] == pytest.approx(VOLUMES[kind] * 3 ** CELLS[kind].dim)
        assert not shape.flat[0]
        assert not shape.tangled[0]


@pytest.mark.parametrize("kind", MIRROR)
def test_mirrored_cells_have_the_other_sign_and_the_same_quality(kind: str) -> None:
    dim = CELLS[kind].dim
    rng = np.random.default_rng(1)
    cell = (np.array(IDEAL[kind])[:, :dim] + 0.1 * rng.standard_normal((20, CELLS[kind].corners, dim))) * 2
    there, back = shapes_of(kind, cell), shapes_of(kind, cell[:, list(MIRROR[kind])])
    np.testing.assert_allclose(there.size, -back.size, atol=1e-12)
    np.testing.assert_array_equal(there.sign, -back.sign)
    np.testing.assert_allclose(there.quality, back.quality, atol=1e-12)


@pytest.mark.parametrize("kind", LEAVING)
def test_cells_squeezed_to_nothing_are_flat_and_have_no_quality(kind: str) -> None:
    cell = np.array(IDEAL[kind]) * [0.0 if kind == "line" else 1.0, 0.0 if CELLS[kind].dim == 2 else 1.0, 0.0]
    shape = shapes_of(kind, cell[None])
    assert shape.flat[0]
    assert shape.quality[0] == 0


def test_quality_falls_as_a_triangle_is_stretched() -> None:
    heights = np.array([0.8, 0.4, 0.1, 0.01])
    cells = np.array([[[0, 0], [1, 0], [0.5, h]] for h in heights])
    quality = shapes_of("triangle", cells).quality
    assert (np.diff(quality) < 0).all()
    exact = 4 * np.sqrt(3) * heights / 2 / (1 + 2 * (0.25 + heights**2))
    np.testing.assert_allclose(quality, exact, rtol=1e-12)


@pytest.mark.parametrize("mesh", [square(), square(kind="quad"), periodic_box(64, seed=3)], ids=repr)
def test_a_sound_mesh_has_no_findings(mesh: Mesh) -> None:
    found = audit(mesh)
    assert found.findings == ()
    assert found.ok
    assert found.measure == pytest.approx(1)
    assert found.histogram().sum() == len(mesh.cells[0][1])
    assert "nothing" in found.summary()


def test_orphans_duplicates_and_parts_are_found() -> None:
    mesh = square()
    points = np.concatenate([mesh.points, mesh.points[[3]], mesh.points + np.array([2, 0])])
    cells = np.concatenate([mesh.cells[0][1], mesh.cells[0][1] + 26])
    found = audit(Mesh(points, [("triangle", cells)]))
    assert found.orphans.tolist() == [25]
    assert [group.tolist() for group in found.duplicates] == [[3, 25]]
    assert found.parts.tolist() == [25, 25]
    assert not found.ok
    assert found.findings[0].severity == "error"
    assert "repaired()" in found.findings[0].sentence


def test_duplicates_are_found_across_the_period() -> None:
    points = [[0, 0], [0.3, 0], [0.6, 0], [1, 0], [0.3, 1e-14], [0.3, 0.4]]
    mesh = Mesh(points, [("triangle", [[0, 1, 5], [1, 2, 5], [2, 3, 5]])], period=(1.0, None))
    assert [group.tolist() for group in audit(mesh).duplicates] == [[0, 3], [1, 4]]


def test_repeated_degenerate_and_collapsed_cells_are_found() -> None:
    mesh = square()
    cells = mesh.cells[0][1]
    more = np.concatenate([cells, cells[[5]][:, [1, 2, 0]], [[0, 1, 2], [7, 7, 8]]])
    found = audit(cells_changed(mesh, more))
    assert found.repeated.tolist() == [32]
    assert found.degenerate.tolist() == [33, 34]
    assert set(names(found)) == {"repeated", "degenerate"}
    collapsed = audit(Mesh(mesh.points[:7], [("quad", [[0, 1, 6, 6]])]))
    assert collapsed.collapsed.tolist() == [0]
    assert not collapsed.ok


def test_cells_numbered_the_other_way_are_a_note_and_folded_ones_an_error() -> None:
    mesh = square()
    cells = mesh.cells[0][1].copy()
    cells[3] = cells[3, ::-1]
    turned = audit(cells_changed(mesh, cells))
    assert turned.inverted.tolist() == [3]
    assert turned.ok
    points = mesh.points.copy()
    points[12] += [0.4, 0.3]  # over the neighbours
    folded = audit(Mesh(points, mesh.cells))
    assert len(folded.overlapping)
    assert not folded.ok


@pytest.mark.parametrize("middle", [[0.2, 0.2], [-0.5, 0.3]])
def test_concave_and_crossed_quads_are_tangled(middle: list[float]) -> None:
    found = audit(Mesh([[0, 0], [1, 0], middle, [0, 1]], [("quad", [[0, 1, 2, 3]])]))
    assert found.tangled.tolist() == [0]
    assert found.quality[0] == 0
    assert not found.ok


def test_a_hexahedron_with_a_corner_pushed_through_is_tangled() -> None:
    cell = np.array(IDEAL["hexahedron"])
    cell[6] = [0.1, 0.1, 0.1]
    assert audit(Mesh(cell, [("hexahedron", [range(8)])])).tangled.tolist() == [0]


def test_three_cells_on_a_side_are_an_error_in_a_plane_and_a_note_in_space() -> None:
    points = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [0.4, 0.4, 0.0]])
    cells = [("triangle", [[0, 1, 2], [0, 1, 3], [0, 1, 4]])]
    lifted = points.copy()
    lifted[4, 2] = 1.0
    plane, space = audit(Mesh(points[:, :2], cells)), audit(Mesh(lifted, cells))
    for found in (plane, space):
        assert [rows.tolist() for rows in found.crowded] == [[[0, 1]]]
    assert not plane.ok
    assert space.ok


def test_surface_cells_that_disagree_are_a_note() -> None:
    mesh = square()
    lifted = np.concatenate([mesh.points, np.zeros((25, 1))], axis=1)
    cells = mesh.cells[0][1].copy()
    cells[3] = cells[3, ::-1]
    found = audit(Mesh(lifted, [("triangle", cells)]))
    assert 3 in found.disagreeing
    assert found.ok


def test_lower_cells_that_are_no_side_are_stray() -> None:
    mesh = square(2)
    lines = [[0, 1], [1, 2], [0, 8], [4, 8]]
    found = audit(Mesh(mesh.points, [("line", lines), *mesh.cells, ("vertex", [[4]])]))
    assert found.stray.tolist() == [2]
    assert found.ok
    tetra = [("tetra", [[0, 1, 2, 3]]), ("triangle", [[2, 1, 0], [0, 1, 4]]), ("line", [[3, 0]])]
    points = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
    volume = audit(Mesh(points, tetra))
    assert volume.stray.tolist() == [2]
    assert volume.orphans.tolist() == [4]


def test_tags_without_members_are_named() -> None:
    mesh = square(2)
    blocks = [("triangle", mesh.cells[0][1]), ("line", [[0, 1], [1, 2]])]
    tags = {
        "field_data": {"wall": np.array([7, 1]), "inlet": np.array([8, 1]), "body": np.array([7, 2])},
        "cell_sets": {
            "first": [np.array([0]), np.array([1])],
            "none": [np.array([], int), np.array([], int)],
        },
        "point_sets": {"corner": np.array([0]), "nowhere": np.array([], int)},
    }
    data = {"gmsh:physical": [np.full(8, 7), np.array([7, 7])]}
    tagged = Mesh(mesh.points, blocks, cell_data=data, tags=tags)
    assert set(audit(tagged).unused_tags) == {"inlet", "none", "nowhere"}
    found = {name: cells.tolist() for name, cells in named_cells(tagged).items()}
    assert found["wall"] == [8, 9]
    assert found["body"] == list(range(8))
    assert found["first"] == [0, 9]


def test_unknown_types_are_named_and_not_checked() -> None:
    found = audit(Mesh(np.eye(3)[:, :2].repeat(2, axis=0), [("triangle6", [range(6)])]))
    assert found.unknown == {"triangle6": 1}
    assert not len(found.orphans)


def test_shapes_of_a_periodic_mesh_are_those_of_the_cells_unwrapped() -> None:
    box = periodic_box(64, seed=3)
    sizes = mesh_shapes(box).size
    assert sizes.min() > 0
    assert sizes.sum() == pytest.approx(1)


def test_equal_rows_have_equal_numbers_even_where_a_code_would_overflow() -> None:
    rows = np.random.default_rng(0).integers(0, 3, (200, 4)) * 2_000_000_000
    _, expected = np.unique(rows, axis=0, return_inverse=True)
    np.testing.assert_array_equal(row_ids(rows), expected)
