"""The regional graph against slow, direct definitions, in two and three dimensions."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from irno_graph.bases.rigno import RegionalGraph
from irno_graph.bases.rigno import triangulation as module
from irno_graph.bases.rigno.network import Architecture, RIGNONetwork
from irno_graph.bases.rigno.support import minimum_support_radius, regional_pairs
from irno_graph.bases.rigno.triangulation import tile_shifts, triangulation
from irno_graph.mesh import periodic_box


def unit(axes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return (0.0,) * axes, (1.0,) * axes


def cloud(count: int, axes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(count, axes))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("periodic", [False, True])
def test_support_edges_equal_all_pairs(axes, periodic):
    points = cloud(160, axes)
    graph = RegionalGraph.build(points, domain=unit(axes), periodic=periodic, subsample_factor=3, seed=1)
    at, radius = graph.coordinates.double(), graph.radius.double()
    centre = at[graph.region_index]
    delta = at[:, None] - centre[None]
    if periodic:
        delta = delta - 2.0 * torch.round(delta / 2.0)
    for overlap, edges, swap in ((1.0, graph.p2r, False), (2.0, graph.r2p, True)):
        reach = (overlap * radius).clamp(max=float(radius.max()))
        if axes == 2:
            reach = torch.where(reach >= 0.5, 0.2, reach)
        node, region = torch.nonzero(delta.norm(dim=-1) <= reach, as_tuple=True)
        senders, receivers = (region, node) if swap else (node, region)
        assert torch.equal(edges.senders, senders)
        assert torch.equal(edges.receivers, receivers)
        length = delta[node, region].norm(dim=-1) / (2.0 * np.sqrt(axes))
        torch.testing.assert_close(edges.features[:, -1].double(), length, atol=1e-6, rtol=0)


@pytest.mark.parametrize("axes", [2, 3])
def test_radius_is_the_largest_distance_to_a_centroid(axes):
    points = cloud(40, axes) * 2 - 1
    expected = np.zeros(len(points))
    for simplex in Delaunay(points).simplices:
        centroid = points[simplex].mean(axis=0)
        for corner in simplex:
            distance = 1.005 * np.linalg.norm(points[corner] - centroid)
            expected[corner] = max(expected[corner], distance)
    np.testing.assert_allclose(
        minimum_support_radius(triangulation(points, periodic=False)), expected, rtol=1e-12
    )


def grid_part(count: int) -> np.ndarray:
    """Random points of a regular grid: many lie on one circle, so that several triangulations are Delaunay."""
    line = np.linspace(0, 1, 32, endpoint=False)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return np.random.default_rng(2).permutation(points)[:count]


@pytest.mark.parametrize(
    ("points", "in_margin"),
    [(cloud(200, 2), True), (cloud(1500, 2, 4), True), (cloud(1500, 3), True), (grid_part(300), False)],
    ids=["200", "1500", "space", "grid"],
)
def test_a_margin_of_the_tiles_gives_what_all_of_them_give(points, in_margin, monkeypatch):
    """The same radii, pairs and tiles; where points lie on one circle all tiles are taken."""
    points = 2.0 * points - 1.0
    sizes = []

    def counted(at):
        sizes.append(len(at))
        return Delaunay(at)

    monkeypatch.setattr(module, "Delaunay", counted)
    found = []
    for margin in (module.MARGIN, {2: 1e9, 3: 1e9}):
        monkeypatch.setattr(module, "MARGIN", margin)
        mesh = triangulation(points, periodic=True)
        found.append((minimum_support_radius(mesh), *regional_pairs(points, 3, 4.0, True, mesh)))
    whole = 3 ** points.shape[1] * len(points)
    assert sizes[0] < whole
    assert (sizes[1] == whole) is not in_margin  # the next one is already of a coarser level
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-14)
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(found[0][2], found[1][2])


def test_tiles_are_all_neighbours_of_the_frame():
    for axes in (2, 3):
        shifts = tile_shifts(axes)
        assert len({tuple(shift) for shift in shifts}) == 3**axes
        assert not shifts[0].any()
        assert set(np.unique(shifts)) == {-2.0, 0.0, 2.0}


@pytest.mark.parametrize("axes", [2, 3])
def test_regional_edges_are_symmetric_and_short_images(axes):
    points = cloud(60, axes) * 2 - 1
    mesh = triangulation(points, periodic=True)
    pairs, tiles = regional_pairs(points, 3, 3.0, True, mesh)
    there = {tuple(pair) for pair in pairs}
    assert there == {(b, a) for a, b in there}
    shifts = tile_shifts(axes)[tiles]
    delta = (points[pairs[:, 0]] + shifts[:, 0]) - (points[pairs[:, 1]] + shifts[:, 1])
    finest, _ = regional_pairs(points, 1, 3.0, True, mesh)
    assert len(finest) < len(pairs)
    assert np.linalg.norm(delta, axis=1).max() < 3.0


@pytest.mark.parametrize("axes", [2, 3])
def test_network_commutes_with_the_numbering_of_nodes(axes):
    points, index = cloud(90, axes), np.arange(0, 90, 3)
    order = np.random.default_rng(5).permutation(90)
    place = np.argsort(order)
    options: dict[str, Any] = {"domain": unit(axes), "periodic": True, "levels": 2}
    graph = RegionalGraph.build(points, region_index=index, **options)
    mixed = RegionalGraph.build(points[order], region_index=place[index], **options)
    sizes = Architecture(processor_steps=2, node_hidden=8, edge_hidden=8, use_time=False)
    torch.manual_seed(0)
    network = RIGNONetwork(2, 2, architecture=sizes, coordinate_channels=8 * axes, dim=axes)
    u, tau = torch.randn(1, 90, 2), torch.tensor([0.3])
    with torch.no_grad():
        plain, shuffled = network(u, graph, lead_time=tau), network(u[:, order], mixed, lead_time=tau)
    torch.testing.assert_close(shuffled, plain[:, order], rtol=1e-4, atol=1e-5)


def test_cover_reaches_the_nodes_that_supports_miss():
    """On few nodes radii are so large that the reference's rule cuts them down and leaves nodes alone."""
    points = periodic_box(60, seed=1).points
    options: dict[str, Any] = {"domain": unit(2), "periodic": True, "seed": 0}
    alone = RegionalGraph.build(points, **options)
    covered = RegionalGraph.build(points, **options, cover=True)
    missed = set(range(60)) - set(alone.r2p.receivers.tolist())
    assert missed
    assert set(covered.r2p.receivers.tolist()) == set(covered.p2r.senders.tolist()) == set(range(60))
    at, centre = covered.coordinates, covered.coordinates[covered.region_index]
    for node in missed:
        delta = centre - at[node]
        delta = delta - 2.0 * torch.round(delta / 2.0)
        senders = covered.r2p.senders[covered.r2p.receivers == node]
        assert senders.tolist() == [int(delta.norm(dim=1).argmin())]
    rest = [
        edge
        for edge in zip(
            *(part.tolist() for part in (covered.r2p.senders, covered.r2p.receivers)), strict=True
        )
        if edge[1] not in missed
    ]
    assert rest == list(zip(alone.r2p.senders.tolist(), alone.r2p.receivers.tolist(), strict=True))


