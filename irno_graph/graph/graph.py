"""The graph that everything above works on: a `torch_geometric` Data with mesh geometry."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from irno_graph.graph.build import COUNTS, KINDS, edge_tensors, tensors_from_mesh
from irno_graph.graph.grids import tensors_of_grid
from irno_graph.graph.order import Order, locality_order, renumbered_mesh
from irno_graph.graph.points import bare_mesh, density_mass, mesh_of_points, nearest_pairs, pairs_within
from irno_graph.graph.pyg import Data
from irno_graph.graph.spheres import SphereGrid, tensors_of_icosphere, tensors_of_sphere
from irno_graph.mesh.mesh import Mesh, Period, checked_period


class Graph(Data):
    """Nodes, edges and geometry of one mesh; `torch_geometric`'s Batch and loaders join several.

    Attributes:
        pos: node positions `[nodes, dim]`, float64.
        edge_index: `[2, edges]`, row 0 the source j, row 1 the target i, sorted by target, then source.
        edge_attr: `[edges, dim + 1]`, float64: pos_j - pos_i by the minimum image, and its length.
        mass: lumped control lengths, areas or volumes `[nodes]`, float64, positive; their sum is the domain's.
        cell_kind: type of each cell `[cells]`, a place in `graph.build.KINDS`; see `cells`.
        cell_index: corners of all cells, one after the other `[corners of all]`.
        cell_vectors: their positions relative to the first corner of their cell, unwrapped `[corners of all, dim]`.
        original_index: point of the mesh that each node is `[nodes]`, where the order was changed.
        period: box length per axis, None for an axis that is not periodic; None where no axis is. In a batch
            it is the list of the graphs' periods. Kept as the attribute `box`, one entry per axis always.
        grid_shape: points per axis of a graph made by `from_grid`, the slowest axis first, else None. In a batch it is
            the list of the graphs'. Kept as the attribute `grid`, empty where there is none.

    Make one with `from_mesh`, `from_points`, `from_grid`, `from_sphere` or `from_icosphere`.
    """

    pos: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    mass: Tensor
    cell_kind: Tensor
    cell_index: Tensor
    cell_vectors: Tensor

    def __init__(self, **tensors: Any) -> None:
        super().__init__(**tensors)
        self._store.setdefault("grid", ())  # graphs of a batch have the same attributes
        self._store.setdefault("sphere_shape", ())
        self._store.setdefault("sphere_grid", "")

    @classmethod
    def from_mesh(cls, mesh: Mesh, *, order: Order | None = None) -> Graph:
        """Nodes are the points, edges the sides of the cells: curves, surfaces and volumes, mixed types too.

        Cells below the highest dimension, which mark boundaries, are left out. Nodes keep the order of the points
        unless `order` is "hilbert" or "cuthill_mckee", which put neighbours near each other in memory;
        `to_original` undoes it.

        Raises:
            MeshError: for orphan points, flat, tangled or repeated cells, or edges of half a period.

        >>> Graph.from_mesh(Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])])).edge_index
        tensor([[1, 2, 0, 2, 0, 1],
                [0, 0, 1, 1, 2, 2]])
        """
        if order is None:
            return cls(**tensors_from_mesh(mesh))
        permutation = locality_order(mesh, order)
        graph = cls(**tensors_from_mesh(renumbered_mesh(mesh, permutation)))
        graph.original_index = torch.from_numpy(permutation.copy())
        return graph

    @classmethod
    def from_points(
        cls,
        points: Any,
        method: str = "delaunay",
        *,
        period: Any = None,
        neighbours: int = 8,
        radius: float | None = None,
        manifold_dim: int | None = None,
    ) -> Graph:
        """A graph on points `[points, dim]` of the line, the plane or space.

        Edges are those of the Delaunay triangulation ("delaunay"), of the `neighbours` nearest nodes, both
        ways ("knn"), or of all nodes within `radius` ("radius"). Mass and cells come from the Delaunay
        triangulation, unless `manifold_dim` says that the points sample a curve (1), a surface (2) or a volume (3)
        that should not be triangulated: then there are no cells, masses come from the density of the points, and the
        Laplacian from the edges.

        Raises:
            ValueError: for an unknown method, wrong shapes, NaN, coincident or too few points.
        """
        if method not in ("delaunay", "knn", "radius"):
            raise ValueError(f"`method` should be 'delaunay', 'knn' or 'radius', got '{method}'.")
        if manifold_dim is None:
            mesh = mesh_of_points(points, period)
            tensors = tensors_from_mesh(mesh)
        else:
            mesh = bare_mesh(points, period)
            tensors = _cloud_tensors(mesh, method, manifold_dim)
        if method != "delaunay":
            pairs = nearest_pairs(mesh, neighbours) if method == "knn" else pairs_within(mesh, radius)
            tensors |= edge_tensors(tensors["pos"], pairs, mesh.period)
        return cls(**tensors)

    @classmethod
    def from_grid(
        cls,
        shape: tuple[int, ...],
        *,
        extent: Any = None,
        period: Any = None,
        centred: bool = False,
        order: Order | None = None,
    ) -> Graph:
        """A grid of `shape` (nx,), (ny, nx) or (nz, ny, nx) with edges along its axes.

        Node (iz * ny + iy) * nx + ix lies at (x_ix, y_iy, z_iz), unless `order` renumbers the nodes as in `from_mesh`.
        `extent` and `period` are lengths along (x, y, z), extents by default the periods or 1. Along a periodic axis
        the n points lie at i L / n, along another at i L / (n - 1). With `centred` they lie at (i + 1/2) L / n on every
        axis, and the masses are those of whole cells. The Laplacian is the stencil of 2 dim + 1 points, its boundaries
        are natural (Neumann).

        Raises:
            ValueError: if `shape`, `extent` and `period` do not fit each other or an axis has too few points: 2, or 3
                where it is periodic.

        >>> Graph.from_grid((3, 4), period=(1.0, 1.0)).mass.sum()
        tensor(1., dtype=torch.float64)
        >>> Graph.from_grid((4,), extent=(2.0,), centred=True).pos.flatten()
        tensor([0.2500, 0.7500, 1.2500, 1.7500], dtype=torch.float64)
        """
        return cls(**tensors_of_grid(shape, extent, period, centred=centred, order=order))

    @classmethod
    def from_sphere(cls, nlat: int, nlon: int, *, grid: SphereGrid = "equiangular") -> Graph:
        """The unit sphere at `nlat` latitudes from pole to pole and `nlon` longitudes; node i_lat * nlon + i_lon.

        Grids are "equiangular" and "lobatto", with both poles, and "legendre-gauss". Masses are the weights of the
        grid's quadrature times 2 pi / nlon: their sum is 4 pi, and they integrate spherical harmonics of degrees up to
        nlat - 1, 2 nlat - 3 or 2 nlat - 1 exactly (of orders other than multiples of nlon). A pole is nlon nodes, as
        in files of such fields. Edges run along parallels and meridians, which go on at the other side of a pole; a
        node at a pole is linked to the ring's nodes next to its meridian too. The shape and the grid stay with the
        graph as `sphere_shape` and `sphere_grid`.

        Raises:
            ValueError: for another grid, fewer than 3 latitudes or 4 longitudes.

        >>> float(Graph.from_sphere(5, 8).mass.sum() / torch.pi)
        4.0
        """
        return cls(**tensors_of_sphere(nlat, nlon, grid))

    @classmethod
    def from_icosphere(cls, cuts: int) -> Graph:
        """The unit sphere on an icosahedron cut `cuts` times, 10 * 4^cuts + 2 nodes; masses have the sum 4 pi.

        Raises:
            ValueError: if `cuts` is negative.

        >>> Graph.from_icosphere(2).num_nodes
        162
        """
        return cls(**tensors_of_icosphere(cuts))

    @property
    def dim(self) -> int:
        """Number of coordinates of a node."""
        return int(self.pos.shape[1])

    @property
    def face(self) -> Tensor:
        """Triangles `[3, triangles]` of the surface cells, as pictures need them: a quad gives two."""
        found = [torch.empty(0, 3, dtype=torch.long, device=self.pos.device)]
        for kind, corners, _ in self.cells():
            if kind == "triangle":
                found.append(corners)
            elif kind in ("quad", "pixel"):
                found += [corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]
        faces = torch.cat(found)
        distinct = (faces != faces.roll(1, dims=1)).all(dim=1)  # not on the rim of a grid of centres
        return faces[distinct].T.contiguous()

    def cells(self) -> list[tuple[str, Tensor, Tensor]]:
        """Type, corners `[cells, corners]` and their relative positions `[cells, corners, dim]`, per type.

        The types are meshio's, and "pixel" and "voxel" for a quad and a hexahedron of a grid. Where points are the
        centres of cells, those at the boundary have corners that are the same node. In a batch the cells of all graphs
        come together.
        """
        counts = COUNTS.to(self.cell_kind.device)[self.cell_kind.long()]
        start = counts.cumsum(0) - counts
        blocks = []
        for number, kind in enumerate(KINDS):
            first = start[self.cell_kind == number]
            if len(first):
                rows = first[:, None] + torch.arange(int(COUNTS[number]), device=first.device)
                blocks.append((kind, self.cell_index[rows], self.cell_vectors[rows]))
        return blocks

    def to_original(self, field: Tensor) -> Tensor:
        """`field` `[..., nodes, channels]` in the order of the points that the graph was made from."""
        order = self._store.get("original_index")
        if order is None:
            return field
        return torch.empty_like(field).index_copy_(-2, order.to(field.device), field)

    def from_original(self, field: Tensor) -> Tensor:
        """`field` `[..., points, channels]` in the order of the nodes: undoes `to_original`."""
        order = self._store.get("original_index")
        return field if order is None else field.index_select(-2, order.to(field.device))

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

    @property
    def grid_shape(self) -> Any:
        """Points per axis, the slowest first, or None where it is no grid; for a batch the list of those."""
        counts = self._store.get("grid", ())
        if counts and isinstance(counts[0], list | tuple):
            return [tuple(own) or None for own in counts]
        return tuple(counts) or None

    def key(self) -> str:
        """Hash (SHA-256) of positions, edges, cells and period: equal graphs have equal keys."""
        digest = hashlib.sha256(f"{self.period}".encode())
        for tensor in (self.pos, self.edge_index, self.cell_index, self.cell_kind):
            array = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


def _cloud_tensors(mesh: Mesh, method: str, manifold_dim: int) -> dict[str, Any]:
    """Positions, density masses and no cells."""
    if not 1 <= manifold_dim <= mesh.dim:
        raise ValueError(f"`manifold_dim` should be in 1..{mesh.dim}, the coordinates, got {manifold_dim}.")
    if method == "delaunay":
        raise ValueError(
            "`method` should be 'knn' or 'radius' where `manifold_dim` is given, got 'delaunay'."
        )
    return {
        "pos": torch.from_numpy(mesh.points.copy()),
        "mass": density_mass(mesh, manifold_dim),
        "cell_index": torch.empty(0, dtype=torch.long),
        "cell_vectors": torch.empty(0, mesh.dim, dtype=torch.float64),
        "cell_kind": torch.empty(0, dtype=torch.uint8),
        "manifold_dim": manifold_dim,
        "period": mesh.period,
    }
