"""Bases of the graphs of a batch, and degrees on the sphere."""

import math
import sys

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre
from scipy.spatial import ConvexHull
from scipy.special import lpmv
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.spectral import EigenBasis, band_energies, degree_energy, eigenbases


def test_a_batch_gives_the_bases_and_energies_of_its_graphs():
    graphs = [Graph.from_mesh(periodic_box(n, seed=n)) for n in (20, 70, 40)]
    bases = eigenbases(Batch.from_data_list(graphs), 30)
    assert [len(basis.eigenvalues) for basis in bases] == [20, 30, 30]
    field = torch.randn(2, 130, 3, dtype=torch.float64)
    energy = band_energies(bases, field, [0.0, 8.0, 20.0])
    assert energy.shape == (2, 3, 3, 3)
    for place, (basis, part) in enumerate(zip(bases, field.split([20, 70, 40], dim=-2), strict=True)):
        assert torch.equal(energy[:, place], basis.band_energy(part, [0.0, 8.0, 20.0]))
    with pytest.raises(ValueError, match="nodes=130"):
        band_energies(bases, field[:, 1:], [0.0, 1.0])


# Latitudes, longitudes, and the degrees whose squares they integrate exactly.
GRIDS = [
    ("equiangular", 17, 32, 9),
    ("equiangular", 18, 12, 6),
    ("legendre-gauss", 10, 20, 10),
    ("legendre-gauss", 12, 12, 6),
    ("legendre-gauss", 12, 13, 7),
    ("lobatto", 12, 24, 11),
]
on_grids = pytest.mark.parametrize(("grid", "latitudes", "longitudes", "degrees"), GRIDS)


@pytest.fixture
def _harmonics():
    pytest.importorskip("torch_harmonics", reason="torch-harmonics is not installed")


def places(grid, latitudes, longitudes):
    """Cosines of the colatitudes `[latitudes, 1]`, north pole first, and longitudes `[longitudes]`."""
    inner = legendre.Legendre.basis(latitudes - 1).deriv().roots()
    cosine = {
        "equiangular": np.cos(np.linspace(0, np.pi, latitudes)),
        "legendre-gauss": -legendre.leggauss(latitudes)[0],
        "lobatto": np.concatenate([[1.0], np.sort(inner)[::-1], [-1.0]]),
    }[grid]
    return cosine[:, None], 2 * np.pi * np.arange(longitudes) / longitudes


def harmonic(degree, order, cosine, angle):
    """Real and orthonormal, cos(order * angle) in longitude."""
    ratio = math.factorial(degree - order) / math.factorial(degree + order)
    norm = math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio * (2 if order else 1))
    return norm * lpmv(order, degree, cosine) * np.cos(order * angle)


def mixture(cosine, angle, degrees):
    """A field of random harmonics `[latitudes, longitudes]`, and the energy of each degree."""
    rng = np.random.default_rng(4)
    field, energy = 0.0, np.zeros(degrees)
    for degree in range(degrees):
        for order in range(degree + 1):
            size, phase = rng.standard_normal(), rng.random() if order else 0.0
            field = field + size * harmonic(degree, order, cosine, angle + phase)
            energy[degree] += size**2
    return torch.from_numpy(field), torch.from_numpy(energy)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
@on_grids
def test_a_harmonic_has_its_energy_in_its_own_degree(grid, latitudes, longitudes, degrees):
    cosine, angle = places(grid, latitudes, longitudes)
    pairs = [(degree, order) for degree in range(degrees) for order in range(degree + 1)]
    fields = [harmonic(*pair, cosine, angle + 0.3 * (pair[1] > 0)) for pair in pairs]
    energy = degree_energy(torch.from_numpy(np.stack(fields, axis=-1)), grid)  # [degrees, pairs]
    assert energy.dtype == torch.float64
    own = torch.nn.functional.one_hot(torch.tensor([degree for degree, _ in pairs]), degrees).T
    assert energy.shape == own.shape
    assert torch.allclose(energy, own.double(), atol=1e-11)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
