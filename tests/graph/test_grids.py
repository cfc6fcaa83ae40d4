"""Grids in one to three dimensions: exact spectra, masses, boundaries, batches."""

import numpy as np
import pytest
import torch
from numpy.linalg import eigvalsh
from torch_geometric.data import Batch

from irno_graph.graph import Graph, gradient, vorticity
from irno_graph.graph.grid_fields import grid_of, to_grid, to_nodes
from irno_graph.mesh import periodic_box
from irno_graph.spectral import grid_frequencies
from irno_graph.spectral.laplacian import laplacian, symmetric_laplacian

PERIODIC = [((12,), (2.0,)), ((5, 8), (2.0, 0.7)), ((4, 3, 5), (1.0, 0.4, 2.0))]
OPEN = [((7,), (2.0,)), ((4, 6), (2.0, 0.7)), ((3, 4, 5), (1.0, 0.4, 2.0))]
KINDS = [{}, {"centred": True}, {"order": "hilbert"}, {"centred": True, "order": "cuthill_mckee"}]


def spectrum(graph):
    return eigvalsh(symmetric_laplacian(graph).toarray())


def sums(*axes):
    """All sums of one value from each axis, ascending."""
    return np.sort(np.sum(np.meshgrid(*axes), axis=0).ravel())


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize(("shape", "period"), PERIODIC)
def test_the_spectrum_of_a_periodic_grid_is_the_symbol_of_the_fft(shape, period, options):
    graph = Graph.from_grid(shape, period=period, **options)
    exact = (grid_frequencies(shape, period) ** 2).flatten().sort().values.numpy()
    assert np.abs(spectrum(graph) - exact).max() < 1e-10
    assert graph.mass.sum().item() == pytest.approx(np.prod(period), rel=1e-13)
    assert torch.allclose(graph.mass, graph.mass[0], rtol=1e-13)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize(("shape", "extent"), OPEN)
def test_the_spectrum_of_an_open_grid_is_that_of_cosines(shape, extent, options):
    """cos(pi k x / L) is an eigenvector on points at ends (DCT-I) and on centres (DCT-II)."""
    graph = Graph.from_grid(shape, extent=extent, **options)
    axes = []
    for count, length in zip(shape[::-1], extent, strict=True):
        parts = count if options.get("centred") else count - 1
        step, k = length / parts, np.arange(count)
        axes.append((2 - 2 * np.cos(np.pi * k / parts)) / step**2)
    exact = sums(*axes)
    assert np.abs(spectrum(graph) - exact).max() < 1e-12 * exact[-1]
    assert graph.mass.sum().item() == pytest.approx(np.prod(extent), rel=1e-13)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_eigenvalues_of_the_neumann_problem_converge_at_order_two(centred, dim):
    extent = (1.0, 0.8, 1.3)[:dim]
    exact = sums(*[(np.pi * np.arange(4) / length) ** 2 for length in extent])[1:3]
    errors = []
    for fine in (1, 2):
        shape = tuple(fine * parts + (not centred) for parts in (6, 4, 5)[:dim])[::-1]
        found = spectrum(Graph.from_grid(shape, extent=extent, centred=centred))[1:3]
        errors.append(np.abs(found - exact) / exact)
    orders = np.log2(errors[0] / errors[1])
    assert (abs(orders - 2) < 0.1).all(), orders


def test_a_slab_is_open_along_one_axis_only():
    graph = Graph.from_grid((4, 6, 3), extent=(1.0, 2.0, 0.5), period=(1.0, None, 0.5), centred=True)
    axes = []
    for count, length, closed in zip((3, 6, 4), (1.0, 2.0, 0.5), (True, False, True), strict=True):
        angle = np.pi * np.arange(count) / count * (2 if closed else 1)
        axes.append((2 - 2 * np.cos(angle)) * (count / length) ** 2)
    assert np.abs(spectrum(graph) - sums(*axes)).max() < 1e-10
    assert graph.period == (1.0, None, 0.5)
    assert torch.allclose(graph.mass, torch.full((72,), 1 / 72, dtype=torch.float64))


@pytest.mark.parametrize(("shape", "neighbours"), [((5,), 2), ((4, 5), 4), ((3, 4, 5), 6)])
def test_nodes_are_numbered_with_x_fastest_and_have_two_neighbours_per_axis(shape, neighbours):
    period = (1.0, 2.0, 3.0)[: len(shape)]
    graph = Graph.from_grid(shape, period=period)
    index = np.unravel_index(np.arange(graph.num_nodes), shape)[::-1]
    exact = np.stack(
        [i * length / n for i, length, n in zip(index, period, shape[::-1], strict=True)], axis=1
    )
    assert np.allclose(graph.pos.numpy(), exact, atol=1e-14)
    assert torch.bincount(graph.edge_index[1]).tolist() == [neighbours] * graph.num_nodes
    axes = graph.edge_attr[:, :-1].abs() > 1e-12
    assert (axes.sum(dim=1) == 1).all()
    assert laplacian(graph).nnz == graph.num_nodes * (neighbours + 1)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(6,), (4, 5), (3, 4, 5)])
