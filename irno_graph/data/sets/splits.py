"""Splits of samples into training, validation and test: by trajectory, or by geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from irno_graph.data.sets.graphs import moves
from irno_graph.data.sets.pairs import PairDataset

Shares = Mapping[str, float] | Mapping[str, int] | Mapping[str, int | None]


def trajectories(dataset: PairDataset) -> np.ndarray:
    """A group for each sample: its pairs stay together, as snapshots of one flow must."""
    return np.arange(len(dataset.samples))


def geometries(dataset: PairDataset) -> np.ndarray:
    """A group for each set of node positions `[samples]`: a split by it is tested on geometries never seen.

    Positions are compared in float32; two files on the same nodes are one group, whatever their cells. Where points
    differ between samples those of all samples are read, one after the other.
    """
    places: dict[tuple[int, int], bytes] = {}  # one for a source whose points do not differ
    numbers: dict[bytes, int] = {}
    groups = []
    for sample in dataset.samples.tolist():
        source = dataset.source_number(sample)
        key = (source, sample if moves(dataset.sources[source]) else -1)
        if key not in places:
            places[key] = dataset.place_of(sample)
        groups.append(numbers.setdefault(places[key], len(numbers)))
    return np.array(groups, dtype=np.int64)


def split(
    dataset: PairDataset,
    shares: Shares,
    *,
    seed: int = 0,
    by: Callable[[PairDataset], np.ndarray] = trajectories,
) -> dict[str, PairDataset]:
    """The parts of `dataset`, each with whole groups of samples; no sample is in two, every sample is in one.

    Args:
        dataset: to split.
        shares: of each part, see `split_groups`.
        seed: of the choice, which is the same for the same seed and number of groups.
        by: gives the group of each sample: `trajectories`, `geometries`, or a function of one's own.

    Raises:
        ValueError: as `split_groups`.
    """
    parts = split_groups(by(dataset), shares, seed=seed)
    return {name: dataset.of(dataset.samples[chosen]) for name, chosen in parts.items()}


def split_groups(groups: np.ndarray, shares: Shares, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Places `[samples of the part]`, ascending, of the samples of each part.

    Args:
        groups: the group of each sample `[samples]`; samples of one group stay together.
        shares: of each part, numbers of groups: fractions whose sum is 1, rounded by largest remainders, or counts, of
            which one may be None and takes the rest.
        seed: of the order in which groups, numbered by first appearance, are dealt out.

    Raises:
        ValueError: if shares do not add up, or a part would be empty.

    >>> split_groups(np.array([7, 7, 3, 3, 3, 5]), {"train": 2, "test": 1})
    {'train': array([0, 1, 5]), 'test': array([2, 3, 4])}
    """
    _, first, inverse = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))[inverse]  # [samples], by first appearance
    counts = _counts(shares, len(first))
    empty = [name for name, count in counts.items() if count < 1]
    if empty or not counts:
        raise ValueError(
            f"every part should get something, got {dict(shares)} of {len(first)} groups, which leaves nothing for "
            f"{', '.join(empty) or 'anyone'}: change the shares, or split by another group."
        )
    dealt = np.random.default_rng(seed).permutation(len(first))
    ends = np.cumsum(list(counts.values()))
    owner = np.empty(len(first), dtype=np.int64)
    owner[dealt] = np.searchsorted(ends, np.arange(len(first)), side="right")
    return {name: np.flatnonzero(owner[numbers] == place) for place, name in enumerate(counts)}


def _counts(shares: Shares, total: int) -> dict[str, int]:
    """Number of groups of each part."""
    values: dict[str, Any] = dict(shares)
    rest = [name for name, share in values.items() if share is None]
    given = [share for share in values.values() if share is not None]
    if given and not rest and all(isinstance(share, float) for share in given):
        return _rounded({name: float(share) for name, share in values.items()}, total)
    if len(rest) > 1 or not all(isinstance(share, int) and share >= 0 for share in given):
        raise ValueError(
            f"`shares` should be fractions, or counts of which one may be None, got {values}: take one kind."
        )
    left = total - sum(given)
    if left < 0 or (left > 0 and not rest):
        raise ValueError(
            f"counts should add up to the {total} groups there are, got {values}: None takes the rest."
        )
    return {name: left if share is None else int(share) for name, share in values.items()}


def _rounded(fractions: dict[str, float], total: int) -> dict[str, int]:
    """Fractions of `total`, rounded down, what is left going to the largest remainders, the first of equal ones."""
    if min(fractions.values()) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"fractions should be at least 0 with the sum 1, got {fractions}.")
    whole = sum(fractions.values())
    exact = {name: round(total * share / whole, 6) for name, share in fractions.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_rest = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_rest[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
