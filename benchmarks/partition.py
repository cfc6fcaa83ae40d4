"""Memory and time of a refinement in parts: `python benchmarks/partition.py [--sizes N ...] [--out FILE.json]`.

Irregular triangles in the unit square (a jittered grid, Delaunay), correctors with 64 channels, one refinement step,
one thread, float32, halved parts; each case in a process of its own. Memory is what the step adds at its peak to the
graph, the geometry of its edges, the parts and the fields; time is that of the CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from harness import about, added_peak, markdown_table, own_process, seconds, sentence, write_json

import irno_graph as ig
from irno_graph.correctors import MessagePassing, MultiscaleMessagePassing
from irno_graph.graph import Graph, parts_of
from irno_graph.refine import PartitionedIRNO
from meshes import square

SIZES = (100_000, 400_000)
PARTS = (0, 1, 4, 16)  # 0 is the model as it is
KINDS: dict[str, tuple[Any, int]] = {  # corrector, and the hops that a part needs
    "flat": (lambda: MessagePassing(4, 4, hidden=64, layers=6), 6),
    "multi-scale": (lambda: MultiscaleMessagePassing(4, 4, hidden=64, layers=1), 2),
}
NUMBERS = {
    "halo": "halo, nodes in %",
    "cut_s": "cutting, s",
    "forward_mib": "forward, MiB",
    "forward_s": "forward, s",
    "both_mib": "with backward, MiB",
    "both_s": "with backward, s",
}


def measured(kind: str, nodes: int, parts: int, backward: bool) -> dict[str, Any]:
    """Seconds and MiB of one case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = Graph.from_mesh(square(nodes), order="hilbert")
    x = torch.randn(graph.num_nodes, 4)
    corrector, hops = KINDS[kind][0](), KINDS[kind][1]
    model = ig.IRNO(lambda x, graph: x, corrector, steps=1)
    corrector.geometry(graph)
    found: dict[str, Any] = {"corrector": kind, "nodes": graph.num_nodes, "parts": parts}
    if parts:
        model = PartitionedIRNO(model, parts, method="bisection")
        found["cut_s"] = seconds(lambda: model.correction(x, graph), clock="cpu")
        local = sum(len(part.nodes) for part in parts_of(graph, model.partition(graph), hops))
        found["halo"] = 100 * (local / graph.num_nodes - 1)

    def forward() -> None:
        with torch.no_grad():
            model(x, graph)

    def both() -> None:
        model(x, graph).value.square().mean().backward()

    if backward:
        found["both_mib"] = added_peak(both)
        found["both_s"] = seconds(both, clock="cpu")
    found["forward_mib"] = added_peak(forward)
    found["forward_s"] = seconds(forward, clock="cpu")
    return found


def table(cases: list[dict[str, Any]]) -> str:
    """The cases as Markdown."""
    rows = [
        [case["corrector"], f"{case['nodes']:,}", case["parts"] or "whole"]
        + [f"{case[name]:.3g}" if name in case else "" for name in NUMBERS]
        for case in cases
    ]
    return markdown_table(("corrector", "nodes", "parts", *NUMBERS.values()), rows, words=3)


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--parts", type=int, nargs="+", default=PARTS, help="0 is the model as it is")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--no-backward", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        kind, nodes, parts = given.case
        print(json.dumps(measured(kind, int(nodes), int(parts), not given.no_backward)))
        return
    found, cases = about(), []
    print(sentence(found), flush=True)
    more = ["--no-backward"] if given.no_backward else []
    for kind in given.kinds:
        for nodes in given.sizes:
            for parts in given.parts:
                case = [kind, str(nodes), str(parts)]
                cases.append(own_process([sys.executable, __file__, *more, "--case", *case]))
                print(table(cases[-1:]).splitlines()[-1], flush=True)
                if given.out:
                    write_json(given.out, {"threads": 1, "cases": cases}, found)
    print(table(cases))


if __name__ == "__main__":
    main()
