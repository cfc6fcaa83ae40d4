"""RIGNO's regional graph: which nodes become regional nodes and how both sets are linked.

Source: RIGNO (arXiv 2501.19205), section 3 and appendix; all geometry is taken in the frame [-1, 1] per axis.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irno_graph.bases.rigno.edges import Edges, directed_edges, place_features
from irno_graph.bases.rigno.support import (
    minimum_support_radius,
    regional_pairs,
    support_pairs,
    wrapped,
)
from irno_graph.bases.rigno.triangulation import tile_shifts, triangulation


@dataclass(frozen=True)
class RegionalSettings:
    """How a regional graph is built; the meanings are those of `RegionalGraph.build`."""

    subsample_factor: float = 4.0
    overlap_p2r: float = 1.0
    overlap_r2p: float = 2.0
    levels: int = 6
    coordinate_frequencies: int = 4
    seed: int = 0
    cover: bool = True
    walls: bool = False  # whether nodes know where the boundary is (`graph.walls.wall_features`)


@dataclass(frozen=True)
class RegionalGraph:
    """Physical nodes, regional nodes and the edge sets p2r, r2r and r2p between them.

    Attributes:
        coordinates: `[nodes, axes]` in the frame [-1, 1].
        region_index: `[regional]` the nodes that are regional nodes; a prefix is a coarser level.
        radius: `[regional]` minimum support radius in the frame.
        node_features: `[nodes, features]`; `regional_features` `[regional, features + 1]`.
        p2r, r2r, r2p: the edge sets, with features (difference per axis, length) / (2 sqrt axes).
        frequencies: of the coordinate features, 0 where the domain is not periodic.
        query_features: `[points, features]` where the edges r2p lead to query points, not to the nodes.
        node_graph: `[nodes]`, which graph of a union each node belongs to; None for a single graph.
        walls: `[nodes, 2 + axes]`, the last part of `node_features`; None without.
    """

    coordinates: Tensor
    region_index: Tensor
    radius: Tensor
    node_features: Tensor
    regional_features: Tensor
    p2r: Edges
    r2r: Edges
    r2p: Edges
    frequencies: int
    query_features: Tensor | None = None
    node_graph: Tensor | None = None
    walls: Tensor | None = None

    @staticmethod
    def build(
        points: NDArray[np.floating],
        *,
        domain: tuple[tuple[float, ...], tuple[float, ...]],
        periodic: bool,
        region_index: NDArray[np.integer] | None = None,
        subsample_factor: float = 4.0,
        overlap_p2r: float = 1.0,
        overlap_r2p: float = 2.0,
        levels: int = 6,
        coordinate_frequencies: int = 4,
        seed: int = 0,
        cover: bool = False,
        query: NDArray[np.floating] | None = None,
        walls: tuple[Tensor, Tensor | None] | None = None,
    ) -> RegionalGraph:
        """Build the regional graph of `points` `[nodes, axes]` in `domain` (low corner, high corner).

        Two axes are the reference's case, whose edges come out one for one; no edge is ever cut off.

        Args:
            points: physical nodes.
            domain: corners of the box that is mapped to [-1, 1]^axes, each axis by itself.
            periodic: whether the box is periodic in every axis.
            region_index: nodes to become regional nodes, in order; None draws nodes / subsample_factor of them.
            subsample_factor: ratio of node numbers from level to level.
            overlap_p2r: support radius over minimum support radius for the edges node -> region.
            overlap_r2p: the same for the edges region -> node.
            levels: number of levels in the regional edge set.
            coordinate_frequencies: Fourier features per axis of the coordinates of a periodic domain.
            seed: of the draw.
            cover: link a node that lies in no support (the reference leaves such nodes alone) to the nearest region.
            query: `[points, axes]` where the output is wanted; None is at the nodes.
            walls: features of the boundary at the nodes `[nodes, 2 + axes]`, and at the query points.

        Raises:
            ValueError: if `points` or `query` are not `[nodes, 2 or 3]` finite numbers, `domain` is no box around them,
                `region_index` does not number nodes, or there are too few points for the regional level.
        """
        points = _checked("points", points)
        low, high = (np.asarray(corner, dtype=np.float64) for corner in domain)
        axes, slack = points.shape[1], 1e-4 * (high - low)
        if low.shape != (axes,) or high.shape != (axes,) or not (high > low).all():
            raise ValueError(
                f"`domain` should be (low, high) corners of a box in {axes} dimensions, got {domain}: correct it."
            )

        if not periodic and not ((points >= low - slack) & (points <= high + slack)).all():
            raise ValueError(
                f"`points` should lie in the box {domain}, got {points.min(axis=0)} ... {points.max(axis=0)}: scale "
                "them, or give the box they lie in."
            )

        def framed(places: NDArray[np.float64]) -> NDArray[np.float64]:
            if periodic:
                places = low + np.mod(places - low, high - low)
            return (2.0 * (places - low) / (high - low) - 1.0).astype(np.float32).astype(np.float64)

        coordinates = framed(points)
        targets = coordinates if query is None else framed(_checked("query", query, axes))
        if levels < 1 or subsample_factor < 1:
            raise ValueError(
                f"`levels` and `subsample_factor` should be 1 or more, got {levels} and {subsample_factor}: raise them."
            )
        if region_index is None:
            draw = np.random.default_rng(seed).permutation(len(points))
            region_index = draw[: int(len(points) / subsample_factor)]
        region_index = _chosen(region_index, points, subsample_factor)
        regional = coordinates[region_index]
        mesh = triangulation(regional, periodic)
        radius = minimum_support_radius(mesh)
        p2r = support_pairs(coordinates, regional, radius, overlap_p2r, periodic, cover=cover)
        r2p = support_pairs(targets, regional, radius, overlap_r2p, periodic, cover=cover)[:, ::-1]
        r2r, tiles = regional_pairs(regional, levels, subsample_factor, periodic, mesh)
        frequencies = coordinate_frequencies if periodic else 0
        own, at_query = (None, None) if walls is None else walls
        own = None if own is None else own.float()
        features = place_features(torch.from_numpy(coordinates).float(), frequencies, own)
        shifts = tile_shifts(axes)[tiles]  # [edges, 2, axes]
        across = (regional[r2r[:, 0]] + shifts[:, 0]) - (regional[r2r[:, 1]] + shifts[:, 1])
        inward = coordinates[p2r[:, 0]] - regional[p2r[:, 1]]
        outward = regional[r2p[:, 0]] - targets[r2p[:, 1]]
        index = torch.from_numpy(region_index)
        support = torch.from_numpy(overlap_p2r * radius).float().unsqueeze(-1)
        return RegionalGraph(
            coordinates=torch.from_numpy(coordinates).float(),
            region_index=index,
            radius=torch.from_numpy(radius).float(),
            node_features=features,
            regional_features=torch.cat([features[index], support], dim=-1),
            p2r=directed_edges(p2r, wrapped(inward) if periodic else inward, len(regional)),
            r2r=directed_edges(r2r, across, len(regional)),
            r2p=directed_edges(r2p, wrapped(outward) if periodic else outward, len(targets)),
            frequencies=frequencies,
            query_features=None
            if query is None
            else place_features(torch.from_numpy(targets).float(), frequencies, at_query),
            walls=own,
        )

    def moved(self, matrix: Tensor, shift: Tensor) -> RegionalGraph:
        """The same graph after x -> matrix x + shift in the frame [-1, 1]; a symmetry of the domain is up to you.

        Query points are not moved along: ask for them in the graph as it was built.
        """

        def turned(edges: Edges) -> Edges:
            vectors = edges.features[:, :-1] @ matrix.T
            return replace(edges, features=torch.cat([vectors, edges.features[:, -1:]], dim=-1))

        coordinates = self.coordinates @ matrix.T + shift
        walls = self.walls
        if walls is not None:
            walls = torch.cat([walls[:, :2], walls[:, 2:] @ matrix.T], dim=-1)
        features = place_features(coordinates, self.frequencies, walls)
        support = self.regional_features[:, -1:]
        return replace(
            self,
            coordinates=coordinates,
            walls=walls,
            node_features=features,
            regional_features=torch.cat([features[self.region_index], support], dim=-1),
            p2r=turned(self.p2r),
            r2r=turned(self.r2r),
            r2p=turned(self.r2p),
        )

    def kept(self, p2r: Tensor, r2r: Tensor, r2p: Tensor) -> RegionalGraph:
        """With only the edges that these numbers `[kept]` name in each set."""
        return replace(self, p2r=self.p2r.kept(p2r), r2r=self.r2r.kept(r2r), r2p=self.r2p.kept(r2p))

    def thinned(self, share: float, generator: torch.Generator | None = None) -> RegionalGraph:
        """With a random part of the edges of each set, `share` of them left out (edge masking in training).

        Raises:
            ValueError: if `share` is not in [0, 1).
        """
        if not 0.0 <= share < 1.0:
            raise ValueError(f"`share` should be in [0, 1), got {share}: 0.5 is RIGNO's own.")

        def draw(edges: Edges) -> Tensor:
            count = len(edges.senders)
            return torch.randperm(count, generator=generator)[: int((1.0 - share) * count)]

        return self.kept(draw(self.p2r), draw(self.r2r), draw(self.r2p)) if share > 0 else self

    def to(self, device: torch.device) -> RegionalGraph:
        """A copy on `device`."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part.to(device) for name, part in parts.items() if hasattr(part, "to")})

    def of_nodes(self, times: Tensor) -> Tensor:
        """Times of the nodes `[samples, nodes or 1]` from `[samples]` or, by graph, `[samples, graphs]`."""
        if times.dim() == 1 or times.shape[1] == 1 or self.node_graph is None:
            return times.view(len(times), -1)
        return times.index_select(1, self.node_graph)


