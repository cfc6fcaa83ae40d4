"""What every reader of gridded data gives: fields `[samples, times, nodes, channels]`, read when asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.graph import Graph


class FieldSource(Protocol):
    """Fields of one data set on one set of nodes; nothing but headers is read before `read` is called."""

    @property
    def path(self) -> Path:
        """File or folder that is read."""

    @property
    def format(self) -> str:
        """Name of the layout, as `irno-graph data info` prints it."""

    @property
    def times(self) -> np.ndarray:
        """Times of the snapshots `[times]`, float64."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in the order of the last axis."""

    @property
    def period(self) -> tuple[float | None, ...] | None:
        """Box length per coordinate (x, y, z), None for one that is not periodic; None where none is."""

    @property
    def decisions(self) -> tuple[str, ...]:
        """How axes, points and times were found: one sentence each."""

    @property
    def moments(self) -> Moments | None:
        """Mean and standard deviation per channel that come with the data; None where there are none."""

    def __len__(self) -> int:
        """Number of samples."""

    def graph(self) -> Graph:
        """The graph of the nodes."""

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples of `index` at `times`, `[samples, times, nodes, channels]` float32; an int is one sample."""


def as_trajectories(
    source: FieldSource, part: int | slice = slice(None), *, times: slice = slice(None)
) -> tuple[Tensor, Graph]:
    """Fields `[samples, times, nodes, channels]` float32 in memory, and the graph of their nodes."""
    return source.read(part, times), source.graph()


def sampled_moments(source: FieldSource, samples: int = 16, *, snapshots: int = 16) -> Moments:
    """Moments per channel of `samples` samples at `snapshots` times at most, spread evenly, one in memory at once.

    Raises:
        ValueError: if `samples` or `snapshots` is not positive, or a sample cannot be read.
    """
    if samples < 1 or snapshots < 1:
        raise ValueError(f"`samples` and `snapshots` should be at least 1, got {samples} and {snapshots}.")
    times = slice(None, None, -(-len(source.times) // snapshots))
    chosen = np.unique(np.linspace(0, len(source) - 1, min(samples, len(source))).round().astype(int))
    return Moments.of(source.read(int(index), times) for index in chosen)


def rows_of(index: int | slice, count: int, *, what: str, path: Path) -> range:
    """The rows that `index` means among `count`, as an ascending range.

    Raises:
        IndexError: for an int outside.
        ValueError: for a slice that runs backwards.
    """
    if isinstance(index, slice):
        rows = range(*index.indices(count))
        if rows.step < 1:
            raise ValueError(
                f"`{path}`: {what} should be read forwards, got step {rows.step}: flip the result."
            )
        return rows
    if not -count <= index < count:
        raise IndexError(f"`{path}` has {count} {what}, got index {index}.")
    return range(index % count, index % count + 1)


def read_rows(
    load: Callable[[range], np.ndarray], rows: range, *, path: Path, what: str = "sample"
) -> Tensor:
    """`load(rows)` as float32, naming the row that cannot be read or is not finite.

    Args:
        load: gives `[rows, ...]` of an ascending range.
        rows: of the file at `path`.
        path: named in errors.
        what: a row is.

    Raises:
        ValueError: naming `path` and the first bad row.
    """
    try:
        values = load(rows)
    except (OSError, RuntimeError) as error:
        for row in rows:
            try:
                load(range(row, row + 1))
            except (OSError, RuntimeError) as reason:
                raise ValueError(
                    f"{what} {row} of `{path}` cannot be read ({reason}): fetch the file again or leave it out."
                ) from reason
        raise ValueError(f"`{path}` cannot be read ({error}): fetch the file again.") from error
    fields = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    bad = (~torch.isfinite(fields)).flatten(1).any(dim=1)
    if bad.any():
        first = rows[int(bad.nonzero()[0])]
        raise ValueError(f"{what} {first} of `{path}` has values that are NaN or infinite: leave it out.")
    return fields
