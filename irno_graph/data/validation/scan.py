"""One pass over a source, sample by sample and a few snapshots at a time: what the checks need to know of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from irno_graph.data.readers.source import FieldSource
from irno_graph.data.validation.flow_figures import FlowNames, flow_figures, slope_figures
from irno_graph.graph import Graph
from irno_graph.graph.size import manifold_dims

BLOCK = 2**22  # numbers in memory at once


@dataclass
class Record:
    """What is kept of one sample.

    Attributes:
        index: of the sample.
        low, high: least and greatest value per channel `[channels]`.
        digests: of each snapshot.
        flow: figures per snapshot `[times]` by name, see `flow_figures`; empty for other data.
        slopes: mean squares at the first snapshot by name, see `slope_figures`.
    """

    index: int
    low: np.ndarray
    high: np.ndarray
    digests: list[bytes] = field(default_factory=list)
    flow: dict[str, np.ndarray] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """Of the whole sample."""
        return hashlib.blake2b(b"".join(self.digests), digest_size=16).digest()


@dataclass(frozen=True)
class Scan:
    """What one pass over a source gives.

    Attributes:
        records: one per sample that can be read.
        refused: sample and what the reader says of it, where it cannot be read or is not finite.
        no_graph: what the reader says of the graph that all samples share, where it has none.
    """

    records: list[Record]
    refused: dict[int, str]
    no_graph: str = ""


def chosen_samples(source: FieldSource, samples: int | None) -> list[int]:
    """`samples` indices spread evenly, all of them for None.

    Raises:
        ValueError: if `samples` is not positive.
    """
    if samples is not None and samples < 1:
        raise ValueError(f"`samples` should be at least 1, got {samples}.")
    count = len(source) if samples is None else min(samples, len(source))
    return np.unique(np.linspace(0, len(source) - 1, count).round().astype(int)).tolist()


def scan(
    source: FieldSource,
    samples: int | None = None,
    *,
    names: FlowNames | None = None,
    gamma: float = 1.4,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Read the chosen samples once; `names` are the channels of a flow, None for other data.

    Curves and surfaces have no figures of a flow: components along them are not conserved.

    Raises:
        ValueError: if `samples` is not positive.
    """
    chosen = chosen_samples(source, samples)
    records: list[Record] = []
    refused: dict[int, str] = {}
    graph, no_graph = (None, "") if names is None else _shared_graph(source)
    names = None if no_graph else names
    for done, index in enumerate(chosen, start=1):
        try:
            if names is not None:
                graph = graph_of(source, index, graph)
                names = names if int(manifold_dims(graph).min()) == graph.dim else None
            records.append(_record(source, index, graph, names, gamma))
        except (ValueError, OSError) as error:
            refused[index] = str(error)
        if progress is not None:
            progress(done, len(chosen))
    return Scan(records, refused, no_graph)


def _shared_graph(source: FieldSource) -> tuple[Graph | None, str]:
    """The graph of all samples, or why there is none; neither where each sample has its own."""
    try:
        return (None if _moving(source) else source.graph()), ""
    except ValueError as error:
        return None, str(error)


def _moving(source: FieldSource) -> bool:
    return bool(getattr(source, "moving", False))


def graph_of(source: FieldSource, index: int, known: Graph | None = None) -> Graph:
    """The graph of one sample: `known` where all have one, else made anew."""
    if _moving(source):
        moving: Any = source
        made: Graph = moving.graph(index)
        return made
    return source.graph() if known is None else known


def periodic(source: FieldSource) -> bool:
    """Whether the box is periodic along all its axes."""
    return source.period is not None and all(length is not None for length in source.period)


def _record(
    source: FieldSource, index: int, graph: Graph | None, names: FlowNames | None, gamma: float
) -> Record:
    count = len(source.channels)
    record = Record(index, np.full(count, np.inf), np.full(count, -np.inf))
    parts: list[dict[str, np.ndarray]] = []
    for values in _blocks(source, index):
        record.low = np.minimum(record.low, values.amin(dim=(0, 1)).double().numpy())
        record.high = np.maximum(record.high, values.amax(dim=(0, 1)).double().numpy())
        record.digests += [
            hashlib.blake2b(one.contiguous().numpy().tobytes(), digest_size=16).digest() for one in values
        ]
        if names is not None and graph is not None:
            if not parts:
                record.slopes = slope_figures(values[0].double(), graph, names)
            parts.append(flow_figures(values.double(), graph, names, gamma))
    if parts:
        record.flow = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return record


def _blocks(source: FieldSource, index: int) -> Iterator[Tensor]:
    """`[times, nodes, channels]` of one sample, as many times as fit into a block."""
    first = source.read(index, slice(0, 1))[0]
    yield first
    size = max(1, BLOCK // max(first.numel(), 1))
    for start in range(1, len(source.times), size):
        yield source.read(index, slice(start, start + size))[0]
