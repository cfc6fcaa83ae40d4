"""The experiment on CE-Gauss in small: what is trained when, what is measured, what the report says."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
import torch

import irno_graph as ig
from irno_graph.data import TrajectoryFile
from irno_graph.experiments.ce_gauss import read_ce_gauss_config, run_ce_gauss, trainings
from irno_graph.experiments.ce_gauss.figures import place_figures, shifted
from irno_graph.experiments.config import ConfigError
from irno_graph.experiments.evaluation import compare_rollouts
from irno_graph.experiments.train import train
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine import Scaling
from irno_graph.report.ce_gauss_numbers import gains
from irno_graph.report.ce_gauss_report import write_ce_gauss_report

TEXT = """
folder: {folder}/experiment
training: {folder}/tiny.yaml
seeds: [0, 1]
time_steps: 2
most_steps: 2
alphas: [0.4]
certified: 2
jobs: 1
test: {test}
variants:
  - {{name: wide, group: control, stage: base, changes: [base.hidden=10]}}
  - {{name: plain, group: loss, changes: [corrector.beta_spectral=0]}}
shifts:
  - {{name: noise, noise: 0.1, data: {test}}}
finished:
  - model: {folder}/experiment/main-1/model.safetensors
    control: {folder}/experiment/main-1/base.safetensors
"""


def written(folder: Path, **changes: str) -> Path:
    """The experiment's file, of the tiny training, and its data."""
    tiny_runs.config(folder, base=4, corrector=4)
    tiny_runs.write_set(folder / "test" / "test-0.nc", 80, 3, 9)
    one = "[{nodes: 80, trajectories: 3, seed: 9}]"
    test = f"{{folder: {folder}/test, solver_res: 32, final_time: 0.3, test: {one}}}"
    text = TEXT.format(folder=folder, test=test)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "experiment.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of trainings, each run in this process."""
    names: list[str] = []

    def run(arguments: list[str], log: Path) -> int:
        command, config, _, stage, *changes = arguments
        assert command == "train"
        with warnings.catch_warnings(action="ignore"):
            (file,) = train(config, stage=stage, changes=changes[1::2], report=lambda line: None)
        names.append(f"{file.parent.name} {stage}")
        return 0

    monkeypatch.setattr(trainings, "launch", run)
    return names


def test_everything_is_trained_and_measured_once(tmp_path: Path, trained: list[str]) -> None:
    said: list[str] = []
    config = read_ce_gauss_config(written(tmp_path))
    result = run_ce_gauss(config, report=said.append)
    assert sorted(trained[:2]) == ["main-0 base", "main-1 base"]
    assert sorted(trained[2:]) == ["main-0 corrector", "main-1 corrector", "plain-0 corrector", "wide-0 base"]
    source = TrajectoryFile(tmp_path / "test" / "test-0.nc")
    model = ig.load(tmp_path / "experiment" / "main-1" / "model.safetensors")
    found = compare_rollouts(model, source.read(), source.graph()).to_json()
    assert result["main"]["1"]["groups"] == found["groups"]
    assert result["main"]["0"]["groups"] != found["groups"]
    by_name = {own["name"]: own for own in result["variants"]}
    assert (
        by_name["wide"]["groups"]["velocity"]["base"] != result["main"]["0"]["groups"]["velocity"]["base"][:2]
    )
    assert by_name["plain"]["groups"]["velocity"]["base"] == pytest.approx(
        result["main"]["0"]["groups"]["velocity"]["base"][:2], rel=1e-6
    )
    (own,) = result["finished"]
    assert own["groups"]["velocity"]["refined"] == found["groups"]["velocity"]["refined"]
    assert own["groups"]["velocity"]["control"] == pytest.approx(found["groups"]["velocity"]["base"])
    trained.clear()
    said.clear()
    assert run_ce_gauss(config, report=said.append) == result
    assert trained == said == []
    shutil.move(tmp_path / "experiment" / "plain-0", tmp_path / "aside")
    some = run_ce_gauss(config, so_far=True, report=said.append)
    assert trained == said == []
    assert some["missing"] == ["plain, corrector, seed 0"]
    assert some["variants"] == [own for own in result["variants"] if own["name"] != "plain"]
    shutil.move(tmp_path / "aside", tmp_path / "experiment" / "plain-0")
    (tmp_path / "experiment" / "main-0" / "base.safetensors").unlink()
    with pytest.raises(trainings.TrainingError, match="main, base, seed 0 is not finished"):
        run_ce_gauss(config, so_far=True, report=said.append)
    shutil.rmtree(tmp_path / "experiment" / "plain-0")  # a run is not gone on with other settings
    read = read_ce_gauss_config(written(tmp_path, **{"beta_spectral=0": "beta_spectral=0.5"}))
    run_ce_gauss(read, report=said.append)
    assert trained == ["main-0 base", "plain-0 corrector"]  # the base is the same again
    other = tmp_path / "tiny.yaml"
    other.write_text(other.read_text().replace("single_steps: 3", "single_steps: 2"))
    assert [one.name for one in trainings.all_trainings(read) if trainings.is_finished(one, read)] == [
        *("main, base, seed 0", "main, base, seed 1", "wide, base, seed 0"),  # no base depends on it
    ]
    other.write_text(other.read_text().replace("single_steps: 2", "single_steps: 3"))
    assert "measuring plain-0" in said
    assert "measuring wide-0" not in said
    report = tmp_path / "out" / "ce_gauss.md"
    report.parent.mkdir()
    pictures = write_ce_gauss_report(
        result | {"machine": "here"}, report, config=tmp_path / "experiment.yaml"
    )
    assert len(pictures) == 5
    text = report.read_text()
    seeds = [gains(run, "velocity")[0] for run in result["main"].values()]
    assert f"| {np.mean(seeds):.1f} ± " in text
    assert text.count("| plain | 1 |") == text.count("| wide | 1 |") == 1
    json.dumps(result, allow_nan=False)
    result["certificates"]["pearson"] = None  # all biases alike
    write_ce_gauss_report(result | {"machine": "here"}, report, config=tmp_path / "experiment.yaml")
    assert "up to 8 K steps: -." in report.read_text()


