"""Correctors on grids of latitudes and longitudes: planes that go around along the longitudes alone."""

import pytest
import torch
from grid_kinds import GRID_CORRECTORS, grid_fields, lattice, shifted
from torch_geometric.data import Batch

from irno_graph.correctors.grid.layout import layout_of
from irno_graph.graph import Graph
from irno_graph.testing import moved, renumbered

SHAPE = (7, 16)
GRIDS = ["equiangular", "legendre-gauss", "lobatto"]
EQUIVARIANT = [name for name in GRID_CORRECTORS if "aligned" not in name]


def built(name, **options):
    """With statistics of its own where it has some."""
    corrector = GRID_CORRECTORS[name](small=1.0, **options).double().eval()
    for buffer in corrector.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return corrector


@pytest.mark.parametrize("name", EQUIVARIANT)
@pytest.mark.parametrize("grid", GRIDS)
def test_turns_about_the_axis_commute(name, grid):
    """By whole longitudes, of a U-Net of depth 2 by multiples of four."""
    corrector, graph = built(name), Graph.from_sphere(*SHAPE, grid=grid)
    x, h = grid_fields(graph, 2)
    for longitudes in (4, -8) if "unet" in name else (1, 5):
        turn = (0, longitudes)
        expected = shifted(corrector(x, h, graph), SHAPE, turn)
        got = corrector(shifted(x, SHAPE, turn), shifted(h, SHAPE, turn), graph)
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", GRID_CORRECTORS)
def test_the_same_as_on_a_plane_that_goes_around_along_x(name):
    """And not as on one that goes around along y too, or along none."""
    corrector, graph = built(name), Graph.from_sphere(*SHAPE)
    x, h = grid_fields(graph, 2)
    value = corrector(x, h, graph)
    assert torch.equal(value, corrector(x, h, lattice(SHAPE, (False, True))))
    for periodic in ((True, True), (False, False), (True, False)):
        other = corrector(x, h, lattice(SHAPE, periodic))
        assert float(((value - other).norm() / value.norm()).detach()) > 1e-7


@pytest.mark.parametrize("name", GRID_CORRECTORS)
def test_a_batch_of_spheres_equals_one_by_one(name):
    """Of different shapes and latitudes, with a time for each."""
    corrector = built(name, time=True)
    members = [
        Graph.from_sphere(*SHAPE),
        Graph.from_sphere(6, 8, grid="legendre-gauss"),
        Graph.from_sphere(*SHAPE, grid="lobatto"),
    ]
    sizes, times = [graph.num_nodes for graph in members], torch.rand(2, 3, dtype=torch.float64)
    batch = Batch.from_data_list(members)
    x, h = grid_fields(batch, 2)
    parts = zip(x.split(sizes, -2), h.split(sizes, -2), members, times.unbind(-1), strict=True)
    expected = torch.cat([corrector(*part, time=time) for *part, time in parts], dim=-2)
    torch.testing.assert_close(corrector(x, h, batch, time=times), expected, rtol=1e-9, atol=1e-11)


def test_spheres_of_one_shape_are_computed_together():
    shapes = [(7, 16), (6, 8), (7, 16)]
    layout = layout_of(Batch.from_data_list([Graph.from_sphere(*shape) for shape in shapes]))
    assert [(part.shape, part.periodic, part.members.tolist()) for part in layout.parts] == [
        ((7, 16), (False, True), [0, 2]),
        ((6, 8), (False, True), [1]),
    ]
    assert layout_of(Graph.from_sphere(7, 16)).rows is None


def test_a_sphere_whose_axis_was_turned_keeps_its_layout():
    graph = Graph.from_sphere(*SHAPE)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    tilted = moved(graph, turn, torch.tensor([1.0, -2.0, 0.5]))
    corrector, (x, h) = built("resnet"), grid_fields(graph)
    assert torch.equal(corrector(x, h, tilted), corrector(x, h, graph))


def test_graphs_without_latitudes_and_longitudes_are_refused():
    corrector = built("resnet")
    ball = Graph.from_icosphere(1)
    with pytest.raises(ValueError, match=r"regular grid.*Graph\.from_sphere.*message passing"):
        corrector(*grid_fields(ball), ball)
    graph = Graph.from_sphere(*SHAPE)
    shuffled = renumbered(graph, torch.randperm(graph.num_nodes))
    with pytest.raises(ValueError, match=r"i_lat \* 16 \+ i_lon at each of 7 x 16.*112 nodes"):
        corrector(*grid_fields(graph), shuffled)
    solid = GRID_CORRECTORS["resnet"](3).double()
    with pytest.raises(ValueError, match="grids of 3 axes, got 2"):
        solid(*grid_fields(graph), graph)
