"""The graph of each sample of a source: one for all of them, or one for each where points differ."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np

from irno_graph.data.readers.source import FieldSource
from irno_graph.graph import Graph

KEPT = 64  # graphs in memory of a source whose points differ


def moves(source: FieldSource) -> bool:
    """Whether points differ between samples, so that `source.graph` needs the sample (as `RignoSamples` has it)."""
    return bool(getattr(source, "moving", False))


class SampleGraphs:
    """Graphs of the samples of `source`, made when they are asked for; the last `kept` stay in memory."""

    def __init__(self, source: FieldSource, kept: int = KEPT) -> None:
        self.source, self.kept = source, kept
        self._graphs: OrderedDict[int, Graph] = OrderedDict()

    def of(self, sample: int) -> Graph:
        """The graph of `sample`; the same object for all samples where points do not differ."""
        moving = moves(self.source)
        key = sample if moving else 0
        if key not in self._graphs:
            make: Any = self.source.graph
            self._graphs[key] = make(sample) if moving else make()
            if len(self._graphs) > self.kept:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def place(self, sample: int) -> bytes:
        """Hash of the positions of the sample's nodes, to float32: equal for equal places, whatever the cells."""
        source: Any = self.source
        points = source.points(sample) if moves(source) else self.of(sample).pos.numpy()
        rounded = np.ascontiguousarray(points, dtype=np.float32) + np.float32(0)  # -0 becomes 0
        return hashlib.sha256(f"{rounded.shape}".encode() + rounded.tobytes()).digest()
