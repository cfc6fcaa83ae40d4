"""Splits: disjoint, complete, with whole groups, the same for a seed; never empty without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flow_sources import MESH, MemorySource, flows
from hypothesis import given, settings
from hypothesis import strategies as st
from set_files import flow_file, moving_file, places

from irno_graph.data.readers import open_data
from irno_graph.data.sets import PairDataset, Pairing, geometries, split, split_groups, trajectories
from irno_graph.mesh import periodic_box

GROUPS = st.lists(st.integers(-3, 9), min_size=1, max_size=60)


@given(groups=GROUPS, weights=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(deadline=None)
def test_fractions_give_disjoint_complete_parts_of_whole_groups(
    groups: list[int], weights: list[int], seed: int
) -> None:
    shares = {f"part {place}": weight / sum(weights) for place, weight in enumerate(weights)}
    total = len(set(groups))
    try:
        found = split_groups(np.array(groups), shares, seed=seed)
    except ValueError:
        assert any(total * share < 1 for share in shares.values())  # a part that could get nothing
        return
    joined = np.concatenate(list(found.values()))
    assert sorted(joined.tolist()) == list(range(len(groups)))
    owned = [{groups[place] for place in part} for part in found.values()]
    assert sum(map(len, owned)) == total
    for own, share in zip(owned, shares.values(), strict=True):
        assert abs(len(own) - total * share) < 1
        assert own
    again = split_groups(np.array(groups), shares, seed=seed)
    assert all(np.array_equal(part, again[name]) for name, part in found.items())


@given(groups=GROUPS, seed=st.integers(0, 99), data=st.data())
@settings(deadline=None)
def test_counts_are_numbers_of_groups_and_none_takes_the_rest(
    groups: list[int], seed: int, data: st.DataObject
) -> None:
    total = len(set(groups))
    test = data.draw(st.integers(0, total + 1))
    shares = {"train": None, "test": test}
    if not 0 < test < total:
        with pytest.raises(ValueError, match=r"nothing for|add up"):
            split_groups(np.array(groups), shares, seed=seed)
        return
    found = split_groups(np.array(groups), shares, seed=seed)
    assert len({groups[place] for place in found["test"]}) == test
    assert len({groups[place] for place in found["train"]}) == total - test
    exact = split_groups(np.array(groups), {"train": total - test, "test": test}, seed=seed)
    assert all(np.array_equal(part, exact[name]) for name, part in found.items())


def test_every_group_comes_into_every_part_for_some_seed() -> None:
    seen = {
        (name, int(place))
        for seed in range(60)
        for name, part in split_groups(np.arange(5), {"a": 3, "b": 2}, seed=seed).items()
        for place in part
    }
    assert len(seen) == 10


def test_names_of_groups_do_not_matter() -> None:
    shares = {"train": 0.5, "test": 0.5}
    one = split_groups(np.array([5, 5, 1, 9, 1, 2]), shares, seed=3)
    two = split_groups(np.array([0, 0, 7, 3, 7, 8]), shares, seed=3)
    assert all(np.array_equal(one[name], two[name]) for name in shares)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"train": 0.9, "test": 0.1}, "nothing for test: change the shares, or split by another group"),
        ({"train": 3, "test": 0}, "nothing for test"),
        ({"train": None, "test": 3}, "nothing for train"),
        ({"train": 1, "test": 1}, "add up to the 3 groups"),
        ({"train": None, "test": 4}, "add up to the 3 groups"),
        ({"train": 0.5, "test": 0.4}, "sum 1"),
        ({"train": 1.5, "test": -0.5}, "at least 0"),
        ({"train": 0.5, "test": 1}, "take one kind"),
        ({"train": None, "test": None}, "take one kind"),
        ({"train": -1, "test": 4}, "take one kind"),
        ({}, "3 groups"),
    ],
)
def test_shares_that_leave_a_part_empty_or_do_not_add_up_are_refused(shares: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        split_groups(np.arange(3), shares)


def test_pairs_of_a_trajectory_stay_together() -> None:
    whole = PairDataset(MemorySource(flows(MESH.points, 5)), Pairing())
    parts = split(whole, {"train": 3, "valid": 1, "test": 1}, seed=1)
    assert [len(part) for part in parts.values()] == [18, 6, 6]
    samples = [set(part.samples.tolist()) for part in parts.values()]
    assert set.union(*samples) == set(range(5))
    assert sum(map(len, samples)) == 5
    assert trajectories(parts["train"]).tolist() == [0, 1, 2]
    twice = split(parts["train"], {"a": 2, "b": 1})  # a part may be split again, and keeps its numbers
    assert set(twice["a"].samples) | set(twice["b"].samples) == samples[0]


def test_samples_on_the_same_points_are_one_geometry(tmp_path: Path) -> None:
    clouds = moving_file(tmp_path / "clouds.nc", places(samples=7, shapes=3))
    box = [flow_file(tmp_path / f"{name}.nc", 2) for name in "ab"]
    other = flow_file(tmp_path / "c.nc", 2, mesh=periodic_box(60, seed=1))
    moving = open_data(clouds)
    names = ["u0", "u1"]
    found = PairDataset(moving, Pairing(), inputs=names, targets=names)
    assert geometries(found).tolist() == [0, 1, 2, 0, 1, 2, 0]
    flat = PairDataset([open_data(path) for path in (*box, other)], Pairing())
    assert geometries(flat).tolist() == [0, 0, 0, 0, 1, 1]  # two files on one mesh
    parts = split(found, {"train": 2, "test": 1}, seed=2, by=geometries)
    left, right = ({sample % 3 for sample in part.samples.tolist()} for part in parts.values())
    assert (len(left), len(right), left & right) == (2, 1, set())
    alone = PairDataset(open_data(box[0]), Pairing())
    with pytest.raises(ValueError, match="of 1 groups, which leaves nothing for train"):
        split(alone, {"train": None, "test": 1}, by=geometries)
