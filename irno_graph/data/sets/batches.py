"""Batches of pairs on different graphs: each on one graph, or their graphs joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from irno_graph.data.sets.pairs import Pair, PairDataset
from irno_graph.graph.pyg import Batch


class OneGraphBatches(Sampler[list[int]]):
    """Numbers of pairs in batches that have one graph each; pass it as `batch_sampler`.

    The graph of a batch is `dataset.graph_of(int(batch.sample[0]))`. Every pair comes once per epoch, the last batch of
    a graph may be smaller. Needs 8 bytes of memory per pair.

    Args:
        dataset: of pairs.
        batch_size: pairs in a batch, at most.
        shuffle: whether pairs and batches come in an order that `seed` and epoch decide; else in the set's.
        seed: of the order.

    Raises:
        ValueError: if `batch_size` is below 1.
    """

    def __init__(self, dataset: PairDataset, batch_size: int, *, shuffle: bool = True, seed: int = 0) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` should be at least 1, got {batch_size}.")
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self._ranges = dataset.pairs_per_graph()
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Decide the order of the batches that come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(-(-len(own) // self.batch_size) for own in self._ranges)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        batches: list[np.ndarray] = []
        for own in self._ranges:
            numbers = np.arange(own.start, own.stop)
            if self.shuffle:
                generator.shuffle(numbers)
            batches += np.split(numbers, range(self.batch_size, len(own), self.batch_size))
        order = generator.permutation(len(batches)) if self.shuffle else range(len(batches))
        for place in order:
            yield batches[place].tolist()


class GraphPairs(NamedTuple):
    """Pairs whose graphs are joined.

    Attributes:
        x: inputs, the nodes of all graphs one after the other `[nodes, input channels]`.
        y: targets, likewise.
        time: of each graph's x `[graphs]`, as models take it on a batch.
        lead_time: likewise.
        sample: number of each graph's sample `[graphs]`.
        graph: `torch_geometric` Batch of the graphs.
    """

    x: Tensor
    y: Tensor
    time: Tensor
    lead_time: Tensor
    sample: Tensor
    graph: Batch


class GraphCollate:
    """Joins pairs on any graphs; pass it as `collate_fn`.

    Args:
        dataset: that the pairs are of; each worker keeps graphs of its own.
    """

    def __init__(self, dataset: PairDataset) -> None:
        self.dataset = dataset

    def __call__(self, pairs: Sequence[Pair]) -> GraphPairs:
        """The pairs one after the other, with the batch of their graphs."""
        graphs = [self.dataset.graph_of(int(pair.sample)) for pair in pairs]
        return GraphPairs(
            torch.cat([pair.x for pair in pairs]),
            torch.cat([pair.y for pair in pairs]),
            torch.stack([pair.time for pair in pairs]),
            torch.stack([pair.lead_time for pair in pairs]),
            torch.stack([pair.sample for pair in pairs]),
            Batch.from_data_list(graphs),
        )
