"""Correctors of every kind and with every option, and small graphs of every dimension."""

from functools import cache

import domains
import numpy as np
import torch
from torch_geometric.data import Batch

from irno_graph.correctors import (
    Anchored,
    EdgeMessagePassing,
    MessagePassing,
    MultiscaleMessagePassing,
    Options,
)
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box

TIMES = {"time": 0.3, "lead_time": 0.7}


def curve(count):
    """A line that walks through space."""
    points = np.cumsum(np.random.default_rng(0).random((count, 3)), axis=0)
    return Mesh(points, [("line", np.stack([np.arange(count - 1), np.arange(1, count)], axis=1))])


MESHES = {
    "interval": lambda: domains.interval(40),
    "periodic box": lambda: periodic_box(120, seed=3),
    "square": lambda: domains.square_of_quads(8),
    "cube": lambda: domains.cube_of_tetrahedra(3),
    "surface": lambda: domains.bumpy_sphere(90),
    "curve in space": lambda: curve(40),
}
IRREGULAR = [name for name in MESHES if "periodic" not in name]


def with_features(graph, seed=0):
    """The graph with two features at every node, for those that take them."""
    features = np.random.default_rng(seed).standard_normal((graph.num_nodes, 2))
    graph.static = torch.from_numpy(features)
    return graph


@cache
def graph_of(name):
    return with_features(Graph.from_mesh(MESHES[name]()))


@cache
def ragged():
    """A batch of graphs in the plane with 1 to 4 coarser graphs, the small ones between the large ones."""
    meshes = (
        domains.disk(1),
        periodic_box(120, seed=3),
        domains.square_of_quads(20),
        domains.disk(2),
        domains.disk(3),
    )
    return Batch.from_data_list([with_features(Graph.from_mesh(mesh)) for mesh in meshes])


def _flat(dim, **options):
    return MessagePassing(3, 2, hidden=12, layers=2, dim=dim, options=Options(small=1.0, **options))


def _multiscale(dim, levels=None, modes=0, **options):
    return MultiscaleMessagePassing(
        3, 2, hidden=12, levels=levels, modes=modes, dim=dim, options=Options(small=1.0, **options)
    )


def _edges(dim, **options):
    return EdgeMessagePassing(3, 2, hidden=12, layers=2, dim=dim, options=Options(small=1.0, **options))


def product(x, h, graph):
    """A residual of two channels, and none of h's."""
    return x[..., :2] * h - x[..., 2:]


def _anchored(dim, **options):
    inner = MultiscaleMessagePassing(3, 4, hidden=12, dim=dim, options=Options(small=1.0, **options))
    return Anchored(inner, product, channels=2)


CORRECTORS = {
    "flat": _flat,
    "flat, edges as they are": lambda dim: _flat(dim, edge_hidden=0),
    "flat, edges kept": lambda dim: _flat(dim, memory="keep"),
    "flat, static and times": lambda dim: _flat(dim, static=2, time=True, lead_time=True),
    "flat, invariant": lambda dim: _flat(dim, invariant=True),
    "three levels": lambda dim: _multiscale(dim, levels=3),
    "all levels": _multiscale,
    "all levels, invariant": lambda dim: _multiscale(dim, invariant=True),
    "all levels, static and time": lambda dim: _multiscale(dim, static=2, time=True),
    "spectral": lambda dim: _multiscale(dim, modes=12),
    "spectral, invariant": lambda dim: _multiscale(dim, levels=2, modes=12, invariant=True),
    "edges": _edges,
    "edges, static and lead time": lambda dim: _edges(dim, static=2, lead_time=True),
    "edges, invariant": lambda dim: _edges(dim, invariant=True),
    "anchored": _anchored,
    "anchored, invariant": lambda dim: _anchored(dim, invariant=True),
}
INVARIANT = [name for name in CORRECTORS if "invariant" in name]


def fields(graph, *leading):
    """x and h `[*leading, nodes, channels]`."""
    x = torch.randn(*leading, graph.num_nodes, 3, dtype=torch.float64)
    return x, torch.randn(*leading, graph.num_nodes, 2, dtype=torch.float64)


def timed(corrector):
    """Phi(x, h, graph) at the times `TIMES`."""
    return lambda x, h, graph: corrector(x, h, graph, **TIMES)
