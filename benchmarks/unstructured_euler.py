"""Time of the node-centred Euler solver, and how far coarse meshes are from finer ones.

    python benchmarks/unstructured_euler.py [--nodes 4096 16384] [--final-time 0.7] [--out unstructured_euler.json]

Prints a Markdown table: CPU nanoseconds per node, Runge-Kutta stage and trajectory with 16 trajectories on one thread
(the least of `REPEATS` runs of 5 steps), with limited slopes too, the number of steps to the final time that the first
time step makes, the seconds per trajectory that both make, and the seconds that mesh and geometry take. With
`--agreement NODES` it also solves two trajectories on the mesh, and on it with each triangle split in four once and
twice, to `--agreement-time`: relative L2 differences of the velocity and of p - 2.5 at the coarse nodes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import about, markdown_row, markdown_table, sentence, write_json

from irno_graph.data.euler.solver import to_conserved
from irno_graph.data.unstructured import Domain, Flow, MedianDual
from irno_graph.data.unstructured.flow import Solver
from irno_graph.data.unstructured.initial import initial_state, placed_vortices, vorticity
from irno_graph.data.unstructured.kernels import LANES, march
from irno_graph.data.unstructured.solver import CFL, Stencil

STEPS, REPEATS = 5, 5
HEADER = ("nodes", "ns", "limited, ns", "steps", "s per trajectory", "mesh and geometry, s")


def measure(nodes: int, final_time: float) -> dict[str, float]:
    """A row of the table."""
    began = time.process_time()
    solver = Solver(Domain.drawn(nodes, seed=0), Flow(), np.array([final_time]))
    built = time.process_time() - began
    mesh, stencil = solver.domain.mesh, Stencil.of(solver.dual)
    fields = [vorticity(placed_vortices(seed, mesh, narrowest=0.03), mesh.points) for seed in range(LANES)]
    primitive = np.stack([initial_state(solver.stream, w) for w in fields]).transpose(2, 1, 0)
    start = np.ascontiguousarray(to_conserved(primitive).transpose(1, 0, 2)).ravel()
    result, moments = np.empty((LANES, 1, nodes, 4)), np.array([final_time])

    def seconds(limited: bool) -> tuple[float, float]:
        now, place = np.zeros(LANES), np.zeros(LANES, dtype=np.int64)
        conserved, began = start.copy(), time.process_time()
        march(conserved, now, place, moments, result, stencil, CFL, limited, np.ones(4), STEPS)
        return time.process_time() - began, float(now.mean())

    seconds(False)  # compiles
    found = {limited: min(seconds(limited) for _ in range(REPEATS)) for limited in (False, True)}
    ns = {limited: 1e9 * taken / (3 * STEPS * nodes * LANES) for limited, (taken, _) in found.items()}
    steps = final_time * STEPS / found[False][1]
    whole = 3e-9 * steps * nodes * ns[False]
    return {"ns": ns[False], "limited_ns": ns[True], "steps": steps, "seconds": whole, "build": built}


def agreement(nodes: int, moment: float) -> dict[str, float]:
    """Differences between a mesh, and it with triangles split once and twice."""
    domain, times, seeds = Domain.drawn(nodes, seed=0), np.array([moment]), np.arange(2)
    mass = MedianDual.of(domain.mesh).volume
    flows = [
        Solver(domain, Flow(fine=fine), times).states(seeds, nodes)[:, 0] - np.array([0.1, 0, 0, 2.5])
        for fine in (0, 1, 2)
    ]

    def norm(fields: np.ndarray) -> float:
        return float(np.sqrt(((fields**2).sum(axis=-1) @ mass).sum()))

    parts = {"velocity": slice(1, 3), "pressure": slice(3, 4)}
    return {
        f"{name} {fine} to {fine + 1}": norm((flows[fine] - flows[fine + 1])[..., part])
        / norm(flows[fine + 1][..., part])
        for name, part in parts.items()
        for fine in (0, 1)
    }


def main() -> None:
    """Measure, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[4096, 16384])
    parser.add_argument("--final-time", type=float, default=0.7)
    parser.add_argument("--agreement", type=int, metavar="NODES")
    parser.add_argument("--agreement-time", type=float, default=0.2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    here = about("numba")
    print(sentence(here), end="\n\n")
    rows: dict[str, Any] = {}
    print(markdown_table(HEADER, (), words=0))
    for nodes in options.nodes:
        found = rows[str(nodes)] = measure(nodes, options.final_time)
        cells = [f"{found[name]:.1f}" for name in ("ns", "limited_ns")]
        cells += [f"{found['steps']:.0f}", f"{found['seconds']:.2f}", f"{found['build']:.1f}"]
        print(markdown_row([nodes, *cells]), flush=True)
    if options.agreement:
        rows["agreement"] = agreement(options.agreement, options.agreement_time)
        print("\n".join(f"{name}: {value:.3g}" for name, value in rows["agreement"].items()))
    if options.out:
        write_json(options.out, rows, here)


if __name__ == "__main__":
    main()