def test_gradients_of_linear_functions_are_exact_up_to_the_boundary(shape, centred):
    graph = Graph.from_grid(shape, extent=(2.0, 1.0, 0.5)[: len(shape)], centred=centred)
    slope = torch.tensor([[2.0], [-1.0], [3.0]], dtype=torch.float64)[: len(shape)]
    found = gradient(graph.pos @ slope, graph)
    assert torch.allclose(found, slope.T.expand_as(found), atol=1e-12)


def test_faces_of_centred_grids_have_three_corners():
    graph = Graph.from_grid((3, 4), centred=True)
    assert graph.face.shape == (3, 12)
    turning = torch.stack([-graph.pos[:, 1], graph.pos[:, 0]], dim=1)
    assert torch.allclose(vorticity(turning, graph), torch.tensor(2.0, dtype=torch.float64))


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize(("shape", "period"), [((7,), None), *PERIODIC])
def test_to_grid_and_back_loses_nothing(shape, period, options):
    graph = Graph.from_grid(shape, period=period, **options)
    coordinates = to_grid(graph.pos, graph)  # [dim, *grid]
    for axis in range(len(shape)):  # x grows along the last axis alone
        rows = coordinates[axis].movedim(-1 - axis, 0).flatten(1) if len(shape) > 1 else coordinates.T
        assert torch.equal(rows.amax(dim=1), rows.amin(dim=1))
        assert (rows.diff(dim=0) > 0).all()
    field = torch.randn(2, 3, graph.num_nodes, 4)
    assert torch.equal(to_nodes(to_grid(field, graph), graph), field)
    values = torch.randn(2, 4, *shape)
    assert torch.equal(to_grid(to_nodes(values, graph), graph), values)


def test_the_grid_of_a_graph():
    graph = Graph.from_grid((4, 5), extent=(1.0, 2.0), period=(None, 2.0), centred=True, order="hilbert")
    graph.pos = graph.pos + torch.tensor([10.0, -3.0])
    grid = grid_of(graph)
    assert (grid.shape, grid.period, grid.periodic, grid.centred) == (
        (4, 5),
        (None, 2.0),
        (False, True),
        True,
    )
    assert np.allclose([grid.origin, grid.spacing, grid.extent], [[10.1, -2.75], [0.2, 0.5], [1.0, 2.0]])
    assert not grid_of(Graph.from_grid((4, 5))).centred
    assert grid_of(Graph.from_grid((4, 5), extent=(1.0, 2.0))).extent == pytest.approx((1.0, 2.0))
    assert grid.same(grid_of(graph.clone()))
    assert not grid.same(grid_of(Graph.from_grid((4, 5), extent=(1.0, 2.0), centred=True)))
    graph.pos = graph.pos * torch.linspace(1, 2, 20)[:, None]
    with pytest.raises(ValueError, match="on a grid of shape"):
        grid_of(graph)


def test_batches_of_grids_and_of_grids_with_meshes():
    grids = [Graph.from_grid((4, 5), period=(1.0, 1.0), order=order) for order in (None, None)]
    grids += [Graph.from_grid((4, 5), extent=(2.0, 1.0))]
    batch = Batch.from_data_list(grids).to("cpu")
    assert batch.grid_shape == [(4, 5)] * 3
    field = torch.randn(2, 60, 3)
    values = to_grid(field, batch)  # [2, graphs, channels, ny, nx]
    for place, (graph, own) in enumerate(zip(grids, field.split(20, dim=-2), strict=True)):
        assert torch.equal(values[:, place], to_grid(own, graph))
        assert batch.get_example(place).grid_shape == (4, 5)
    assert torch.equal(to_nodes(values, batch), field)
    mesh = Graph.from_mesh(periodic_box(40, seed=0))
    assert mesh.grid_shape is None
    for mixed in ([grids[0], mesh], [mesh, grids[0]]):
        batch = Batch.from_data_list(mixed)
        assert set(batch.grid_shape) == {(4, 5), None}
        assert [batch.get_example(i).grid_shape for i in (0, 1)] == batch.grid_shape
        with pytest.raises(ValueError, match="grids of one shape"):
            to_grid(torch.zeros(60, 1), batch)
    ordered = [Graph.from_grid((4, 5), order="hilbert"), Graph.from_grid((4, 5), order="cuthill_mckee")]
    batch = Batch.from_data_list(ordered)
    assert torch.equal(to_grid(batch.pos, batch)[0], to_grid(batch.pos, batch)[1])


def test_what_does_not_fit_a_grid_is_refused():
    graph = Graph.from_grid((4, 5))
    with pytest.raises(ValueError, match="nodes=20"):
        to_grid(torch.zeros(21, 1), graph)
    with pytest.raises(ValueError, match="channels, 4, 5"):
        to_nodes(torch.zeros(1, 5, 4), graph)
    with pytest.raises(ValueError, match="should be a grid"):
        to_grid(torch.zeros(40, 1), Graph.from_mesh(periodic_box(40, seed=0)))
    with pytest.raises(ValueError, match="3 where an axis is periodic"):
        Graph.from_grid((2, 4, 4), period=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="3 positive lengths"):
        Graph.from_grid((3, 4, 4), extent=(1.0, 1.0))