@on_grids
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_the_energies_of_all_degrees_are_the_integral_of_the_square(
    grid, latitudes, longitudes, degrees, dtype, tolerance
):
    cosine, angle = places(grid, latitudes, longitudes)
    field, exact = mixture(cosine, angle, degrees)
    moments = legendre.legvander(cosine[:, 0], latitudes - 1).T  # the one rule that is exact for all of them
    weights = np.linalg.solve(moments, 2.0 * np.eye(latitudes)[0]) * 2 * np.pi / longitudes
    integral = torch.from_numpy(weights) @ field.square().sum(dim=1)
    samples = torch.stack([field, -2 * field], dim=-1).expand(3, 5, -1, -1, -1).to(dtype)
    energy = degree_energy(samples, grid)
    assert energy.shape == (3, 5, degrees, 2)
    assert energy.dtype == dtype
    assert energy[1, 2, :, 0].sum().double() == pytest.approx(float(integral), rel=tolerance)
    assert torch.allclose(energy[2, 4].double(), torch.stack([exact, 4 * exact], dim=-1), rtol=tolerance)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
@on_grids
def test_rotations_leave_the_energies_of_degrees(grid, latitudes, longitudes, degrees):
    cosine, angle = places(grid, latitudes, longitudes)
    turned = [mixture(cosine, angle + turn, degrees)[0] for turn in (0.0, 0.1, 2.0)]  # about the poles
    energy = degree_energy(torch.stack(turned, dim=-1), grid)
    assert torch.allclose(energy, energy[:, :1].expand(-1, 3), rtol=1e-10)
    # P_l of the cosine of the angle to any axis is one harmonic, turned; its square has the integral 4 pi / (2 l + 1)
    sine = np.sqrt((1 - cosine**2).clip(min=0))
    points = np.stack(np.broadcast_arrays(sine * np.cos(angle), sine * np.sin(angle), cosine), axis=-1)
    axes = np.array([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [0.48, 0.64, -0.6], [1.0, 0.0, 0.0]])
    for degree in range(degrees):
        zonal = legendre.Legendre.basis(degree)(points @ axes.T)
        exact = torch.zeros(degrees, len(axes), dtype=torch.float64)
        exact[degree] = 4 * math.pi / (2 * degree + 1)
        assert torch.allclose(degree_energy(torch.from_numpy(zonal), grid), exact, atol=1e-11)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
def test_modes_of_a_mesh_of_the_sphere_have_the_degree_of_their_eigenvalue():
    latitudes, longitudes = 33, 64
    cosine, angle = places("equiangular", latitudes, longitudes)
    sine = np.sqrt(1 - cosine[1:-1] ** 2)
    rings = np.broadcast_arrays(sine * np.cos(angle), sine * np.sin(angle), cosine[1:-1])
    poles = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    points = np.concatenate([np.stack(rings, axis=-1).reshape(-1, 3), poles])
    graph = Graph.from_mesh(Mesh(points, [("triangle", ConvexHull(points).simplices)]))
    basis = EigenBasis.compute(graph, 16)
    field = basis.vectors[:-2].unflatten(0, (latitudes - 2, longitudes))
    ends = (basis.vectors[-2:, None]).expand(-1, longitudes, -1)
    energy = degree_energy(torch.cat([ends[:1], field, ends[1:]]))  # [degrees, modes]
    of_mode = torch.tensor([degree for degree in range(4) for _ in range(2 * degree + 1)])
    assert float((energy.gather(0, of_mode[None]) - 1).abs().max()) < 0.02
    degree = torch.arange(len(energy), dtype=torch.float64)[:, None]
    rate = (degree * (degree + 1) * energy).sum(dim=0)
    assert torch.allclose(rate, basis.eigenvalues, rtol=0.03, atol=1e-3)


@pytest.mark.extras
@pytest.mark.usefixtures("_harmonics")
def test_degree_energies_can_be_differentiated():
    field = torch.randn(5, 8, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(degree_energy, field)


def test_degrees_need_latitudes_longitudes_and_channels_of_a_known_grid():
    with pytest.raises(ValueError, match=r"got \[3, 4\]"):
        degree_energy(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"one of equiangular, .* got 'healpix'"):
        degree_energy(torch.zeros(5, 8, 1), "healpix")  # type: ignore[arg-type]


def test_without_torch_harmonics_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_harmonics", None)
    with pytest.raises(ImportError, match="sphere"):
        degree_energy(torch.zeros(5, 8, 1))
