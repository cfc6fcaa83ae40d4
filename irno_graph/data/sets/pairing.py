"""Which pairs of snapshots of a trajectory are learned from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PairTable:
    """The pairs (i, j) of one trajectory's snapshots, by i, then by j, without a list of them.

    Attributes:
        chosen: snapshots that pairs are made of.
        ends: number of pairs whose first snapshot is among the first 1, 2, ... chosen ones, `[chosen]`.
        shortest: distance of the nearest pair, in chosen snapshots.
    """

    chosen: range
    ends: np.ndarray
    shortest: int

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def pair(self, number: int) -> tuple[int, int]:
        """Snapshots (i, j) of pair `number` in 0..len - 1."""
        first = int(np.searchsorted(self.ends, number, side="right"))
        apart = self.shortest + number - (int(self.ends[first - 1]) if first else 0)
        return self.chosen[first], self.chosen[first + apart]


@dataclass(frozen=True)
class Pairing:
    """Pairs of snapshots `shortest` to `longest` apart, counted in the chosen ones.

    `Pairing()` has all pairs i < j, `Pairing.fixed(1)` each snapshot and the next, `Pairing(1, 7, slice(0, 15, 2))`
    those of RIGNO's and Poseidon's flows: up to 7 apart among the snapshots 0, 2, ... 14. `Pairing.fixed(0)` pairs a
    snapshot with itself: for steady sets, whose input and target are channels of one snapshot.

    Attributes:
        shortest: at least 0.
        longest: at least `shortest`; None goes from the first to the last.
        times: snapshots that are taken, running forwards.

    Raises:
        ValueError: if `shortest` is negative, `longest` below it, or `times` runs backwards.
    """

    shortest: int = 1
    longest: int | None = None
    times: slice = field(default_factory=lambda: slice(None))

    def __post_init__(self) -> None:
        if self.shortest < 0 or (self.longest is not None and self.longest < self.shortest):
            raise ValueError(
                f"pairs should be `shortest` >= 0 to `longest` >= `shortest` snapshots apart, got {self.shortest} to "
                f"{self.longest}."
            )
        if self.times.step is not None and self.times.step < 1:
            raise ValueError(f"`times` should run forwards, got step {self.times.step}.")

    @classmethod
    def fixed(cls, lead: int, times: slice = slice(None)) -> Pairing:
        """All pairs `lead` chosen snapshots apart."""
        return cls(lead, lead, times)

    def chosen(self, snapshots: int) -> range:
        """The snapshots that are taken out of `snapshots`."""
        return range(*self.times.indices(snapshots))

    def table(self, snapshots: int) -> PairTable:
        """The pairs of a trajectory of `snapshots`.

        >>> table = Pairing(1, 2).table(4)
        >>> [table.pair(number) for number in range(len(table))]
        [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
        """
        chosen = self.chosen(snapshots)
        left = len(chosen) - 1 - np.arange(len(chosen))  # snapshots after each
        longest = left if self.longest is None else np.minimum(left, self.longest)
        return PairTable(chosen, np.cumsum(np.maximum(longest - self.shortest + 1, 0)), self.shortest)
