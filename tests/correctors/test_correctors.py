"""One table of correctors drives the contract that each of them keeps."""

import itertools
from itertools import pairwise

import pytest
import torch
from corrector_kinds import CORRECTORS, MESHES, TIMES, fields, graph_of, ragged, timed, with_features

from irno_graph.correctors import Anchored, MessagePassing, MultiscaleMessagePassing
from irno_graph.correctors.geometry import DISTANCES, REACH, Waves, waves
from irno_graph.correctors.layers import SpectralFilter
from irno_graph.graph import Graph
from irno_graph.graph.hierarchy import hierarchy, levels_of
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.spectral import EigenBasis
from irno_graph.testing import assert_permutation_equivariant


@pytest.fixture(params=CORRECTORS)
def kind(request):
    return request.param


@pytest.fixture
def corrector(kind):
    """In the plane."""
    return CORRECTORS[kind](2).double()


@pytest.mark.parametrize("name", MESHES)
def test_numbering_of_the_nodes_changes_nothing(kind, name):
    graph = graph_of(name)
    corrector = CORRECTORS[kind](graph.dim).double()
    assert_permutation_equivariant(timed(corrector), fields(graph, 2), graph, tolerance=1e-8)


def test_leading_dimensions_are_samples(corrector, featured_box):
    phi, (x, h) = timed(corrector), fields(featured_box, 2, 3)
    together = phi(x, h, featured_box)
    assert together.shape == (2, 3, featured_box.num_nodes, 2)
    for place in itertools.product(range(2), range(3)):
        torch.testing.assert_close(
            together[place], phi(x[place], h[place], featured_box), rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize(
    ("of_x", "of_h"),
    [((), (5,)), ((5,), ()), ((4, 1), (3,)), ((3,), (4, 3)), ((1,), (2, 1)), ((0,), (0,))],
    ids=str,
)
def test_leading_dimensions_broadcast(corrector, featured_box, of_x, of_h):
    phi, (x, _), (_, h) = timed(corrector), fields(featured_box, *of_x), fields(featured_box, *of_h)
    both = torch.broadcast_shapes(of_x, of_h)
    whole = phi(x.expand(*both, -1, -1), h.expand(*both, -1, -1), featured_box)
    torch.testing.assert_close(phi(x, h, featured_box), whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("leading", [(), (2,)], ids=str)
def test_a_batch_of_graphs_equals_one_by_one(corrector, leading):
    """Whatever the sizes and the numbers of levels of the other members."""
    batch = ragged()
    members = batch.to_data_list()
    assert len({levels_of(graph) for graph in members}) > 2
    phi, both, sizes = timed(corrector), fields(batch, *leading), [graph.num_nodes for graph in members]
    parts = zip(*(field.split(sizes, dim=-2) for field in both), members, strict=True)
    expected = torch.cat([phi(*part) for part in parts], dim=-2)
    torch.testing.assert_close(phi(*both, batch), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("gradients", [True, False], ids=["gradients", "none"])
def test_prepared_is_bit_for_bit_the_same(corrector, featured_box, gradients):
    x, h = fields(featured_box, 3)
    with torch.set_grad_enabled(gradients):
        prepared = corrector.prepare(x, featured_box, **TIMES)
        for state in (h, h + 1.0, h[0]):
            assert torch.equal(prepared(state), corrector(x, state, featured_box, **TIMES))


def test_prepared_has_the_gradients_of_two_steps(corrector, featured_box):
    """What is prepared once gathers the gradients of all steps, to x and to every weight."""
    x, h = (field.requires_grad_() for field in fields(featured_box, 2))
    wanted = [x, h, *corrector.parameters()]
    prepared = corrector.prepare(x, featured_box, **TIMES)
    found, expected = (
        torch.autograd.grad(phi(h + phi(h)).square().sum(), wanted)
        for phi in (prepared, lambda state: corrector(x, state, featured_box, **TIMES))
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))


def test_every_weight_and_x_and_h_matter(corrector, featured_box):
    """On two graphs, since one of them may end in a single node, which gets no messages."""
    slopes = []
    for graph in (featured_box, graph_of("square")):
        x, h = (field.requires_grad_() for field in fields(graph, 2))
        loss = timed(corrector)(x, h, graph).square().sum()
        own = torch.autograd.grad(
            loss, [x, h, *corrector.parameters()], allow_unused=True, materialize_grads=True
        )
        slopes.append([float(slope.abs().max()) for slope in own])
    names = ["x", "h", *(name for name, _ in corrector.named_parameters())]
    idle = {name for name, *own in zip(names, *slopes, strict=True) if not max(own) > 1e-9}
    assert idle == ({"corrector.last.bias"} if isinstance(corrector, Anchored) else set())


def test_gradients_are_those_of_differences(corrector):
    graph = with_features(Graph.from_mesh(periodic_box(24, seed=1)))
    x, h = (field.requires_grad_() for field in fields(graph))
    assert torch.autograd.gradcheck(lambda x, h: timed(corrector)(x, h, graph), (x, h), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x, h: timed(corrector)(x, h, graph), (x, h), fast_mode=True)


def test_jacobian_products_are_those_of_differences(corrector, featured_box):
    """What certificates are made of: jvp and vjp by transforms, through a prepared corrector too."""
    x, h = fields(featured_box, 2)
    direction, covector, tiny = torch.randn_like(h), torch.randn_like(h), 1e-5
    for phi in (
        corrector.prepare(x, featured_box, **TIMES),
        lambda h: corrector(x, h, featured_box, **TIMES),
    ):
        value, flow = torch.func.jvp(phi, (h,), (direction,))[:2]
        difference = (phi(h + tiny * direction) - phi(h - tiny * direction)) / (2 * tiny)
        torch.testing.assert_close(flow, difference, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(value, phi(h), rtol=1e-9, atol=1e-10)
        (pull,) = torch.func.vjp(phi, h)[1](covector)
        torch.testing.assert_close((covector * flow).sum(), (pull * direction).sum(), rtol=1e-9, atol=1e-9)


def test_single_precision_is_double_up_to_rounding(kind, featured_box):
    corrector = CORRECTORS[kind](2)
    x, h = fields(featured_box, 2)
    single = timed(corrector)(x.float(), h.float(), featured_box)
    assert single.dtype == torch.float32
    mixed = timed(corrector)(x, h, featured_box)
    assert mixed.dtype == torch.float64  # that of h, computed in that of the weights
    torch.testing.assert_close(mixed.float(), single, rtol=1e-4, atol=1e-4)
    double = timed(corrector.double())(x, h, featured_box).detach()
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4 * float(double.abs().max()))


def test_under_autocast_values_stay_near(kind, featured_box):
    corrector = CORRECTORS[kind](2)
    x, h = (field.float() for field in fields(featured_box, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = timed(corrector)(x, h, featured_box)
    assert rough.dtype == torch.float32
    exact = timed(corrector)(x, h, featured_box)
    assert float((rough - exact).detach().norm() / exact.detach().norm()) < 0.05
    rough.square().sum().backward()
    assert all(weight.grad is None or weight.grad.dtype == torch.float32 for weight in corrector.parameters())


def test_shifting_a_periodic_mesh_changes_nothing_on_its_own_edges(featured_box):
    """Flat message passing sees relative vectors only."""
    corrector = CORRECTORS["flat"](2).double()
    shifted = torch.remainder(featured_box.pos + torch.tensor([0.37, 0.81]), 1.0)
    moved = Graph.from_mesh(
        Mesh(shifted.numpy(), [("triangle", featured_box.face.T.numpy())], period=featured_box.period)
    )
    x, h = fields(featured_box)
    torch.testing.assert_close(corrector(x, h, moved), corrector(x, h, featured_box), rtol=1e-5, atol=1e-6)


def test_multiscale_reaches_every_node_and_flat_does_not(featured_box):
    """A change at one node is felt everywhere after one V-cycle, and only `layers` edges away without it."""
    for name, everywhere in (("three levels", True), ("flat", False)):
        corrector = CORRECTORS[name](2).double()
        x, h = fields(featured_box)
        changed = h.clone()
        changed[0] += 1.0
        felt = (corrector(x, changed, featured_box) - corrector(x, h, featured_box)).abs().sum(dim=-1) > 0
        assert bool(felt.all()) == everywhere


def test_first_corrections_are_small(featured_box):
    corrector = MultiscaleMessagePassing(3, 2, hidden=32, levels=3)
    x, h = fields(featured_box, 4)
    assert corrector(x.float(), h.float(), featured_box).square().mean().sqrt() < 0.2


def test_wrong_channels_and_nodes_are_refused(corrector, featured_box):
    x, h = fields(featured_box)
    with pytest.raises(ValueError, match=r"`x` should have shape .*channels=3\], got \[150, 2\]"):
        timed(corrector)(x[:, :2], h, featured_box)
    with pytest.raises(ValueError, match=r"`x` should have shape .*nodes=150"):
        timed(corrector)(x[1:], h, featured_box)
    if not isinstance(corrector, Anchored):  # there the residual meets h first
        with pytest.raises(ValueError, match=r"`h` should have shape .*nodes=150"):
            timed(corrector)(x, h[1:], featured_box)


class TestHierarchy:
    def test_levels_shrink_and_stay_connected(self, featured_box):
        levels = hierarchy(featured_box, 3)
        for fine, coarse in pairwise(levels):
            assert coarse.nodes < 0.45 * fine.nodes
            reached = {0}
            neighbours: dict[int, set[int]] = {}
            for source, target in zip(
                coarse.links.sources.tolist(), coarse.links.targets.tolist(), strict=True
            ):
                neighbours.setdefault(source, set()).add(target)
            frontier = [0]
            while frontier:
                new = neighbours.get(frontier.pop(), set()) - reached
                reached |= new
                frontier += new
            assert len(reached) == coarse.nodes

    def test_every_node_is_linked_to_the_coarser_level(self, featured_box):
        (fine, coarse, _) = hierarchy(featured_box, 2)
        assert fine.restrict is not None
        assert fine.prolong is not None
        assert set(fine.restrict.sources.tolist()) == set(range(fine.nodes))
        assert set(fine.restrict.targets.tolist()) == set(range(coarse.nodes))
        assert set(fine.prolong.targets.tolist()) == set(range(fine.nodes))

    def test_links_come_in_pairs_of_opposite_vectors(self, featured_box):
        for level in hierarchy(featured_box, 3):
            vectors = {
                (source, target): feature
                for source, target, feature in zip(
                    level.links.sources.tolist(),
                    level.links.targets.tolist(),
                    level.links.features[:, :2],
                    strict=True,
                )
            }
            for (source, target), vector in vectors.items():
                torch.testing.assert_close(vectors[target, source], -vector)

    def test_coarse_vectors_join_the_positions_up_to_periods(self, featured_box):
        fine, coarse = hierarchy(featured_box, 1)
        assert fine.restrict is not None
        order = [int(fine.restrict.sources[fine.restrict.targets == c][0]) for c in range(coarse.nodes)]
        zero = (fine.restrict.features[:, 2] == 0).nonzero().squeeze(-1)
        own = dict(
            zip(fine.restrict.targets[zero].tolist(), fine.restrict.sources[zero].tolist(), strict=True)
        )
        assert len(own) == coarse.nodes == len(order)
        at = featured_box.pos[[own[c] for c in range(coarse.nodes)]]
        links = coarse.links
        delta = at[links.sources] - at[links.targets]
        scale = torch.exp(
            links.features[:, 3].double()
        )  # length over the size of the featured_box, which is 1
        vector = links.features[:, :2].double() * (scale / links.features[:, 2].double())[:, None]
        offset = (delta - vector).div(1.0)
        torch.testing.assert_close(offset, offset.round(), rtol=0, atol=1e-5)


class TestSpectralFilter:
    def test_a_kernel_of_distance_zero_is_the_projection_on_the_modes(self, featured_box):
        """cos(omega 0) = 1: the filter is V V^T M, the identity on the span of the modes."""
        layer = SpectralFilter(2).double()
        found = waves(featured_box, 20, torch.float64)
        torch.testing.assert_close(found.waves[0][:, 0], torch.ones(20, dtype=torch.float64))
        basis = EigenBasis.compute(featured_box, 20)
        inside = basis.inverse(torch.randn(20, 2, dtype=torch.float64))
        (vectors,), (weighted,) = found.vectors, found.weighted
        torch.testing.assert_close(vectors @ (weighted.T @ inside), inside)
        assert layer(torch.randn(150, 3, 2, dtype=torch.float64), found).shape == (150, 3, 2)

    def test_signs_and_rotations_of_the_modes_do_not_matter(self):
        """On a square grid eigenvalues repeat: any other orthonormal basis of the eigenspaces gives the same."""
        graph = Graph.from_grid((8, 8), period=(1.0, 1.0))
        layer, found = SpectralFilter(3).double(), waves(graph, 21, torch.float64)
        basis = EigenBasis.compute(graph, 21)
        turned = found.vectors[0].clone()
        for space in basis.eigenspaces.unique():
            columns = (basis.eigenspaces == space).nonzero().squeeze(-1)
            q, _ = torch.linalg.qr(torch.randn(len(columns), len(columns), dtype=torch.float64))
            turned[:, columns] = turned[:, columns] @ q
        other = Waves((turned,), (turned * basis.mass[:, None],), found.waves)
        h = torch.randn(64, 2, 3, dtype=torch.float64)
        torch.testing.assert_close(layer(h, other), layer(h, found))

    def test_it_can_carry_a_wave(self):
        """u_tt = u_xx from rest, u(t) = cos(omega t) u(0) in each mode: the kernel of distance t is exact."""
        graph = Graph.from_grid((16, 16), period=(1.0, 1.0))
        basis = EigenBasis.compute(graph, 60)
        found = waves(graph, 60, torch.float64)
        distance = REACH / (DISTANCES - 1) * 5
        start = basis.vectors[:, 7:8] + 0.3 * basis.vectors[:, 30:31]
        expected = sum(
            factor * torch.cos(basis.frequencies[mode] * distance) * basis.vectors[:, mode : mode + 1]
            for mode, factor in ((7, 1.0), (30, 0.3))
        )
        carried = found.vectors[0] @ ((found.weighted[0].T @ start) * found.waves[0][:, 5:6])
        torch.testing.assert_close(carried, expected)


def test_a_graph_of_another_dimension_is_refused(featured_box):
    corrector = MessagePassing(1, 1, hidden=4, layers=1, dim=3)
    with pytest.raises(ValueError, match="3 dimensions, got 2"):
        corrector(torch.zeros(150, 1), torch.zeros(150, 1), featured_box)


def test_levels_have_to_be_there():
    with pytest.raises(ValueError, match="levels"):
        MultiscaleMessagePassing(1, 1, levels=0)
