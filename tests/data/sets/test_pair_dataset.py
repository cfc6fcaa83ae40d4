"""Pairs of snapshots: their order, their values, workers, and damage by name."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from flow_sources import MESH, MemorySource, carried, flows
from hypothesis import given, settings
from hypothesis import strategies as st
from set_files import TIMES, flow_file, moving_file, places
from torch.utils.data import DataLoader, default_collate

from irno_graph.data.readers import FieldSource, open_data
from irno_graph.data.sets import Pair, PairDataset, Pairing, WithCoefficients
from irno_graph.mesh import periodic_box


def other_channels() -> MemorySource:
    return MemorySource(flows(MESH.points)[..., :3], channels=("a", "b", "c"))


def source(samples: int = 3, times: int = 4) -> MemorySource:
    return MemorySource(flows(MESH.points, samples, times))


@given(
    snapshots=st.integers(0, 12),
    shortest=st.integers(0, 5),
    more=st.none() | st.integers(0, 6),
    first=st.integers(0, 4),
    every=st.integers(1, 3),
)
@settings(deadline=None)
def test_pairs_of_a_trajectory_are_those_of_two_loops(
    snapshots: int, shortest: int, more: int | None, first: int, every: int
) -> None:
    longest = None if more is None else shortest + more
    table = Pairing(shortest, longest, slice(first, None, every)).table(snapshots)
    chosen = range(first, snapshots, every)
    most = len(chosen) if longest is None else longest
    expected = [
        (chosen[i], chosen[j])
        for i in range(len(chosen))
        for j in range(i, len(chosen))
        if shortest <= j - i <= most
    ]
    assert [table.pair(number) for number in range(len(table))] == expected


def test_the_pairs_of_the_published_flows() -> None:
    """7 lead times up to 0.7 from 8 of 21 snapshots: 28 pairs of each trajectory."""
    assert len(Pairing(1, 7, slice(0, 15, 2)).table(21)) == 28
    assert len(Pairing().table(21)) == 210


@pytest.mark.parametrize("pairing", [Pairing(), Pairing.fixed(2), Pairing(1, 2, slice(1, None))])
def test_an_item_holds_the_flow_at_both_times(tmp_path: Path, pairing: Pairing) -> None:
    paths = [flow_file(tmp_path / f"{name}.nc", samples) for name, samples in (("a", 2), ("b", 1))]
    found = PairDataset([open_data(path) for path in paths], pairing)
    table = pairing.table(4)
    assert len(found) == 3 * len(table)
    for index in range(len(found)):
        sample, (i, j) = index // len(table), table.pair(index % len(table))
        pair = found[index]
        assert (int(pair.sample), float(pair.time)) == (sample, pytest.approx(0.1 * i))
        assert float(pair.lead_time) == pytest.approx(0.1 * (j - i))
        row = sample if sample < 2 else 0
        for values, step in ((pair.x, i), (pair.y, j)):
            np.testing.assert_allclose(values, carried(MESH.points, 0.1 * step, row), rtol=1e-6)
    torch.testing.assert_close(found[-1].y, found[len(found) - 1].y)
    with pytest.raises(IndexError, match=f"{len(found)} pairs, got index {len(found)}"):
        found[len(found)]


def test_inputs_and_targets_are_chosen_by_name_and_only_their_snapshots_are_read() -> None:
    memory = source()
    found = PairDataset(memory, Pairing.fixed(2), inputs=("p", "rho"), targets=("vy",))
    pair = found[3]  # sample 1, snapshots 1 and 3
    torch.testing.assert_close(pair.x, memory.fields[1, 1][:, [3, 0]])
    torch.testing.assert_close(pair.y, memory.fields[1, 3][:, [2]])
    assert memory.asked == [(1, slice(1, 4, 2))]
    assert found.channels == ("p", "rho", "vy")


def test_steady_sets_pair_coefficients_with_their_answer(tmp_path: Path) -> None:
    points = places()
    steady = WithCoefficients(open_data(moving_file(tmp_path / "a.nc", points, steady=True)))
    found = PairDataset(steady, Pairing.fixed(0), inputs=["c0"], targets=["u0"])
    assert len(found) == 3
    for sample in range(3):
        pair = found[sample]
        np.testing.assert_allclose(pair.x[:, 0], points[sample, :, 0] ** 2, rtol=1e-6)
        np.testing.assert_allclose(pair.y[:, 0], points[sample] @ [1.0, 10.0], rtol=1e-6)
        assert float(pair.lead_time) == 0
    with pytest.raises(ValueError, match=r"1 snapshots, no two .* `Pairing.fixed\(0\)` is for steady sets"):
        PairDataset(steady, Pairing.fixed(1))


def batches(found: PairDataset, **options: object) -> list[Pair]:
    return list(DataLoader(found, batch_size=4, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("workers", "method"), [(2, "fork"), pytest.param(1, "spawn", marks=pytest.mark.slow)]
)
def test_workers_give_what_one_process_gives(tmp_path: Path, workers: int, method: str) -> None:
    found = PairDataset(open_data(flow_file(tmp_path / "a.nc")), Pairing())
    alone = batches(found)
    assert alone[0].x.shape == (4, 300, 5)
    assert alone[0].time.shape == alone[0].sample.shape == (4,)
    together = batches(found, num_workers=workers, multiprocessing_context=method)
    assert len(alone) == len(together) == 5
    for one, two in zip(alone, together, strict=True):
        for left, right in zip(one, two, strict=True):
            assert torch.equal(left, right)


def test_a_set_holds_no_open_file(tmp_path: Path) -> None:
    path = flow_file(tmp_path / "a.nc")
    found = PairDataset(open_data(path), Pairing())
    first = found[0]
    assert not h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    again = pickle.loads(pickle.dumps(found))
    assert torch.equal(again[0].x, first.x)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_record_is_named_with_its_file_and_index(tmp_path: Path, workers: int) -> None:
    path = flow_file(tmp_path / "a.nc")
    with h5py.File(path, "r+") as file:
        file["u"][2, 1, 17, 3] = np.nan
    found = PairDataset(open_data(path), Pairing.fixed(1))
    wrong = [index for index in range(len(found)) if index not in (6, 7)]
    assert len([found[index] for index in wrong]) == 7
    with pytest.raises(ValueError, match=r"pair 6 \(sample 2 of `.*a.nc`, snapshots 0 and 1\).*NaN"):
        for _ in DataLoader(found, batch_size=3, num_workers=workers):
            pass


def test_a_lost_file_and_values_that_a_source_does_not_check_are_named(tmp_path: Path) -> None:
    path = flow_file(tmp_path / "a.nc")
    found = PairDataset(open_data(path), Pairing.fixed(1))
    path.unlink()
    with pytest.raises(ValueError, match=r"pair 4 \(sample 1 of `.*a.nc`"):
        found[4]
    memory = source()
    memory.fields[1, 0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"pair 3 \(sample 1 of `memory`, snapshots 0 and 1\).*infinite"):
        PairDataset(memory, Pairing.fixed(1))[3]


class Endless(MemorySource):
    """A million trajectories of 1000 snapshots, made when they are read."""

    def __init__(self) -> None:
        super().__init__(np.zeros((1, 1, 300, 5)))
        self.times = np.arange(1000.0)

    def __len__(self) -> int:
        return 1_000_000

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> torch.Tensor:
        assert isinstance(index, int)
        steps = range(*times.indices(1000))
        values = torch.tensor([[index, step, 0, 0, 0] for step in steps], dtype=torch.float32)
        return values[None, :, None].expand(1, -1, 300, 5).clone()


def test_a_set_larger_than_memory_takes_bytes_per_sample_and_not_per_pair() -> None:
    tracemalloc.start()
    found = PairDataset(Endless(), Pairing())
    assert len(found) == 1_000_000 * 499_500
    last = found[-1]
    for index in range(0, len(found), len(found) // 50):
        found[index]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64e6  # four numbers for each sample; the fields are 6 TB
    assert last.x[0, :2].tolist() == [999_999, 998]
    assert last.y[0, :2].tolist() == [999_999, 999]


def test_the_graph_is_the_one_of_all_samples(tmp_path: Path) -> None:
    one = PairDataset([open_data(flow_file(tmp_path / f"{name}.nc")) for name in "ab"], Pairing())
    assert one.graph is one.graph_of(0)
    assert one.of([4, 5]).graph.key() == one.graph.key()
    other = flow_file(tmp_path / "c.nc", mesh=periodic_box(60, seed=1))
    two = PairDataset([open_data(tmp_path / "a.nc"), open_data(other)], Pairing())
    with pytest.raises(ValueError, match=r"c.nc` should have the graph of .*a.nc`: use `OneGraphBatches`"):
        two.graph  # noqa: B018
    moving = PairDataset(open_data(moving_file(tmp_path / "m.nc", places())), Pairing())
    with pytest.raises(ValueError, match="another graph for each sample"):
        moving.graph  # noqa: B018
    assert moving.of([2]).graph.pos.max() == 2
    np.testing.assert_allclose(
        moving[3].y[:, 0], places()[1] @ [1.0, 10.0] + 100 * TIMES[1], rtol=1e-6
    )  # the first of sample 1


def test_a_part_keeps_the_numbers_of_its_samples() -> None:
    whole = PairDataset(source(5), Pairing.fixed(1))
    part = whole.of([4, 1])
    assert (part.samples.tolist(), len(part)) == ([1, 4], 6)
    assert [int(part[index].sample) for index in (0, 5)] == [1, 4]
    assert torch.equal(part[0].x, whole[3].x)
    with pytest.raises(ValueError, match="among those of this set"):
        part.of([0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PairDataset([], Pairing()), "at least one source"),
        (lambda: PairDataset(source(), Pairing(), inputs=["mach"]), r"`memory` should have the channels \['mach'"),
        (lambda: PairDataset(source(), Pairing(), samples=[0, 3]), r"0\.\.2, got \[0, 3\]"),
        (lambda: PairDataset(source(), Pairing(), samples=[1, 1]), "different numbers"),
        (lambda: PairDataset(source(), Pairing.fixed(4)), "4 snapshots, no two of them"),
        (lambda: Pairing(3, 2), "3 to 2"),
        (lambda: Pairing(-1), "-1 to None"),
        (lambda: Pairing(times=slice(None, None, -1)), "forwards"),
        (lambda: PairDataset([source(), other_channels()], Pairing()), r"got \['a', 'b', 'c'\]"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_loaders_of_other_sizes_make_the_same_pairs() -> None:
    found = PairDataset(source(), Pairing())
    joined = default_collate([found[index] for index in range(len(found))])
    assert isinstance(joined, Pair)
    assert torch.equal(torch.cat([batch.y for batch in batches(found)]), joined.y)


def test_sources_may_order_their_channels_differently_where_names_are_given() -> None:
    turned: FieldSource = MemorySource(
        flows(MESH.points)[..., ::-1].copy(), channels=("E", "p", "vy", "vx", "rho")
    )
    found = PairDataset([source(2), turned], Pairing.fixed(1), inputs=["rho", "p"], targets=["vx"])
    assert torch.equal(found[0].x, found[6].x)
    assert torch.equal(found[0].y, found[6].y)
