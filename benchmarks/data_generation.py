"""Time, memory and accuracy of generating CE-Gauss: 128 x 128 cells, 4096 nodes, 8 snapshots to t = 0.7.

    python benchmarks/data_generation.py [--trajectories 8] [--out docs/results/data_generation.json]
    python benchmarks/data_generation.py --parts accuracy --reference 512.nc [--out ...]

Prints Markdown tables. Time: of `generate` on `--threads` threads, of the mesh, and of compiling the solver or loading
it from numba's cache; what 320 trajectories take follows from those of `--trajectories`, or is measured by
`--trajectories 320`. Memory: the peak that 16 and 64 trajectories of 64 x 64 cells in batches of 4 add to a process
that has made one batch. Accuracy: against 512 x 512 cells for the same seed at the same nodes, the relative L2 error of
the velocity and of p - 2.5. The reference is made on one thread where the file is not there; it goes on after an
interruption, from one trajectory to the next. Time and memory are taken in processes of their own. Parts that `--out`
holds stay there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import about, added_peak, markdown_table, own_process, sentence, write_json

from irno_graph.data import TrajectoryFile
from irno_graph.data.ce_gauss import generate, sample_points, sample_trajectories

NODES, CELLS, FINE, FULL = 4096, 128, 512, 320
MEMORY_TRAJECTORIES, MEMORY_BATCH, MEMORY_CELLS = (16, 64), 4, 64
P0, CLOCKS = 2.5, ("cpu", "wall")


def both(work: Any) -> dict[str, float]:
    """CPU and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def compile_solver() -> None:
    """Everything that numba compiles, or loads from its cache."""
    sample_trajectories([1], np.zeros((1, 2)), [0.0, 1e-3], solver_res=16, threads=1)


def time_case(trajectories: int, threads: int) -> dict[str, Any]:
    """Seconds of compiling, of the mesh alone, of a whole `generate`, and of all of `FULL` trajectories."""
    found = {"compile": both(compile_solver), "mesh": both(lambda: sample_points("mesh", NODES))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flows.nc"
        found["generate"] = both(
            lambda: generate(path, trajectories=trajectories, nodes=NODES, solver_res=CELLS, threads=threads)
        )
        size = path.stat().st_size / 2**20
    each = {clock: (found["generate"][clock] - found["mesh"][clock]) / trajectories for clock in CLOCKS}
    full = {clock: found["compile"][clock] + found["mesh"][clock] + FULL * each[clock] for clock in each}
    return {**found, "each": each, "full": full, "mib": size * FULL / trajectories}


def memory_case(trajectories: int, threads: int) -> dict[str, Any]:
    """MiB that `generate` adds at its peak."""
    options: dict[str, Any] = {
        "nodes": NODES,
        "solver_res": MEMORY_CELLS,
        "batch": MEMORY_BATCH,
        "threads": threads,
    }
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder) / "first.nc", trajectories=MEMORY_BATCH, **options)
        path = Path(folder) / "flows.nc"
        return {"mib": added_peak(lambda: generate(path, trajectories=trajectories, seed=1, **options))}


CASES = {"time": time_case, "memory": memory_case}


def run_case(case: str, trajectories: int, threads: int) -> dict[str, Any]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--trajectories", str(trajectories)]
    return own_process([*command, "--threads", str(threads)], {"OMP_NUM_THREADS": "1"})


def accuracy(reference: Path, seeds: int) -> list[dict[str, float]]:
    """Errors of `CELLS` against `FINE` cells along a side, by time; all `seeds` together."""
    if not reference.is_file():
        generate(reference, trajectories=seeds, nodes=NODES, solver_res=FINE, batch=1, threads=1)
    truth = TrajectoryFile(reference)
    if (len(truth), len(truth.points), truth.attributes["solver_res"]) != (seeds, NODES, FINE):
        sys.exit(f"{reference} should hold {seeds} trajectories at {NODES} nodes of {FINE} x {FINE} cells.")
    mass = truth.graph().mass.numpy()
    fine = truth.read().double().numpy()[:, 1:]  # [seeds, times, nodes, channels]; both start as one
    ours = sample_trajectories(truth.seeds, truth.points, truth.times[1:], solver_res=CELLS, threads=1)
    errors = {
        "velocity": _relative(ours[..., 1:3], fine[..., 1:3], mass),
        "pressure": _relative(ours[..., 3:4] - P0, fine[..., 3:4] - P0, mass),
    }
    return [
        {"time": float(moment), **{name: float(found[place]) for name, found in errors.items()}}
        for place, moment in enumerate(truth.times[1:])
    ]


def _relative(ours: np.ndarray, truth: np.ndarray, mass: np.ndarray) -> np.ndarray:
    def norm(values: np.ndarray) -> np.ndarray:
        return np.sqrt(np.einsum("stnc,n->t", np.square(values, dtype=np.float64), mass))

    return norm(ours - truth) / norm(truth)


def time_part(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure and print the times."""
    found = run_case("time", chosen.trajectories, chosen.threads)
    names = {
        "compile": "solver compiled or loaded",
        "mesh": "mesh",
        "generate": f"{chosen.trajectories} trajectories",
    }
    names |= {"each": "each, without the mesh", "full": f"{FULL} trajectories"}
    rows = [(words, *(f"{found[name][clock]:.2f}" for clock in CLOCKS)) for name, words in names.items()]
    print(markdown_table((f"{chosen.threads} threads", "CPU s", "wall s"), rows), end="\n\n", flush=True)
    return {"threads": chosen.threads, "trajectories": chosen.trajectories, **found}


def memory_part(chosen: argparse.Namespace) -> dict[str, float]:
    """Measure and print the peaks."""
    peaks = {str(count): run_case("memory", count, chosen.threads)["mib"] for count in MEMORY_TRAJECTORIES}
    rows = [(count, f"{mib:.0f}") for count, mib in peaks.items()]
    print(markdown_table(("trajectories", "peak, MiB"), rows, words=0), end="\n\n", flush=True)
    return peaks


def accuracy_part(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure and print the errors."""
    errors = accuracy(chosen.reference, chosen.seeds)
    names = ("time", "velocity", "pressure")
    rows = [[f"{row[name]:.4g}" for name in names] for row in errors]
    print(markdown_table(("t", "velocity", "p - 2.5"), rows, words=0), flush=True)
    return {"cells": CELLS, "reference_cells": FINE, "trajectories": chosen.seeds, "errors": errors}


PARTS = ("time", "memory", "accuracy")
PARTS_OF = {"time": time_part, "memory": memory_part, "accuracy": accuracy_part}


def main() -> None:
    """Run all cases, or one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trajectories", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:2])
    parser.add_argument("--reference", type=Path, default=Path("build/ce_gauss_512.nc"))
    parser.add_argument("--seeds", type=int, default=1, help="trajectories of the reference")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", choices=CASES, help="run one case here and print it")
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(CASES[chosen.case](chosen.trajectories, chosen.threads)))
        return
    here = about("numba")
    print(sentence(here), end="\n\n", flush=True)
    measured = {part: PARTS_OF[part](chosen) for part in chosen.parts}
    if chosen.out:
        before = json.loads(chosen.out.read_text()) if chosen.out.is_file() else {}
        write_json(chosen.out, {**{part: before[part] for part in PARTS if part in before}, **measured}, here)


if __name__ == "__main__":
    main()
