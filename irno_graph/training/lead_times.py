"""Which pairs of snapshots an epoch of a base's training takes, and at which of their times it starts.

Source: RIGNO (arXiv 2501.19205), section on training: all-to-all pairs, lead-time curriculum, fractional pairing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irno_graph.bases.rigno import RIGNO, RegionalGraph, Stepper

GAP = 0.2  # of a snapshot's distance, which the derivative stepper's fractional lead time keeps to the target


@dataclass(frozen=True)
class LeadTimes:
    """Pairs of snapshots up to `longest` apart; shorter ones alone at the start.

    Attributes:
        longest: number of snapshots between input and target, at most.
        warmup: part of the epochs that goes, in equal shares, to 1, 2, ... longest - 1 snapshots.
        fractional: whether in the second half of the rest the base goes part of the way, untrained, and is trained on
            what is left: lead times between those of the snapshots.
    """

    longest: int = 1
    warmup: float = 0.2
    fractional: bool = False

    def at(self, epoch: int, epochs: int) -> int:
        """The longest lead time of `epoch` out of `epochs`, in snapshots.

        >>> [LeadTimes(3).at(epoch, 20) for epoch in range(6)]
        [1, 1, 2, 2, 3, 3]
        """
        each = self._each(epochs)
        return epoch // each + 1 if epoch < each * (self.longest - 1) else self.longest

    def is_fractional(self, epoch: int, epochs: int) -> bool:
        """Whether `epoch` starts between snapshots.

        >>> [LeadTimes(3, fractional=True).is_fractional(epoch, 20) for epoch in (11, 12)]
        [False, True]
        """
        warm = self._each(epochs) * (self.longest - 1)
        return self.fractional and epoch >= epochs - (epochs - warm) // 2

    def _each(self, epochs: int) -> int:
        return int(self.warmup * epochs) // (self.longest - 1) if self.longest > 1 else 0


def pairs_within(times: int, longest: int) -> Tensor:
    """Numbers (i, j) `[pairs, 2]` of snapshots with 0 < j - i <= longest.

    >>> pairs_within(3, 2).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    return torch.tensor([(i, j) for i in range(times) for j in range(i + 1, min(i + longest, times - 1) + 1)])


@torch.no_grad()
def part_of_the_way(
    base: RIGNO,
    x: Tensor,
    regional: RegionalGraph,
    time: Tensor,
    lead_time: Tensor,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Input, time and lead time after the base has gone a random part of each sample's way by itself.

    That part is at least one snapshot; the derivative stepper, which divides by what is left, leaves a fifth of one,
    and half of its samples stay where they are.

    Args:
        base: the operator; its `lead_time` is the distance of snapshots.
        x: `[samples, nodes, in_channels]`.
        regional: regional graph of the nodes.
        time: `[samples]`, as is `lead_time`.
        lead_time: to the target.
        generator: of the random numbers.
    """
    dt = base.lead_time
    derivative = base.stepper is Stepper.DERIVATIVE
    gap = GAP * dt if derivative else 0.0
    share, coin = torch.rand(2, len(x), generator=generator).to(x)
    way = dt + share * (lead_time - dt - gap).clamp_min(0.0)
    if derivative:
        way = torch.where((coin < 0.5) | (lead_time - way < 0.5 * gap), 0.0, way)
    answer = base.answer(x, regional, time=time, lead_time=way) * base.target_std + base.target_mean
    state = x[..., : base.channels]
    gone = base.stepper.apply(state, answer, way)
    new = torch.where(way.view(-1, 1, 1) > 0, gone, state)
    return torch.cat([new, x[..., base.channels :]], dim=-1), time + way, lead_time - way
