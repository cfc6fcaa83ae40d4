"""Whole training runs on a set of a few nodes, with the wave of a single mode as the flow."""

import csv
import warnings

import h5py
import numpy as np
import pytest
import torch
from tiny_runs import config, write_set

import irno_graph as ig
from irno_graph.experiments.train import train
from irno_graph.mesh import periodic_box
from irno_graph.refine.storage import describe
from irno_graph.training.base_task import BaseTask
from irno_graph.training.checkpoints import read_checkpoint
from irno_graph.training.schedule import annealed
from irno_graph.training.unrolling import Unrolling


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings(action="ignore"):  # Lightning's own remarks are not ours to fail on
        yield


def test_base_corrector_and_control_are_trained_and_saved(tmp_path):
    path = config(tmp_path)
    base_file, model_file = train(path, report=lambda line: None)
    model = ig.load(model_file)
    base = ig.load(base_file)
    assert model.base_hash == ig.IRNO(base, model.corrector).base_hash  # the corrector left the base alone
    assert describe(model_file)["about"]["trajectory_base_seeds"] == [1, 2, 3]
    graph = ig.Graph.from_mesh(periodic_box(60, seed=9))
    out = ig.rollout(model, torch.rand(60, 4), graph, time_steps=2)
    assert torch.isfinite(out.states).all()
    (control_file,) = train(path, stage="control", report=lambda line: None)
    control = ig.load(control_file)
    assert ig.IRNO(control, model.corrector).base_hash != model.base_hash


@pytest.mark.parametrize(
    ("options", "states", "penalised"),
    [
        ("past_steps: 2, beta_jacobian: 0.1, beta_norm: 0.1", 4, True),
        ("implicit: true, past_steps: 6", 1, False),
    ],
)
def test_a_corrector_is_trained_past_its_last_step(tmp_path, monkeypatch, options, states, penalised):
    path = config(tmp_path, base=4, corrector=5)
    path.write_text(path.read_text().replace("single_steps: 3", f"single_steps: 3, {options}"))
    seen = []

    class Watched(Unrolling):
        def states(self, step, h, steps):
            found = super().states(step, h, steps)
            seen.append(len(found))
            return found

        def penalty(self, *args):
            found = super().penalty(*args)
            seen.append(found is not None and bool(found > 0))
            return found

    monkeypatch.setattr("irno_graph.experiments.train.Unrolling", Watched)
    _, model_file = train(path, report=lambda line: None)
    assert seen == 2 * [states, penalised]  # after three single steps
    assert 1 <= ig.load(model_file).steps <= 8


