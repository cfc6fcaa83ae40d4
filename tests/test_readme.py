"""What the README shows runs, and its figures are those of the measurement."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from irno_graph.graph import Graph
from irno_graph.mesh import read_mesh
from irno_graph.report import markdown_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "docs" / "results" / "ce_gauss_small"
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)


def test_the_rollout_block(monkeypatch):
    monkeypatch.chdir(ROOT)
    rest = torch.tensor([0.1, 0.0, 0.0, 2.5])
    names: dict[str, Any] = {"initial_state": lambda points: rest.expand(len(points), 4)}
    exec(BLOCKS[0], names)
    assert names["refined"].states.shape == names["alone"].states.shape == (8, 400, 4)
    assert not torch.equal(names["refined"].states, names["alone"].states)


def test_the_refinement_block(box, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "my_operator": lambda x: x[..., :2],
        "in_channels": 3,
        "channels": 2,
        "x": torch.randn(2, box.num_nodes, 3),
        "y": torch.randn(2, box.num_nodes, 2),
        "graph": box,
    }
    exec("import irno_graph as ig\n" + BLOCKS[1], names)
    assert torch.equal(names["model"](names["x"], box).value, names["out"].value)
    assert names["terms"].total > 0
    names["terms"].total.backward()


@pytest.mark.parametrize("group", ["velocity", "pressure", "vorticity"])
def test_refinement_gains_at_every_step(group):
    entry = json.loads((RESULTS / "test.json").read_text())["groups"][group]
    assert len(entry["gain"]) == 7
    for base, refined, gain in zip(entry["base"], entry["refined"], entry["gain"], strict=True):
        assert refined < base
        assert gain == pytest.approx(100 * (1 - refined / base))


def test_the_table_is_the_measured_one():
    result = json.loads((RESULTS / "test.json").read_text())
    result["groups"].pop("density")
    for group, entry in result["groups"].items():
        shown = {"time_steps": 7, "groups": {group: entry}}
        assert markdown_table(shown) in README


def test_the_table_of_other_points_is_the_measured_one():
    files = sorted((RESULTS / "other_points").glob("*.json"))
    assert len(files) == 6
    for file in files:
        groups = json.loads(file.read_text())["groups"]
        gains = [
            groups[group]["gain"][step] for group in ("velocity", "pressure", "vorticity") for step in (0, -1)
        ]
        kind, nodes = file.stem.split("_")
        assert f"| {kind} | {nodes} | " + " | ".join(f"{gain:+.1f}" for gain in gains) + " |" in README


@pytest.mark.parametrize(("name", "area"), [("periodic_box.vtu", 1.0), ("l_shape.vtu", 3.0)])
def test_sample_meshes_have_their_areas(name, area):
    graph = Graph.from_mesh(read_mesh(ROOT / "meshes" / name))
    assert float(graph.mass.sum()) == pytest.approx(area, rel=1e-12)
