"""One table of correctors drives the contract that each of them keeps."""

from itertools import pairwise

import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.correctors import MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.correctors.geometry import DISTANCES, REACH, Waves, waves
from irno_graph.correctors.layers import SpectralFilter
from irno_graph.graph import Graph
from irno_graph.graph.hierarchy import hierarchy
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.spectral import EigenBasis
from irno_graph.testing import assert_permutation_equivariant

CORRECTORS = {
    "flat": lambda: MessagePassing(3, 2, hidden=12, layers=3, options=Options(small=1.0)),
    "multiscale": lambda: MultiscaleMessagePassing(3, 2, hidden=12, levels=3, options=Options(small=1.0)),
    "spectral": lambda: MultiscaleMessagePassing(
        3, 2, hidden=12, levels=3, modes=20, options=Options(small=1.0)
    ),
}


@pytest.fixture(params=CORRECTORS)
def corrector(request):
    return CORRECTORS[request.param]().double()


def fields(graph, *leading):
    x = torch.randn(*leading, graph.num_nodes, 3, dtype=torch.float64)
    return x, torch.randn(*leading, graph.num_nodes, 2, dtype=torch.float64)


def test_numbering_of_the_nodes_changes_nothing(corrector, box):
    assert_permutation_equivariant(corrector, fields(box, 2), box, tolerance=1e-10)


def test_leading_dimensions_are_samples(corrector, box):
    x, h = fields(box, 2, 3)
    together = corrector(x, h, box)
    assert together.shape == (2, 3, box.num_nodes, 2)
    torch.testing.assert_close(together[1, 2], corrector(x[1, 2], h[1, 2], box))


def test_a_batch_of_graphs_equals_one_by_one(corrector, box):
    other = Graph.from_mesh(periodic_box(80, seed=9))
    first, second = fields(box), fields(other)
    batch = Batch.from_data_list([box, other])
    together = corrector(*(torch.cat(pair) for pair in zip(first, second, strict=True)), batch)
    expected = torch.cat([corrector(*first, box), corrector(*second, other)])
    torch.testing.assert_close(together, expected, rtol=1e-10, atol=1e-12)


def test_shifting_a_periodic_mesh_changes_nothing_on_its_own_edges(box):
    """Flat message passing sees relative vectors only."""
    corrector = CORRECTORS["flat"]().double()
    shifted = torch.remainder(box.pos + torch.tensor([0.37, 0.81]), 1.0)
    moved = Graph.from_mesh(Mesh(shifted.numpy(), [("triangle", box.face.T.numpy())], period=box.period))
    x, h = fields(box)
    torch.testing.assert_close(corrector(x, h, moved), corrector(x, h, box), rtol=1e-5, atol=1e-6)


def test_multiscale_reaches_every_node_and_flat_does_not(box):
    """A change at one node is felt everywhere after one V-cycle, and only `layers` edges away without it."""
    for name, everywhere in (("multiscale", True), ("flat", False)):
        corrector = CORRECTORS[name]().double()
        x, h = fields(box)
        changed = h.clone()
        changed[0] += 1.0
        felt = (corrector(x, changed, box) - corrector(x, h, box)).abs().sum(dim=-1) > 0
        assert bool(felt.all()) == everywhere


def test_first_corrections_are_small(box):
    corrector = MultiscaleMessagePassing(3, 2, hidden=32, levels=3)
    x, h = fields(box, 4)
    assert corrector(x.float(), h.float(), box).square().mean().sqrt() < 0.2


def test_gradients_are_right(box):
    small = Graph.from_mesh(periodic_box(24, seed=1))
    corrector = MultiscaleMessagePassing(1, 1, hidden=4, levels=1, options=Options(small=1.0)).double()
    x = torch.randn(24, 1, dtype=torch.float64)
    h = torch.randn(24, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: corrector(x, h, small), (h,))


def test_wrong_channels_and_nodes_are_refused(corrector, box):
    x, h = fields(box)
    with pytest.raises(ValueError, match=r"`x` should have shape .*channels=3\], got \[150, 2\]"):
        corrector(x[:, :2], h, box)
    with pytest.raises(ValueError, match=r"`h` should have shape .*nodes=150"):
        corrector(x, h[1:], box)


class TestHierarchy:
    def test_levels_shrink_and_stay_connected(self, box):
        levels = hierarchy(box, 3)
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

    def test_every_node_is_linked_to_the_coarser_level(self, box):
        (fine, coarse, _) = hierarchy(box, 2)
        assert fine.restrict is not None
        assert fine.prolong is not None
        assert set(fine.restrict.sources.tolist()) == set(range(fine.nodes))
        assert set(fine.restrict.targets.tolist()) == set(range(coarse.nodes))
        assert set(fine.prolong.targets.tolist()) == set(range(fine.nodes))

    def test_links_come_in_pairs_of_opposite_vectors(self, box):
        for level in hierarchy(box, 3):
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

    def test_coarse_vectors_join_the_positions_up_to_periods(self, box):
        fine, coarse = hierarchy(box, 1)
        assert fine.restrict is not None
        order = [int(fine.restrict.sources[fine.restrict.targets == c][0]) for c in range(coarse.nodes)]
        zero = (fine.restrict.features[:, 2] == 0).nonzero().squeeze(-1)
        own = dict(
            zip(fine.restrict.targets[zero].tolist(), fine.restrict.sources[zero].tolist(), strict=True)
        )
        assert len(own) == coarse.nodes == len(order)
        at = box.pos[[own[c] for c in range(coarse.nodes)]]
        links = coarse.links
        delta = at[links.sources] - at[links.targets]
        scale = torch.exp(links.features[:, 3].double())  # length over the size of the box, which is 1
        vector = links.features[:, :2].double() * (scale / links.features[:, 2].double())[:, None]
        offset = (delta - vector).div(1.0)
        torch.testing.assert_close(offset, offset.round(), rtol=0, atol=1e-5)


class TestSpectralFilter:
    def test_a_kernel_of_distance_zero_is_the_projection_on_the_modes(self, box):
        """cos(omega 0) = 1: the filter is V V^T M, the identity on the span of the modes."""
        layer = SpectralFilter(2).double()
        found = waves(box, 20, torch.float64)
        torch.testing.assert_close(found.waves[0][:, 0], torch.ones(20, dtype=torch.float64))
        basis = EigenBasis.compute(box, 20)
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


def test_a_graph_of_another_dimension_is_refused(box):
    corrector = MessagePassing(1, 1, hidden=4, layers=1, dim=3)
    with pytest.raises(ValueError, match="3 dimensions, got 2"):
        corrector(torch.zeros(150, 1), torch.zeros(150, 1), box)


def test_levels_have_to_be_there():
    with pytest.raises(ValueError, match="levels"):
        MultiscaleMessagePassing(1, 1, levels=0)
