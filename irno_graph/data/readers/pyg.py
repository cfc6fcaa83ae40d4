"""`torch_geometric` data sets: each `Data` as a `Graph` with its fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.graph.build import edge_tensors
from irno_graph.graph.pyg import Data
from irno_graph.mesh import Mesh
from irno_graph.mesh.mesh import checked_period

KINDS = {3: "triangle", 4: "tetra"}
MASSES = ("mass", "area")


def from_pyg(data: Data, *, period: Sequence[float | None] | None = None) -> Graph:
    """The graph of one `Data`, with its fields `x` and `y` `[nodes, channels]` float32 as attributes where it has them.

    A `Graph` is a `Data` itself, so a list of them goes to the Batch and the loaders of `torch_geometric`, which join x
    and y too. What a plain `Data` lacks are masses, cells, and edges with geometry, sorted by target:

    - with `face` [3 or 4, cells] edges, cells and masses are those of the triangles or tetrahedra;
    - else with `edge_index` the edges are the data's, both ways and without loops, masses come from the density of the
      points, and there are no cells;
    - else all is that of the Delaunay triangulation.

    Masses that come along as `mass`, or `area`, [nodes] are taken in place of those. The nodes keep their order.

    Args:
        data: with `pos` [nodes, dim].
        period: box length per axis, None for one that is not periodic; None where no axis is.

    Raises:
        ValueError: if positions are absent, fields are not finite numbers at the nodes, masses not positive there,
            edges or faces do not index them, or the cells make no sound mesh.

    >>> square = Data(pos=torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), y=torch.arange(4.0),
    ...     face=torch.tensor([[0, 0], [1, 2], [2, 3]]))
    >>> graph = from_pyg(square)
    >>> graph.mass, graph.y.shape
    (tensor([0.3333, 0.1667, 0.3333, 0.1667], dtype=torch.float64), torch.Size([4, 1]))
    """
    own: Any = data
    pos = own.pos
    if not isinstance(pos, Tensor) or pos.ndim != 2 or not len(pos) or not bool(torch.isfinite(pos).all()):
        raise ValueError(f"`data` should have finite positions `pos` [nodes, dim], got {data}.")
    points = pos.detach().cpu().double()
    face = _indices("face", own.face, len(points), tuple(KINDS)) if "face" in data else None
    pairs = _indices("edge_index", own.edge_index, len(points), (2,)) if "edge_index" in data else None
    if face is not None:
        graph = Graph.from_mesh(Mesh(points.numpy(), [(KINDS[len(face)], face.T.numpy())], period=period))
    elif pairs is not None:
        graph = _of_edges(points, pairs, period)
    else:
        graph = Graph.from_points(points.numpy(), period=period)
    for name in ("x", "y"):
        if name in data and own[name] is not None:
            graph[name] = _field(name, own[name], len(points))
    given = next((name for name in MASSES if name in data and own[name] is not None), None)
    if given is not None:
        graph.mass = _masses(given, own[given], len(points))
    return graph


def _of_edges(points: Tensor, pairs: Tensor, period: Sequence[float | None] | None) -> Graph:
    count, dim = points.shape
    nearest = min(8, count - 1)
    graph = Graph.from_points(points.numpy(), "knn", period=period, neighbours=nearest, manifold_dim=dim)
    edges = edge_tensors(points, pairs[:, pairs[0] != pairs[1]], checked_period(period, dim))
    graph.edge_index, graph.edge_attr = edges["edge_index"], edges["edge_attr"]
    return graph


def _indices(name: str, values: Any, nodes: int, rows: tuple[int, ...]) -> Tensor | None:
    if values is None:
        return None
    sound = isinstance(values, Tensor) and values.ndim == 2 and not values.is_floating_point()
    if not sound or len(values) not in rows:
        raise ValueError(
            f"`{name}` should hold whole numbers [{' or '.join(map(str, rows))}, any], got "
            f"{list(getattr(values, 'shape', []))}."
        )
    found: Tensor = values.detach().cpu().long()
    if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < nodes:
        raise ValueError(
            f"`{name}` should index nodes 0..{nodes - 1}, got {int(found.min())}..{int(found.max())}."
        )
    return found


def _masses(name: str, values: Any, nodes: int) -> Tensor:
    shape = tuple(getattr(values, "shape", ()))
    if not isinstance(values, Tensor) or values.is_complex() or shape not in ((nodes,), (nodes, 1)):
        raise ValueError(f"`{name}` should have real numbers [nodes={nodes}], got {list(shape)}.")
    masses = values.detach().cpu().double().flatten()
    bad = int((~(masses > 0) | masses.isinf()).sum())
    if bad:
        raise ValueError(
            f"`{name}` should be positive and finite at every node, got {bad} that are not: leave it out."
        )
    return masses


def _field(name: str, values: Any, nodes: int) -> Tensor:
    if (
        not isinstance(values, Tensor)
        or values.is_complex()
        or values.ndim not in (1, 2)
        or len(values) != nodes
    ):
        raise ValueError(
            f"`{name}` should have real numbers [nodes={nodes}, channels], got {list(getattr(values, 'shape', []))}: "
            "numbers of a whole graph are no field."
        )
    field: Tensor = values.detach().cpu().float()
    if not bool(torch.isfinite(field).all()):
        raise ValueError(f"`{name}` should be finite, got NaN or infinite values: leave this graph out.")
    return field[:, None] if field.ndim == 1 else field
