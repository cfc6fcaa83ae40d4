"""Write the cards of the shipped models, irno_graph/models/NAME.md, from what their files and their figures say.

python benchmarks/model_cards.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import irno_graph as ig
from irno_graph.data.flows import DEFAULT, OBSTACLES
from irno_graph.files import atomic_path
from irno_graph.refine.facts import words
from irno_graph.refine.storage import SHIPPED, describe

ROOT = Path(__file__).parents[1]
RUNS = ("base", "refined", "control")
PARTS = {"train": "training", "more": "training of the corrector", "valid": "validation", "test": "test"}
ABOUT = {
    "ce-gauss-small": {
        "title": "CE-Gauss on irregular periodic meshes",
        "what": "Compressible Euler flow of CE-Gauss (gamma = 1.4, rho 0.1 and p 2.5 at the start) in the periodic "
        "unit square, one time step of 0.1.",
        "train": "`irno-graph train configs/ce_gauss.yaml`, then `irno-graph train configs/ce_gauss_on.yaml`",
        "figures": "docs/results/ce_gauss_small",
        "limits": "Flows like CE-Gauss, the periodic unit square, the time step 0.1, rollouts of 7 steps, as "
        "many nodes as it was trained on. Other points: `docs/results/ce_gauss_small/other_points`.",
    },
    "obstacles-small": {
        "title": "CE-Gauss around obstacles on irregular triangles",
        "what": "Compressible Euler flow from CE-Gauss's vortices in the unit box with random circular holes, slip "
        "walls all around, one time step of 0.1. Base and corrector find the walls in the mesh: they are given "
        "state and graph alone.",
        "train": "`irno-graph train configs/obstacles.yaml` (the control: `--stage control`)",
        "figures": "docs/results/obstacles_small",
        "limits": "A short training, an example more than a tool: the base was stopped long before it had learned what "
        "it can, so much of what refinement gains a longer training of the base would give, too. Boxes with 1 to 4 "
        "round holes, the time step 0.1, rollouts of 7 steps. Nothing forces the velocity at walls to run along them; "
        "the figures say what goes through.",
    },
}


def card(name: str) -> str:
    """The card of a shipped model in Markdown."""
    said, own = describe(name), ABOUT[name]
    figures = json.loads((ROOT / own["figures"] / "test.json").read_text(encoding="utf-8"))
    model = ig.load(name)
    counts = {
        part: sum(value.numel() for value in module.parameters())
        for part, module in (("base", model.base), ("corrector", model.corrector))
    }
    about = said["about"]
    config = about["config"]
    parts = {
        part: f"{said[part]['kind']}, {count} weights; {words(said[part]['config'])}"
        for part, count in counts.items()
    }
    place = f"seed {config['seed']}, {about['torch_threads']} thread(s), commit {about['commit']}"
    lines = [
        f"# {name}: {own['title']}",
        "",
        f'{own["what"]} `ig.load("{name}")`.',
        "",
        "| | |",
        "| -- | -- |",
        *(f"| {part} | {text} |" for part, text in parts.items()),
        f"| refinement | alpha {words(said['alpha'])}, K = {said['steps']}, chosen on validation rollouts |",
        f"| training | {own['train']}; {place} |",
        f"| weights | SHA-256 {said['weights_hash']} |",
        "",
        "## Data",
        "",
        *_data(config["data"]),
        "",
        "## Figures",
        "",
        *_figures(figures),
        "",
        "## Limits",
        "",
        own["limits"],
        "",
    ]
    return "\n".join(lines)


def _data(data: dict[str, Any]) -> list[str]:
    walled = data.get("flow", DEFAULT) == OBSTACLES  # older files do not say the flow
    solver = (
        f"fine {data['fine']}, narrowest {data['narrowest']}" if walled else f"{data['solver_res']} cells"
    )
    columns = (
        ["nodes", "holes", "trajectories", "seed"] if walled else ["points", "nodes", "trajectories", "seed"]
    )
    each, name = "a mesh and a geometry" if walled else "a mesh", data.get("flow", DEFAULT)
    lines = [
        f"Flow {name} ({solver}), snapshots every {data['save_every']} up to {data['final_time']}. "
        f"Each set has {each} of its own, from its seed.",
        "",
        "| part | " + " | ".join(columns) + " |",
        "| -- |" + " --: |" * len(columns),
    ]
    for part, label in PARTS.items():
        for one in data[part]:
            lines.append(f"| {label} | " + " | ".join(str(one[column]) for column in columns) + " |")
    return lines


def _figures(found: dict[str, Any]) -> list[str]:
    runs = [run for run in RUNS if run in next(iter(found["groups"].values()))]
    last = found["time_steps"]
    steps = sorted({1, (last + 1) // 2, last})
    lines = [
        f"Relative errors in per cent on {found['samples']} test trajectories after {', '.join(map(str, steps))} time "
        "steps, means over them; pressure and density about their means. The control is the base trained on "
        "for as many optimiser steps as the corrector.",
        "",
        "| field | rollout | " + " | ".join(f"t = {step}" for step in steps) + " |",
        "| -- | -- |" + " --: |" * len(steps),
    ]
    for group, entry in found["groups"].items():
        for run in runs:
            cells = " | ".join(_per_cent(entry[run][step - 1]) for step in steps)
            lines.append(f"| {group} | {run} | {cells} |")
    if "through_walls" in found:
        shares = ", ".join(f"{run} {_per_cent(share)}" for run, share in found["through_walls"].items())
        lines += ["", f"Velocity through walls, in per cent of the true velocity there: {shares}."]
    return lines


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g}"


def main() -> None:
    """Write the cards of all shipped models."""
    for name in ABOUT:
        if (SHIPPED / f"{name}.safetensors").is_file():
            with atomic_path(SHIPPED / f"{name}.md") as temporary:
                temporary.write_text(card(name), encoding="utf-8")


if __name__ == "__main__":
    main()
