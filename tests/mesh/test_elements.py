"""Elements: exact sizes, the patch test, signs, and the stencils of boxes."""

import numpy as np
import pytest

from irno_graph.mesh.cells import CELLS
from irno_graph.mesh.elements import BOX, integrals

REFERENCE = {
    "line": [[0], [1]],
    "triangle": [[0, 0], [1, 0], [0, 1]],
    "quad": [[0, 0], [1, 0], [1, 1], [0, 1]],
    "pixel": [[0, 0], [1, 0], [1, 1], [0, 1]],
    "tetra": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "pyramid": [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]],
    "wedge": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]],
    "hexahedron": BOX,
    "voxel": BOX,
}
SIZES = {
    "line": 1,
    "triangle": 1 / 2,
    "quad": 1,
    "pixel": 1,
    "tetra": 1 / 6,
    "pyramid": 1 / 3,
    "wedge": 1 / 2,
}


def crooked(kind, count=20, amount=0.1):
    corners = np.array(REFERENCE[kind], dtype=float)
    return corners + amount * np.random.default_rng(0).standard_normal((count, *corners.shape))


@pytest.mark.parametrize("kind", REFERENCE)
def test_the_reference_cell_has_its_size(kind):
    corners = np.array(REFERENCE[kind], dtype=float)[None]
    assert integrals(kind, corners).load.sum() == pytest.approx(SIZES.get(kind, 1), rel=1e-14)


@pytest.mark.parametrize("kind", REFERENCE)
def test_the_patch_test(kind):
    # For a linear u: the integral of grad u is exact, and the energy with any hat is that of its mean gradient.
    corners = crooked(kind)
    own = integrals(kind, corners)
    slope = np.random.default_rng(1).standard_normal(corners.shape[2])
    u = corners @ slope
    size = own.load.sum(axis=1)
    assert own.sound.all()
    assert (own.load > 0).all()
    assert np.allclose(np.einsum("kc,kcn->kn", u, own.gradients), slope * size[:, None], atol=1e-14)
    assert np.allclose(np.einsum("kij,kj->ki", own.stiffness, u), own.gradients @ slope, atol=1e-13)
    assert np.linalg.eigvalsh(own.stiffness)[:, 0].min() > -1e-13
    assert np.linalg.eigvalsh(own.stiffness)[:, 1].min() > 1e-3  # constants alone have no energy


@pytest.mark.parametrize("kind", ["wedge", "pyramid", "hexahedron", "tetra"])
def test_the_outward_facets_give_the_volume(kind):
    # The divergence theorem: 3 V = the flux of x; facets of four corners are bilinear, split both ways.
    corners = crooked(kind)
    flux = np.zeros(len(corners))
    for facet in CELLS[kind].facets:
        p = corners[:, list(facet)]
        if len(facet) == 3:
            flux += np.einsum("kn,kn->k", p[:, 0], np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])) / 2
            continue
        for i in range(4):  # the mean over both splits is exact for a bilinear facet
            a, b, c = p[:, i], p[:, (i + 1) % 4], p[:, (i + 2) % 4]
            flux += np.einsum("kn,kn->k", a, np.cross(b - a, c - a)) / 4
    assert np.allclose(integrals(kind, corners).load.sum(axis=1), flux / 3, rtol=1e-12)


@pytest.mark.parametrize("kind", REFERENCE)
def test_a_mirrored_cell_counts_the_same(kind):
    corners = crooked(kind)
    mirrored = corners * [-1.0, *[1.0] * (corners.shape[2] - 1)]
    one, two = integrals(kind, corners), integrals(kind, mirrored)
    assert np.allclose(one.load, two.load, atol=1e-15)
    assert np.allclose(one.stiffness, two.stiffness, atol=1e-13)


@pytest.mark.parametrize("kind", ["line", "triangle", "quad"])
def test_a_cell_turned_into_space_keeps_its_integrals(kind):
    corners = crooked(kind)
    padded = np.pad(corners, ((0, 0), (0, 0), (0, 3 - corners.shape[2])))
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    one, two = integrals(kind, corners), integrals(kind, padded @ rotation.T + [1.0, 2.0, 3.0])
    assert np.allclose(one.load, two.load, atol=1e-14)
    assert np.allclose(one.stiffness, two.stiffness, atol=1e-12)


def test_tangled_cells_are_not_sound():
    assert not integrals("quad", np.array([[[0, 0], [3, 0], [0.5, 0.5], [0, 3.0]]])).sound[0]  # concave
    box = np.array(BOX, dtype=float)
    box[6] = [0.2, 0.2, 0.2]
    assert not integrals("hexahedron", box[None]).sound[0]


def test_a_square_has_the_five_point_stencil_only_as_a_pixel():
    square = np.array([REFERENCE["quad"]], dtype=float)
    assert integrals("pixel", square).stiffness[0, 0].tolist() == [1.0, -0.5, 0.0, -0.5]
    assert np.allclose(integrals("quad", square).stiffness[0, 0], np.array([4, -1, -2, -1]) / 6)


def test_a_box_has_the_seven_point_stencil_only_as_a_voxel():
    sides = np.array([2.0, 1.0, 0.5])
    own = integrals("voxel", np.array([BOX]) * sides).stiffness[0]
    expected = np.zeros((8, 8))
    for i, one in enumerate(BOX):
        for j, two in enumerate(BOX):
            apart = np.flatnonzero(np.array(one) != two)
            if len(apart) == 1:
                expected[i, j] = -sides.prod() / 4 / sides[apart[0]] ** 2
    expected -= np.diag(expected.sum(axis=1))
    assert np.allclose(own, expected, atol=1e-14)
    full = integrals("hexahedron", np.array([BOX]) * sides).stiffness[0]
    assert abs(full[0, 6]) > 0.01  # across the diagonal
