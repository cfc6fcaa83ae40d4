"""Invariance under motions, features of the nodes, and times."""

from dataclasses import replace

import pytest
import torch
from corrector_kinds import (
    CORRECTORS,
    INVARIANT,
    IRREGULAR,
    MESHES,
    TIMES,
    fields,
    graph_of,
    ragged,
    timed,
    with_features,
)
from torch_geometric.data import Batch

from irno_graph.correctors import MessagePassing, Options
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.testing import assert_rigid_invariant

TIMED = [name for name in CORRECTORS if "time" in name]
STATIC = [name for name in CORRECTORS if "static" in name]


@pytest.mark.parametrize("name", IRREGULAR)
@pytest.mark.parametrize("kind", INVARIANT)
def test_invariant_correctors_do_not_see_motions(kind, name):
    """Features of edges are float32: a motion changes them by rounding."""
    graph = graph_of(name)
    corrector = CORRECTORS[kind](graph.dim).double()
    for seed in range(2):
        assert_rigid_invariant(timed(corrector), fields(graph, 2), graph, tolerance=2e-5, seed=seed)


@pytest.mark.parametrize("kind", INVARIANT)
def test_invariant_correctors_see_motions_of_a_batch_as_little(kind):
    graph = Batch.from_data_list([graph_of("square"), with_features(graph_of("square").clone(), seed=1)])
    corrector = CORRECTORS[kind](2).double()
    assert_rigid_invariant(timed(corrector), fields(graph), graph, tolerance=2e-5)


@pytest.mark.parametrize("name", IRREGULAR)
@pytest.mark.parametrize("kind", [name for name in CORRECTORS if name not in INVARIANT])
def test_the_others_do(kind, name):
    graph = graph_of(name)
    corrector = CORRECTORS[kind](graph.dim).double()
    with pytest.raises(AssertionError, match=r"a (rotation|reflection) changes"):
        assert_rigid_invariant(timed(corrector), fields(graph), graph, tolerance=1e-3)


@pytest.mark.parametrize("kind", INVARIANT)
def test_invariant_correctors_still_see_lengths(kind):
    """A square that is pulled to twice its length has the same edges and is another mesh."""
    graph, mesh = graph_of("square"), MESHES["square"]()
    pulled = with_features(Graph.from_mesh(replace(mesh, points=mesh.points * [2.0, 1.0])))
    assert torch.equal(pulled.edge_index, graph.edge_index)
    corrector, both = CORRECTORS[kind](2).double(), fields(graph)
    difference = timed(corrector)(*both, pulled) - timed(corrector)(*both, graph)
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("kind", STATIC)
def test_features_of_the_nodes_are_read_anew(kind):
    """Phi follows `graph.static`, also where it is changed on a graph that was seen before."""
    graph = with_features(graph_of("square").clone())
    corrector, both = CORRECTORS[kind](2).double(), fields(graph)
    before = timed(corrector)(*both, graph)
    with_features(graph, seed=1)
    assert (timed(corrector)(*both, graph) - before).abs().max() > 1e-3
    graph.static[:] = graph_of("square").static
    assert torch.equal(timed(corrector)(*both, graph), before)


@pytest.mark.parametrize("kind", STATIC)
def test_missing_and_misshapen_features_of_the_nodes_are_refused(kind):
    graph = graph_of("square").clone()
    corrector, both, nodes = CORRECTORS[kind](2).double(), fields(graph), graph.num_nodes
    del graph.static
    with pytest.raises(ValueError, match=rf"should have shape \[nodes={nodes}, static=2\], got NoneType"):
        timed(corrector)(*both, graph)
    graph.static = torch.zeros(nodes, 3)
    with pytest.raises(ValueError, match=rf"got \[{nodes}, 3\]"):
        timed(corrector)(*both, graph)


def needed(corrector):
    """The times that a corrector depends on."""
    return [name for name in TIMES if getattr(corrector.options, name)]