def _checked(name: str, points: NDArray[np.floating], axes: int | None = None) -> NDArray[np.float64]:
    places = np.asarray(points, dtype=np.float64)
    allowed = (2, 3) if axes is None else (axes,)
    if places.ndim != 2 or places.shape[1] not in allowed or not np.isfinite(places).all():
        shapes = " or ".join(f"[nodes, {number}]" for number in allowed)
        raise ValueError(
            f"`{name}` should be finite and of shape {shapes}, got {list(places.shape)}: check them."
        )
    return places


def _chosen(
    index: NDArray[np.integer], points: NDArray[np.float64], subsample_factor: float
) -> NDArray[np.int64]:
    """The numbers of the regional nodes, checked."""
    chosen, axes = np.asarray(index, dtype=np.int64), points.shape[1]
    if len(np.unique(chosen)) < len(chosen):
        raise ValueError("`region_index` should name no node twice, got repeated numbers: make it unique.")
    if chosen.min(initial=0) < 0 or chosen.max(initial=0) >= len(points):
        raise ValueError(
            f"`region_index` should number nodes 0 ... {len(points) - 1}, got {chosen.min()} ... {chosen.max()}: "
            "correct it."
        )
    if len(chosen) < 2 + axes:
        raise ValueError(
            f"a regional graph needs at least {2 + axes} regional nodes, got {len(chosen)} from {len(points)} points: "
            f"lower `subsample_factor`={subsample_factor} or use more points."
        )
    return chosen
