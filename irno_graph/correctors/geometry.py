"""What correctors need of a graph, computed once per graph."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from irno_graph.correctors.options import Options
from irno_graph.graph import Graph, graph_list
from irno_graph.graph.cache import per_graph
from irno_graph.graph.coarsening import SweepOrder
from irno_graph.graph.hierarchy import Links, hierarchy, levels_of
from irno_graph.graph.pyg import Batch
from irno_graph.graph.size import domain_sizes
from irno_graph.graph.walls import wall_features
from irno_graph.nn.pieces import OrderedEdges
from irno_graph.spectral import EigenBasis

DISTANCES = 16  # wave kernels of a spectral filter
REACH = 1.2  # the longest of them, in sizes of the domain


class Floor(NamedTuple):
    """The edges of one level, and those from it to the coarser one and back, None at the coarsest."""

    own: OrderedEdges
    restrict: OrderedEdges | None
    prolong: OrderedEdges | None


@dataclass(frozen=True)
class Waves:
    """The eigenbases of a graph, or of each graph of a batch, as a spectral filter takes them.

    Attributes:
        vectors: one `[nodes, modes]` per graph; `weighted` the same times the masses.
        waves: per graph `[modes, 2 * DISTANCES]`, cos(omega s) and sin(omega s) for distances s up to REACH
            sizes of the domain, omega the square root of the eigenvalue.
    """

    vectors: tuple[Tensor, ...]
    weighted: tuple[Tensor, ...]
    waves: tuple[Tensor, ...]


class Geometry(NamedTuple):
    """What depends on the graph alone.

    Attributes:
        floors: from the graph itself down to the coarsest level.
        waves: of the spectral filters, None without.
        static: `[nodes, 1, static]` features of the nodes, None without.
        parts: of a batch whose graphs have different numbers of coarser graphs, those of `alike`, one after the other;
            then there are no floors or waves of the whole.
    """

    floors: tuple[Floor, ...]
    waves: Waves | None
    static: Tensor | None
    parts: tuple[Geometry, ...] = ()

    @property
    def nodes(self) -> int:
        """Nodes of a geometry without parts."""
        return len(self.floors[0].own.inverse_degree)


@per_graph
def alike(graph: Graph, invariant: bool) -> tuple[Graph, ...]:
    """Of a batch, the batches of neighbouring graphs that go down as many levels; empty where all do."""
    if not isinstance(graph, Batch):
        return ()
    order = _order(invariant)
    runs = [list(same) for _, same in groupby(graph_list(graph), lambda part: levels_of(part, order=order))]
    if len(runs) == 1:
        return ()
    return tuple(run[0] if len(run) == 1 else Batch.from_data_list(run) for run in runs)


@per_graph
def floors(graph: Graph, coarser: int | None, invariant: bool) -> tuple[Floor, ...]:
    """The hierarchy of `coarser` coarser graphs (None: as many as the graph has); without vectors if `invariant`."""
    first = graph.dim if invariant else 0
    levels = hierarchy(graph, coarser, order=_order(invariant))
    return tuple(
        Floor(
            _ordered(level.links, first),
            None if level.restrict is None else _ordered(level.restrict, first),
            None if level.prolong is None else _ordered(level.prolong, first),
        )
        for level in levels
    )


def _order(invariant: bool) -> SweepOrder:
    return "intrinsic" if invariant else "position"


def _ordered(links: Links, first: int) -> OrderedEdges:
    pointers = links.pointers.cpu().numpy()
    features = links.features[:, first:].contiguous()
    return OrderedEdges(links.sources, links.targets, features, links.inverse_degree, pointers, None)


@per_graph
def waves(graph: Graph, modes: int, dtype: torch.dtype) -> Waves:
    """The first `modes` modes (at most the number of nodes) of each graph, in `dtype` on the graph's device."""
    parts = graph_list(graph)
    bases = [EigenBasis.compute(part, min(modes, len(part.pos))).to(graph.pos.device) for part in parts]
    found = []
    for size, basis in zip(domain_sizes(graph).tolist(), bases, strict=True):
        distance = torch.linspace(0.0, REACH * size, DISTANCES, dtype=torch.float64, device=graph.pos.device)
        rounding = 1e-10 * basis.eigenvalues[-1]  # what an eigensolver leaves of the eigenvalue 0
        frequency = basis.eigenvalues.where(basis.eigenvalues > rounding, 0.0).sqrt()
        angle = frequency[:, None] * distance
        found.append(torch.cat([angle.cos(), angle.sin()], dim=-1).to(dtype))
    return Waves(
        tuple(basis.vectors.to(dtype) for basis in bases),
        tuple((basis.vectors * basis.mass[:, None]).to(dtype) for basis in bases),
        tuple(found),
    )


def static_features(graph: Graph, options: Options, dtype: torch.dtype) -> Tensor | None:
    """`graph.static`, then those of the boundary, as the options want them, `[nodes, 1, channels]`.

    Raises:
        ValueError: if it is missing or has another shape.
    """
    parts = [_given(graph, options.static)] if options.static else []
    parts += [wall_features(graph)] if options.walls else []
    return torch.cat([part.to(dtype) for part in parts], dim=1).unsqueeze(1) if parts else None


def _given(graph: Graph, channels: int) -> Tensor:
    given = graph.get("static")
    nodes = graph.num_nodes
    if not isinstance(given, Tensor) or given.shape != (nodes, channels):
        came = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ValueError(
            f"`graph.static` should have shape [nodes={nodes}, static={channels}], got {came}: set it on the graph."
        )
    return given
