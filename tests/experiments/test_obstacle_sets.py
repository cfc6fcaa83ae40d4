"""Sets of flows around obstacles: one geometry per set, from its seed alone; others are refused."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("numba")

import irno_graph as ig
from irno_graph.data.readers import open_data
from irno_graph.experiments.config import (
    ConfigError,
    DataConfig,
    ExperimentConfig,
    SetConfig,
    all_sets,
    read_config,
)
from irno_graph.experiments.sets import read_sets
from irno_graph.experiments.train import train
from irno_graph.refine.storage import describe

CONFIGS = Path(__file__).parents[2] / "configs"

SMALL = SetConfig(nodes=160, trajectories=2, holes=1, seed=1)
OTHER = replace(SMALL, seed=2)
CONFIG = """
name: walled
folder: {folder}/run
data:
  folder: {folder}/data
  flow: ce-gauss-obstacles
  narrowest: 0.05
  fine: 0
  save_every: 0.05
  final_time: 0.1
  train: [{{nodes: 160, holes: 1, trajectories: 2, seed: 1}}, {{nodes: 180, holes: 2, trajectories: 2, seed: 2}}]
  valid: [{{nodes: 160, holes: 1, trajectories: 2, seed: 3}}]
base: {{hidden: 8, processor_steps: 1, draws: 1, fit: {{optimizer_steps: 3, batch_size: 2, epoch_batches: 3}}}}
corrector:
  {{hidden: 8, levels: 2, modes: 8, loss_modes: 8, steps: 2, single_steps: 1, refresh_every: 1, refresh_trajectories: 1,
    fit: {{optimizer_steps: 3, batch_size: 2, epoch_batches: 3}}}}
"""


def quiet(_: str) -> None:
    pass


def experiment(folder, *train_sets, **changes):
    data = DataConfig(
        folder=str(folder), flow="ce-gauss-obstacles", save_every=0.05, final_time=0.1, narrowest=0.05, fine=0
    )
    return ExperimentConfig(data=replace(data, train=list(train_sets), **changes))


def holes(path):
    with h5py.File(path) as file:
        return np.asarray(file["holes"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, read_sets(experiment(folder, SMALL, OTHER), "train", "cpu", quiet)


def test_each_set_has_a_geometry_of_its_own(made):
    folder, (first, second) = made
    assert first.graph.period is None
    assert first.states.shape == second.states.shape == (2, 3, 160, 4)
    assert np.abs(holes(folder / "train-0.nc") - holes(folder / "train-1.nc")).min() > 1e-3
    assert (first.states[:, 0] - second.states[:, 0]).abs().max() > 0.1
    assert open_data(folder / "train-0.nc").channels[:4] == ("rho", "vx", "vy", "p")


def test_a_set_is_that_of_its_seed_whatever_stands_before_it(made, tmp_path):
    _, (_, second) = made
    (again,) = read_sets(experiment(tmp_path, OTHER), "train", "cpu", quiet)
    assert again.graph.key() == second.graph.key()
    assert again.states.equal(second.states)


@pytest.mark.parametrize(
    ("wanted", "changes", "what"),
    [
        (replace(SMALL, seed=5), {}, "base_seed 1 where the config wants 5"),
        (replace(SMALL, holes=2), {}, "holes 1 where the config wants 2"),
        (replace(SMALL, nodes=170), {}, "nodes 160 where the config wants 170"),
        (replace(SMALL, trajectories=3), {}, "trajectories 2 where the config wants 3"),
        (SMALL, {"fine": 1}, "fine 0 where the config wants 1"),
        (SMALL, {"narrowest": 0.04}, "narrowest 0.05 where the config wants 0.04"),
        (SMALL, {"final_time": 0.15}, "times"),
    ],
)
def test_a_file_that_other_settings_made_is_refused(made, wanted, changes, what):
    folder, _ = made
    with pytest.raises(ConfigError, match=what):
        read_sets(experiment(folder, wanted, **changes), "train", "cpu", quiet)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("  fine: 5", 3, "data.fine"),
        ("  narrowest: 0.2", 3, "data.narrowest"),
        ("  test: [{nodes: 64, holes: -1, seed: 3}]", 3, r"data.test\[0\].holes"),
        ("  test: [{nodes: 64, points: grid, seed: 3}]", 3, r"data.test\[0\].points"),
        ("  test: [{nodes: 64, hole: 1, seed: 3}]", 3, r"data.test\[0\].hole"),
    ],
)
def test_impossible_settings_are_named(tmp_path, text, line, key):
    path = tmp_path / "config.yaml"
    sets = "  train: [{nodes: 64, seed: 1}]\n  valid: [{nodes: 64, seed: 2}]\n"
    path.write_text(f"data:\n  flow: ce-gauss-obstacles\n{text}\n{sets}")
    with pytest.raises(ConfigError, match=rf"config.yaml`, line {line}, key `{key}`"):
        read_config(path)


def test_a_trained_model_takes_a_geometry_that_it_has_not_seen(tmp_path):
    """Base and corrector find the walls themselves: a mesh and a state are all they are given."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(folder=tmp_path))
    written = train(path, report=quiet)
    model = ig.load(written[-1])
    assert not model.base.periodic
    assert model.base.regional_settings.walls
    assert model.corrector.options.walls
    (unseen,) = read_sets(experiment(tmp_path / "new", replace(SMALL, seed=9)), "train", "cpu", quiet)
    found = ig.rollout(model, unseen.states[:, 0], unseen.graph, time_steps=2).states
    assert found.isfinite().all()
    assert describe(written[-1])["about"]["trajectory_base_seeds"] == [1, 2, 3]


def test_the_shipped_config_tests_on_geometries_that_are_not_trained_on():
    config = read_config(CONFIGS / "obstacles.yaml").data
    seen = {one.seed for one in (*config.train, *config.more, *config.valid)}
    assert len({one.seed for one in all_sets(config)}) == len(all_sets(config))
    assert not seen & {one.seed for one in config.test}
    assert len(config.train) >= 12
    assert len(config.test) == 4
