"""What the docs show runs."""

import re
from pathlib import Path
from typing import Any

import torch
from flow_sources import MESH, flows, write_flows_nc

import irno_graph as ig

BLOCKS = re.findall(
    r"```python\n(.*?)```",
    (Path(__file__).parents[1] / "docs" / "correctors.md").read_text(encoding="utf-8"),
    flags=re.S,
)


def test_the_correctors_that_come_with_the_package(box):
    names: dict[str, Any] = {"ig": ig, "in_channels": 3, "channels": 2}
    names["base"] = lambda x, graph: x[..., :2]
    exec(BLOCKS[0], names)
    x = torch.randn(box.num_nodes, 3)
    assert names["model"](x, box).value.shape == (box.num_nodes, 2)
    for name in ("flat", "standard"):
        assert names[name](x, x[..., :2], box).shape == (box.num_nodes, 2)


def test_the_corrector_of_your_own_is_asked_once_per_refinement_and_moves_to_the_mean(box):
    names: dict[str, Any] = {"torch": torch}
    exec(BLOCKS[1], names)
    corrector = names["Diffusion"](2)
    torch.nn.init.eye_(corrector.mix.weight)
    h = torch.randn(box.num_nodes, 2)
    model = ig.IRNO(lambda x, graph: x, corrector, alpha=0.5, steps=20)
    states = model(h, box).states
    torch.testing.assert_close(states[1], h + 0.5 * corrector(h, h, box))
    assert states[-1].std() < 0.5 * h.std()


def test_a_grid_operator_on_a_mesh_is_refined_there():
    text = (Path(__file__).parents[1] / "docs" / "grids.md").read_text(encoding="utf-8")
    graphs, example, finer, *_ = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    names: dict[str, Any] = {"ig": ig}
    exec(graphs, names)
    assert names["grid"].num_nodes == 64 * 48
    torch.testing.assert_close(float(names["sphere"].mass.sum()), 4 * torch.pi)
    exec(example, names)
    assert names["out"].value.shape == (4, 500, 2)
    base = names["on_mesh"](torch.ones(500, 3), names["mesh"])
    torch.testing.assert_close(base, base[:1].expand_as(base))  # constants stay constant on the way
    exec(finer, names)
    assert names["out"].value.shape == (4, 32 * 64, 2)
    torch.testing.assert_close(names["out"].states[0], names["base"](names["x"], names["fine"]))


def test_data_sets_for_training_and_errors_of_flows(tmp_path, monkeypatch):
    write_flows_nc(tmp_path / "flows.nc", flows(MESH.points, 5, 5))
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    part = text[text.index("## Data sets for training") :]
    names: dict[str, Any] = {"torch": torch}
    for block in re.findall(r"```python\n(.*?)```", part, flags=re.S)[:3]:
        exec(block, names)
    assert names["report"].relative["density"] > 0