def test_passes_are_trained_on_one_another(tmp_path: Path) -> None:
    passes = "{name: second, base: plain, group: passes}"
    path = written(
        tmp_path,
        **{
            "time_steps: 2": "time_steps: 2\nreference: plain\ncorrector_changes: [corrector.steps=1]",
            "changes: [corrector.beta_spectral=0]}": f"changes: [corrector.beta_spectral=0]}}\n  - {passes}",
        },
    )
    config = read_ce_gauss_config(path)
    found = {one.name: one for one in trainings.all_trainings(config)}
    first, second = found["plain, corrector, seed 0"], found["second, corrector, seed 0"]
    assert second.needs == first.file
    assert first.changes == ("corrector.steps=1", "corrector.beta_spectral=0")
    assert found["wide, base, seed 0"].changes == ("base.hidden=10",)
    assert found["main, corrector, seed 0"].changes == ()


def test_a_training_that_fails_is_named_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: list[str], log: Path) -> int:
        log.write_text("no space left")
        return 3

    monkeypatch.setattr(trainings, "launch", broken)
    with pytest.raises(
        trainings.TrainingError, match=r"main, base, seed 0 failed with code 3.*no space left"
    ):
        run_ce_gauss(read_ce_gauss_config(written(tmp_path)), report=lambda line: None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: 9}", "seed: 3}", "seed 3 is one of"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "`seeds` should be different"),
        ("time_steps: 2", "reference: wide", "`reference` should be empty or the name"),
        ("name: plain, ", "name: plain, base: plain, ", r"`variants\[1\].base` .* before it"),
        ("stage: base", "stage: bass", r"`variants\[0\].stage` should be one of base, control, corrector"),
        ("name: plain, ", "name: plain, base: narrow, ", r"`variants\[1\].base`"),
        ("beta_spectral=0", "beta_spectrum=0", "beta_spectrum"),
        ("name: plain", "name: ../plain", "`variants.name`"),
        ("name: plain", "name: main", "`variants.name`"),
        ("noise: 0.1", "noise: -0.1", r"`shifts\[0\].noise`"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_ce_gauss_config(written(tmp_path, **{old: new}))


def model_of(correction) -> ig.IRNO:
    """h_0 is x, Phi a function of x alone; alpha 1, one step."""
    ones, zeros = torch.ones(4), torch.zeros(4)
    scaling = Scaling(input_mean=zeros, input_std=ones, mean=zeros, std=ones, error=ones)

    class Known(torch.nn.Module):
        def forward(self, x, h, graph):
            return correction(x)

    return ig.IRNO(lambda x, graph: x, Known(), alpha=1.0, steps=1, scaling=scaling).eval()


def test_places_are_sorted_by_vorticity() -> None:
    """Errors of 1 everywhere, which the model removes where the truth turns most."""
    graph = Graph.from_mesh(periodic_box(400, seed=0))
    shear = torch.sin(2 * torch.pi * graph.pos[:, 0]).float()  # of v_y: vorticity 2 pi cos
    y = torch.stack([torch.ones(400), torch.zeros(400), shear, torch.ones(400)], dim=-1)
    x = y.clone()
    x[:, 1] += 1.0
    strong = torch.cos(2 * torch.pi * graph.pos[:, 0]).abs().float() > 0.9
    model = model_of(lambda x: -torch.nn.functional.one_hot(torch.tensor(1), 4) * strong[:, None].to(x))
    found = place_figures(model, torch.stack([x, y]).unsqueeze(0), graph)
    np.testing.assert_allclose(found["base"], 1.0, rtol=1e-5)
    np.testing.assert_allclose(found["refined"][:3], 1.0, rtol=1e-5)
    assert found["refined"][4] < 0.05 < found["refined"][3]


def test_starts_get_noise_of_the_size_asked_for_and_nodes_are_left_out() -> None:
    graph = Graph.from_mesh(periodic_box(300, seed=0))
    truth = torch.full((40, 3, 300, 4), 5.0)
    model = model_of(lambda x: x)
    noisy, same = shifted(truth, graph, model, noise=0.5, dropout=0.0, seed=0)
    assert same is graph
    assert torch.equal(noisy[:, 1:], truth[:, 1:])
    assert float((noisy[:, 0] - truth[:, 0]).std()) == pytest.approx(0.5, rel=0.02)
    marked = torch.arange(300.0).view(1, 1, -1, 1).expand(1, 2, -1, 4)
    part, fewer = shifted(marked, graph, model, noise=0.0, dropout=0.25, seed=0)
    assert fewer.num_nodes == part.shape[2] == 225
    kept = part[0, 0, :, 0].long()
    torch.testing.assert_close(fewer.pos, graph.pos[kept])
    assert float(fewer.mass.sum()) == pytest.approx(1.0)
