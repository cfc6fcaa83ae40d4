"""Checks of any data: values that can be read, times, channels that say nothing, samples that are there twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from irno_graph.data.readers.source import FieldSource
from irno_graph.data.validation.findings import Finding, listed
from irno_graph.data.validation.scan import Record, Scan

EVEN = 1e-3  # of the time step


def values_check(scan: Scan, channels: tuple[str, ...]) -> Finding:
    """Samples that cannot be read or are not finite."""
    count = len(scan.records) + len(scan.refused)
    figures = {"samples": float(count), "refused": float(len(scan.refused))}
    if scan.refused:
        found = f"{len(scan.refused)} of {count} samples: {listed(scan.refused.values())}"
        return Finding("values", found, "all can be read and are finite", "wrong", figures)
    low = np.min([record.low for record in scan.records], axis=0)
    high = np.max([record.high for record in scan.records], axis=0)
    ranges = (f"{name} {a:.4g} to {b:.4g}" for name, a, b in zip(channels, low, high, strict=True))
    found = f"{count} samples; {', '.join(ranges)}"
    return Finding("values", found, "all can be read and are finite", "ok", figures)


def times_check(times: np.ndarray) -> Finding:
    """Times that ascend, in even steps."""
    expected = "ascending, in even steps"
    if len(times) < 2:
        return Finding("times", f"one, {times[0]:g}" if len(times) else "none", expected, "ok")
    steps = np.diff(times)
    figures = {"least step": float(steps.min()), "largest step": float(steps.max())}
    found = f"{len(times)} from {times[0]:g} to {times[-1]:g}"
    if not np.isfinite(times).all() or steps.min() <= 0:
        place = int(np.flatnonzero(~(steps > 0))[0])
        found += f", but {times[place + 1]:g} comes after {times[place]:g}"
        return Finding("times", found, expected, "wrong", figures)
    if steps.max() - steps.min() > EVEN * steps.mean():
        found += f", steps from {steps.min():.4g} to {steps.max():.4g}"
        return Finding("times", found, expected, "look", figures)
    return Finding("times", f"{found}, step {steps.mean():.4g}", expected, "ok", figures)


def channels_check(scan: Scan, channels: tuple[str, ...]) -> Finding | None:
    """Channels that have one value everywhere; None where nothing could be read."""
    if not scan.records:
        return None
    low = np.min([record.low for record in scan.records], axis=0)
    high = np.max([record.high for record in scan.records], axis=0)
    constant = [f"{channels[place]} = {low[place]:g}" for place in np.flatnonzero(low == high)]
    found = f"constant: {listed(constant)}" if constant else f"all {len(channels)} vary"
    figures = {"constant": float(len(constant))}
    return Finding("channels", found, "none is constant", "look" if constant else "ok", figures)


def duplicates_check(scan: Scan) -> Finding:
    """Samples that are equal to another in every bit, or start as another does."""
    whole, starts = (_repeated(scan.records, key) for key in ("digest", "start"))
    figures = {"equal": float(len(whole)), "equal starts": float(len(starts))}
    expected = "every sample once"
    if whole:
        return Finding("duplicates", f"equal samples: {_pairs(whole)}", expected, "wrong", figures)
    if starts:
        return Finding("duplicates", f"equal first snapshots: {_pairs(starts)}", expected, "look", figures)
    return Finding("duplicates", "none", expected, "ok", figures)


def standstill_check(scan: Scan, source: FieldSource) -> Finding | None:
    """Snapshots equal to the one before; None for data without several times."""
    if len(source.times) < 2 or not scan.records:
        return None
    still = [
        f"sample {record.index} at time {place + 1}"
        for record in scan.records
        for place, (before, after) in enumerate(pairwise(record.digests))
        if before == after
    ]
    figures = {"equal snapshots": float(len(still))}
    found = f"equal to the snapshot before: {listed(still)}" if still else "all snapshots change"
    return Finding("snapshots", found, "none repeats the one before", "look" if still else "ok", figures)


def _repeated(records: list[Record], key: str) -> list[tuple[int, int]]:
    """Pairs of a sample and the first one equal to it."""
    first: dict[bytes, int] = {}
    pairs = []
    for record in records:
        digest = record.digest if key == "digest" else record.digests[0]
        if digest in first:
            pairs.append((record.index, first[digest]))
        else:
            first[digest] = record.index
    return pairs


def _pairs(pairs: list[tuple[int, int]]) -> str:
    return listed(f"{later} is {earlier}" for later, earlier in pairs)
