"""Files for tests of data sets: flows on one mesh, and samples with points of their own."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from flow_sources import MESH, flows, write_flows_nc

from irno_graph.mesh import Mesh

TIMES = np.array([0.0, 0.5, 1.0])


def flow_file(path: Path, samples: int = 3, times: int = 4, mesh: Mesh = MESH) -> Path:
    """Exact flows rho, vx, vy, p, E at the nodes of a mesh."""
    return write_flows_nc(path, flows(mesh.points, samples, times), mesh)


def places(samples: int = 3, nodes: int = 40, shapes: int = 3) -> np.ndarray:
    """Points `[samples, nodes, 2]`: one of `shapes` clouds in rectangles of different sizes, one after the other."""
    points = np.random.default_rng(1).uniform(size=(shapes, nodes, 2))
    points[:, :4] = [[0, 0], [1, 0], [1, 1], [0, 1]]
    points *= (1 + np.arange(shapes) / 2)[:, None, None]
    return points[np.arange(samples) % shapes]


def moving_file(path: Path, points: np.ndarray, *, steady: bool = False) -> Path:
    """u = (x + 10 y + 100 t, number of the sample) at points of each sample, and c = x^2 in RIGNO's layout."""
    samples, nodes, _ = points.shape
    value = points @ [1.0, 10.0]
    number = np.broadcast_to(np.arange(samples)[:, None, None], (samples, len(TIMES), nodes))
    u = np.stack([value[:, None] + 100 * TIMES[:, None], number], axis=-1)
    with h5py.File(path, "w") as file:
        file["u"] = u[:, 0] if steady else u
        file["x"], file["c"] = points[:, None], points[:, None, :, :1] ** 2
        if not steady:
            file["t"] = TIMES
    return path
