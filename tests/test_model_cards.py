"""The cards in the package say what model files and figures say: `python benchmarks/model_cards.py` writes them."""

import importlib.util
import json
from pathlib import Path

import pytest

from irno_graph.refine.storage import SHIPPED, describe

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


@pytest.fixture(scope="module")
def cards():
    spec = importlib.util.spec_from_file_location("model_cards", ROOT / "benchmarks" / "model_cards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_model_has_the_card_of_its_file(cards, name):
    text = (SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    assert text == cards.card(name)
    assert describe(name)["weights_hash"] in text


@pytest.mark.parametrize("name", NAMES)
def test_its_figures_are_those_of_the_evaluation(cards, name):
    """Read back from the table: the last time step's errors of base and refined model, in per cent."""
    found = json.loads((ROOT / cards.ABOUT[name]["figures"] / "test.json").read_text(encoding="utf-8"))
    rows = [
        line.strip("| ").split(" | ")
        for line in (SHIPPED / f"{name}.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    for group, entry in found["groups"].items():
        for run in ("base", "refined"):
            (row,) = [row for row in rows if row[:2] == [group, run]]
            assert float(row[-1]) == pytest.approx(100 * entry[run][-1], rel=5e-3)
            assert float(row[2]) == pytest.approx(100 * entry[run][0], rel=5e-3)
