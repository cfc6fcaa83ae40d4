"""Time and memory of eigenbases and Chebyshev band energies on irregular triangles in the unit square.

    python benchmarks/spectra.py [--nodes 4096 16384 65536] [--modes 64 128 256] [--out docs/results/spectra.json]

Prints a Markdown table. Each case runs in a process of its own, with BLAS and PyTorch on one thread for all: SciPy's
`eigsh(L, M=M, sigma=...)` as a user would call it, with a shift of -0.01 of the first eigenvalue; `EigenBasis.compute`
without a cache; loading the same basis from the cache; band energies of order 64 of 4 channels, float32, forward.
Both eigensolvers start from the graph, and both assemble the Laplacian within their time. SciPy's is left out above
300,000 nodes. Seconds are CPU seconds of one call (of the best of 3 below 20,000 nodes, and for loading and band
energies), memory is the peak that the case adds. The residual is the largest |L v - lambda M v| in the norm of M^-1,
over lambda.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import about, markdown_row, own_process, resident, sentence, write_json
from scipy.sparse import diags_array
from scipy.sparse.linalg import eigsh
from scipy.spatial import Delaunay
from threadpoolctl import threadpool_limits

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.spectral import ChebyshevBank, EigenBasis, laplacian
from irno_graph.spectral.laplacian import symmetric_laplacian
from irno_graph.spectral.solver import residual_norms

LARGEST_SCIPY = 300_000  # nodes


def square(nodes: int) -> Graph:
    """Delaunay triangles of a grid whose inner points are moved by up to 0.3 of the spacing."""
    side = round(nodes**0.5)
    axis = np.linspace(0, 1, side)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    inner = ((points > 0) & (points < 1)).all(axis=1)
    points[inner] += np.random.default_rng(0).uniform(-0.3, 0.3, (int(inner.sum()), 2)) / side
    return Graph.from_mesh(Mesh(points, [("triangle", Delaunay(points).simplices)]))


def seconds(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """CPU seconds of the fastest call, and the result."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def repeats(graph: Graph) -> int:
    """Calls of which the fastest counts."""
    return 3 if len(graph.mass) < 20_000 else 1


def scipy_case(graph: Graph, modes: int) -> dict[str, float]:
    """`eigsh` as a user would call it."""
    mass = graph.mass.numpy()
    before = resident("VmRSS")
    taken, found = seconds(
        lambda: eigsh(laplacian(graph).tocsc(), k=modes, M=diags_array(mass).tocsc(), sigma=-0.1),
        repeats(graph),
    )
    peak = resident("VmHWM") - before
    own = (np.maximum(found[0], 0), found[1] * np.sqrt(mass)[:, None])
    residual = residual_norms(symmetric_laplacian(graph), own).max()
    return {"seconds": taken, "peak_mib": peak, "residual": float(residual)}


def basis_case(graph: Graph, modes: int) -> dict[str, float]:
    """`EigenBasis.compute`, without its cache."""
    before = resident("VmRSS")
    taken, basis = seconds(lambda: EigenBasis.compute(graph, modes, cache=False), repeats(graph))
    return {
        "seconds": taken,
        "peak_mib": resident("VmHWM") - before,
        "residual": float(basis.residuals.max()),
    }


def load_case(graph: Graph, modes: int) -> dict[str, float]:
    """The same basis from its file."""
    with tempfile.TemporaryDirectory() as folder:
        EigenBasis.compute(graph, modes, cache=folder)
        return {"seconds": seconds(lambda: EigenBasis.compute(graph, modes, cache=folder), 3)[0]}


def bands_case(graph: Graph, modes: int) -> dict[str, float]:
    """Energies of 8 bands of 4 channels; `modes` is not used."""
    setup, bank = seconds(lambda: ChebyshevBank(graph, 8, order=64))
    field = torch.randn(len(graph.mass), 4)
    bank.band_energy(field)
    before = resident("VmRSS")
    taken = seconds(lambda: bank.band_energy(field), 3)[0]
    return {"seconds": taken, "setup_seconds": setup, "peak_mib": resident("VmHWM") - before}


CASES = {"scipy": scipy_case, "ours": basis_case, "load": load_case, "bands": bands_case}


def run_case(case: str, nodes: int, modes: int) -> dict[str, Any]:
    """One case in a process of its own."""
    arguments = [sys.executable, __file__, "--case", case, "--nodes", str(nodes), "--modes", str(modes)]
    found = own_process(arguments, {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    return {"case": case, "nodes": nodes, "modes": modes, **found}


def row(found: dict[str, Any]) -> str:
    """A line of the table."""
    shown = [found["case"], found["nodes"], found["modes"] or "-", f"{found['seconds']:.3f}"]
    shown += [
        f"{found[key]:{form}}" if key in found else "-"
        for key, form in (("residual", ".0e"), ("peak_mib", ".0f"))
    ]
    shown.append(f"{found['ratio']:.2f}" if "ratio" in found else "-")
    return markdown_row(shown)


def main() -> None:
    """Run all cases, or one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--modes", type=int, nargs="+", default=[8, 64, 128, 256])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", choices=CASES, help="run one case here and print it")
    chosen = parser.parse_args()
    if chosen.case:
        torch.set_num_threads(1)
        with threadpool_limits(1):
            print(json.dumps(CASES[chosen.case](square(chosen.nodes[0]), chosen.modes[0])))
        return
    here = about("threadpoolctl")
    print(sentence(here), end="\n\n")
    print("| case | nodes | modes | CPU s | residual | MiB | SciPy / ours |\n|---|---|---|---|---|---|---|")
    results = []
    for nodes in chosen.nodes:
        for modes in chosen.modes:
            cases = ("scipy", "ours", "load") if nodes <= LARGEST_SCIPY else ("ours", "load")
            found = {case: run_case(case, nodes, modes) for case in cases}
            if "scipy" in found:
                found["ours"]["ratio"] = found["scipy"]["seconds"] / found["ours"]["seconds"]
            results += found.values()
            print(*map(row, found.values()), sep="\n", flush=True)
        results.append(run_case("bands", nodes, 0))
        print(row(results[-1]), flush=True)
    if chosen.out:
        write_json(chosen.out, {"threads": 1, "results": results}, here)


if __name__ == "__main__":
    main()
