"""Time of reading, auditing, graph building and Laplacian: `python benchmarks/meshes.py [--out FILE.json]`.

Irregular triangles in the unit square (a jittered grid, Delaunay), one thread, the best of three runs up to 100,000
nodes and one run beyond.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import about, seconds, sentence, write_json
from rich.console import Console
from rich.table import Table
from scipy.spatial import Delaunay

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, read_mesh, write_mesh
from irno_graph.spectral import laplacian

SIZES = (4_096, 16_384, 65_536, 262_144, 1_048_576)
NAMES = {
    "write_vtu": "write VTU",
    "read_vtu": "read VTU",
    "read_msh": "read Gmsh 2.2",
    "audit": "audit",
    "graph": "graph",
    "graph_hilbert": "graph, Hilbert order",
    "laplacian": "Laplacian",
}


def square(nodes: int) -> Mesh:
    """About `nodes` points: a grid whose inner points are moved by up to 0.3 of the spacing."""
    side = round(nodes**0.5)
    y, x = np.mgrid[:side, :side] / (side - 1)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    inner = ((points > 0) & (points < 1)).all(axis=1)
    points[inner] += np.random.default_rng(0).uniform(-0.3, 0.3, (int(inner.sum()), 2)) / side
    return Mesh(points, [("triangle", Delaunay(points).simplices)])


def least(work: Callable[[], Any], repeats: int) -> float:
    """Least seconds of `repeats` calls."""
    return min(seconds(work) for _ in range(repeats))


def measured(nodes: int, folder: Path) -> dict[str, float]:
    """All times of one size, in seconds."""
    mesh = square(nodes)
    vtu, msh = folder / "a.vtu", folder / "a.msh"
    write_mesh(vtu, mesh)
    write_mesh(msh, mesh)
    read_mesh(vtu)  # the first call starts the reading process
    graph = Graph.from_mesh(mesh)
    repeats = 3 if nodes < 100_000 else 1
    work: dict[str, Callable[[], Any]] = {
        "write_vtu": lambda: write_mesh(vtu, mesh),
        "read_vtu": lambda: read_mesh(vtu),
        "read_msh": lambda: read_mesh(msh),
        "audit": mesh.audit,
        "graph": lambda: Graph.from_mesh(mesh),
        "graph_hilbert": lambda: Graph.from_mesh(mesh, order="hilbert"),
        "laplacian": lambda: laplacian(graph),
    }
    return {"nodes": len(mesh.points), **{name: least(call, repeats) for name, call in work.items()}}


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = about("meshio")
    print(sentence(found))
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(nodes, Path(folder)) for nodes in given.sizes]
    table = Table("nodes", *NAMES.values(), title="seconds")
    for row in rows:
        table.add_row(f"{row['nodes']:,}", *(f"{row[name]:.3g}" for name in NAMES))
    Console().print(table)
    if given.out:
        write_json(given.out, {"threads": 1, "seconds": rows}, found)


if __name__ == "__main__":
    main()
