"""Error that correctors leave, against the standard block, at equal parameters and at equal training time.

    python benchmarks/corrector_accuracy.py [--seconds 120] [--seeds 0 1] [--out docs/results/corrector_accuracy.json]

Two problems, one time step each. "ce_gauss": compressible Euler in the periodic box (576 nodes, 24 training and
8 validation trajectories of 7 steps, solver 64 x 64; the base is persistence, y = x: a trained one leaves errors that
no corrector learns in minutes). "wave": the wave equation around an airfoil
(meshes/naca0012.su2, exact in time by the mesh's own modes; the base is one step of Crank and Nicolson, which has the
wrong dispersion; 256 training and 64 validation fields). All correctors are trained alike: K = 3 unrolled steps of
alpha = 0.5, batches of 4, Adam at a constant learning rate 1e-3, weights averaged exponentially (0.99), for the same
CPU time on one thread. Widths are such that all have about as many parameters. Reported is the mass-weighted root mean
square error after K steps over that of the base, per channel in units of the base's error, on the validation fields:
when the CPU time is used up, and when as many optimiser steps were taken as the standard block takes in that time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from harness import write_json
from torch import Tensor, nn

import irno_graph as ig
from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.data import TrajectoryFile
from irno_graph.data.ce_gauss import generate
from irno_graph.graph import Graph, mass_norm

STEPS, ALPHA, BATCH = 3, 0.5, 4
EVERY = 25  # optimiser steps between two validations
MESH = Path(__file__).parents[1] / "meshes" / "naca0012.su2"
KINDS: dict[str, Callable[[int], nn.Module]] = {
    "standard": lambda c: EdgeMessagePassing(c, c, hidden=32, layers=4),
    "flat": lambda c: MessagePassing(c, c, hidden=36, layers=4),
    "multi-scale": lambda c: MultiscaleMessagePassing(c, c, hidden=28),
    "flat, edge_hidden 0": lambda c: MessagePassing(
        c, c, hidden=36, layers=4, options=Options(edge_hidden=0)
    ),
    "flat, edge_hidden 32": lambda c: MessagePassing(
        c, c, hidden=32, layers=4, options=Options(edge_hidden=32)
    ),
}


class Pairs(NamedTuple):
    """Inputs, base's answers and truths, `[samples, nodes, channels]`, standardised; errors are of size 1."""

    x: Tensor
    h: Tensor
    y: Tensor


class Problem(NamedTuple):
    """A graph with training and validation pairs."""

    graph: Graph
    train: Pairs
    valid: Pairs


def ce_gauss() -> Problem:
    """Euler flows in the periodic box, refined from persistence."""
    parts = []
    for count, seed in ((24, 7001), (8, 7002)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "flows.nc"
            generate(path, trajectories=count, nodes=576, solver_res=64, seed=seed, mesh_seed=7001)
            file = TrajectoryFile(path)
            states, graph = file.read(), file.graph()
        x, y = states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1)
        parts.append((x, x, y))
    return Problem(graph, *standardised(*parts))


def wave() -> Problem:
    """Waves around an airfoil, (u, du/dt), with walls that reflect; the base is one step of Crank and Nicolson."""
    graph = Graph.from_mesh(ig.read_mesh(MESH))
    basis = ig.EigenBasis.compute(graph, 120, cache=False)
    frequency = basis.eigenvalues.sqrt()
    step = 3.0 / frequency[40]
    angles = {"exact": frequency * step, "base": 2 * torch.atan(0.5 * frequency * step)}
    parts = []
    for count, seed in ((256, 1), (64, 2)):
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(2, count, 120, dtype=torch.float64, generator=generator)
        u, v = draw / (1.0 + (frequency / frequency[20]) ** 2)  # v over the frequency
        fields = {"x": (u, v)}
        for name, angle in angles.items():
            fields[name] = (angle.cos() * u + angle.sin() * v, angle.cos() * v - angle.sin() * u)
        made = [
            torch.stack([part @ basis.vectors.T for part in pair], dim=-1).float()
            for pair in (fields["x"], fields["base"], fields["exact"])
        ]
        parts.append(made)
    return Problem(graph, *standardised(*parts))


def standardised(train: Any, valid: Any) -> tuple[Pairs, Pairs]:
    """Channels with mean 0 and standard deviation 1 over the training inputs."""
    mean, std = train[0].mean((0, 1)), train[0].std((0, 1))
    first, second = (Pairs(*((part - mean) / std for part in group)) for group in (train, valid))
    return first, second


