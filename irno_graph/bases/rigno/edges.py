"""Edges between nodes and regional nodes with their features, and features of places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irno_graph.nn.pieces import OrderedEdges, ordered_edges
from irno_graph.nn.segment import inverse_degree


@dataclass(frozen=True)
class Edges:
    """One directed edge set.

    Attributes:
        senders: `[edges]`, as are `receivers`.
        features: `[edges, axes + 1]`, (difference per axis, length) / (2 sqrt axes).
        inverse_degree: `[receivers]`, 1 / max(number of edges to it, 1).
        receiver_graph: `[receivers]`, which graph of a union each receiver belongs to; None for a single graph.
    """

    senders: Tensor
    receivers: Tensor
    features: Tensor
    inverse_degree: Tensor
    receiver_graph: Tensor | None = None

    @cached_property
    def by_receiver(self) -> OrderedEdges:
        """The edges in the order of their receivers."""
        return ordered_edges(
            self.senders, self.receivers, self.features, self.inverse_degree, self.receiver_graph
        )

    def kept(self, ids: Tensor) -> Edges:
        """The edges numbered `ids`, in their order; ids past the last edge are passed over."""
        ids = ids.to(self.senders.device, torch.long)
        ids = ids[ids < len(self.senders)].sort().values
        receivers = self.receivers[ids]
        degree = inverse_degree(receivers, len(self.inverse_degree))
        return Edges(self.senders[ids], receivers, self.features[ids], degree, self.receiver_graph)

    def to(self, device: torch.device) -> Edges:
        """A copy on `device`."""
        parts = (self.senders, self.receivers, self.features, self.inverse_degree, self.receiver_graph)
        return Edges(*(None if part is None else part.to(device) for part in parts))  # type: ignore[arg-type]


def place_features(coordinates: Tensor, frequencies: int, walls: Tensor | None = None) -> Tensor:
    """`coordinate_features`, then features of the boundary `[nodes, channels]` where there are any."""
    features = coordinate_features(coordinates, frequencies)
    return features if walls is None else torch.cat([features, walls.to(features)], dim=-1)


def coordinate_features(coordinates: Tensor, frequencies: int) -> Tensor:
    """Coordinates themselves, or sin and cos of `frequencies` multiples of pi (x + 1) where periodic."""
    if frequencies == 0:
        return coordinates
    angle = torch.pi * (coordinates + 1.0)
    multiples = torch.arange(1, frequencies + 1, dtype=coordinates.dtype, device=coordinates.device)
    angles = (angle.unsqueeze(-1) * multiples).flatten(-2)  # [nodes, axes * frequencies]
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def directed_edges(pairs: NDArray[np.int64], delta: NDArray[np.floating], receivers: int) -> Edges:
    """Edges `pairs` (sender, receiver) over the differences `delta` `[edges, axes]` of their ends."""
    length = np.linalg.norm(delta, axis=-1, keepdims=True)
    features = np.concatenate([delta, length], axis=-1) / (2.0 * np.sqrt(delta.shape[-1]))
    target = torch.from_numpy(np.ascontiguousarray(pairs[:, 1]))
    return Edges(
        torch.from_numpy(np.ascontiguousarray(pairs[:, 0])),
        target,
        torch.from_numpy(features).float(),
        inverse_degree(target, receivers),
    )
