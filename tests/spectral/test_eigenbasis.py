"""The eigenbasis: exact spectra, convergence, Parseval, invariance, and its files."""

import numpy as np
import pytest
import torch

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.spectral import EigenBasis
from irno_graph.spectral.store import cache_directory

F64 = torch.float64


@pytest.fixture(scope="module")
def graph():
    return Graph.from_mesh(periodic_box(300, seed=0))


@pytest.fixture(scope="module")
def basis(graph):
    return EigenBasis.compute(graph, 40, cache=False)


def random_field(*shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


def irregular_square(side):
    """A square whose inner points are moved by up to a fifth of the spacing."""
    grid = Graph.from_grid((side + 1, side + 1))
    points = grid.pos.numpy().copy()
    inner = ((points > 0) & (points < 1)).all(axis=1)
    points[inner] += np.random.default_rng(1).uniform(-0.2, 0.2, (int(inner.sum()), 2)) / side
    return Graph.from_mesh(Mesh(points, [("triangle", grid.face.T.numpy())]))


@pytest.mark.parametrize("shape", [(8, 8), (18, 20)])  # dense and shift-invert
def test_eigenvalues_of_a_grid_are_the_five_point_symbol(shape):
    # lambda = 4 ny^2 sin^2(pi k / ny) + 4 nx^2 sin^2(pi l / nx), every copy of the repeated ones.
    graph = Graph.from_grid(shape, period=(1.0, 1.0))
    symbols = [4 * n**2 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in shape]
    exact = np.sort((symbols[0][:, None] + symbols[1]).ravel())[:40]
    basis = EigenBasis.compute(graph, 40, cache=False)
    assert np.allclose(basis.eigenvalues, exact, rtol=1e-10, atol=1e-10 * exact[-1])
    counts = np.unique(np.round(exact / exact[-1], 9), return_inverse=True)[1]
    assert basis.eigenspaces.tolist() == counts.tolist()


def test_second_eigenvalue_of_the_unit_square_converges_at_order_two():
    # Neumann on the unit square: pi^2.
    errors = [
        abs(float(EigenBasis.compute(irregular_square(side), 2, cache=False).eigenvalues[1]) - np.pi**2)
        for side in (8, 16, 32)
    ]
    assert (-np.diff(np.log2(errors))).min() > 1.7
    assert errors[-1] < 0.02


def test_second_eigenvalue_of_the_periodic_box_is_four_pi_squared(basis):
    assert basis.eigenvalues[0] == pytest.approx(0.0, abs=1e-10)
    assert (basis.eigenvalues >= 0).all()
    assert np.allclose(basis.eigenvalues[1:5], 4 * np.pi**2, rtol=0.02)


@pytest.mark.parametrize("modes", [1, 40, 300])
def test_vectors_are_orthonormal_in_the_mass(graph, modes):
    basis = EigenBasis.compute(graph, modes, cache=False)
    gram = basis.vectors.T @ (basis.mass[:, None] * basis.vectors)
    assert torch.allclose(gram, torch.eye(modes, dtype=F64), atol=1e-11)
    assert torch.equal(basis.mass, graph.mass)


def test_transform_and_inverse_undo_each_other(graph, basis):
    coefficients = random_field(2, 40, 3)
    assert torch.allclose(basis.transform(basis.inverse(coefficients)), coefficients, atol=1e-11)
    full = EigenBasis.compute(graph, 300, cache=False)
    field = random_field(300, 2)
    assert torch.allclose(full.inverse(full.transform(field)), field, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (F64, 1e-12)])
def test_band_energies_add_up_to_the_norm(graph, basis, dtype, tolerance):
    field = random_field(2, 300, 3).to(dtype)
    for edges in ([0.0, 8.0, 15.0, 1e9], [7.0, 20.0]):
        energy = basis.band_energy(field, edges)
        assert energy.shape == (2, len(edges), 3)
        assert energy.dtype == dtype
        norm = (graph.mass.to(dtype)[:, None] * field**2).sum(dim=-2)
        assert torch.allclose(energy.sum(dim=-2), norm, rtol=tolerance)


def test_a_mode_lies_in_the_band_of_its_frequency(basis):
    edges = [0.0, 1.0, 10.0, 16.0]
    for mode in (0, 3, 12, 39):
        energy = basis.band_energy(basis.vectors[:, mode : mode + 1], edges)[:, 0]
        frequency = float(basis.frequencies[mode])
        band = int(np.searchsorted(edges, frequency, side="right")) - 1
        assert energy.tolist() == pytest.approx([float(place == band) for place in range(4)], abs=1e-10)


