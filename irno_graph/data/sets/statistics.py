"""Means and standard deviations of a training split, read once in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irno_graph.data.normaliser import Moments, Tally
from irno_graph.data.sets.channels import ChannelGroups
from irno_graph.data.sets.pairs import PairDataset


@dataclass(frozen=True)
class FieldStatistics:
    """Mean and standard deviation of the fields of a data set, per channel and per group of channels.

    Attributes:
        groups: of the channels.
        mean: `[channels]`.
        deviation: `[channels]`, about the mean; 0 for a channel that does not vary.

    Raises:
        ValueError: if the sizes do not fit, or a number is not finite.
    """

    groups: ChannelGroups
    mean: Tensor
    deviation: Tensor

    def __post_init__(self) -> None:
        count = len(self.channels)
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            if values.shape != (count,) or not torch.isfinite(values).all():
                raise ValueError(
                    f"`{name}` should be finite of shape [channels={count}], got {values.tolist()}."
                )
        if (self.deviation < 0).any():
            raise ValueError(f"`deviation` should not be negative, got {self.deviation.tolist()}.")

    @classmethod
    def of(cls, channels: Sequence[str], mean: Tensor, deviation: Tensor) -> FieldStatistics:
        """Known means and deviations, such as those of a model's `scaling`, with the groups that the names say."""
        return cls(ChannelGroups.of(channels), mean.double(), deviation.double())

    def only(self, channels: Sequence[str]) -> FieldStatistics:
        """Those of some channels, in their order and with their groups: of a set's `inputs`, of its `targets`.

        Raises:
            ValueError: if there is no such channel.
        """
        missing = sorted(set(channels) - set(self.channels))
        if missing:
            raise ValueError(
                f"statistics should have the channels {missing}, got {list(self.channels)}: measure them too."
            )
        places = [self.channels.index(name) for name in channels]
        return FieldStatistics(self.groups.only(places), self.mean[places], self.deviation[places])

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.groups.channels

    @property
    def moments(self) -> Moments:
        """For a z-score of each channel; a deviation of 0 is replaced by 1."""
        return Moments.positive(self.mean, self.deviation)

    @property
    def grouped(self) -> Moments:
        """Channels about their own means, in units of one deviation per group: `ChannelGroups.pooled`.

        A velocity keeps its direction, since both components are divided by the same number.
        """
        return Moments.positive(self.mean, self.grouped_deviation)

    @property
    def grouped_deviation(self) -> Tensor:
        """Of each channel's group `[channels]`, 0 for a group that does not vary."""
        return self.groups.pooled(self.deviation)


def statistics(
    dataset: PairDataset, *, groups: ChannelGroups | None = None, block: int = 8
) -> FieldStatistics:
    """Those of `dataset.channels` over the snapshots that its pairs are made of; pass the training split.

    Every snapshot counts the same and its nodes by their masses: sum_i m_i u_i / sum_i m_i. One block of snapshots of
    one sample is in memory at a time, in float64; blocks are merged by Chan's formula.

    Args:
        dataset: the training split.
        groups: of the channels; None finds them from the names.
        block: snapshots in memory at a time.

    Raises:
        ValueError: naming the file and the sample that cannot be read or is not finite, if there is no sample, or
            `block` is below 1.
    """
    if block < 1:
        raise ValueError(f"`block` should be at least 1, got {block}.")
    found = ChannelGroups.of(dataset.channels) if groups is None else groups
    if found.channels != dataset.channels:
        raise ValueError(
            f"`groups` should be of the channels {list(dataset.channels)}, got {list(found.channels)}."
        )
    tally = Tally.nothing()
    for sample in dataset.samples.tolist():
        mass = dataset.graph_of(sample).mass
        source = dataset.sources[dataset.source_number(sample)]
        steps = dataset.pairing.chosen(len(source.times))
        for first in range(0, len(steps), block):
            own = steps[first : first + block]
            fields = dataset.fields(sample, slice(own.start, own.stop, own.step))
            tally = tally.merged(Tally.of(fields, mass / mass.sum()))
    return FieldStatistics(found, tally.mean, tally.deviation)
