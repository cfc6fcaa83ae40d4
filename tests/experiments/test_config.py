from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irno_graph.experiments.compare import read_compare_config
from irno_graph.experiments.config import ConfigError, read_config
from irno_graph.experiments.solver import read_solver_config

CONFIGS = Path(__file__).parents[2] / "configs"
GOOD = """
data:
  train: [{nodes: 64, trajectories: 2, seed: 1}]
  valid: [{nodes: 64, trajectories: 2, seed: 2}]
"""


def written(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_in_configs_is_read(path):
    kinds: dict[str, Callable[..., Any]] = {"solver": read_solver_config, "compare": read_compare_config}
    read = kinds.get(path.stem.partition("_")[0], read_config)
    assert read(path).name != "experiment"


def test_defaults_fill_what_is_left_out(tmp_path):
    config = read_config(written(tmp_path, GOOD))
    assert config.corrector.alpha == 0.25
    assert config.data.train[0].nodes == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("\ncorrector: {alhpa: 0.3}", "alhpa"),
        ("\ncorrector: {fit: {batch_sise: 3}}", "batch_sise"),
        ("\ncorrector: {steps: many}", "corrector.steps"),
        ("\ncorrector: {alpha: 1.5}", "corrector.alpha"),
        ("\nbase: {fit: {optimizer_steps: 0}}", "base.fit.optimizer_steps"),
        ("\nbase: [", "YAML"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_config(written(tmp_path, GOOD + change))
    assert "config.yaml" in str(caught.value)


def test_a_seed_is_used_for_one_set_only(tmp_path):
    with pytest.raises(ValueError, match="seed of its own"):
        read_config(written(tmp_path, GOOD.replace("seed: 2", "seed: 1")))


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="nothing"):
        read_config(tmp_path / "none.yaml")


def test_changes_win_over_the_file_and_are_checked_like_it(tmp_path):
    path = written(tmp_path, GOOD)
    config = read_config(path, ["corrector.steps=7", "corrector.spectral_loss=bands"])
    assert (config.corrector.steps, config.corrector.spectral_loss) == (7, "bands")
    for change, key in (("corrector.stepz=7", "stepz"), ("corrector.alpha=2", "corrector.alpha"), ("x", "x")):
        with pytest.raises(ConfigError, match=key):
            read_config(path, [change])
