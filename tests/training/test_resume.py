"""Runs that are cut off, at any moment and again and again, end with the weights of an undisturbed one, bit by bit."""

import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from tiny_runs import config
from torch import Tensor, nn

import irno_graph as ig
from irno_graph.experiments import train as training
from irno_graph.training import fit as fitting
from irno_graph.training import keeping
from irno_graph.training.fit import fit
from irno_graph.training.options import FitOptions
from irno_graph.training.pairs import BatchPlan, Task

HOOKS = (
    *(
        "on_fit_start",
        "on_train_epoch_start",
        "on_train_batch_end",
        "on_validation_start",
        "on_validation_end",
    ),
    *("on_train_epoch_end", "on_train_end", "on_fit_end"),
)
EVERYTHING = FitOptions(ema=0.8, keep_best=True, accumulate=2)
NEVER = 10**9


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings(action="ignore"):
        yield


class Cut(lightning.Callback):
    """Breaks the run off at the hook with number `at`, from 0 on."""

    def __init__(self, at: int = NEVER) -> None:
        self.at, self.seen = at, 0

    def hit(self, *_: Any) -> None:
        self.seen += 1
        if self.seen > self.at:
            raise KeyboardInterrupt


for hook in HOOKS:
    setattr(Cut, hook, lambda self, *_: self.hit())


class Toy(lightning.LightningModule):
    """A line through noisy points, the noise from every global generator."""

    def __init__(self) -> None:
        super().__init__()
        lightning.seed_everything(3, verbose=False)
        self.net, self.x, self.steps = nn.Linear(3, 1), torch.randn(20, 3), 0
        self.y = self.x.sum(dim=1, keepdim=True).sin()

    def training_step(self, task: Task, _: int) -> Tensor:
        self.steps += 1
        noise = torch.randn(len(task.samples), 3) + random.random() + np.random.rand()  # noqa: NPY002
        return (self.net(self.x[task.samples] + 0.1 * noise) - self.y[task.samples]).square().mean()

    def on_validation_epoch_start(self) -> None:
        self.log("valid_rollout", (self.net(self.x) - self.y).square().mean())

    def validation_step(self, *_: object) -> None: ...

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


def toy_run(folder: Path, options: FitOptions, every: int, cut: Cut | None = None) -> Toy:
    task = Toy()
    length = {"total_steps": 15, "epoch_batches": 4, "validate_every": every}
    fit(task, BatchPlan([20], 4, 7), folder, callbacks=(cut or Cut(),), options=options, **length)  # type: ignore[arg-type]
    return task


def assert_equal(a: nn.Module, b: nn.Module) -> None:
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


@pytest.mark.parametrize("seconds", [0.0, 1e9])
@pytest.mark.parametrize(
    ("options", "every"), [(FitOptions(), 2), (FitOptions(patience=1), 1), (EVERYTHING, 3)]
)
def test_runs_cut_again_and_again_end_as_the_undisturbed_one(tmp_path, monkeypatch, options, every, seconds):
    """Each start is cut off a little later than the one before, until one comes to its end."""
    monkeypatch.setattr(keeping.Last.__init__, "__defaults__", (seconds,))
    whole = toy_run(tmp_path / "whole", options, every)
    for at in range(1, 200, 2):
        cut = Cut(at)
        try:
            again = toy_run(tmp_path / "cut", options, every, cut)
        except (KeyboardInterrupt, SystemExit):
            continue
        break
    assert at > 5
    assert_equal(whole, again)
    assert_equal(
        whole, toy_run(tmp_path / "cut", options, every)
    )  # cut before the weights were saved elsewhere


def test_a_run_that_goes_on_does_not_do_everything_again(tmp_path):
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        toy_run(tmp_path, FitOptions(), 2, Cut(22))
    assert toy_run(tmp_path, FitOptions(), 2).steps == 15 - 8
    assert toy_run(tmp_path, FitOptions(), 2).steps == 0


