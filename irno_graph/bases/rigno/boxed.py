"""Regional graphs of graphs: the box that they lie in, one for each graph of a batch, built once."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from irno_graph.bases.rigno.options import Domain
from irno_graph.bases.rigno.regional import RegionalGraph, RegionalSettings
from irno_graph.bases.rigno.unions import union
from irno_graph.graph import Graph, graph_list
from irno_graph.graph.cache import per_graph
from irno_graph.graph.walls import features_at, wall_features


@per_graph
def regional_graph(
    graph: Graph, settings: RegionalSettings, periodic: bool, domain: Domain | None
) -> RegionalGraph:
    """The regional graph of `graph`, a union for a batch."""
    built = [build(part, settings, periodic, domain) for part in graph_list(graph)]
    return union(built).to(graph.pos.device)


def build(
    graph: Graph,
    settings: RegionalSettings,
    periodic: bool,
    domain: Domain | None,
    query: np.ndarray | None = None,
) -> RegionalGraph:
    """The regional graph of one graph, with edges to `query` `[points, dim]` where it is given."""
    options = asdict(settings)
    walls = None
    if options.pop("walls"):
        walls = wall_features(graph).cpu(), None if query is None else features_at(graph, query)
    return RegionalGraph.build(
        graph.pos.cpu().numpy(),
        domain=graph_domain(graph, periodic, domain),
        periodic=periodic,
        query=query,
        walls=walls,
        **options,
    )


def graph_domain(graph: Graph, periodic: bool, domain: Domain | None = None) -> Domain:
    """The box of a graph: `domain`, else its period, or what its points span.

    Raises:
        ValueError: if `periodic` and the graph is not periodic in every axis, or not with the lengths of `domain`.
    """
    period = graph.period
    if periodic:
        if period is None or any(length is None for length in period):
            raise ValueError(
                f"this operator is for graphs that are periodic in every axis, got period={period}."
            )
        if domain is None:
            return tuple(0.0 for _ in period), tuple(float(length) for length in period)
        lengths = [high - low for low, high in zip(*domain, strict=True)]
        if not np.allclose(lengths, np.array(period, dtype=np.float64), rtol=1e-5):
            raise ValueError(
                f"this operator is for the periodic box {domain}, got a graph with period={period}: scale it."
            )
    if domain is not None:
        return domain
    return tuple(graph.pos.amin(dim=0).tolist()), tuple(graph.pos.amax(dim=0).tolist())
