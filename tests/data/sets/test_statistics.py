"""Statistics in one stream against numpy's of everything at once; groups of channels."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import torch
from flow_sources import MESH, MemorySource, flows
from hypothesis import given, settings
from hypothesis import strategies as st

from irno_graph.data import Moments
from irno_graph.data.normaliser import Tally
from irno_graph.data.sets import ChannelGroups, FieldStatistics, PairDataset, Pairing, statistics
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box


def all_at_once(sources: list[MemorySource], chosen: list[list[int]], times: slice) -> tuple[np.ndarray, ...]:
    """Weighted mean and deviation by numpy, every snapshot with weight 1."""
    values, weights = [], []
    for source, rows in zip(sources, chosen, strict=True):
        own = source.fields.double().numpy()[rows][:, times]
        mass = source.graph().mass.numpy()
        values.append(own.reshape(-1, own.shape[-1]))
        weights.append(np.tile(mass / mass.sum(), own.shape[0] * own.shape[1]))
    every, weight = np.concatenate(values), np.concatenate(weights)
    mean = np.average(every, axis=0, weights=weight)
    return mean, np.sqrt(np.average((every - mean) ** 2, axis=0, weights=weight))


@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize("times", [slice(None), slice(1, None, 2)])
def test_the_stream_gives_numpys_moments_of_the_training_split_alone(block: int, times: slice) -> None:
    small = periodic_box(90, seed=5)
    other = Mesh(2 * small.points, small.cells, period=(2.0, 2.0))  # of four times the area
    sources = [MemorySource(flows(MESH.points, 4, 5)), MemorySource(flows(other.points, 3, 5), other)]
    train = PairDataset(sources, Pairing(times=times)).of([0, 2, 5])
    found = statistics(train, block=block)
    mean, deviation = all_at_once(sources, [[0, 2], [1]], times)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.deviation, deviation, rtol=1e-12)
    assert found.moments.mean.dtype == torch.float64
    read = [(index, len(range(*steps.indices(5)))) for index, steps in sources[0].asked + sources[1].asked]
    assert {index for index, _ in read} == {0, 1, 2}  # sample 5 is row 1 of the second
    assert max(count for _, count in read) <= block
    assert sum(count for _, count in read) == 3 * len(range(*times.indices(5)))  # each snapshot once


def test_fluctuations_of_a_large_mean_keep_their_digits() -> None:
    noise = np.random.default_rng(0).standard_normal((6, 4, 300, 1))
    source = MemorySource(1e4 + noise, channels=("p",))
    found = statistics(PairDataset(source, Pairing.fixed(1)), block=1)
    mean, deviation = all_at_once([source], [list(range(6))], slice(None))
    np.testing.assert_allclose(found.deviation, deviation, rtol=1e-10)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-14)


@given(
    parts=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    weighted=st.booleans(),
)
@settings(deadline=None)
def test_tallies_merge_to_that_of_everything_in_any_order(
    parts: list[int], seed: int, weighted: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(7, generator=generator, dtype=torch.float64) if weighted else None
    chunks = [3 + torch.randn(count, 7, 2, generator=generator, dtype=torch.float64) for count in parts]
    whole = Tally.of(torch.cat(chunks), weights)
    for order in (chunks, chunks[::-1]):
        merged = reduce(Tally.merged, (Tally.of(chunk, weights) for chunk in order), Tally.nothing())
        assert merged.weight == pytest.approx(whole.weight)
        if sum(parts):
            torch.testing.assert_close(merged.mean, whole.mean)
            torch.testing.assert_close(merged.spread, whole.spread)


def test_equal_weights_are_no_weights() -> None:
    values = torch.randn(3, 7, 2)
    one, two = Tally.of(values), Tally.of(values, torch.full((7,), 0.25))
    torch.testing.assert_close(one.deviation, two.deviation)
    torch.testing.assert_close(Moments.of([values]).std, two.moments().std)


def test_a_constant_has_no_deviation_and_is_divided_by_one() -> None:
    fields = flows(MESH.points)
    fields[..., 2] = 0.1  # its weighted mean is not exact
    found = statistics(PairDataset(MemorySource(fields), Pairing()))
    assert found.deviation[2] == 0
    assert found.moments.std[2] == 1
    vx = found.deviation[1]
    torch.testing.assert_close(found.grouped.std[1:3], torch.stack([vx, vx]) / 2**0.5)  # not with 1 for vy


def test_a_group_shares_the_deviation_of_its_channels_about_their_own_means() -> None:
    fields = flows(MESH.points, 3)
    found = statistics(PairDataset(MemorySource(fields), Pairing()))
    assert found.groups.names == ("density", "velocity", "pressure", "energy")
    mean, deviation = all_at_once([MemorySource(fields)], [[0, 1, 2]], slice(None))
    pooled = np.sqrt((deviation[1] ** 2 + deviation[2] ** 2) / 2)
    np.testing.assert_allclose(found.grouped.std, [deviation[0], pooled, pooled, *deviation[3:]], rtol=1e-6)
    np.testing.assert_allclose(found.grouped.mean, mean, rtol=1e-6)
    assert deviation[0] < 0.2 < mean[0]  # the fluctuation, not the size


def test_a_shared_deviation_does_not_turn_the_velocity() -> None:
    """Scaling commutes with a quarter turn where components have one deviation and no mean."""
    known = FieldStatistics.of(["vx", "vy"], torch.zeros(2), torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(known.grouped.std, torch.full((2,), 5**0.5).double())


def test_a_bad_record_is_named_and_no_record_is_refused() -> None:
    fields = flows(MESH.points, 3)
    fields[2, 3, 0, 0] = np.nan
    found = PairDataset(MemorySource(fields), Pairing())
    with pytest.raises(ValueError, match="sample 2 of `memory` has values that are NaN"):
        statistics(found)
    assert statistics(found.of([0, 1])).mean.isfinite().all()
    with pytest.raises(ValueError, match="is the training split empty"):
        statistics(found.of([]))
    with pytest.raises(ValueError, match="`block` should be at least 1"):
        statistics(found, block=0)
    with pytest.raises(ValueError, match="groups` should be of the channels"):
        statistics(found, groups=ChannelGroups.of(["rho"]))


@pytest.mark.parametrize(
    ("channels", "names", "index"),
    [
        (("rho", "vx", "vy", "p"), ("density", "velocity", "pressure"), (0, 1, 1, 2)),
        (("density", "velocity_x", "velocity_y", "velocity_z"), ("density", "velocity"), (0, 1, 1, 1)),
        (("Pressure", "VX", "VY"), ("pressure", "velocity"), (0, 1, 1)),
        (("p", "v", "u", "tracer"), ("pressure", "velocity", "tracer"), (0, 1, 1, 2)),
        (("rho", "vx", "vy", "p", "E"), ("density", "velocity", "pressure", "energy"), (0, 1, 1, 2, 3)),
        (("u", "u_t", "c"), ("u", "u_t", "c"), (0, 1, 2)),
        (("u", "u_x", "u_y"), ("u", "u_x", "u_y"), (0, 1, 2)),
        (("u_x", "u_y"), ("velocity",), (0, 0)),
        (("velocity_x", "tracer"), ("velocity", "tracer"), (0, 1)),
        (("D_xx", "D_xy", "D_yx", "D_yy", "momentum_x", "momentum_y"), ("D", "momentum"), (0, 0, 0, 0, 1, 1)),
        (("u_500", "v_500", "t2m"), ("u_500", "v_500", "t2m"), (0, 1, 2)),
    ],
)  # fmt: skip
def test_groups_are_found_from_names(channels: tuple, names: tuple, index: tuple) -> None:
    found = ChannelGroups.of(channels)
    assert (found.names, found.index) == (names, index)
    for name in names:
        assert [channels[place] for place in found.columns(name)] == [
            channel for channel, group in zip(channels, index, strict=True) if names[group] == name
        ]
    assert found.columns("nothing") == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ChannelGroups.of(["p", "p"]), "channels should differ"),
        (lambda: ChannelGroups.of(["p", "pressure"]), "one pressure"),
        (lambda: ChannelGroups.of(["u", "v", "vx", "vy"]), "one velocity"),
        (lambda: ChannelGroups(("a", "b"), (0, 2), ("x", "y")), "one of 2 groups for each of 2 channels"),
        (lambda: ChannelGroups(("a",), (0, 0), ("x",)), "each of 1 channels"),
        (lambda: ChannelGroups.of(["p"]).pooled(torch.ones(2)), r"shape \[1\]"),
        (lambda: FieldStatistics.of(["p"], torch.ones(2), torch.ones(1)), r"finite of shape \[channels=1\]"),
        (lambda: FieldStatistics.of(["p"], torch.ones(1), -torch.ones(1)), "negative"),
    ],
)
def test_groups_and_statistics_that_do_not_fit_are_refused(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_a_part_of_the_channels_keeps_its_numbers_and_groups() -> None:
    known = FieldStatistics.of(["p", "vx", "vy", "rho"], torch.arange(4.0), torch.arange(1.0, 5.0))
    part = known.only(["rho", "vy", "vx"])
    assert (part.channels, part.groups.names, part.groups.index) == (
        ("rho", "vy", "vx"),
        ("density", "velocity"),
        (0, 1, 1),
    )
    assert (part.mean.tolist(), part.deviation.tolist()) == ([3, 2, 1], [4, 3, 2])
    one = known.only(["vx"])  # a component alone still belongs to a velocity
    assert (one.groups.names, one.grouped.std.tolist()) == (("velocity",), [2])
    with pytest.raises(ValueError, match=r"channels \['E'\]"):
        known.only(["E"])


def test_masses_weigh() -> None:
    """Mean of x on a box whose points crowd at one end is the integral, not the mean over points."""
    x = np.concatenate([np.linspace(0, 0.5, 41), np.linspace(0.5, 1, 6)[1:]])
    graph = Graph.from_points(np.stack(np.meshgrid(x, np.linspace(0, 1, 5)), axis=-1).reshape(-1, 2))

    class Crowded(MemorySource):
        def graph(self) -> Graph:
            return graph

    source = Crowded(graph.pos.numpy()[None, None, :, :1], channels=("a",))
    assert float(statistics(PairDataset(source, Pairing.fixed(0))).mean) == pytest.approx(0.5, abs=1e-6)
    assert source.fields.mean() < 0.35