def test_a_run_that_was_out_of_patience_stays_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Toy, "on_validation_epoch_start", lambda self: self.log("valid_rollout", float(self.steps))
    )
    whole = toy_run(tmp_path, FitOptions(patience=2), 1)
    assert whole.steps == 12
    again = toy_run(tmp_path, FitOptions(patience=2), 1)
    assert again.steps == 0
    assert_equal(whole, again)


def test_halves_of_checkpoints_are_cleared_away_and_damaged_ones_named(tmp_path):
    toy_run(tmp_path, EVERYTHING, 1)
    (tmp_path / ".last-abc.ckpt").write_bytes(b"half")
    toy_run(tmp_path, EVERYTHING, 1)
    assert not list(tmp_path.glob(".*"))
    for name in ("best.ckpt", "last.ckpt"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[:-5])
        with pytest.raises(ValueError, match=name):
            toy_run(tmp_path, EVERYTHING, 1)
        (tmp_path / name).write_bytes(data)


def test_a_best_file_of_another_step_is_refused(tmp_path):
    toy_run(tmp_path / "a", EVERYTHING, 1)
    toy_run(tmp_path / "b", EVERYTHING, 1)
    shutil.copy(tmp_path / "b" / "last.ckpt", tmp_path / "b" / "best.ckpt")
    best = keeping.Best(tmp_path / "b" / "best.ckpt", "valid_rollout")
    best.step = 3
    with pytest.raises(ValueError, match=r"best\.ckpt.*step 3"):
        best.take(Toy())


def cut_runs(monkeypatch: pytest.MonkeyPatch, path: Path, cuts: list[int]) -> Path:
    """Run the corrector's stage again and again, cut off at these hooks, then to its end."""
    for at in cuts:

        def cut(*arguments: Any, at: int = at, **options: Any) -> None:
            own = (*options.pop("callbacks"), Cut(at))
            fitting.fit(*arguments, callbacks=own, **options)

        monkeypatch.setattr(training, "fit", cut)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            training.train(path, stage="corrector", report=lambda line: None)
    monkeypatch.setattr(training, "fit", fitting.fit)
    (file,) = training.train(path, stage="corrector", report=lambda line: None)
    return file


def test_a_corrector_goes_on_with_the_samples_of_its_last_refresh(tmp_path, monkeypatch):
    """Epochs of 4 steps, a refresh before the third: the cut in the fourth must not draw other samples."""
    monkeypatch.setattr(keeping.Last.__init__, "__defaults__", (0.0,))
    first = config(tmp_path, base=4, corrector=15)
    (base,) = training.train(first, stage="base", report=lambda line: None)
    files = []
    for name, cuts in (("whole", []), ("again", [24, 4])):
        path = tmp_path / f"{name}.yaml"
        text = first.read_text().replace(f"{tmp_path}/run", f"{tmp_path}/{name}\nbase_file: {base}")
        path.write_text(text.replace("refresh_every: 1", "refresh_every: 2"))
        files.append(cut_runs(monkeypatch, path, cuts))
    whole, again = (ig.load(file) for file in files)
    assert_equal(whole, again)
    assert whole.steps == again.steps


def test_a_run_cut_between_its_end_and_its_model_file_ends_alike(tmp_path, monkeypatch):
    path = config(tmp_path, base=6)

    def never(*_: Any, **__: Any) -> Path:
        raise KeyboardInterrupt

    save = training.save
    monkeypatch.setattr(training, "save", never)
    with pytest.raises(KeyboardInterrupt):
        training.train(path, stage="base", report=lambda line: None)
    monkeypatch.setattr(training, "save", save)
    (found,) = training.train(path, stage="base", report=lambda line: None)
    (expected,) = training.train(config(tmp_path / "whole", base=6), stage="base", report=lambda line: None)
    assert_equal(ig.load(expected), ig.load(found))
