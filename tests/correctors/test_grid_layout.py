"""Nodes and grids: which node lies where, what a stencil is on both, and which graphs are grids."""

import numpy as np
import pytest
import torch
from grid_kinds import GRID_CORRECTORS, grid_fields, lattice
from torch.nn import functional
from torch_geometric.data import Batch

from irno_graph.correctors.grid.blocks import doubled, halved
from irno_graph.correctors.grid.layout import layout_of
from irno_graph.graph import Graph, to_grid
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.nn.convolution import Convolution, padded
from irno_graph.nn.fourier import SpectralConvolution
from irno_graph.nn.messages import Messages, mean_messages
from irno_graph.nn.pieces import ordered_edges
from irno_graph.testing import renumbered

GATE = torch.tensor([3.0, -7.0, 0.0], dtype=torch.float64)


def test_messages_along_edges_are_a_convolution_of_five_points():
    """mean over edges of silu(h_j) (1 + 3 e_x - 7 e_y), e = pos_j - pos_i, has a weight for each of four neighbours."""
    ny, nx = 6, 10
    graph = Graph.from_grid((ny, nx), period=(1.5, 0.5))
    h = torch.randn(2, graph.num_nodes, 3, dtype=torch.float64)
    source, target = graph.edge_index
    quarter = torch.full((graph.num_nodes,), 0.25, dtype=torch.float64)
    edges = ordered_edges(source, target, graph.edge_attr, quarter, None)
    weight = torch.cat([torch.zeros(3, 3), GATE.expand(3, 3)]).double()
    messages = mean_messages(Messages(h.transpose(0, 1), None, graph.edge_attr, weight), edges)

    kernel = torch.zeros(3, 3, dtype=torch.float64)  # [y, x]
    dx, dy = 1.5 / nx, 0.5 / ny
    kernel[1, 2], kernel[1, 0] = 1 + 3 * dx, 1 - 3 * dx
    kernel[2, 1], kernel[0, 1] = 1 - 7 * dy, 1 + 7 * dy
    convolution = Convolution(3, 3, 2, groups=3).double()
    convolution.conv.weight.data = 0.25 * kernel.expand(3, 1, 3, 3)
    convolution.conv.bias.data.zero_()
    layout = layout_of(graph)
    (grid,) = layout.to_grids(functional.silu(h))
    value = layout.to_nodes([convolution(grid.flatten(0, 1), layout.parts[0].periodic).unflatten(0, (2, 1))])
    torch.testing.assert_close(value, messages.transpose(0, 1), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("shape", [(7,), (4, 6), (3, 4, 5)], ids=str)
def test_points_of_a_grid_lie_in_rows_along_x(shape):
    """Whatever the order of the nodes; the layout agrees with `to_grid` where that knows the graph."""
    graph = lattice(shape, (True,) + (False,) * (len(shape) - 1))
    order = torch.from_numpy(np.random.default_rng(1).permutation(graph.num_nodes))
    mixed = Graph.from_points(
        graph.pos[order].numpy(), "radius", radius=0.4, manifold_dim=len(shape), period=graph.period
    )
    (places,) = layout_of(mixed).to_grids(mixed.pos[None])
    assert layout_of(mixed).parts[0].shape == shape
    assert layout_of(mixed).parts[0].periodic == (True,) + (False,) * (len(shape) - 1)
    torch.testing.assert_close(places[0, 0], to_grid(graph.pos, graph))
    for axis in range(len(shape)):
        steps = places[0, 0, -1 - axis].diff(dim=axis)
        torch.testing.assert_close(steps, steps.flatten()[:1].expand(steps.shape))
    back = layout_of(mixed).to_nodes([places])
    assert torch.equal(back[0], mixed.pos)


def test_grids_of_one_shape_are_computed_together():
    members = [lattice((4, 6), (True, True)), lattice((6, 4), (True, True)), lattice((4, 6), (True, True))]
    layout = layout_of(Batch.from_data_list(members))
    assert [(part.shape, part.members.tolist()) for part in layout.parts] == [((4, 6), [0, 2]), ((6, 4), [1])]
    assert layout_of(members[0]).rows is None
    assert layout_of(Batch.from_data_list(members[::2])).rows is None
    assert layout_of(renumbered(members[0], torch.arange(24).flip(0))).rows is not None


def test_coordinates_in_single_precision_are_a_grid():
    graph = lattice((40, 60), (False, False)).clone()
    graph.pos = (graph.pos + 3.0).float().double()
    assert layout_of(graph).parts[0].shape == (40, 60)


@pytest.mark.parametrize(
    ("points", "period", "message"),
    [
        (np.random.default_rng(0).random((40, 2)), None, "should be a regular grid"),
        ([[x, y] for y in (0, 1, 2) for x in (0, 1, 3)], None, "spacings from 1 to 2"),
        ([[x, y] for y in (0, 1, 2) for x in (0, 1, 2) if (x, y) != (1, 1)], None, "8 nodes at 3 x 3"),
        ([[x, y] for y in range(4) for x in range(4)], (4.5, None), r"4 \* 1, got 4.5"),
    ],
    ids=["irregular", "uneven", "hole", "period"],
)
def test_graphs_that_are_no_grid_are_refused(points, period, message):
    points = np.asarray(points, dtype=float)
    graph = Graph.from_points(points, "knn", manifold_dim=2, neighbours=3, period=period)
    with pytest.raises(ValueError, match=message):
        layout_of(graph)


def test_a_mesh_is_refused_with_what_to_do():
    graph = Graph.from_mesh(periodic_box(60, seed=1))
    x, h = grid_fields(graph)
    with pytest.raises(ValueError, match=r"Graph\.from_grid.*message passing"):
        GRID_CORRECTORS["fno"]().double()(x, h, graph)


def test_one_row_of_points_in_the_plane_is_refused():
    line = Mesh([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], [("line", [[0, 1], [1, 2]])])
    with pytest.raises(ValueError, match="3 nodes at 1 x 3"):
        layout_of(Graph.from_mesh(line))


@pytest.mark.parametrize("width", [1, 3, 8])
def test_padding_is_what_numpy_does(width):
    field = torch.randn(2, 3, 5, 4, 3, dtype=torch.float64)
    got = padded(field, width, (True, False, True))
    around = [(0, 0), (0, 0), (width, width), (0, 0), (width, width)]
    ends = [(0, 0), (0, 0), (0, 0), (width, width), (0, 0)]
    expected = np.pad(np.pad(field.numpy(), around, mode="wrap"), ends, mode="edge")
    assert torch.equal(got, torch.from_numpy(expected))


@pytest.mark.parametrize("size", [8, 9])
def test_linear_fields_go_up_in_resolution_unchanged(size):
    """A coarse point is the middle of two fine ones, so that (i + 1/2) 2 h and (i + 1/2) h are the same places."""
    coarse, fine = ((torch.arange(n) + 0.5).double() for n in ((size + 1) // 2, size))
    value = doubled(2.0 * coarse[None, None], torch.Size([size]), (False,), align_corners=False)
    torch.testing.assert_close(value[0, 0, 1:-1], fine[1:-1])


def test_periodic_fields_go_up_in_resolution_around_the_ends():
    """Linear interpolation is 3/4 of the nearest and 1/4 of the next point, around the ends."""
    field = torch.randn(1, 1, 4, dtype=torch.float64)
    value = doubled(field, torch.Size([8]), (True,), align_corners=False)[0, 0]
    torch.testing.assert_close(value[0], 0.75 * field[0, 0, 0] + 0.25 * field[0, 0, -1])
    torch.testing.assert_close(value[-1], 0.75 * field[0, 0, -1] + 0.25 * field[0, 0, 0])


def test_maxima_of_an_odd_axis_are_over_what_is_there():
    field = torch.tensor([[[1.0, 5.0, 2.0, 3.0, -4.0]]])
    assert halved(field).flatten().tolist() == [5.0, 3.0, -4.0]


@pytest.mark.parametrize("sizes", [(12, 10), (11, 16), (4, 3)], ids=str)
def test_spectral_convolution_is_the_sum_over_its_modes(sizes):
    """Re sum_k c(k) exp(i k x) with c(k) = R(k) v^(k), twice for the modes whose conjugates are not stored."""
    spectral = SpectralConvolution(2, 3, 2).double()
    field = torch.randn(1, 2, *sizes, dtype=torch.float64)
    weight = torch.view_as_complex(spectral.weight.detach())
    y, x = (2 * torch.pi * torch.arange(size).double() / size for size in sizes)
    expected = torch.zeros_like(field)
    for ky in range(-2, 3):
        for kx in range(3):
            if 2 * abs(ky) < sizes[0] and 2 * kx < sizes[1]:
                wave = torch.exp(1j * (ky * y[:, None] + kx * x))
                coefficient = (field[0] * wave.conj()).mean(dim=(1, 2)) @ weight[:, :, ky + 2, kx]
                expected[0] += (1 if kx == 0 else 2) * (coefficient[:, None, None] * wave).real
    torch.testing.assert_close(spectral(field, (True, True)), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("periodic", [(True, True), (False, True), (False, False)], ids=str)
def test_spectral_convolution_is_the_same_on_finer_grids(periodic):
    """Of fields that both grids resolve: waves around, cosines of half waves between ends."""
    spectral = SpectralConvolution(2, 4, 2).double()

    def sampled(factor):
        axes = []
        for around, count in zip(periodic, (8, 9), strict=True):
            points = factor * count if around else factor * (count - 1) + 1
            axes.append(2 * torch.pi * torch.arange(points).double() / (points if around else 2 * points - 2))
        y, x = torch.meshgrid(*axes, indexing="ij")
        return torch.stack([1 + y.cos() * (2 * x).cos(), (3 * y).cos() - x.cos()])[None]

    fine = spectral(sampled(3), periodic)[..., ::3, ::3]
    torch.testing.assert_close(spectral(sampled(1), periodic), fine, rtol=1e-10, atol=1e-11)
