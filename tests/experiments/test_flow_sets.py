"""Data sets of an experiment: made with the config's flow, and refused where another flow made them."""

import h5py
import pytest

pytest.importorskip("numba")

from irno_graph.experiments.config import ConfigError, DataConfig, ExperimentConfig, SetConfig, read_config
from irno_graph.experiments.sets import read_sets


def quiet(_: str) -> None:
    pass


def experiment(folder, flow):
    small = [SetConfig(nodes=64, trajectories=2, seed=1)]
    data = DataConfig(
        folder=str(folder), flow=flow, solver_res=16, save_every=0.05, final_time=0.1, train=small
    )
    return ExperimentConfig(data=data)


def test_sets_are_made_with_the_flow_of_the_config_and_others_are_refused(tmp_path):
    read_sets(experiment(tmp_path, "ce-rp"), "train", "cpu", quiet)
    with h5py.File(tmp_path / "train-0.nc") as file:
        assert file.attrs["title"] == "CE-RP"
    with pytest.raises(ConfigError, match="flow ce-rp where the config wants ce-gauss"):
        read_sets(experiment(tmp_path, "ce-gauss"), "train", "cpu", quiet)


def test_files_without_the_attribute_are_of_gauss(tmp_path):
    read_sets(experiment(tmp_path, "ce-gauss"), "train", "cpu", quiet)
    with h5py.File(tmp_path / "train-0.nc", "r+") as file:
        del file.attrs["flow"]
    assert len(read_sets(experiment(tmp_path, "ce-gauss"), "train", "cpu", quiet)) == 1
    with pytest.raises(ConfigError, match="flow ce-gauss where the config wants ce-kh"):
        read_sets(experiment(tmp_path, "ce-kh"), "train", "cpu", quiet)


def test_a_config_names_a_known_flow(tmp_path):
    path = tmp_path / "config.yaml"
    sets = "train: [{nodes: 64, seed: 1}], valid: [{nodes: 64, seed: 2}]"
    path.write_text(f"data: {{flow: ce-kh, {sets}}}")
    assert read_config(path).data.flow == "ce-kh"
    path.write_text(f"data: {{flow: ce-rm, {sets}}}")
    with pytest.raises(ConfigError, match=r"data.flow.*ce-rpui"):
        read_config(path)
