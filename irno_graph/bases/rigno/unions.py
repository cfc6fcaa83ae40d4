"""The disjoint union of regional graphs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irno_graph.bases.rigno.edges import Edges
from irno_graph.bases.rigno.regional import RegionalGraph


def union(graphs: list[RegionalGraph]) -> RegionalGraph:
    """The disjoint union: nodes and regions of each graph follow those of the one before it."""
    if len(graphs) == 1:
        return graphs[0]
    if any(graph.query_features is not None for graph in graphs):
        raise ValueError(
            "graphs with query points should be asked one by one, got several: no union of them."
        )
    nodes = np.cumsum([0] + [len(graph.coordinates) for graph in graphs])
    regions = np.cumsum([0] + [len(graph.region_index) for graph in graphs])

    def graph_of(starts: NDArray[np.int64]) -> Tensor:
        return torch.repeat_interleave(torch.from_numpy(np.diff(starts)))

    def joined(name: str, senders: NDArray[np.int64], receivers: NDArray[np.int64]) -> Edges:
        sets = [getattr(graph, name) for graph in graphs]
        return Edges(
            torch.cat([edges.senders + int(start) for edges, start in zip(sets, senders, strict=False)]),
            torch.cat([edges.receivers + int(start) for edges, start in zip(sets, receivers, strict=False)]),
            torch.cat([edges.features for edges in sets]),
            torch.cat([edges.inverse_degree for edges in sets]),
            graph_of(receivers),
        )

    walls = [graph.walls for graph in graphs if graph.walls is not None]
    return RegionalGraph(
        coordinates=torch.cat([graph.coordinates for graph in graphs]),
        region_index=torch.cat(
            [g.region_index + int(start) for g, start in zip(graphs, nodes, strict=False)]
        ),
        radius=torch.cat([graph.radius for graph in graphs]),
        node_features=torch.cat([graph.node_features for graph in graphs]),
        regional_features=torch.cat([graph.regional_features for graph in graphs]),
        p2r=joined("p2r", nodes, regions),
        r2r=joined("r2r", regions, regions),
        r2p=joined("r2p", regions, nodes),
        frequencies=_same([graph.frequencies for graph in graphs]),
        node_graph=graph_of(nodes),
        walls=torch.cat(walls) if walls else None,
    )


def _same(values: list[int]) -> int:
    if any(a != b for a, b in pairwise(values)):
        raise ValueError(
            f"the graphs of a batch should all be periodic or all not, got frequencies {values}."
        )
    return values[0]
