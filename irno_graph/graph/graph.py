"""The graph that everything above works on: a `torch_geometric` Data with mesh geometry."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor

from irno_graph.graph.build import (
    edge_tensors,
    mesh_of_grid,
    mesh_of_points,
    nearest_pairs,
    pairs_within,
    tensors_from_mesh,
)
from irno_graph.graph.pyg import Data
from irno_graph.mesh.mesh import Mesh, Period, checked_period


class Graph(Data):
    """Nodes, edges and geometry of one mesh; `torch_geometric`'s Batch and loaders join several.

    Attributes:
        pos: node positions `[nodes, dim]`, float64.
        edge_index: `[2, edges]`, row 0 the source j, row 1 the target i, sorted by target, then source.
        edge_attr: `[edges, dim + 1]`, float64: pos_j - pos_i by the minimum image, and its length.
        mass: lumped control areas `[nodes]`, float64, positive; their sum is the area.
        face: triangles `[3, triangles]`, for gradients and the Laplacian.
        corner_vectors: corners of the triangles relative to their first, unwrapped, float64
            `[triangles, 3, dim]`.
        period: box length per axis, None for an axis that is not periodic; None where no axis is. In a batch
            it is the list of the graphs' periods. Kept as the attribute `box`, one entry per axis always.

    Make one with `from_mesh`, `from_points` or `from_grid`.
    """

    pos: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    mass: Tensor
    face: Tensor
    corner_vectors: Tensor

    @classmethod
    def from_mesh(cls, mesh: Mesh) -> Graph:
        """Nodes are the points, edges the sides of the cells: triangles and quads, plane or on a surface.

        A quad becomes two triangles in `face`; its diagonal is no edge. Lines and vertices are ignored.

        Raises:
            MeshError: for other cells, orphan points, flat or repeated cells, or edges of half a period.

        >>> Graph.from_mesh(Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])])).edge_index
        tensor([[1, 2, 0, 2, 0, 1],
                [0, 0, 1, 1, 2, 2]])
        """
        return cls(**tensors_from_mesh(mesh))

    @classmethod
    def from_points(
        cls,
        points: Any,
        method: str = "delaunay",
        *,
        period: Any = None,
        neighbours: int = 8,
        radius: float | None = None,
    ) -> Graph:
        """A graph on points of the plane `[points, 2]`.

        Edges are those of the Delaunay triangulation ("delaunay"), of the `neighbours` nearest nodes, both
        ways ("knn"), or of all nodes within `radius` ("radius"). Mass and face always come from the Delaunay
        triangulation.

        Raises:
            ValueError: for an unknown method, wrong shapes, NaN, coincident or too few points.
        """
        if method not in ("delaunay", "knn", "radius"):
            raise ValueError(f"`method` should be 'delaunay', 'knn' or 'radius', got '{method}'.")
        mesh = mesh_of_points(points, period)
        tensors = tensors_from_mesh(mesh)
        if method != "delaunay":
            pairs = nearest_pairs(mesh, neighbours) if method == "knn" else pairs_within(mesh, radius)
            tensors |= edge_tensors(tensors["pos"], pairs, mesh.period)
        return cls(**tensors)

    @classmethod
    def from_grid(cls, shape: tuple[int, int], *, extent: Any = None, period: Any = None) -> Graph:
        """A grid of `shape` (ny, nx) with edges to the 4 neighbours; node iy * nx + ix lies at (x_ix, y_iy).

        `extent` is (x length, y length), by default the period or 1. Along a periodic axis the n points lie
        at i L / n, along another at i L / (n - 1). The P1 Laplacian of the split squares is the 5-point
        stencil.

        >>> Graph.from_grid((3, 4), period=(1.0, 1.0)).mass.sum()
        tensor(1., dtype=torch.float64)
        """
        return cls(**tensors_from_mesh(mesh_of_grid(shape, extent, period)))

    @property
    def dim(self) -> int:
        """Number of coordinates of a node."""
        return int(self.pos.shape[1])

    @property
    def period(self) -> Any:
        """Box length per axis or None; for a batch the list of its graphs' periods."""
        box = self._store.get("box")
        if box and isinstance(box[0], list | tuple):
            return [checked_period(lengths, len(lengths)) for lengths in box]
        return None if box is None else checked_period(box, len(box))

    @period.setter
    def period(self, period: Period) -> None:
        self._store["box"] = (None,) * self.dim if period is None else tuple(period)

    def key(self) -> str:
        """Hash (SHA-256) of positions, edges, triangles and period: equal graphs have equal keys."""
        digest = hashlib.sha256(f"{self.period}".encode())
        for tensor in (self.pos, self.edge_index, self.face):
            array = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()
