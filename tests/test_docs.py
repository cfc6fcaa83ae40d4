"""What docs/correctors.md shows runs."""

import re
from pathlib import Path
from typing import Any

import torch

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