def test_band_energy_ignores_signs_and_rotations_of_an_eigenspace():
    graph = Graph.from_grid((8, 8), period=(1.0, 1.0))
    basis = EigenBasis.compute(graph, 21, cache=False)
    space = torch.nonzero(basis.eigenspaces == 1)[:, 0]
    assert len(space) == 4
    turned = basis.vectors.clone()
    turned[:, space] = turned[:, space] @ torch.linalg.qr(random_field(4, 4))[0]
    turned[:, ::3] *= -1
    other = EigenBasis(basis.eigenvalues, turned, basis.mass)
    field = random_field(64, 2)
    # The first edge is the frequency of the rotated space itself, up to rounding either way.
    for edge in (float(basis.frequencies[space].mean()), float(basis.frequencies[space].mean()) + 1e-3):
        edges = [0.0, edge, 10.0]
        assert torch.allclose(basis.band_energy(field, edges), other.band_energy(field, edges), atol=1e-12)


def test_renumbering_and_moving_the_mesh_keep_the_eigenvalues(graph, basis):
    order = np.random.default_rng(0).permutation(300)
    triangles = np.argsort(order)[graph.face.T.numpy()]
    turned = graph.pos.numpy()[order][:, ::-1] + [0.3, 0.4]  # mirrored and shifted
    other = Graph.from_mesh(Mesh(turned, [("triangle", triangles)], period=(1.0, 1.0)))
    eigenvalues = EigenBasis.compute(other, 40, cache=False).eigenvalues
    assert torch.allclose(eigenvalues, basis.eigenvalues, rtol=1e-9, atol=1e-9)


def test_repeating_the_computation_gives_the_same_bits(graph, basis):
    again = EigenBasis.compute(graph, 40, cache=False)
    assert torch.equal(again.vectors, basis.vectors)
    assert torch.equal(again.eigenvalues, basis.eigenvalues)


def test_the_file_serves_the_same_bits_and_fewer_modes(graph, tmp_path, monkeypatch):
    first = EigenBasis.compute(graph, 20, cache=tmp_path)
    monkeypatch.setattr("irno_graph.spectral.eigenbasis._solve", None)  # nothing is computed from here
    again = EigenBasis.compute(graph, 20, cache=tmp_path)
    fewer = EigenBasis.compute(graph, 12, cache=tmp_path)
    assert torch.equal(first.vectors, again.vectors)
    assert torch.equal(first.vectors[:, :12], fewer.vectors)
    assert torch.equal(first.eigenvalues[:12], fewer.eigenvalues)
    with pytest.raises(TypeError):
        EigenBasis.compute(graph, 21, cache=tmp_path)
    with pytest.raises(TypeError):
        EigenBasis.compute(graph, 12, cache=False)


@pytest.mark.parametrize("harm", [lambda data: data[:200], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_file_is_computed_again(graph, tmp_path, harm):
    first = EigenBasis.compute(graph, 5, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(harm(file.read_bytes()))
    again = EigenBasis.compute(graph, 5, cache=tmp_path)
    assert torch.equal(first.vectors, again.vectors)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_flipped_byte_is_noticed(graph, tmp_path):
    first = EigenBasis.compute(graph, 5, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))
    assert torch.equal(first.vectors, EigenBasis.compute(graph, 5, cache=tmp_path).vectors)


def test_the_environment_says_where_files_go(graph, tmp_path, monkeypatch):
    monkeypatch.setenv("IRNO_GRAPH_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path / "eigenbasis"
    EigenBasis.compute(graph, 3)
    assert len(list((tmp_path / "eigenbasis").iterdir())) == 1
    other = graph.clone()
    other.mass *= 2
    EigenBasis.compute(other, 3)
    assert len(list((tmp_path / "eigenbasis").iterdir())) == 2


def test_a_directory_that_cannot_be_written_is_no_error(graph, tmp_path):
    (tmp_path / "file").write_text("")
    assert EigenBasis.compute(graph, 3, cache=tmp_path / "file").vectors.shape == (300, 3)


def test_conversion_keeps_everything_but_the_dtype(basis):
    single = basis.to("cpu", torch.float32)
    assert single.vectors.dtype == single.mass.dtype == torch.float32
    assert basis.vectors.dtype == F64
    assert single.transform(random_field(300, 1).float()).dtype == torch.float32


def test_what_does_not_fit_is_refused(graph, basis):
    for modes in (0, 301):
        with pytest.raises(ValueError, match=r"1\.\.300"):
            EigenBasis.compute(graph, modes, cache=False)
    with pytest.raises(ValueError, match="nodes=300"):
        basis.transform(torch.zeros(299, 1))
    with pytest.raises(ValueError, match="modes=40"):
        basis.inverse(torch.zeros(39, 1))
    for edges in ([1.0], [2.0, 1.0], [[0.0, 1.0]]):
        with pytest.raises(ValueError, match="ascending"):
            basis.band_energy(torch.zeros(300, 1), edges)
    with pytest.raises(ValueError, match="vectors"):
        EigenBasis(basis.eigenvalues, basis.vectors.T, basis.mass)
