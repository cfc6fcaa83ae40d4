"""Repair: undoes what was spoiled, keeps data and tags with their cells and points, and does nothing twice."""

from typing import Any

import numpy as np
import pytest

from irno_graph.mesh import Mesh, periodic_box
from irno_graph.mesh.audit import audit
from irno_graph.mesh.quality import IDEAL, mesh_shapes
from irno_graph.mesh.repair import MIRROR, repaired

POINTS = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [9, 9], [1, 0], [2, 0]], dtype=float)  # 4 orphan, 5 as 1


def spoiled() -> Mesh:
    cells = [
        ("line", [[0, 1], [4, 4], [1, 2]]),
        ("triangle", [[0, 1, 2], [2, 0, 1], [0, 3, 2], [0, 1, 5]]),
        ("triangle", [[5, 6, 2]]),
    ]
    data = {"id": [np.arange(3), np.arange(4) + 10, np.array([20])]}
    tags = {
        "cell_sets": {
            "a": [np.array([0, 2]), np.array([1, 3]), None],
            "b": [np.array([1]), None, np.array([0])],
        },
        "point_sets": {"p": np.array([5, 4, 3])},
        "field_data": {"wall": np.array([1, 1])},
    }
    return Mesh(POINTS, cells, {"u": np.arange(7.0)}, data, tags)


def same(one: Mesh, other: Mesh) -> bool:
    def flat(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: flat(entry) for key, entry in value.items()}
        return (
            [flat(entry) for entry in value]
            if isinstance(value, list | tuple)
            else np.asarray(value).tolist()
        )

    parts = ("points", "cells", "point_data", "cell_data", "tags")
    return (
        one.period == other.period
        and all(flat(getattr(one, part)) == flat(getattr(other, part)) for part in parts if part != "cells")
        and [(kind, c.tolist()) for kind, c in one.cells] == [(kind, c.tolist()) for kind, c in other.cells]
    )


def test_everything_follows_the_renumbering() -> None:
    mesh, done = repaired(spoiled())
    assert mesh.points.tolist() == POINTS[[0, 1, 2, 3, 6]].tolist()
    assert mesh.point_data["u"].tolist() == [0, 1, 2, 3, 6]
    assert [(kind, corners.tolist()) for kind, corners in mesh.cells] == [
        ("line", [[0, 1], [1, 2]]),
        ("triangle", [[0, 1, 2], [0, 2, 3]]),
        ("triangle", [[1, 4, 2]]),
    ]
    assert [block.tolist() for block in mesh.cell_data["id"]] == [[0, 2], [10, 12], [20]]
    sets = {name: [block.tolist() for block in blocks] for name, blocks in mesh.tags["cell_sets"].items()}
    assert sets == {"a": [[0, 1], [0], []], "b": [[], [], [0]]}  # the repeated cell left its tag to the first
    assert mesh.tags["point_sets"]["p"].tolist() == [1, 3]
    assert mesh.tags["field_data"]["wall"].tolist() == [1, 1]
    assert len(done) == 5
    assert audit(mesh).ok


def test_the_mesh_that_came_in_is_left_as_it_was() -> None:
    mesh = spoiled()
    repaired(mesh)
    assert same(mesh, spoiled())


def test_a_second_repair_does_nothing() -> None:
    once, _ = repaired(spoiled())
    twice, done = repaired(once)
    assert done == []
    assert same(once, twice)


def test_a_sound_mesh_comes_back_identical() -> None:
    box = periodic_box(64, seed=2)
    tags = {"cell_sets": {"odd": [np.arange(1, 128, 2)]}}
    mesh = Mesh(box.points, box.cells, {"u": np.ones(64)}, {"v": [np.ones(128)]}, tags, box.period)
    back, done = repaired(mesh)
    assert done == []
    assert same(back, mesh)


