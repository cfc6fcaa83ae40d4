"""Batches of pairs on different graphs: one graph each, or a union on which each keeps its own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from flow_sources import MESH, MemorySource, flows
from set_files import moving_file, places
from torch.utils.data import DataLoader

from irno_graph.correctors import MessagePassing, Options
from irno_graph.data.readers import open_data
from irno_graph.data.sets import GraphCollate, GraphPairs, OneGraphBatches, PairDataset, Pairing
from irno_graph.graph import Graph, graph_list
from irno_graph.mesh import periodic_box


@pytest.fixture
def clouds(tmp_path: Path) -> PairDataset:
    return PairDataset(open_data(moving_file(tmp_path / "a.nc", places(samples=4))), Pairing())


def two_meshes() -> PairDataset:
    other = periodic_box(90, seed=5)
    return PairDataset(
        [MemorySource(flows(MESH.points, 3)), MemorySource(flows(other.points), other)], Pairing()
    )


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_every_pair_comes_once_with_others_of_its_graph(shuffle: bool, size: int) -> None:
    found = two_meshes()
    sampler = OneGraphBatches(found, size, shuffle=shuffle)
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-18 // size) + -(-12 // size)
    joined = [number for batch in batches for number in batch]
    assert sorted(joined) == list(range(30))
    assert (joined == list(range(30))) is (not shuffle)
    for batch in batches:
        assert len({number < 18 for number in batch}) == 1
        assert len(batch) <= size


def test_seed_and_epoch_decide_the_order() -> None:
    found = two_meshes()
    one, two = OneGraphBatches(found, 4, seed=5), OneGraphBatches(found, 4, seed=5)
    first = list(one)
    assert first == list(one) == list(two)
    one.set_epoch(1)
    assert first != list(one)
    assert first != list(OneGraphBatches(found, 4, seed=6))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_of_one_graph_lies_on_the_graph_of_its_sample(clouds: PairDataset, workers: int) -> None:
    loader = DataLoader(clouds, batch_sampler=OneGraphBatches(clouds, 2), num_workers=workers)
    seen = 0
    for batch in loader:
        (sample,) = set(batch.sample.tolist())
        graph = clouds.graph_of(sample)
        fields = graph.pos @ torch.tensor([1.0, 10.0], dtype=torch.float64)
        torch.testing.assert_close(
            batch.x[..., 0].double(), fields + 100 * batch.time[:, None], atol=1e-4, rtol=1e-6
        )
        seen += len(batch.sample)
    assert seen == len(clouds) == 12


@pytest.mark.parametrize("workers", [0, 2])
def test_a_union_holds_each_pair_on_its_own_graph(clouds: PairDataset, workers: int) -> None:
    loader = DataLoader(clouds, 5, num_workers=workers, collate_fn=GraphCollate(clouds))
    batches: list[GraphPairs] = list(loader)
    assert [len(batch.time) for batch in batches] == [5, 5, 2]
    number = 0
    for batch in batches:
        assert batch.x.shape == (batch.graph.num_nodes, 2)
        assert batch.time.dtype == batch.lead_time.dtype == torch.float64
        node_time = batch.time[batch.graph.batch]
        line = batch.graph.pos @ torch.tensor([1.0, 10.0], dtype=torch.float64)
        torch.testing.assert_close(batch.x[:, 0].double(), line + 100 * node_time, atol=1e-4, rtol=1e-6)
        for own, sample in zip(graph_list(batch.graph), batch.sample.tolist(), strict=True):
            assert own.key() == clouds.graph_of(sample).key()
        for place, part in enumerate(batch.y.split(40)):
            assert torch.equal(part, clouds[number + place].y)
        number += len(batch.time)


def test_a_corrector_sees_the_same_pairs_alone_and_in_a_union(clouds: PairDataset) -> None:
    corrector = MessagePassing(2, 2, hidden=8, layers=2, options=Options(lead_time=True)).double()
    pairs = [clouds[index] for index in (0, 4, 11)]
    joined = GraphCollate(clouds)(pairs)
    x, y = joined.x.double(), joined.y.double()
    together = corrector(x, y, joined.graph, lead_time=joined.lead_time)
    alone = [
        corrector(
            pair.x.double(), pair.y.double(), clouds.graph_of(int(pair.sample)), lead_time=pair.lead_time
        )
        for pair in pairs
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_graphs_of_moving_points_are_kept_up_to_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_data(moving_file(tmp_path / "a.nc", places(samples=70)))
    asked: list[int] = []
    make = source.graph

    def counted(index: int) -> Graph:
        asked.append(index)
        return make(index)  # type: ignore[call-arg]

    monkeypatch.setattr(source, "graph", counted)
    found = PairDataset(source, Pairing())
    for sample in [*range(64), 0, 64, 0, 1]:
        np.testing.assert_array_equal(found.graph_of(sample).pos[:4].max(), 1 + sample % 3 / 2)
    assert asked == [
        *range(65),
        1,
    ]  # the 65th graph takes the place of the one that was not asked for longest


def test_no_batch_is_no_batch_size() -> None:
    with pytest.raises(ValueError, match="`batch_size` should be at least 1, got 0"):
        OneGraphBatches(two_meshes(), 0)
