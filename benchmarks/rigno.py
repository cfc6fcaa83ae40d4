"""Time and memory of RIGNO-18 (128 channels) on random points of the periodic square.

    python benchmarks/rigno.py [--nodes 1024 4096 16384] [--threads 2] [--compile] [--recompute] [--out rigno.json]

Prints a Markdown table: building the regional graph, forward of 1 and 4 samples, a training step (half of the edges
masked, AdamW) of 1 and 4 samples: medians of 5 in seconds, and the peak memory that the case adds. Each case runs in a
process of its own. The last columns hold times of the reference implementation (JAX, jit, CPU), measured on another,
quiet machine of two cores: a ratio counts only where both are timed in one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from irno_graph.bases.rigno import RIGNO, Architecture, RegionalGraph
from irno_graph.files import atomic_path

REFERENCE = {
    1024: {"build": 1.2, "forward 1": 0.065, "train 4": 0.56},
    4096: {"build": 2.5, "forward 1": 0.257, "train 4": 2.28},
    16384: {"build": 5.7, "forward 1": 1.17},
}
CASES = ("build", "forward 1", "forward 4", "train 1", "train 4")


def median(work: Callable[[], object], device: str, repeats: int = 5) -> float:
    """Median seconds of `work` after one call that is not counted."""
    taken = []
    for number in range(repeats + 1):
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        if number > 0:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measure(
    case: str, nodes: int, *, compiled: bool, device: str, bf16: bool, recompute: bool
) -> dict[str, float]:
    """Seconds, and MiB that were added at the peak, of one case."""
    points = np.random.default_rng(0).uniform(size=(nodes, 2))
    box = ((0.0, 0.0), (1.0, 1.0))

    def build() -> RegionalGraph:
        return RegionalGraph.build(points, domain=box, periodic=True)

    if case == "build":
        return {"seconds": median(build, "cpu")}
    torch.manual_seed(0)
    base = RIGNO(4, 4, architecture=Architecture(processor_steps=18)).to(device)
    base.network.recompute = recompute
    answer = torch.compile(base.answer, dynamic=False) if compiled else base.answer
    kind, samples = case.split()
    x = torch.randn(int(samples), nodes, 4, device=device)
    times = {
        "time": torch.zeros(len(x), device=device),
        "lead_time": torch.full((len(x),), 0.1, device=device),
    }
    regional = build().to(torch.device(device))
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(base.parameters(), lr=1e-4, weight_decay=1e-8)
    mixed = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16)

    @torch.no_grad()
    def forward() -> None:
        with mixed:
            answer(x, regional, **times)

    def step() -> None:
        optimiser.zero_grad()
        with mixed:
            y = answer(x, regional.thinned(0.5, generator), **times)
        base.loss(y.float(), x, x + 1.0, times["lead_time"]).backward()
        optimiser.step()

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        seconds = median(forward if kind == "forward" else step, device)
        return {"seconds": seconds, "mib": torch.cuda.max_memory_allocated() / 2**20}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = median(forward if kind == "forward" else step, device)
    return {"seconds": seconds, "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def main() -> None:
    """Measure all cases, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.case:
        switches = {name: getattr(options, name) for name in ("device", "bf16", "recompute")}
        found = measure(options.case, options.nodes[0], compiled=options.compile, **switches)
        print(json.dumps(found))
        return
    rows: dict[str, dict[str, dict[str, float]]] = {}
    print("| nodes | case | seconds | peak, MiB | reference, s | ratio |\n|--:|---|--:|--:|--:|--:|")
    for nodes in options.nodes:
        rows[str(nodes)] = {}
        for case in CASES:
            command = [sys.executable, __file__, "--case", case, "--nodes", str(nodes)]
            command += ["--threads", str(options.threads), "--device", options.device]
            command += ["--compile"] * options.compile + ["--bf16"] * options.bf16
            command += ["--recompute"] * options.recompute
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{case} at {nodes} nodes failed:\n{done.stderr[-2000:]}")
            found = rows[str(nodes)][case] = json.loads(done.stdout.splitlines()[-1])
            reference = REFERENCE.get(nodes, {}).get(case)
            cells = [f"{found['seconds']:.3f}", f"{found['mib']:.0f}" if "mib" in found else "-"]
            cells += [f"{reference:.3f}", f"{reference / found['seconds']:.1f}"] if reference else ["-", "-"]
            print(f"| {nodes} | {case} |", " | ".join(cells), "|", flush=True)
    if options.out:
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
