"""Grids of the sphere and icospheres against closed forms and SciPy's spherical harmonics."""

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch_geometric.data import Batch

from irno_graph.correctors import MultiscaleMessagePassing
from irno_graph.graph import Graph
from irno_graph.graph.spheres import icosphere, latitudes
from irno_graph.spectral import EigenBasis
from irno_graph.testing import assert_converges

GRIDS = ["equiangular", "legendre-gauss", "lobatto"]
EXACT = {"equiangular": -1, "legendre-gauss": -1, "lobatto": -3}


def exactness(grid, count):
    """The degree up to which the rule integrates all polynomials."""
    return count - 1 if grid == "equiangular" else 2 * count + EXACT[grid]


def harmonics(graph, degrees):
    """Complex harmonics `[nodes, modes]` of all degrees below `degrees`."""
    x, y, z = graph.pos.numpy().T
    colatitude, longitude = np.arccos(z.clip(-1, 1)), np.arctan2(y, x)
    pairs = [(degree, order) for degree in range(degrees) for order in range(-degree, degree + 1)]
    return np.stack([sph_harm_y(*pair, colatitude, longitude) for pair in pairs], axis=1)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("count", [3, 4, 7, 12, 33])
def test_rules_integrate_polynomials_up_to_their_degree_and_no_further(grid, count):
    cosine, weights = latitudes(count, grid)
    assert (np.diff(cosine) < 0).all()
    assert (weights > 0).all()
    top = exactness(grid, count)
    power = np.arange(top + 1)
    moments = weights @ np.polynomial.legendre.legvander(cosine, top)
    np.testing.assert_allclose(moments, 2.0 * (power == 0), atol=1e-13)
    beyond = top + 1 + (top % 2 == 0)  # odd ones vanish by symmetry
    if count < 10:
        assert abs(weights @ cosine**beyond - 2 / (beyond + 1)) > 1e-6


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("nlat", "nlon"), [(9, 16), (8, 13)])
def test_harmonics_are_orthonormal_in_the_masses(grid, nlat, nlon):
    """Products of harmonics of degree l have degree 2 l, and orders below nlon."""
    graph = Graph.from_sphere(nlat, nlon, grid=grid)
    assert float(graph.mass.sum()) == pytest.approx(4 * math.pi, rel=1e-15)
    degrees = min(exactness(grid, nlat) // 2 + 1, (nlon + 1) // 2)
    fields = harmonics(graph, degrees)
    gram = fields.conj().T @ (graph.mass.numpy()[:, None] * fields)
    np.testing.assert_allclose(gram, np.eye(degrees**2), atol=1e-13)


@pytest.mark.parametrize("grid", GRIDS)
def test_nodes_are_the_grid_row_by_row_from_the_north_pole(grid):
    graph = Graph.from_sphere(6, 8, grid=grid)
    rows = graph.pos.unflatten(0, (6, 8))
    assert torch.allclose(graph.pos.norm(dim=1), torch.ones((), dtype=torch.float64), atol=1e-15)
    heights, _ = latitudes(6, grid)
    assert torch.equal(rows[..., 2], torch.from_numpy(heights)[:, None].expand(6, 8))
    angle = torch.atan2(rows[1, :, 1], rows[1, :, 0]) % (2 * math.pi)
    torch.testing.assert_close(angle, torch.arange(8, dtype=torch.float64) * math.pi / 4)
    if grid != "legendre-gauss":
        assert torch.equal(rows[0], torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(8, 3))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("nlon", [8, 9])
def test_edges_run_along_parallels_and_meridians_and_across_the_poles(grid, nlon):
    nlat = 6
    graph = Graph.from_sphere(nlat, nlon, grid=grid)
    links = set(map(tuple, graph.edge_index.T.tolist()))
    assert all((target, source) in links for source, target in links)
    assert float(graph.edge_attr[:, 3].min()) > 1e-3  # a pole's points are not linked to each other
    turned = {tuple(node // nlon * nlon + (node + 1) % nlon for node in link) for link in links}
    mirrored = {tuple(node // nlon * nlon + -node % nlon for node in link) for link in links}
    assert turned == links == mirrored
    upside_down = {tuple((nlat - 1 - node // nlon) * nlon + node % nlon for node in link) for link in links}
    assert upside_down == links
    middle = 2 * nlon + 3
    neighbours = {source for source, target in links if target == middle}
    assert neighbours == {middle - 1, middle + 1, middle - nlon, middle + nlon}
    across = nlon // 2
    if grid == "legendre-gauss":
        assert (0, across) in links
    else:
        assert {(nlon, 0), (nlon + 1, 0), (2 * nlon - 1, 0), (nlon + across, 0)} <= links


@pytest.mark.parametrize("grid", GRIDS)
def test_the_laplacian_tends_to_l_times_l_plus_one_at_order_two(grid):
    exact = torch.tensor([degree * (degree + 1.0) for degree in range(4) for _ in range(2 * degree + 1)])
    steps, errors = [], []
    for nlat in (9, 17, 33):
        graph = Graph.from_sphere(nlat, 2 * (nlat - 1), grid=grid)
        found = EigenBasis.compute(graph, modes=16).eigenvalues
        steps.append(1 / (nlat - 1))
        errors.append(float((found - exact).abs().max()))
    assert errors[-1] < 0.2
    assert_converges(steps, errors, order=1.85)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_first_modes_tend_to_harmonics_at_the_poles_too(grid):
    """At order 1 in the largest value, which is at the poles."""
    gaps = []
    for nlat in (17, 33):
        graph = Graph.from_sphere(nlat, 2 * (nlat - 1), grid=grid)
        vectors = EigenBasis.compute(graph, modes=4).vectors[:, 1:]
        mass = graph.mass[:, None]
        linear = graph.pos * (3 / (4 * math.pi)) ** 0.5  # the harmonics of degree 1
        gap = vectors - linear @ (linear.T @ (mass * vectors))
        assert float((mass * gap.square()).sum(dim=0).max()) < 1e-3
        gaps.append(float(gap.abs().max()))
    assert_converges([1 / 16, 1 / 32], gaps, order=0.9)


def test_a_corrector_with_coarser_graphs_takes_the_coincident_nodes_of_the_poles():
    graph = Graph.from_sphere(9, 16)
    torch.manual_seed(0)
    corrector = MultiscaleMessagePassing(2, 1, hidden=8, levels=1, dim=3)
    x, h = torch.randn(graph.num_nodes, 2), torch.randn(graph.num_nodes, 1)
    out = corrector(x, h, graph)
    assert torch.isfinite(out).all()
    out.square().sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in corrector.parameters() if value.grad is not None)


def test_a_batch_keeps_shape_and_grid():
    graphs = [Graph.from_sphere(5, 8), Graph.from_sphere(6, 9, grid="lobatto")]
    again = Batch.from_data_list(graphs).to_data_list()
    assert [tuple(graph.sphere_shape) for graph in again] == [(5, 8), (6, 9)]
    assert [graph.sphere_grid for graph in again] == ["equiangular", "lobatto"]


@pytest.mark.parametrize("cuts", [0, 1, 3])
def test_an_icosphere_is_closed_even_and_has_the_area_of_the_sphere(cuts):
    mesh = icosphere(cuts)
    triangles = mesh.cells_of("triangle")
    assert (len(mesh.points), len(triangles)) == (10 * 4**cuts + 2, 20 * 4**cuts)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert set(map(tuple, sides)) == set(map(tuple, sides[:, ::-1]))  # each side once per direction: oriented
    degree = np.bincount(sides[:, 0])
    assert (degree == 5).sum() == 12
    assert set(degree) <= {5, 6}
    outward = np.linalg.det(mesh.points[triangles])
    assert (outward > 0).all()
    assert outward.max() / outward.min() < 2
    graph = Graph.from_icosphere(cuts)
    assert float(graph.mass.sum()) == pytest.approx(4 * math.pi, rel=1e-13)


def test_icospheres_have_the_eigenvalues_of_the_sphere_at_order_two():
    exact = torch.tensor([0.0] + [2.0] * 3 + [6.0] * 5)
    cuts = (1, 2, 3)
    found = [EigenBasis.compute(Graph.from_icosphere(cut), modes=9).eigenvalues for cut in cuts]
    errors = [float((values - exact).abs().max()) for values in found]
    assert_converges([2.0**-cut for cut in cuts], errors, order=1.85)


def test_masses_of_icospheres_integrate_at_order_two():
    """The integral of exp(c d . x) over the sphere is 4 pi sinh(c) / c for a unit vector d."""
    direction = torch.tensor([0.6, 0.64, 0.48], dtype=torch.float64)
    cuts = (3, 4, 5)
    graphs = [Graph.from_icosphere(cut) for cut in cuts]
    sums = [float(graph.mass @ (3 * graph.pos @ direction).exp()) for graph in graphs]
    errors = [abs(found - 4 * math.pi * math.sinh(3) / 3) for found in sums]
    assert_converges([2.0**-cut for cut in cuts], errors, order=1.85)


def test_wrong_spheres_are_refused():
    with pytest.raises(ValueError, match=r"one of equiangular, .* got 'healpix'"):
        Graph.from_sphere(8, 16, grid="healpix")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 3, got 2"):
        Graph.from_sphere(2, 16)
    with pytest.raises(ValueError, match="at least 4, got 3"):
        Graph.from_sphere(8, 3)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        icosphere(-1)
