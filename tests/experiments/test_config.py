from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irno_graph.experiments.ce_gauss import read_ce_gauss_config
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
    kinds: dict[str, Callable[..., Any]] = {
        "solver": read_solver_config,
        "compare": read_compare_config,
        "experiment_cpu": read_ce_gauss_config,
    }
    read = kinds.get(path.stem, kinds.get(path.stem.partition("_")[0], read_config))
    assert read(path).name != "experiment"


def test_defaults_fill_what_is_left_out(tmp_path):
    config = read_config(written(tmp_path, GOOD))
    assert config.corrector.alpha == 0.25
    assert config.data.train[0].nodes == 64


SETS = "data:\n  train:\n    - {seed: 1}\n    - {seed: 2}\n    - seed: 3\n      "  # what follows is in line 6
UNKNOWN = [
    ("\ncorrector: {alhpa: 0.3}", 5, "corrector.alhpa", "unknown: did you mean `alpha`"),
    ("\ncorrector:\n  fit: {batch_sise: 3}", 6, "corrector.fit.batch_sise", "did you mean `batch_size`"),
    ("\nzzz: 3", 5, "zzz", "unknown, known are name, folder"),
    ("\n5: 3", 5, "5", "unknown"),
]
WRONG_TYPES = [
    ("\ncorrector: {steps: many}", 5, "corrector.steps", "a whole number, got 'many'"),
    ("\ncorrector: {steps: 2.5}", 5, "corrector.steps", "a whole number, got 2.5"),
    ("\ncorrector: {steps: [1]}", 5, "corrector.steps", r"a whole number, got \[1\]"),
    ("\ncorrector: {steps: }", 5, "corrector.steps", "a whole number, got None"),
    ("\nthreads: true", 5, "threads", "a whole number, got True"),
    ("\nbase: {fit: {learning_rate: fast}}", 5, "base.fit.learning_rate", "a number, got 'fast'"),
    ("\nbase:\n  fractional: perhaps", 6, "base.fractional", "true or false, got 'perhaps'"),
    ("\nname: [a]", 5, "name", r"a word or text, got \['a'\]"),
    ("\ncorrector: 5", 5, "corrector", "a mapping with keys such as kind, hidden, layers, got 5"),
    ("\ncorrector:", 5, "corrector", "a mapping .* got None"),
]
IMPOSSIBLE = [
    ("\ncorrector: {alpha: 1.5}", 5, "corrector.alpha", r"a number in \(0, 1\], got 1.5"),
    ("\nbase: {fit: {optimizer_steps: 0}}", 5, "base.fit.optimizer_steps", "1 or more, got 0"),
    ("\nbase: {stepper: wave}", 5, "base.stepper", "one of .*residual.*, got 'wave'"),
    ("\nbase: {fit: {precision: fp8}}", 5, "base.fit.precision", "one of 32, bf16, got fp8"),
    ("\nbase:\n  fit:\n    ema: 1.0", 7, "base.fit.ema", r"in \[0, 1\), .* got 1.0"),
    ("\ncorrector: {fit: {accumulate: 0}}", 5, "corrector.fit.accumulate", "1 or more, got 0"),
    ("\ncorrector: {fit: {gradient_clip: -1}}", 5, "corrector.fit.gradient_clip", "or more, got -1"),
    ("\ncorrector: {fit: {patience: -2}}", 5, "corrector.fit.patience", "or more, got -2"),
]
IN_LISTS = [
    (SETS + "nodse: 3", 6, r"data.train\[2\].nodse", "did you mean `nodes`"),
    (SETS + "nodes: many", 6, r"data.train\[2\].nodes", "a whole number, got 'many'"),
    (SETS + "nodes: 0\n  valid: [{seed: 4}]", 6, r"data.train\[2\].nodes", "1 or more, got 0"),
    ("data:\n  train: [{seed: 1}, 7]", 2, r"data.train\[1\]", "a mapping .* got 7"),
    ("data:\n  train: 5", 2, "data.train", "a list, got 5"),
]


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [*((GOOD + text, *rest) for text, *rest in (*UNKNOWN, *WRONG_TYPES, *IMPOSSIBLE)), *IN_LISTS],
)
def test_what_does_not_fit_is_named_with_its_line(tmp_path, text, line, key, message):
    with pytest.raises(ConfigError, match=rf"config\.yaml`, line {line}, key `{key}` .*{message}"):
        read_config(written(tmp_path, text.lstrip()))


@pytest.mark.parametrize("text", ["base: [", "- 1", "just words", "a: 1\na: 2"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_config(written(tmp_path, text))


def test_numbers_may_be_written_in_any_way(tmp_path):
    text = (
        GOOD
        + '\nbase: {fit: {learning_rate: 1e-3, optimizer_steps: "50"}}\ncorrector: {beta_fp: 1, implicit: yes}'
    )
    config = read_config(written(tmp_path, text))
    assert (config.base.fit.learning_rate, config.base.fit.optimizer_steps) == (1e-3, 50)
    assert (config.corrector.beta_fp, config.corrector.implicit) == (1.0, True)


def test_other_kinds_of_files_are_checked_alike(tmp_path):
    """The solver's has a mapping of lists."""
    for text, key in (("losses: {a: 3}", "losses.a"), ("rates: [0.1, a]", r"rates\[1\]"), ("los: 3", "los")):
        with pytest.raises(ConfigError, match=f"line 1, key `{key}`"):
            read_solver_config(written(tmp_path, text))


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
