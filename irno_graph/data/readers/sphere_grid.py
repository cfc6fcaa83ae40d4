"""Latitudes and longitudes of a file: order of nodes, positions, areas of cells, graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from irno_graph.graph import Graph
from irno_graph.graph.spheres import SphereGrid
from irno_graph.graph.spheres import latitudes as known_latitudes
from irno_graph.mesh import Mesh

TOLERANCE = 1e-2  # of a step


@dataclass(frozen=True)
class LatLonGrid:
    """Nodes from north to south, and eastward from the first longitude at or after 0.

    Attributes:
        latitude: `[nlat]` degrees, descending.
        longitude: `[nlon]` degrees, ascending in even steps.
        upside_down: whether the file's latitudes ascend.
        shift: place in the file of the first longitude.
        westward: whether the file's longitudes descend.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    upside_down: bool
    shift: int
    westward: bool

    @classmethod
    def of(cls, latitude: np.ndarray, longitude: np.ndarray) -> LatLonGrid:
        """The grid of a file's coordinates.

        Raises:
            ValueError: for latitudes that are not monotone or outside [-90, 90], or uneven longitudes.
        """
        lat, lon = np.asarray(latitude, dtype=np.float64), np.asarray(longitude, dtype=np.float64)
        if len(lat) < 2 or np.abs(lat).max() > 90 + 1e-6 or len({*np.sign(np.diff(lat))} - {0}) != 1:
            raise ValueError(
                f"latitudes should be at least 2 within [-90, 90], all ascending or all descending, got {lat[:4]} ..."
            )
        if (np.diff(lat) == 0).any():
            raise ValueError(f"latitudes should differ, got {lat[:4]} ...")
        westward = len(lon) > 1 and lon[0] > lon[-1]
        lon = lon[::-1] if westward else lon
        steps = np.diff(lon)
        even = len(lon) > 1 and steps.min() > 0 and np.ptp(steps) < TOLERANCE * steps.mean()
        if not even or steps.mean() * len(lon) > 360 * (1 + 1e-3):
            raise ValueError(f"longitudes should go in even steps, once around at most, got {lon[:4]} ...")
        shift = 0
        if _closes(lon):
            wrapped = lon % 360
            wrapped[wrapped > 360 - TOLERANCE * steps.mean()] = 0.0  # rounding of 0
            shift = int(np.argmin(wrapped))
            lon = wrapped[shift] + steps.mean() * np.arange(len(lon))
        return cls(np.sort(np.clip(lat, -90, 90))[::-1].copy(), lon, bool(lat[0] < lat[-1]), shift, westward)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.latitude) * len(self.longitude)

    @property
    def is_global(self) -> bool:
        """Whether the cells cover the sphere."""
        north, south = self.edges[[0, -1]]
        return _closes(self.longitude) and north == 90 and south == -90

    @property
    def edges(self) -> np.ndarray:
        """Latitudes between the rows `[nlat + 1]`, descending; a pole where it is within 0.8 steps.

        The first of n Gaussian latitudes is 0.766 steps from the pole, by the first zero of J_0.
        """
        lat = self.latitude
        steps = -np.diff(lat)
        north, south = lat[0] + steps[0] / 2, lat[-1] - steps[-1] / 2
        north = 90.0 if 90 - lat[0] <= 0.8 * steps[0] else north
        south = -90.0 if 90 + lat[-1] <= 0.8 * steps[-1] else south
        return np.concatenate([[north], (lat[1:] + lat[:-1]) / 2, [south]])

    @property
    def decisions(self) -> tuple[str, ...]:
        """How the file's order was read."""
        rows = "ascending, turned over" if self.upside_down else "descending, kept"
        return (
            f"latitudes of the file are {rows}; nodes go from {self.latitude[0]:g} to {self.latitude[-1]:g} degrees",
            f"longitudes go eastward from {self.longitude[0]:g} degrees"
            + (f", where the file has its entry {self.shift}" if self.shift else ""),
            "cells cover the sphere" if self.is_global else "cells cover a part of the sphere",
        )

    def flatten(self, values: np.ndarray) -> np.ndarray:
        """`[..., latitude, longitude]` in the file's order to `[..., nodes]`."""
        rows = values[..., ::-1, :] if self.upside_down else values
        columns = rows[..., ::-1] if self.westward else rows
        return np.roll(columns, -self.shift, axis=-1).reshape(*values.shape[:-2], self.nodes)

    def positions(self) -> np.ndarray:
        """Nodes on the unit sphere `[nodes, 3]`."""
        lat, lon = np.meshgrid(np.radians(self.latitude), np.radians(self.longitude), indexing="ij")
        points = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
        return np.stack(points, axis=-1).reshape(-1, 3)

    def areas(self) -> np.ndarray:
        """Areas of the nodes' cells `[nodes]` on the unit sphere: (sin north edge - sin south edge) times the step.

        Cells reach half way to the neighbours, and to the poles; a row at a pole shares the cap. The sum is 4 pi where
        the grid is global.
        """
        heights = -np.diff(np.sin(np.radians(self.edges)))
        step = np.radians(np.diff(self.longitude).mean())
        return np.repeat(heights * step, len(self.longitude))

    def graph(self) -> Graph:
        """`Graph.from_sphere` where the latitudes are of a kind that it knows, with its quadrature as masses.

        Else triangles between neighbours, open at the poles and closed around where the longitudes are, with `areas`
        as masses.

        Raises:
            ValueError: for rows of nodes at a pole of another grid, which are one point.
        """
        kind = self._kind()
        if kind is not None:
            return Graph.from_sphere(len(self.latitude), len(self.longitude), grid=kind)
        if np.abs(self.latitude).max() > 90 - 1e-6:
            raise ValueError(
                "latitudes with a pole should be global, equiangular or Lobatto's, with longitudes from 0, got "
                f"{self.latitude[:3]} ... and {self.longitude[:2]} ...: leave the pole out."
            )
        graph = Graph.from_mesh(Mesh(self.positions(), [("triangle", self._triangles())]))
        graph.mass = torch.from_numpy(self.areas())
        return graph

    def _kind(self) -> SphereGrid | None:
        if (
            not self.is_global
            or abs(self.longitude[0]) > 1e-6
            or len(self.latitude) < 3
            or len(self.longitude) < 4
        ):
            return None
        step = np.abs(np.diff(self.latitude)).mean()
        for kind in get_args(SphereGrid):
            known = np.degrees(np.arcsin(known_latitudes(len(self.latitude), kind)[0]))
            if np.abs(known - self.latitude).max() < TOLERANCE * step:
                return kind
        return None

    def _triangles(self) -> np.ndarray:
        rows, columns = len(self.latitude), len(self.longitude)
        number = np.arange(rows * columns).reshape(rows, columns)
        east = np.roll(number, -1, axis=1)
        last = columns if _closes(self.longitude) else columns - 1
        a, b = number[1:, :last].ravel(), east[1:, :last].ravel()  # south
        c, d = east[:-1, :last].ravel(), number[:-1, :last].ravel()  # north
        return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def _closes(longitude: np.ndarray) -> bool:
    step = float(np.diff(longitude).mean())
    return abs(step * len(longitude) - 360) < TOLERANCE * step