@pytest.mark.parametrize("kind", TIMED)
def test_a_time_for_each_sample_is_that_time_for_it_alone(kind, featured_box):
    corrector, (x, h) = CORRECTORS[kind](2).double(), fields(featured_box, 3, 2)
    times = {name: torch.rand(3, 2, dtype=torch.float64) for name in TIMES}
    together = corrector(x, h, featured_box, **times)
    for place in ((0, 0), (2, 1)):
        own = {name: float(value[place]) for name, value in times.items()}
        torch.testing.assert_close(
            together[place], corrector(x[place], h[place], featured_box, **own), rtol=1e-9, atol=1e-10
        )
    same = {name: torch.full((3, 2), value) for name, value in TIMES.items()}
    torch.testing.assert_close(
        corrector(x, h, featured_box, **same), corrector(x, h, featured_box, **TIMES), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("leading", [(), (3,)], ids=str)
@pytest.mark.parametrize("kind", TIMED)
def test_a_time_for_each_graph_of_a_batch_is_that_time_for_it_alone(kind, leading):
    batch = ragged()
    members = batch.to_data_list()
    corrector, (x, h) = CORRECTORS[kind](2).double(), fields(batch, *leading)
    times = {name: torch.rand(*leading, len(members), dtype=torch.float64) for name in TIMES}
    sizes = [graph.num_nodes for graph in members]
    parts = corrector(x, h, batch, **times).split(sizes, dim=-2)
    for number, (found, *own, graph) in enumerate(
        zip(parts, x.split(sizes, dim=-2), h.split(sizes, dim=-2), members, strict=True)
    ):
        alone = corrector(*own, graph, **{name: value[..., number] for name, value in times.items()})
        torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-10)


def test_either_time_may_be_a_number_and_the_other_one_for_each_sample(featured_box):
    corrector, (x, h) = CORRECTORS["flat, static and times"](2).double(), fields(featured_box, 2)
    mixed = corrector(x, h, featured_box, time=torch.tensor([0.1, 0.2]), lead_time=0.5)
    both = corrector(x, h, featured_box, time=torch.tensor([0.1, 0.2]), lead_time=torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(mixed, both, rtol=1e-9, atol=1e-10)
    swapped = corrector(x, h, featured_box, time=0.5, lead_time=torch.tensor([0.1, 0.2]))
    assert (swapped - mixed).abs().max() > 1e-3


@pytest.mark.parametrize("kind", TIMED)
def test_times_matter_and_missing_ones_are_named(kind, featured_box):
    corrector, both = CORRECTORS[kind](2).double(), fields(featured_box)
    assert needed(corrector)
    for name in TIMES:
        others = {other: value for other, value in TIMES.items() if other != name}
        if name in needed(corrector):
            later = corrector(*both, featured_box, **others, **{name: 5.0})
            assert (later - timed(corrector)(*both, featured_box)).abs().max() > 1e-3
            with pytest.raises(ValueError, match=f"depends on `{name}`, got none: pass `{name}`"):
                corrector(*both, featured_box, **others)
            with pytest.raises(ValueError, match=r"should be a scalar or have shape \[\] got \[2\]"):
                corrector(*both, featured_box, **others, **{name: torch.zeros(2)})
        else:
            assert torch.equal(
                corrector(*both, featured_box, **others), timed(corrector)(*both, featured_box)
            )


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="got -1 and 8"):
        Options(static=-1)
    with pytest.raises(ValueError, match="'auto', 'recompute' or 'keep', got 'none'"):
        Options(memory="none")  # type: ignore[arg-type]


def test_a_graph_of_another_dimension_is_refused(featured_box):
    corrector = MessagePassing(1, 1, hidden=4, layers=1, dim=3)
    with pytest.raises(ValueError, match="3 dimensions, got 2"):
        corrector(torch.zeros(150, 1), torch.zeros(150, 1), featured_box)


def test_periodic_meshes_of_invariant_correctors_may_be_cut_elsewhere(featured_box):
    """Moving a periodic mesh inside its box, over the border and back in, is a motion too."""
    corrector = CORRECTORS["all levels, invariant"](2).double()
    graph = Graph.from_mesh(periodic_box(120, seed=3))
    shifted = graph.clone()
    shifted.pos = torch.remainder(graph.pos + torch.tensor([0.37, 0.81]).double(), 1.0)
    both = fields(graph)
    torch.testing.assert_close(corrector(*both, shifted), corrector(*both, graph), rtol=1e-5, atol=1e-6)
