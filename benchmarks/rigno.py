"""Time and memory of RIGNO-18 (128 channels) on random points of the periodic square.

    python benchmarks/rigno.py [--nodes 1024 4096 16384] [--threads 2] [--jax PYTHON] [--compile] [--out rigno.json]

Prints a Markdown table: building the regional graph, forward of 1 and 4 samples, a training step (half of the edges
masked, AdamW) of 1 and 4 samples: medians of 5 in seconds, and the peak memory that the case adds. Each case runs in a
process of its own. With `--jax`, a Python that has jax and optax runs `benchmarks/rigno_jax.py` on the same weights,
graph and input right after ours: its time, its temporary memory, and how far its output is from ours.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import (
    about,
    forget_peak,
    markdown_row,
    markdown_table,
    median_seconds,
    own_process,
    resident,
    sentence,
    write_json,
)

from irno_graph.bases.rigno import RIGNO, Architecture, RegionalGraph
from irno_graph.bases.rigno.weights import PADDED, flax_parameters

STEPS = 18
CASES = ("build", "forward 1", "forward 4", "train 1", "train 4")
REPEATS = 5


def build(nodes: int) -> RegionalGraph:
    """The regional graph of random points."""
    points = np.random.default_rng(0).uniform(size=(nodes, 2))
    return RegionalGraph.build(points, domain=((0.0, 0.0), (1.0, 1.0)), periodic=True)


def operator() -> RIGNO:
    """RIGNO-18 with the reference's head."""
    torch.manual_seed(0)
    return RIGNO(4, 4, architecture=Architecture(processor_steps=STEPS, head_hidden=4))


def state(samples: int, nodes: int) -> torch.Tensor:
    """Random input `[samples, nodes, 4]`."""
    return torch.randn(samples, nodes, 4, generator=torch.Generator().manual_seed(1))


def measure(case: str, nodes: int, options: argparse.Namespace) -> dict[str, float]:
    """Seconds, and MiB that were added at the peak, of one case."""
    if case == "build":
        return {"seconds": median_seconds(lambda: build(nodes), REPEATS)}
    device = options.device
    base = operator().to(device)
    base.network.recompute, base.network.piecewise = options.recompute, not options.whole
    answer = torch.compile(base.answer, dynamic=False) if options.compile else base.answer
    kind, samples = case.split()
    x = state(int(samples), nodes).to(device)
    times = {
        "time": torch.zeros(len(x), device=device),
        "lead_time": torch.full((len(x),), 0.1, device=device),
    }
    regional = build(nodes).to(torch.device(device))
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(base.parameters(), lr=1e-4, weight_decay=1e-8)
    mixed = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=options.bf16)

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
        seconds = median_seconds(forward if kind == "forward" else step, REPEATS, device=device)
        return {"seconds": seconds, "mib": torch.cuda.max_memory_allocated() / 2**20}
    forget_peak()
    before = resident("VmRSS")
    seconds = median_seconds(forward if kind == "forward" else step, REPEATS)
    return {"seconds": seconds, "mib": resident("VmHWM") - before}


@torch.no_grad()
def beside(case: str, nodes: int, python: str, threads: int) -> dict[str, Any]:
    """The same case in JAX, and for a forward pass the relative distance of its output from ours."""
    kind, samples = case.split()
    base, regional, x = operator(), build(nodes), state(int(samples), nodes)
    arrays = {"steps": np.array(STEPS), "train": np.array(kind == "train"), "u": x.numpy()}
    for path, parameter in flax_parameters(base.network).items():
        value = parameter.numpy()
        if path == PADDED:  # rows that meet zeros
            value = np.concatenate([np.ones((len(value), base.network.features), np.float32), value], axis=1)
        arrays[f"weights/{path}"] = value.T if value.ndim == 2 else value
    for name in ("p2r", "r2r", "r2p"):
        for part in ("senders", "receivers", "features"):
            value = getattr(getattr(regional, name), part).numpy()
            arrays[f"{name}/{part}"] = value.astype(np.int32) if value.dtype == np.int64 else value
    for name in ("node_features", "regional_features"):
        arrays[name] = getattr(regional, name).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        one = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"} if threads == 1 else {}
        found = own_process([python, str(Path(__file__).with_name("rigno_jax.py")), str(path)], one)
        if kind == "forward":
            theirs = torch.from_numpy(np.load(path.with_suffix(".out.npy")))
            lead_time = torch.full((len(x),), 0.1)
            ours = base.network(x, regional, time=torch.zeros(len(x)), lead_time=lead_time)
            found["distance"] = float((ours - theirs).norm() / theirs.norm())
    return found


def main() -> None:
    """Measure all cases, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jax", metavar="PYTHON", help="a Python with jax and optax")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--bf16", action="store_true", help="under autocast")
    parser.add_argument("--whole", action="store_true", help="all edges at once on a CPU, too")
    parser.add_argument("--recompute", action="store_true", help="activations of plain operations again")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.case:
        print(json.dumps(measure(options.case, options.nodes[0], options)))
        return
    here = about()
    print(sentence(here), end="\n\n")
    names = ("nodes", "case", "seconds", "peak, MiB", "JAX, s", "its memory, MiB", "times faster", "distance")
    print(markdown_table(names, (), words=2))
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for nodes in options.nodes:
        for case in options.cases:
            found = compared(case, nodes, options, here)
            rows.setdefault(str(nodes), {})[case] = found
            print(row(case, nodes, found), flush=True)
    if options.out:
        settings = {"threads": options.threads, "device": options.device, "options": passed_on()}
        write_json(options.out, {**settings, "nodes": rows}, here)


def passed_on() -> list[str]:
    """Switches of the command line that a case's own process gets, too."""
    return [word for word in sys.argv[1:] if word in ("--compile", "--bf16", "--whole", "--recompute")]


def compared(case: str, nodes: int, options: argparse.Namespace, here: dict[str, Any]) -> dict[str, float]:
    """One case of ours in a process of its own, then the same in JAX where asked; its versions join `here`."""
    command = [sys.executable, __file__, "--case", case, "--nodes", str(nodes), *passed_on()]
    found = own_process([*command, "--threads", str(options.threads), "--device", options.device])
    if options.jax and case != "build" and not (nodes > 4096 and case == "train 4"):
        theirs = beside(case, nodes, options.jax, options.threads)
        here["jax_versions"] = theirs.pop("versions")
        found |= {f"jax_{name}": value for name, value in theirs.items()}
        found["ratio"] = found["jax_seconds"] / found["seconds"]
    return found


def row(case: str, nodes: int, found: dict[str, float]) -> str:
    """A line of the table."""
    places = {"seconds": ".3f", "mib": ".0f", "jax_seconds": ".3f", "jax_mib": ".0f", "ratio": ".2f"}
    places["jax_distance"] = ".0e"
    cells = [format(found[name], form) if name in found else "-" for name, form in places.items()]
    return markdown_row([nodes, case, *cells])


if __name__ == "__main__":
    main()
