"""What all correctors on grids keep: shifts, ends, orders of the nodes, batches, times."""

import itertools
from math import prod

import numpy as np
import pytest
import torch
from grid_kinds import GRID_CORRECTORS, grid_fields, lattice, shifted
from torch_geometric.data import Batch

from irno_graph.correctors import FNO, ConvNeXt, ResNet, UNet
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.testing import assert_permutation_equivariant

EQUIVARIANT = [name for name in GRID_CORRECTORS if "aligned" not in name]
HALVINGS = 4  # 2^depth of the U-Nets


@pytest.fixture(params=GRID_CORRECTORS)
def kind(request):
    return request.param


@pytest.fixture
def corrector(kind):
    """In the plane, with statistics of its own where it has some."""
    return warmed(GRID_CORRECTORS[kind](small=1.0).double())


@pytest.fixture(scope="module")
def mixed():
    """8 x 12 points, periodic along x alone."""
    return Graph.from_grid((8, 12), period=(1.5, None), extent=(1.5, 1.0))


def warmed(corrector):
    """The corrector in evaluation mode, after batch norms have seen two fields."""
    graph = lattice((8,) * corrector.dim, (True,) * corrector.dim)
    for _ in range(2):
        corrector(*grid_fields(graph, 2), graph)
    return corrector.eval()


@pytest.mark.parametrize("name", EQUIVARIANT)
@pytest.mark.parametrize("shape", [(16,), (8, 12), (4, 8, 8)], ids=str)
def test_shifts_of_a_periodic_grid_commute(name, shape):
    """By any number of points, of a U-Net by multiples of 2^depth."""
    corrector = warmed(GRID_CORRECTORS[name](len(shape), small=1.0).double())
    graph = lattice(shape, [True] * len(shape))
    x, h = grid_fields(graph, 2)
    unit = HALVINGS if isinstance(corrector, UNet) else 1
    shifts = tuple(unit * number for number in (1, -2, 1)[: len(shape)])
    expected = shifted(corrector(x, h, graph), shape, shifts)
    got = corrector(shifted(x, shape, shifts), shifted(h, shape, shifts), graph)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-11)


def test_aligned_corners_do_not_commute_with_shifts():
    corrector = GRID_CORRECTORS["unet, corners aligned"](small=1.0).double()
    graph = lattice((8, 8), (True, True))
    x, h = grid_fields(graph)
    expected = shifted(corrector(x, h, graph), (8, 8), (4, 0))
    got = corrector(shifted(x, (8, 8), (4, 0)), shifted(h, (8, 8), (4, 0)), graph)
    assert float(((got - expected).norm() / expected.norm()).detach()) > 1e-2


@pytest.mark.parametrize("shape", [(9,), (7, 10), (5, 6, 3)], ids=str)
@pytest.mark.parametrize("around", [True, False], ids=["periodic", "ends"])
def test_constants_give_constants(kind, shape, around):
    """On grids of any size, with ends or without: padding adds nothing that is not in the field."""
    if kind == "unet, group":
        pytest.skip("a group of one channel blows up the rounding of a constant")
    corrector = warmed(GRID_CORRECTORS[kind](len(shape), small=1.0).double())
    graph = lattice(shape, [around] + [False] * (len(shape) - 1))
    x, h = (field[:1].expand(prod(shape), -1) for field in grid_fields(graph))
    value = corrector(x, h, graph)
    torch.testing.assert_close(value, value[:1].expand_as(value), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "build",
    [lambda: ResNet(3, 2, hidden=6, dilations=(4, 1)), lambda: ConvNeXt(3, 2, hidden=6, blocks=1, width=9)],
    ids=["resnet", "convnext"],
)
def test_convolutions_go_around_a_small_grid_several_times(build):
    """As on a grid of its copies."""
    corrector = build().double()
    graph, copies = lattice((3, 5), (True, True)), lattice((12, 20), (True, True))
    x, h = grid_fields(graph)
    several = [field.unflatten(0, (3, 5)).repeat(4, 4, 1).flatten(0, 1) for field in (x, h)]
    expected = corrector(x, h, graph).unflatten(0, (3, 5)).repeat(4, 4, 1).flatten(0, 1)
    torch.testing.assert_close(corrector(*several, copies), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["resnet", "convnext"])
def test_what_lies_beyond_an_end_is_not_seen(name):
    """The first column sees the last one where x is periodic, and does not where y has ends."""
    corrector = GRID_CORRECTORS[name](small=1.0).double()
    graph = lattice((20, 20), (False, True))
    x, h = grid_fields(graph)
    h.requires_grad_(True)
    corner = corrector(x, h, graph)[0].sum()
    seen = torch.autograd.grad(corner, h)[0].abs().sum(dim=-1).unflatten(0, (20, 20))
    assert float(seen[0, -1]) > 0.0
    assert float(seen[-1].max()) == 0.0


def test_numbering_of_the_nodes_changes_nothing(corrector, mixed):
    assert_permutation_equivariant(corrector, grid_fields(mixed, 2), mixed, tolerance=1e-12)


def rectangle_of_quads(ny, nx):
    """A mesh that happens to be a grid, as a file would have it."""
    number = np.arange(ny * nx).reshape(ny, nx)
    corners = [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]]
    cells = np.stack([corner.ravel() for corner in corners], axis=1)
    return Mesh(0.1 * np.argwhere(number >= 0)[:, ::-1], [("quad", cells)])


