"""Errors of the shipped model on kinds of points that it was not trained on; writes a JSON file for each.

    python benchmarks/other_points.py docs/results/ce_gauss_small/other_points

Solver at 64 x 64 cells, eight trajectories, seed 4242; about a minute on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from harness import about, sentence

import irno_graph as ig
from irno_graph.data import TrajectoryFile
from irno_graph.data.ce_gauss import generate
from irno_graph.experiments.demo import write_json
from irno_graph.experiments.evaluation import compare_rollouts, snapshots

CASES = (
    ("mesh", 512),
    ("mesh", 784),
    ("mesh", 2304),
    ("random", 1024),
    ("subsample", 1600),
    ("grid", 1024),
)
GROUPS = ("velocity", "pressure", "vorticity")


def main(folder: Path) -> None:
    """Measure all cases and print a Markdown table of the gains at the first and the last time step."""
    model, here = ig.load("ce-gauss-small"), about("numba")
    print(sentence(here), end="\n\n")
    print("| points | nodes |", " | ".join(f"{group}, t = 1 | t = 7" for group in GROUPS), "|")
    print("|---|--:|" + "--:|" * 2 * len(GROUPS))
    for kind, nodes in CASES:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "flows.nc"
            generate(path, trajectories=8, nodes=nodes, points=kind, solver_res=64, seed=4242)
            source = TrajectoryFile(path)
            found = compare_rollouts(model, snapshots(source, model.lead_time), source.graph()).to_json()
        write_json(folder / f"{kind}_{nodes}.json", {**here, **found})
        gains = [found["groups"][group]["gain"] for group in GROUPS]
        cells = (f"{gain[step]:+.1f}" for gain in gains for step in (0, -1))
        print(f"| {kind} | {nodes} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