def refined(model: nn.Module, pairs: Pairs, graph: Graph, size: Tensor) -> list[Tensor]:
    """h_1 ... h_K; Phi is in units of the base's error `size` `[channels]`."""
    phi = model.prepare(pairs.x, graph)
    h, states = pairs.h, []
    for _ in range(STEPS):
        h = h + ALPHA * size * phi(h)
        states.append(h)
    return states


def left(model: nn.Module, pairs: Pairs, graph: Graph, size: Tensor) -> float:
    """Root mean square error after K steps over the base's, in units of `size`."""
    with torch.no_grad():
        errors = [
            mass_norm((states[-1] - part.y) / size, graph).square()
            for part in (Pairs(*group) for group in zip(*(field.split(16) for field in pairs), strict=True))
            for states in [refined(model, part, graph, size)]
        ]
        before = mass_norm((pairs.h - pairs.y) / size, graph).square()
    return float((torch.cat(errors).mean() / before.mean()).sqrt())


def batches(samples: int, seed: int) -> Iterator[Tensor]:
    """Rows of one batch after the other, every epoch in another order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(samples, generator=generator).split(BATCH)


def trained(kind: str, problem: Problem, seed: int, seconds: float) -> dict[str, Any]:
    """Train one corrector; the validation error by optimiser step and CPU time."""
    torch.manual_seed(seed)
    size = (problem.train.h - problem.train.y).square().mean((0, 1)).sqrt()
    model = KINDS[kind](problem.train.x.shape[-1])
    averaged = deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    curve, used = [], 0.0
    for number, rows in enumerate(batches(len(problem.train.x), seed), start=1):
        start = time.process_time()
        part = Pairs(*(field[rows] for field in problem.train))
        states = refined(model, part, problem.graph, size)
        loss = sum(((state - part.y) / size).square().mean() for state in states) / STEPS
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), max(0.01, 1 / number))
        used += time.process_time() - start
        if number % EVERY == 0 or used > seconds:
            error = left(averaged, problem.valid, problem.graph, size)
            curve.append((number, round(used, 1), round(error, 5)))
        if used > seconds:
            break
    parameters = sum(part.numel() for part in model.parameters())
    return {"kind": kind, "seed": seed, "parameters": parameters, "curve": curve}


def summary(runs: list[dict[str, Any]], problem: str) -> list[str]:
    """Lines of the table of one problem: mean and spread over the seeds."""
    own = [run for run in runs if run["problem"] == problem]
    steps = min(run["curve"][-1][0] for run in own if run["kind"] == "standard")
    lines = []
    for kind in dict.fromkeys(run["kind"] for run in own):
        same = [run for run in own if run["kind"] == kind]
        last = np.array([run["curve"][-1] for run in same])
        at = np.array(
            [max((row for row in run["curve"] if row[0] <= steps), default=run["curve"][0]) for run in same]
        )
        cells = [problem, kind, f"{same[0]['parameters']:,}", f"{last[:, 0].mean():.0f}"]
        cells += [
            f"{100 * part[:, 2].mean():.1f} ± {100 * np.ptp(part[:, 2]) / 2:.1f}" for part in (last, at)
        ]
        cells.append(f"{1e3 * (last[:, 1] / last[:, 0]).mean():.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Train all and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU time of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--problems", nargs="+", default=["ce_gauss", "wave"], choices=["ce_gauss", "wave"])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--out", type=Path, help="JSON; what is in it already is not trained again")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    if chosen.out and chosen.out.exists():
        runs = json.loads(chosen.out.read_text())["runs"]
    for name in chosen.problems:
        problem = {"ce_gauss": ce_gauss, "wave": wave}[name]()
        for seed in chosen.seeds:
            for kind in chosen.kinds:
                if any((run["problem"], run["kind"], run["seed"]) == (name, kind, seed) for run in runs):
                    continue
                runs.append({"problem": name, **trained(kind, problem, seed, chosen.seconds)})
                print(name, kind, seed, runs[-1]["parameters"], runs[-1]["curve"][-1], flush=True)
                if chosen.out:
                    write_json(chosen.out, {"seconds": chosen.seconds, "runs": runs})
    print(
        "\n| problem | corrector | parameters | steps | error left, equal time, % | equal steps, % | ms per step |"
    )
    print("|---|---|--:|--:|--:|--:|--:|")
    for name in chosen.problems:
        print(*summary(runs, name), sep="\n")


if __name__ == "__main__":
    main()
