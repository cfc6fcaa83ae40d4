"""Pairs (x, y) of snapshots of any sources, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from irno_graph.data.readers.source import FieldSource
from irno_graph.data.sets.graphs import SampleGraphs, moves
from irno_graph.data.sets.pairing import Pairing
from irno_graph.graph import Graph


class Pair(NamedTuple):
    """One pair, or a batch of them with a leading dimension, as torch's loaders make it.

    Attributes:
        x: input `[nodes, input channels]`, float32.
        y: target at `time + lead_time`, `[nodes, target channels]`.
        time: of x, float64.
        lead_time: from x to y, float64.
        sample: number of the sample among those of all sources, int64.
    """

    x: Tensor
    y: Tensor
    time: Tensor
    lead_time: Tensor
    sample: Tensor


class PairDataset(Dataset[Pair]):
    """The pairs of `pairing` in each sample, by sample, then by the time of x, then by lead time.

    An item is read from its file when it is asked for and not kept, so a set may be larger than memory. The readers
    open their files anew at each read: workers of a `DataLoader` share no handle, forked or spawned.

    Args:
        sources: one, or several with the same channels, as `open_data` gives them; samples are numbered through.
        pairing: which pairs of snapshots.
        inputs: names of x's channels; None takes all.
        targets: names of y's channels; None takes all.
        samples: numbers of those to take; None takes all.

    Attributes:
        channels: names of all channels that x and y are made of.
        inputs: names of x's channels.
        targets: names of y's channels.
        samples: numbers of the samples, ascending.

    Raises:
        ValueError: if sources differ in channels, lack one, or have too few snapshots for a pair, or samples are not
            there.
    """

    def __init__(
        self,
        sources: FieldSource | Sequence[FieldSource],
        pairing: Pairing,
        *,
        inputs: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        samples: Iterable[int] | None = None,
    ) -> None:
        self.sources = tuple(sources) if isinstance(sources, Sequence) else (sources,)
        if not self.sources:
            raise ValueError("`sources` should have at least one source, got none.")
        self.pairing = pairing
        first = self.sources[0].channels
        self.inputs, self.targets = tuple(inputs or first), tuple(targets or first)
        self.channels = tuple(dict.fromkeys((*self.inputs, *self.targets)))
        for source in self.sources:
            self._check(source, inputs is None or targets is None)
        self._tables = [pairing.table(len(source.times)) for source in self.sources]
        self._graphs = [SampleGraphs(source) for source in self.sources]
        self._lasts = np.cumsum([len(source) for source in self.sources])
        self.samples = self._chosen(samples)
        counts = np.array([len(table) for table in self._tables])
        self._ends = np.cumsum(counts[np.searchsorted(self._lasts, self.samples, side="right")])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Pair:
        """The pair of number `index`.

        Raises:
            ValueError: naming the pair, the file and the sample that cannot be read or is not finite.
            IndexError: for a pair that is not there.
        """
        place, sample, (first, second) = self._place(index)
        source, row = self.sources[place], self.row(sample)
        steps = slice(first, second + 1, max(second - first, 1))
        try:
            fields = read_finite(source, row, steps)  # [1 or 2, nodes, channels]
        except ValueError as error:
            raise ValueError(
                f"pair {index} (sample {row} of `{source.path}`, snapshots {first} and {second}): {error}"
            ) from error
        start, end = float(source.times[first]), float(source.times[second])
        return Pair(
            self._pick(fields[0], source, self.inputs),
            self._pick(fields[-1], source, self.targets),
            torch.tensor(start, dtype=torch.float64),
            torch.tensor(end - start, dtype=torch.float64),
            torch.tensor(sample),
        )

    def source_number(self, sample: int) -> int:
        """The source that `sample` is of."""
        return int(np.searchsorted(self._lasts, sample, side="right"))

    def row(self, sample: int) -> int:
        """The number of `sample` in its source."""
        number = self.source_number(sample)
        return int(sample) - (int(self._lasts[number - 1]) if number else 0)

    def graph_of(self, sample: int) -> Graph:
        """The graph of `sample`, made at the first call and kept; the last 64 where points differ."""
        return self._graphs[self.source_number(sample)].of(self.row(sample))

    def place_of(self, sample: int) -> bytes:
        """A hash of the positions of the sample's nodes."""
        return self._graphs[self.source_number(sample)].place(self.row(sample))

    @property
    def graph(self) -> Graph:
        """The one graph of all samples.

        Raises:
            ValueError: if samples have different graphs.
        """
        numbers = sorted({self.source_number(sample) for sample in self.samples})
        if not numbers:
            raise ValueError("a set without samples has no graph.")
        if len(self.samples) > 1 and any(moves(self.sources[number]) for number in numbers):
            raise ValueError(
                f"`{self.sources[numbers[0]].path}` has another graph for each sample: {DIFFERENT}"
            )
        graph = self.graph_of(int(self.samples[0]))
        for number in numbers[1:]:
            if self._graphs[number].of(0).key() != graph.key():
                raise ValueError(
                    f"`{self.sources[number].path}` should have the graph of `{self.sources[numbers[0]].path}`: "
                    f"{DIFFERENT}"
                )
        return graph

    def of(self, samples: Iterable[int]) -> PairDataset:
        """The pairs of some samples, which keep their numbers.

        Raises:
            ValueError: if this set does not have them.
        """
        chosen = list(samples)
        if not set(map(int, chosen)) <= set(self.samples.tolist()):
            raise ValueError("`samples` should be among those of this set: choose from `samples`.")
        return PairDataset(
            self.sources, self.pairing, inputs=self.inputs, targets=self.targets, samples=chosen
        )

    def pairs_per_graph(self) -> list[range]:
        """The numbers of the pairs on each graph: of a source, or of a sample where points differ."""
        starts, found = np.concatenate([[0], self._ends[:-1]]), list[range]()
        keys = [
            (number, sample if moves(self.sources[number]) else -1)
            for sample in self.samples.tolist()
            for number in (self.source_number(sample),)
        ]
        for place, key in enumerate(keys):
            first, last = int(starts[place]), int(self._ends[place])
            if place and key == keys[place - 1]:
                found[-1] = range(found[-1].start, last)
            else:
                found.append(range(first, last))
        return found

    def fields(self, sample: int, steps: slice) -> Tensor:
        """All `channels` of a sample's snapshots, `[times, nodes, channels]`.

        Raises:
            ValueError: naming the file and the sample that cannot be read or is not finite.
        """
        source = self.sources[self.source_number(sample)]
        return self._pick(read_finite(source, self.row(sample), steps), source, self.channels)

    def _place(self, index: int) -> tuple[int, int, tuple[int, int]]:
        """Source, sample and snapshots of a pair."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"the set has {count} pairs, got index {index}.")
        number = index % count
        place = int(np.searchsorted(self._ends, number, side="right"))
        sample = int(self.samples[place])
        source = self.source_number(sample)
        return (
            source,
            sample,
            self._tables[source].pair(number - (int(self._ends[place - 1]) if place else 0)),
        )

    def _pick(self, fields: Tensor, source: FieldSource, names: tuple[str, ...]) -> Tensor:
        if names == source.channels:
            return fields
        return fields[..., [source.channels.index(name) for name in names]]

    def _check(self, source: FieldSource, alike: bool) -> None:
        missing = sorted(set(self.channels) - set(source.channels))
        if missing or (alike and source.channels != self.sources[0].channels):
            raise ValueError(
                f"`{source.path}` should have the channels {list(self.channels)}, got {list(source.channels)}: name "
                "those that all sources have as `inputs` and `targets`."
            )
        if not len(self.pairing.table(len(source.times))):
            raise ValueError(
                f"`{source.path}` has {len(source.times)} snapshots, no two of them are a pair of {self.pairing}: "
                "choose another pairing; `Pairing.fixed(0)` is for steady sets."
            )

    def _chosen(self, samples: Iterable[int] | None) -> np.ndarray:
        count = int(self._lasts[-1])
        if samples is None:
            return np.arange(count)
        given = np.asarray(list(samples), dtype=np.int64)
        found = np.unique(given)
        if len(found) < len(given) or (len(found) and not 0 <= found[0] <= found[-1] < count):
            raise ValueError(
                f"`samples` should be different numbers in 0..{count - 1}, got {given.tolist()}."
            )
        return found


DIFFERENT = "use `OneGraphBatches` and `graph_of`, or `GraphCollate`."


def read_finite(source: FieldSource, row: int, steps: slice) -> Tensor:
    """Snapshots of one sample, `[times, nodes, channels]`.

    Raises:
        ValueError: naming the file and the sample that cannot be read or is not finite.
    """
    try:
        fields = source.read(row, steps)[0]
    except (OSError, RuntimeError) as error:
        raise ValueError(f"sample {row} of `{source.path}` cannot be read: {error}.") from error
    if not torch.isfinite(fields).all():
        raise ValueError(
            f"sample {row} of `{source.path}` has values that are NaN or infinite: leave it out."
        )
    return fields