@pytest.mark.parametrize("order", ["hilbert", "cuthill_mckee"])
def test_order_of_the_nodes_changes_nothing(corrector, order):
    mesh = rectangle_of_quads(8, 12)
    rows = Graph.from_grid((8, 12), extent=(1.1, 0.7))
    x, h = grid_fields(rows)
    expected = corrector(x, h, rows)
    for graph in (
        Graph.from_mesh(mesh, order=order),
        Graph.from_grid((8, 12), extent=(1.1, 0.7), order=order),
    ):
        assert graph.original_index is not None
        value = corrector(graph.from_original(x), graph.from_original(h), graph)
        torch.testing.assert_close(graph.to_original(value), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("of_x", "of_h"), [((2, 3), (2, 3)), ((), (5,)), ((4, 1), (3,)), ((1,), (2, 1)), ((0,), (0,))], ids=str
)
def test_leading_dimensions_are_samples(corrector, mixed, of_x, of_h):
    (x, _), (_, h) = grid_fields(mixed, *of_x), grid_fields(mixed, *of_h)
    both = torch.broadcast_shapes(of_x, of_h)
    whole = corrector(x, h, mixed)
    assert whole.shape == (*both, mixed.num_nodes, 2)
    x, h = x.expand(*both, -1, -1), h.expand(*both, -1, -1)
    for place in itertools.product(*map(range, both)):
        torch.testing.assert_close(whole[place], corrector(x[place], h[place], mixed), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("leading", [(), (2,)], ids=str)
def test_a_batch_of_grids_equals_one_by_one(kind, mixed, leading):
    """Of different shapes and ends, with a time for each."""
    corrector = warmed_with_time(kind)
    other = lattice((6, 10), (True, True))
    members = [mixed, other, mixed, lattice((12, 8), (False, True))]
    batch = Batch.from_data_list(members)
    sizes, times = [graph.num_nodes for graph in members], torch.rand(*leading, 4, dtype=torch.float64)
    x, h = grid_fields(batch, *leading)
    parts = zip(x.split(sizes, -2), h.split(sizes, -2), members, times.unbind(-1), strict=True)
    expected = torch.cat([corrector(*part, time=time) for *part, time in parts], dim=-2)
    torch.testing.assert_close(corrector(x, h, batch, time=times), expected, rtol=1e-9, atol=1e-11)


def warmed_with_time(kind):
    corrector = GRID_CORRECTORS[kind](small=1.0, time=True).double().eval()
    for buffer in corrector.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return corrector


@pytest.mark.parametrize("number", [3, 4], ids=["of one shape in order", "of two shapes"])
def test_members_of_a_batch_keep_their_places(mixed, number):
    batch = Batch.from_data_list([mixed, mixed, mixed, lattice((4, 4), (True, True))][:number])
    corrector = GRID_CORRECTORS["resnet"](small=1.0).double()
    x, h = grid_fields(batch)
    nodes = mixed.num_nodes
    part = corrector(x[nodes : 2 * nodes], h[nodes : 2 * nodes], mixed)
    torch.testing.assert_close(corrector(x, h, batch)[nodes : 2 * nodes], part, rtol=1e-10, atol=1e-12)


def test_prepared_is_bit_for_bit_the_same(corrector, mixed):
    x, h = grid_fields(mixed, 3)
    prepared = corrector.prepare(x, mixed)
    for state in (h, h + 1.0, h[0]):
        assert torch.equal(prepared(state), corrector(x, state, mixed))


def test_times_and_static_features_are_channels_beside_x(kind, mixed):
    """The same weights on x with these channels give the same."""
    graph = mixed.clone()
    graph.static = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    ahead = torch.tensor([0.7, 0.1], dtype=torch.float64)
    torch.manual_seed(3)
    corrector = GRID_CORRECTORS[kind](static=2, time=True, lead_time=True).double().eval()
    torch.manual_seed(3)
    plain = type(corrector).from_config({**corrector.config(), "in_channels": 7, "options": {"small": 0.1}})
    x, h = grid_fields(graph, 2)
    columns = [
        torch.full_like(x[..., :1], 0.3),
        ahead[:, None, None].expand(2, graph.num_nodes, 1),
        graph.static.expand(2, -1, -1),
    ]
    expected = plain.double().eval()(torch.cat([x, *columns], dim=-1), h, graph)
    assert torch.equal(corrector(x, h, graph, time=0.3, lead_time=ahead), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 4}, "`dim` should be 1, 2 or 3"),
        ({"invariant": True}, "whose axes are directions"),
    ],
)
def test_settings_that_a_grid_has_not(settings, message):
    with pytest.raises(ValueError, match=message):
        GRID_CORRECTORS["resnet"](**settings)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UNet(3, 2, norm="instance"), "`norm` should be"),  # type: ignore[arg-type]
        (lambda: UNet(3, 2, depth=0), "`base_channels` and `depth`"),
        (lambda: ResNet(3, 2, dilations=()), "`dilations` should hold"),
        (lambda: ConvNeXt(3, 2, width=4), "`width` should be odd"),
        (lambda: FNO(3, 2, modes=0), "`modes` should be positive"),
    ],
)
def test_sizes_that_make_no_network(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_what_is_missing_or_does_not_fit_is_named(mixed):
    corrector = GRID_CORRECTORS["resnet"](time=True)
    x, h = grid_fields(mixed)
    with pytest.raises(ValueError, match="depends on `time`"):
        corrector(x, h, mixed)
    with pytest.raises(ValueError, match="`x` should have shape"):
        corrector(x[..., :2], h, mixed, time=0.0)
    with pytest.raises(ValueError, match="`h` should have shape"):
        corrector(x, h[:5], mixed, time=0.0)
    line = lattice((8,), (True,))
    x, h = grid_fields(line)
    with pytest.raises(ValueError, match="grids of 2 axes, got 1"):
        corrector(x, h, line, time=0.0)