def test_a_coarse_level_on_one_line_is_left_out():
    points = np.concatenate([np.stack([np.linspace(0, 1, 4), np.full(4, 0.5)], axis=1), cloud(60, 2)])
    options: dict[str, Any] = {"domain": unit(2), "periodic": False, "region_index": np.arange(16)}
    two, one = (RegionalGraph.build(points, **options, levels=levels) for levels in (2, 1))
    assert torch.equal(two.r2r.senders, one.r2r.senders)


def test_thinning_keeps_a_share_of_the_edges_and_averages_over_those():
    graph = RegionalGraph.build(cloud(200, 2), domain=unit(2), periodic=True)
    thin = graph.thinned(0.5, torch.Generator().manual_seed(0))
    for name in ("p2r", "r2r", "r2p"):
        whole, part = getattr(graph, name), getattr(thin, name)
        assert len(part.senders) == len(whole.senders) // 2
        edges = set(zip(whole.senders.tolist(), whole.receivers.tolist(), strict=True))
        kept = list(zip(part.senders.tolist(), part.receivers.tolist(), strict=True))
        assert set(kept) <= edges
        degree = torch.bincount(part.receivers, minlength=len(part.inverse_degree)).clamp(min=1)
        torch.testing.assert_close(part.inverse_degree, 1.0 / degree)
    other = graph.thinned(0.5, torch.Generator().manual_seed(1))
    assert not torch.equal(other.p2r.senders, thin.p2r.senders)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        graph.thinned(1.0)


def test_bad_regional_input_is_refused():
    points = cloud(50, 2)
    with pytest.raises(ValueError, match="box in 2 dimensions"):
        RegionalGraph.build(points, domain=((0.0, 0.0), (1.0, 0.0)), periodic=False)
    with pytest.raises(ValueError, match=r"number nodes 0 ... 49, got 3 ... 50"):
        RegionalGraph.build(points, domain=unit(2), periodic=False, region_index=np.array([3, 50, 7, 9]))
    with pytest.raises(ValueError, match="no node twice"):
        RegionalGraph.build(points, domain=unit(2), periodic=False, region_index=np.array([3, 3, 7, 9]))
    with pytest.raises(ValueError, match="`levels`"):
        RegionalGraph.build(points, domain=unit(2), periodic=False, levels=0)
    line = np.stack([np.linspace(0, 1, 50), np.full(50, 0.5)], axis=1)
    with pytest.raises(ValueError, match="line"):
        RegionalGraph.build(line, domain=unit(2), periodic=False)
    with pytest.raises(ValueError, match="at least 5 regional nodes, got 4"):
        RegionalGraph.build(cloud(16, 3), domain=unit(3), periodic=False)
    with pytest.raises(ValueError, match="`query` should be finite"):
        RegionalGraph.build(points, domain=unit(2), periodic=False, query=np.zeros((3, 3)))