def test_statistics_come_from_the_training_sets_alone(tmp_path):
    (base_file,) = train(config(tmp_path), stage="base", report=lambda line: None)
    with h5py.File(tmp_path / "data" / "train-0.nc") as a, h5py.File(tmp_path / "data" / "train-1.nc") as b:
        values = np.concatenate([np.asarray(file["u"])[..., :4].reshape(-1, 4) for file in (a, b)]).astype(
            np.float64
        )
    base = ig.load(base_file)
    np.testing.assert_allclose(base.input_mean, values.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(base.input_std, values.std(axis=0), rtol=1e-4)


def test_a_run_that_was_cut_off_ends_where_an_undisturbed_one_does(tmp_path):
    """The base's checkpoint after the first epoch, continued, gives the weights of a run in one go."""
    whole = config(tmp_path / "whole", base=8)
    train(whole, stage="base", report=lambda line: None)
    cut = config(tmp_path / "cut", base=8)
    text = cut.read_text()

    import irno_graph.training.fit as fit_module

    class Cut(Exception):
        pass

    class Stop(fit_module.PlanEpoch):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 1:
                raise Cut
            super().on_train_epoch_start(trainer, module)

    original = fit_module.PlanEpoch
    fit_module.PlanEpoch = Stop  # type: ignore[misc]
    try:
        with pytest.raises(Cut):
            train(cut, stage="base", report=lambda line: None)
    finally:
        fit_module.PlanEpoch = original  # type: ignore[misc]
    assert cut.read_text() == text
    (resumed,) = train(cut, stage="base", report=lambda line: None)
    expected = ig.load(tmp_path / "whole" / "run" / "base.safetensors").state_dict()
    for name, value in ig.load(resumed).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


def test_a_base_learns_all_lead_times_with_masked_edges(tmp_path, monkeypatch):
    """All pairs, curriculum, fractional pairing, edge masking and RIGNO's schedule in one run, to its last step."""
    path = config(tmp_path, base=72)
    options = "longest_lead: 3, fractional: true, edge_masking: 0.5, stepper: residual, "
    text = path.read_text().replace(
        "draws: 2, fit: {", "draws: 2, " + options + "fit: {schedule: rigno, validate_every: 1, "
    )
    path.write_text(text.replace("batch_size: 4, epoch_batches: 4}", "batch_size: 4, epoch_batches: 6}", 1))
    seen = set()
    start_epoch = BaseTask.start_epoch

    def watched(task):
        sizes = start_epoch(task)
        seen.add((task.epoch, task.longest))
        return sizes

    monkeypatch.setattr(BaseTask, "start_epoch", watched)
    (base_file,) = train(path, stage="base", report=lambda line: None)
    base = ig.load(base_file)
    assert seen == {(0, 1), (1, 2), *((epoch, 3) for epoch in range(2, 12))}
    (log,) = (tmp_path / "run" / "base").rglob("metrics.csv")
    with log.open(newline="") as file:
        validated = [int(row["step"]) for row in csv.DictReader(file) if row["valid_rollout"]]
    assert validated == [6 * epoch + 5 for epoch in range(12)]
    assert str(base.stepper) == "residual"
    with h5py.File(tmp_path / "data" / "train-0.nc") as a, h5py.File(tmp_path / "data" / "train-1.nc") as b:
        u = [np.asarray(file["u"])[..., :4].astype(np.float64) for file in (a, b)]
    changes = [(v[:, k:] - v[:, :-k]).reshape(-1, 4) for v in u for k in (1, 2, 3)]
    np.testing.assert_allclose(base.target_std, np.concatenate(changes).std(axis=0), rtol=1e-4)
    saved = read_checkpoint(tmp_path / "run" / "base" / "last.ckpt")
    assert saved["global_step"] == 72


def test_a_file_made_with_other_settings_is_refused(tmp_path):
    path = config(tmp_path)
    path.write_text(path.read_text().replace("nodes: 96", "nodes: 97"))
    with pytest.raises(ValueError, match=r"train-1\.nc.*nodes 96 where the config wants 97"):
        train(path, stage="base", report=lambda line: None)


def test_a_file_with_another_time_step_is_refused(tmp_path):
    path = config(tmp_path)
    path.write_text(path.read_text().replace("final_time: 0.3", "final_time: 0.3\n  save_every: 0.05"))
    with pytest.raises(ValueError, match=r"train-0\.nc.*times"):
        train(path, stage="base", report=lambda line: None)


def test_a_cut_off_run_does_not_go_on_with_other_settings(tmp_path):
    path = config(tmp_path)
    train(path, stage="base", report=lambda line: None)
    path.write_text(path.read_text().replace("processor_steps: 1", "processor_steps: 2"))
    with pytest.raises(ValueError, match=r"other settings \(`base.processor_steps` was 1, is 2\)"):
        train(path, stage="base", report=lambda line: None)


def test_the_corrector_waits_for_the_base(tmp_path):
    with pytest.raises(ValueError, match="run the base stage first"):
        train(config(tmp_path), stage="corrector", report=lambda line: None)


def test_training_goes_on_from_a_trained_model_on_more_sets(tmp_path):
    """One step at a vanishing rate leaves the model as it was; `more` is read, the base stage is not run."""
    first = config(tmp_path)
    _, model_file = train(first, report=lambda line: None)
    write_set(tmp_path / "data" / "more-0.nc", 64, 3, 7)
    text = first.read_text().replace(f"folder: {tmp_path}/run", f"folder: {tmp_path}/on\nstart: {model_file}")
    text = text.replace("  valid:", "  more: [{nodes: 64, trajectories: 3, seed: 7}]\n  valid:")
    still = tmp_path / "still.yaml"
    still.write_text(text.replace("optimizer_steps: 6,", "optimizer_steps: 1, learning_rate: 1.0e-12,"))
    (same_file,) = train(still, report=lambda line: None)
    model, same = ig.load(model_file), ig.load(same_file)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(same.state_dict()[name], value, rtol=0, atol=1e-9, msg=name)
    assert describe(same_file)["about"]["trajectory_base_seeds"] == [1, 2, 7, 3]
    assert describe(same_file)["about"]["start"] == describe(model_file)["about"]
    assert {part.name for part in (tmp_path / "on").iterdir()} == {"corrector", "model.safetensors"}
    (control_file,) = train(first, stage="control", report=lambda line: None)
    still.write_text(still.read_text().replace("start:", f"control_start: {control_file}\nstart:"))
    still.write_text(
        still.read_text()
        .replace("base: {hidden: 8", "base: {hidden: 9")
        .replace("draws: 2, fit: {", "draws: 2, fit: {learning_rate: 1.0e-12, ")
    )
    (on_file,) = train(still, stage="control", report=lambda line: None)
    for name, value in ig.load(control_file).state_dict().items():
        torch.testing.assert_close(ig.load(on_file).state_dict()[name], value, rtol=0, atol=1e-9, msg=name)


def test_a_start_that_does_not_fit_is_refused(tmp_path):
    first = config(tmp_path)
    base_file, model_file = train(first, report=lambda line: None)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(f"start: {base_file}\n" + first.read_text())
    with pytest.raises(ValueError, match="should name a model with a corrector, got RIGNO"):
        train(wrong, report=lambda line: None)
    wrong.write_text(
        f"start: {model_file}\n" + first.read_text().replace("hidden: 8, levels", "hidden: 12, levels")
    )
    with pytest.raises(ValueError, match="should have the sizes that `corrector` gives"):
        train(wrong, report=lambda line: None)
    with pytest.raises(ValueError, match="has a base: run another stage"):
        train(wrong, stage="base", report=lambda line: None)


def test_learning_rate_rises_falls_and_ends_low():
    rates = [annealed(step, 1000, tail=0.2) for step in range(1001)]
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(1.0, abs=1e-3)
    assert peak <= 20
    assert all(a >= b for a, b in zip(rates[peak:-1], rates[peak + 1 :], strict=True))
    assert max(rates[800:]) <= 0.02 + 1e-12


def test_a_control_is_not_gone_on_with_from_another_base(tmp_path):
    path = config(tmp_path)
    (base_file,) = train(path, stage="base", report=lambda line: None)
    (control_file,) = train(path, stage="control", report=lambda line: None)
    before = control_file.read_bytes()
    base = ig.load(base_file)
    with torch.no_grad():
        next(base.parameters()).mul_(1.5)
    ig.save(base, base_file)
    with pytest.raises(ValueError, match="`base_hash` was"):
        train(path, stage="control", report=lambda line: None)
    assert control_file.read_bytes() == before
