"""Memory of long rollouts written to disk: `python benchmarks/streaming.py [--time-steps N ...] [--out FILE.json]`.

A linear map as the model, irregular triangles in a periodic box (float32, four channels, one thread): what is measured
is what keeping the states costs. "in memory" is `irno_graph.rollout`, which returns all states. Each case runs in a
process of its own, after one of three time steps that is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from harness import about, added_peak, markdown_table, own_process, seconds, sentence, write_json

import irno_graph as ig
from irno_graph.experiments.streaming import stream_to_file
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box

KINDS = ("in memory", ".nc", ".xdmf", ".pvd")
TIME_STEPS = (100, 2000)


def measured(kind: str, nodes: int, time_steps: int) -> dict[str, Any]:
    """MiB added at the peak and seconds on the wall of one case, and MiB of the states."""
    torch.set_num_threads(1)
    mesh = periodic_box(nodes, seed=1, relaxation_sweeps=2)
    graph = Graph.from_mesh(mesh)
    base = ig.bases.Callable(lambda x, graph: 0.999 * x.roll(1, dims=-1))
    start = torch.randn(nodes, 4, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:

        def work(count: int) -> None:
            if kind == "in memory":
                ig.rollout(base, start, graph, count)
            else:
                out = Path(folder) / f"{count}{kind}"
                stream_to_file(out, base, start, mesh, count, settings={})

        work(3)
        found: dict[str, Any] = {"kind": kind, "nodes": nodes, "time_steps": time_steps}
        found["states_mib"] = start.nbytes * (time_steps + 1) / 2**20
        found["seconds"] = seconds(lambda: found.update(added_mib=added_peak(lambda: work(time_steps))))
    return found


def table(cases: list[dict[str, Any]]) -> str:
    """The cases as Markdown."""
    rows = [
        [
            case["kind"],
            case["time_steps"],
            *(f"{case[name]:.3g}" for name in ("states_mib", "added_mib", "seconds")),
        ]
        for case in cases
    ]
    return markdown_table(("written to", "time steps", "states, MiB", "added at the peak, MiB", "s"), rows)


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4096)
    parser.add_argument("--time-steps", type=int, nargs="+", default=TIME_STEPS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        kind, nodes, time_steps = given.case
        print(json.dumps(measured(kind, int(nodes), int(time_steps))))
        return
    found, cases = about(), []
    print(sentence(found), flush=True)
    for kind in given.kinds:
        for time_steps in given.time_steps:
            case = [kind, str(given.nodes), str(time_steps)]
            cases.append(own_process([sys.executable, __file__, "--case", *case]))
            print(table(cases[-1:]).splitlines()[-1], flush=True)
    print(table(cases))
    if given.out:
        write_json(given.out, {"threads": 1, "cases": cases}, found)


if __name__ == "__main__":
    main()
