"""Sources with more channels: vorticity and divergence, which the mesh gives, and a file's coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.normaliser import Moments
from irno_graph.data.readers.source import FieldSource, rows_of
from irno_graph.data.sets.channels import ChannelGroups
from irno_graph.data.sets.graphs import SampleGraphs, moves
from irno_graph.graph import Graph, divergence, vorticity


@dataclass(frozen=True)
class DerivedField:
    """A channel that follows from the velocity.

    Attributes:
        name: of the channel.
        of: function `(velocity [..., nodes, 2], graph) -> [..., nodes]`.
    """

    name: str
    of: Callable[[Tensor, Graph], Tensor]


VORTICITY = DerivedField("vorticity", vorticity)
DIVERGENCE = DerivedField("divergence", divergence)


class Wrapped(ABC):
    """A source with more channels after its own; everything else is the source's.

    Attributes:
        source: what is wrapped.
        moving: whether points differ between samples.

    Raises:
        ValueError: if a new channel has the name of another.
    """

    moments: Moments | None = None  # the source's own lack the new channels

    def __init__(self, source: FieldSource, added: Sequence[str]) -> None:
        self.source = source
        self.channels: tuple[str, ...] = (*source.channels, *added)
        if len(set(self.channels)) < len(self.channels):
            raise ValueError(f"`{source.path}` should get new channels, got {list(self.channels)}: rename.")
        self.path: Path = source.path
        self.format: str = source.format
        self.times: np.ndarray = source.times
        self.period: tuple[float | None, ...] | None = source.period
        self.decisions: tuple[str, ...] = (*source.decisions, f"added channels: {', '.join(added)}")
        self.moving = moves(source)
        self._graphs = SampleGraphs(source)

    def __len__(self) -> int:
        return len(self.source)

    def graph(self, index: int | None = None) -> Graph:
        """The graph of the nodes, of sample `index` where points differ.

        Raises:
            ValueError: without `index` where points differ.
        """
        if index is None and self.moving:
            raise ValueError(f"`{self.path}` has other points in each sample: pass its `index`.")
        return self._graphs.of(index or 0)

    def points(self, index: int = 0) -> np.ndarray:
        """Positions of the nodes of sample `index`, `[nodes, dim]`."""
        source: Any = self.source
        return np.asarray(source.points(index) if self.moving else self.graph().pos)

    def read(self, index: int | slice = slice(None), times: slice = slice(None)) -> Tensor:
        """Samples of `index` at `times` with the new channels, `[samples, times, nodes, channels]` float32.

        Raises:
            ValueError: as the source.
            IndexError: for a sample that the source does not have.
        """
        rows = rows_of(index, len(self), what="samples", path=self.path)
        parts = []
        for row in rows:
            fields = self.source.read(row, times)
            parts.append(torch.cat([fields, self._added(fields, row, times).to(fields)], dim=-1))
        return torch.cat(parts) if parts else torch.empty(0, 0, 0, len(self.channels))

    @abstractmethod
    def _added(self, fields: Tensor, row: int, times: slice) -> Tensor:
        """The new channels of one sample, `[1, times, nodes, new channels]`."""


class Derived(Wrapped):
    """A source with fields that its velocity and its mesh give, by `irno_graph.graph.gradient` in float64.

    They are exact for linear velocities, of second order on regular periodic meshes, of first order on others.

    Args:
        source: with a velocity in the plane, found by `ChannelGroups.of`, or named.
        fields: such as `VORTICITY` and `DIVERGENCE`.
        velocity: names of its two channels; None finds them.

    Raises:
        ValueError: if there is no such velocity, or a name is there already. `read` refuses a graph without cells.
    """

    def __init__(
        self,
        source: FieldSource,
        fields: Sequence[DerivedField] = (VORTICITY, DIVERGENCE),
        *,
        velocity: Sequence[str] | None = None,
    ) -> None:
        super().__init__(source, [field.name for field in fields])
        self.fields = tuple(fields)
        names = source.channels
        groups = ChannelGroups.of(names) if velocity is None else None
        found = [names[place] for place in groups.columns("velocity")] if groups else list(velocity or ())
        if len(found) != 2 or not set(found) <= set(names):
            raise ValueError(
                f"`{source.path}` should have a velocity of two components, got {found} of the channels "
                f"{list(names)}: pass their names as `velocity`."
            )
        self._columns = [names.index(name) for name in found]

    def _added(self, fields: Tensor, row: int, times: slice) -> Tensor:
        velocity, graph = fields[..., self._columns].double(), self._graphs.of(row)
        return torch.stack([field.of(velocity, graph) for field in self.fields], dim=-1)


class WithCoefficients(Wrapped):
    """A RIGNO file whose coefficients `c` are channels c0, c1, ..., constant in time where they are.

    Args:
        source: `RignoFile` or `RignoSamples`.

    Raises:
        ValueError: if the file has no coefficients.
    """

    def __init__(self, source: FieldSource) -> None:
        self.coefficients: Any = getattr(source, "coefficients", None)
        if self.coefficients is None:
            raise ValueError(f"`{source.path}` should have coefficients c, got none: use it as it is.")
        super().__init__(source, [f"c{place}" for place in range(self.coefficients.count)])

    def _added(self, fields: Tensor, row: int, times: slice) -> Tensor:
        shared = self.coefficients.shape[0] == 1
        found: Tensor = self.coefficients.read(0 if shared else row, times)
        return found.expand(-1, fields.shape[1], -1, -1)