@pytest.mark.parametrize(
    ("switch", "left"),
    [
        ("merge_duplicates", "duplicates"),
        ("drop_orphans", "orphans"),
        ("drop_degenerate", "degenerate"),
        ("drop_repeated", "repeated"),
        ("orient", "inverted"),
    ],
)
def test_what_is_switched_off_stays(switch: str, left: str) -> None:
    found = audit(repaired(spoiled(), **{switch: False})[0])
    assert len(getattr(found, left))


@pytest.mark.parametrize("kind", ["tetra", "pyramid", "wedge", "hexahedron"])
def test_negative_volumes_are_turned(kind: str) -> None:
    cell = np.array(IDEAL[kind])
    mesh, done = repaired(Mesh(cell, [(kind, [list(MIRROR[kind])])]))
    assert len(done) == 1
    assert mesh_shapes(mesh).size[0] > 0
    assert mesh.cells[0][1].tolist() == [list(range(len(cell)))]


def torus(nu: int = 12, nv: int = 8) -> tuple[np.ndarray, np.ndarray]:
    i, j = (index.ravel() for index in np.mgrid[:nu, :nv])
    u, v = 2 * np.pi * i / nu, 2 * np.pi * j / nv
    ring = 1 + 0.4 * np.cos(v)
    points = np.stack([ring * np.cos(u), ring * np.sin(u), 0.4 * np.sin(v)], axis=1)
    right, up = (i + 1) % nu * nv, (j + 1) % nv
    return points, np.stack([i * nv + j, right + j, right + up, i * nv + up], axis=1)


def test_a_closed_surface_turned_at_random_agrees_again() -> None:
    points, quads = torus()
    flips = np.random.default_rng(0).random(len(quads)) < 0.3
    mixed = np.where(flips[:, None], quads[:, [0, 3, 2, 1]], quads)
    assert len(audit(Mesh(points, [("quad", mixed)])).disagreeing)
    mesh, done = repaired(Mesh(points, [("quad", mixed)]))
    assert done == [f"turned {flips.sum()} cells round"]  # the fewer
    assert np.array_equal(mesh.cells[0][1], quads)
    assert not len(audit(mesh).disagreeing)


def test_a_moebius_strip_is_left_alone() -> None:
    count = 12
    angle = 2 * np.pi * np.arange(count) / count
    arm = np.stack(
        [np.cos(angle / 2) * np.cos(angle), np.cos(angle / 2) * np.sin(angle), np.sin(angle / 2)], 1
    )
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    points = np.concatenate([ring - 0.3 * arm, ring + 0.3 * arm])
    low = np.arange(count)
    ahead = (low + 1) % count
    quads = np.stack([low, ahead, ahead + count, low + count], axis=1)
    quads[-1] = [count - 1, count, 0, 2 * count - 1]
    mesh, done = repaired(Mesh(points, [("quad", quads)]))
    assert done == []
    assert len(audit(mesh).disagreeing)


def test_tangled_and_collapsed_cells_stay_findings() -> None:
    concave = Mesh([[0, 0], [1, 0], [0.2, 0.2], [0, 1]], [("quad", [[0, 3, 2, 1]])])
    mesh, done = repaired(concave)
    assert done == []
    assert len(audit(mesh).tangled)
    pinched = Mesh([[0, 0], [1, 0], [1, 1], [1, 1]], [("quad", [[0, 1, 2, 3]])])
    mesh, done = repaired(pinched)
    assert done == ["merged 1 points into others in the same place"]
    assert audit(mesh).collapsed.tolist() == [0]


def test_points_across_the_period_are_merged() -> None:
    points = [[x, y] for y in (0, 0.5) for x in np.linspace(0, 1, 5)]
    quads = [[i, i + 1, i + 6, i + 5] for i in range(4)]
    mesh, _ = repaired(Mesh(points, [("quad", quads)], period=(1.0, None)))
    assert len(mesh.points) == 8
    found = audit(mesh)
    assert found.findings == ()
    assert found.measure == pytest.approx(0.5)
