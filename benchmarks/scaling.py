"""Ranks that share one mesh: strong and weak scaling over processes here, and halo against part for more of them.

    python benchmarks/scaling.py [--only halo] [--nodes 200000] [--ranks 1 2] [--out docs/results/scaling.json]

Strong: one mesh of `--nodes` on each number of ranks, one part and one thread a rank, gloo. Weak: `--nodes` over the
largest number of ranks, times the ranks. A refinement of `STEPS` steps, 64 channels, the least of three runs, and what
part of it the exchanges alone take. Halo: mean number of nodes of the halos of METIS parts, against the model

    halo = a h sqrt(n) s + b h^2 s^2,  s = 1 - 1 / sqrt(P),

n nodes in each of P parts of a plane square, h hops; s is the share of the parts' sides that is inside the square, and
a and b are fitted to all rows. Ranks that compute n own nodes and their halo do 1 + halo / n of the work of the whole.
What `--only` leaves out stays in `--out`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from harness import about, markdown_table, own_process, seconds, sentence, write_json
from partition import KINDS

import irno_graph as ig
from irno_graph.graph import Graph, Partition, parts_of
from irno_graph.refine import PartitionedIRNO
from irno_graph.training.processes import join_processes, world
from meshes import square

STEPS, REPEATS, CHANNELS = 4, 3, 4
HALO_NODES, HALO_PARTS, HALO_HOPS = 400_000, (4, 16, 64, 256), (2, 6, 12, 24)
LARGE, LARGE_RANKS, LARGE_HOPS = 2_000_000, (1, 2, 4, 8, 16, 32, 64), 6


def refinement_case(kind: str, nodes: int, ranks: int) -> None:
    """Seconds of a refinement, and of its exchanges alone; printed by the first rank."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = Graph.from_mesh(square(nodes), order="hilbert")
    x = torch.randn(graph.num_nodes, CHANNELS)
    model = ig.IRNO(lambda x, graph: x, KINDS[kind][0](), steps=STEPS)
    join_processes("cpu")
    group = world()
    asked = model if group is None else PartitionedIRNO(model, ranks, group=group)

    @torch.no_grad()
    def refine() -> None:
        asked(x, graph)

    refine()  # makes the geometry and the parts

    def least(work: Any) -> float:
        taken = []
        for _ in range(REPEATS):
            if group is not None:
                dist.barrier()
            taken.append(seconds(work))
        return min(taken)

    own = x[: math.ceil(graph.num_nodes / ranks)]
    received = [torch.empty_like(own) for _ in range(ranks)]
    gather = (lambda: None) if group is None else (lambda: dist.all_gather(received, own))
    found = {"kind": kind, "nodes": graph.num_nodes, "ranks": ranks}
    found |= {"seconds": least(refine), "exchange": STEPS * least(gather)}
    if group is None or group.rank() == 0:
        print(json.dumps(found), flush=True)


def refinement(kind: str, nodes: int, ranks: int) -> dict[str, Any]:
    """One case in processes of its own."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [
        sys.executable,
        *(launch if ranks > 1 else []),
        __file__,
        "--case",
        kind,
        str(nodes),
        str(ranks),
    ]
    return own_process(command, {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"})


def halo_rows(nodes: int) -> list[dict[str, float]]:
    """Mean nodes of a part and of its halo, for parts and hops."""
    graph = Graph.from_mesh(square(nodes), order="hilbert")
    rows = []
    for parts in HALO_PARTS:
        partition = Partition.of(graph, parts, method="metis")
        for hops in HALO_HOPS:
            local = np.mean([len(part.nodes) for part in parts_of(graph, partition, hops)])
            own = graph.num_nodes / parts
            rows.append({"parts": parts, "hops": hops, "own": own, "halo": float(local) - own})
    return rows


def fitted_halo(rows: list[dict[str, float]]) -> tuple[float, float]:
    """a and b by least squares of the relative errors."""
    terms = np.array([_terms(row["own"], int(row["parts"]), int(row["hops"])) for row in rows])
    halo = np.array([row["halo"] for row in rows])
    a, b = np.linalg.lstsq(terms / halo[:, None], np.ones(len(rows)), rcond=None)[0]
    return float(a), float(b)


def _terms(own: float, parts: int, hops: int) -> tuple[float, float]:
    inside = 1.0 - parts**-0.5
    return hops * own**0.5 * inside, (hops * inside) ** 2


def halo_part() -> dict[str, Any]:
    """Measure halos, fit the model and say what it makes of a large mesh."""
    rows = halo_rows(HALO_NODES)
    a, b = fitted_halo(rows)
    fit = np.array([a, b])
    for row in rows:
        row["model"] = float(fit @ _terms(row["own"], int(row["parts"]), int(row["hops"])))
    cells = [[f"{row[name]:.4g}" for name in ("parts", "hops", "own", "halo", "model")] for row in rows]
    print(f"halo = {a:.3g} h sqrt(n) s + {b:.3g} h^2 s^2", end="\n\n")
    print(markdown_table(("parts", "hops", "own nodes", "halo", "model"), cells, words=0), end="\n\n")
    large = [
        {"ranks": ranks, "work": 1.0 + float(fit @ _terms(LARGE / ranks, ranks, LARGE_HOPS)) * ranks / LARGE}
        for ranks in LARGE_RANKS
    ]
    shown = [[row["ranks"], f"{row['work']:.3f}", f"{row['ranks'] / row['work']:.1f}"] for row in large]
    print(markdown_table(("ranks", "work of all", "speed-up at most"), shown, words=0), end="\n\n")
    return {"a": a, "b": b, "nodes": HALO_NODES, "rows": rows, "large": {"nodes": LARGE, "rows": large}}


def scaling_part(nodes: int, ranks: list[int]) -> list[dict[str, Any]]:
    """Measure and print strong and weak scaling."""
    cases = []
    for kind in KINDS:
        for sort, size in (("strong", nodes), ("weak", nodes // max(ranks))):
            first = 0.0
            for count in ranks:
                found = refinement(kind, size * count if sort == "weak" else size, count)
                first = first or found["seconds"]
                ideal = first / count if sort == "strong" else first
                cases.append({"scaling": sort, **found, "efficiency": ideal / found["seconds"]})
    names = ("scaling", "kind", "nodes", "ranks", "seconds", "exchange", "efficiency")
    rows = [[f"{case[n]:.3g}" if isinstance(case[n], float) else case[n] for n in names] for case in cases]
    print(markdown_table(names, rows, words=2), end="\n\n", flush=True)
    return cases


def main() -> None:
    """Measure, print the tables, write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("halo", "scaling"))
    parser.add_argument("--nodes", type=int, default=200_000)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        kind, nodes, ranks = given.case
        refinement_case(kind, int(nodes), int(ranks))
        return
    here = about("pymetis")
    print(sentence(here), end="\n\n", flush=True)
    kept = json.loads(given.out.read_text()) if given.out and given.out.is_file() else {}
    found = {name: kept[name] for name in ("halo", "scaling") if name in kept}
    if given.only != "scaling":
        found["halo"] = halo_part()
    if given.only != "halo":
        found["scaling"] = scaling_part(given.nodes, given.ranks)
    if given.out:
        write_json(given.out, {"steps": STEPS, "threads": 1, **found}, here)


if __name__ == "__main__":
    main()
