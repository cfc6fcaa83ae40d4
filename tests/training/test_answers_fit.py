"""Correctors trained on answers alone: the loss by a slow reference, units, resuming, what is kept."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

import irno_graph as ig
from irno_graph.graph import mass_mean
from irno_graph.mesh import periodic_box
from irno_graph.refine import LeftOut
from irno_graph.training import answers, answers_fit
from irno_graph.training.answers import Answers, answers_scaling, errors_left
from irno_graph.training.answers_fit import AnswersFit, AnswersTask, fit_corrector
from irno_graph.training.pairs import Task

FAST = AnswersFit(optimizer_steps=30, batch_size=4, learning_rate=2e-2, loss_modes=6, validations=5)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    import warnings

    monkeypatch.setattr(answers, "AT_ONCE", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def waves(graph: ig.Graph, samples: int, seed: int, channels: int = 2) -> Answers:
    """Fields of a few waves; the operator forgets what neighbours average away."""
    generator = torch.Generator().manual_seed(seed)
    phase = 2 * math.pi * torch.rand(samples, 1, channels, generator=generator)
    pos = graph.pos.float()
    x = torch.sin(2 * math.pi * pos[:, :1] + phase) + 0.3 * torch.sin(4 * math.pi * pos[:, 1:] - phase)
    return Answers(graph, x, 0.7 * x + 0.1, x)


def small(steps: int = 2, channels: int = 2) -> ig.IRNO:
    torch.manual_seed(0)
    corrector = ig.correctors.MessagePassing(channels, channels, hidden=8, layers=1)
    return ig.IRNO(LeftOut("operator"), corrector, alpha=0.5, steps=steps)


@pytest.fixture
def sets():
    graphs = [ig.Graph.from_mesh(periodic_box(n, seed=n)) for n in (40, 52)]
    train = [waves(graph, 9, seed) for seed, graph in enumerate(graphs)]
    return train, [waves(graph, 7, 10 + seed) for seed, graph in enumerate(graphs)]


def test_what_is_left_falls_and_is_that_of_the_model(sets, tmp_path):
    train, valid = sets
    model = small()
    found = fit_corrector(model, train, valid, tmp_path / "run", settings=FAST)
    assert found.left[0] == 1
    assert found.left[found.steps] < 0.8
    assert model.steps == found.steps == 1 + int(np.argmin(found.left[1:]))
    assert model.scaling is not None
    squares, std = np.zeros(2), model.scaling.std.double()
    for part in valid:
        value = ig.refine.with_answers(model, part.h)(part.x, part.graph).value
        for i, field in enumerate((part.h, value)):
            wrong = ((field - part.y).double() / std).square()
            squares[i] += float((wrong * part.graph.mass[:, None]).sum() / part.graph.mass.sum())
    assert found.left[found.steps] == pytest.approx(math.sqrt(squares[1] / squares[0]), rel=1e-5)


def test_units_are_weighted_by_masses(sets):
    train, _ = sets
    scaling = answers_scaling(train)
    rows = [
        np.concatenate([own.reshape(-1, 2) for own in (getattr(p, n).double().numpy() for p in train)])
        for n in "xhy"
    ]
    x, h, y = rows
    weight = np.concatenate([np.tile(part.graph.mass.numpy(), len(part.x)) for part in train])[:, None]
    weight = weight / weight.sum()

    def mean(value):
        return (weight * value).sum(axis=0)

    for name, value in {
        "input_mean": mean(x),
        "input_std": np.sqrt(mean((x - mean(x)) ** 2)),
        "mean": mean(y),
        "std": np.sqrt(mean((y - mean(y)) ** 2)),
        "error": np.sqrt(mean((h - y) ** 2)),
    }.items():
        np.testing.assert_allclose(getattr(scaling, name), value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("beta_fp", [0.0, 0.5])
def test_the_loss_is_that_of_a_slow_loop(sets, recompute, beta_fp, monkeypatch):
    train, valid = sets
    model = small(steps=3)
    for own in model.parameters():
        nn.init.normal_(own, std=0.3)
    model.scaling = answers_scaling(train)
    settings = AnswersFit(spectral_loss="", beta_fp=beta_fp, recompute=recompute)
    task = AnswersTask(model, train, valid, settings)
    monkeypatch.setattr(task, "log_dict", lambda *_: None)
    rows = torch.tensor([8, 2, 5, 0, 3])
    total = task.training_step(Task(1, rows, 0), 0)
    part, unit = train[1], model.scaling.error
    expected = torch.zeros(())
    for number, row in enumerate(rows.tolist()):
        x, h, y = part.x[row], part.h[row], part.y[row]
        for _ in range(3):
            h = h + 0.5 * model.phi(x, h, part.graph)
            expected = expected + mass_mean(((h - y) / unit).square(), part.graph).mean() / (3 * len(rows))
        if number < 2:  # a quarter of five
            defect = model.phi(x, y, part.graph) / unit
            expected = expected + beta_fp * mass_mean(defect.square(), part.graph).mean() / 2
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    total.backward()
    ours = [own.grad for own in model.corrector.parameters()]
    model.zero_grad(set_to_none=True)
    expected.backward()
    for gradient, own in zip(ours, model.corrector.parameters(), strict=True):
        torch.testing.assert_close(gradient, own.grad, rtol=1e-4, atol=1e-6)


class Stop(Callback):
    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [1, 17])
def test_a_run_that_was_cut_off_ends_as_an_undisturbed_one(sets, tmp_path, monkeypatch, at):
    train, valid = sets
    whole = small()
    found = fit_corrector(whole, train, valid, tmp_path / "whole", settings=FAST)
    first = answers_fit.fit

    def cut(*arguments, **options):
        first(*arguments, callbacks=(Stop(at),), **options)

    monkeypatch.setattr(answers_fit, "fit", cut)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit_corrector(small(), train, valid, tmp_path / "cut", settings=FAST)
    monkeypatch.setattr(answers_fit, "fit", first)
    again = small()
    assert fit_corrector(again, train, valid, tmp_path / "cut", settings=FAST) == found
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    rerun = small()
    assert fit_corrector(rerun, train, valid, tmp_path / "cut", settings=FAST) == found


def test_the_weights_with_the_least_validation_error_are_kept(sets, tmp_path, monkeypatch):
    train, valid = sets
    seen = []

    def left(model, sets):
        weights = {name: own.clone() for name, own in model.corrector.state_dict().items()}
        seen.append(weights)
        return [1.0, 0.9, (0.8, 0.5, 0.6, 0.7, 0.9)[min(len(seen), 5) - 1]]

    monkeypatch.setattr(answers_fit, "errors_left", left)
    model = small()
    fit_corrector(model, train, valid, tmp_path / "run", settings=FAST)
    for name, own in model.corrector.state_dict().items():
        assert torch.equal(own, seen[1][name])
        assert own.numel() == 1 or not torch.equal(own, seen[4][name])


def test_other_samples_or_settings_do_not_go_on(sets, tmp_path):
    train, valid = sets
    settings = AnswersFit(optimizer_steps=2, loss_modes=4)
    fit_corrector(small(), train, valid, tmp_path / "run", settings=settings)
    other = Answers(train[0].graph, train[0].x + 1e-3, train[0].h, train[0].y)
    with pytest.raises(ValueError, match="other settings"):
        fit_corrector(small(), [other, train[1]], valid, tmp_path / "run", settings=settings)
    shutil.rmtree(tmp_path / "run")


def test_answers_of_a_base_are_its_own_and_get_its_times(box):
    class Late(nn.Module):
        def forward(self, x, graph, *, time):
            return x * time.view(-1, 1, 1)

    x, time = torch.randn(12, box.num_nodes, 3), torch.arange(12.0)
    found = Answers.of(Late(), box, x, x, {"time": time})
    assert torch.equal(found.h, x * time.view(-1, 1, 1))
    own = found.rows(torch.tensor([3, 1]))
    assert torch.equal(own.h, found.h[[3, 1]])
    assert own.times["time"].tolist() == [3.0, 1.0]


def test_times_reach_the_corrector_in_training(box, monkeypatch):
    class Timed(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, x, h, graph, *, time):
            return self.factor * time.view(-1, 1, 1) * torch.ones_like(h)

    x = torch.randn(6, box.num_nodes, 1)
    part = Answers(box, x, x, x + 1, {"time": torch.arange(6.0)})
    model = ig.IRNO(LeftOut("operator"), Timed(), alpha=0.5, steps=1)
    model.scaling = ig.refine.Scaling.identity(1, 1)
    task = AnswersTask(model, [part], [part], AnswersFit(spectral_loss="", beta_fp=1.0))
    monkeypatch.setattr(task, "log_dict", lambda *_: None)
    rows = torch.tensor([4, 2])
    left = (0.5 * torch.tensor([4.0, 2.0]) - 1).square().mean()
    assert float(task.training_step(Task(0, rows, 0), 0)) == pytest.approx(float(left + 16.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: Answers(p.graph, p.x[:3], p.h, p.y), "samples of x"),
        (lambda p: Answers(p.graph, p.x, p.h[..., :1], p.y), "one shape"),
        (lambda p: Answers(p.graph, p.x, p.h, p.y * float("nan")), "finite"),
        (lambda p: Answers(p.graph, p.x[:, :-1], p.h, p.y), "nodes"),
        (lambda p: Answers(p.graph, p.x[0], p.h[0], p.y[0]), "samples, nodes"),
        (lambda p: Answers(p.graph, p.x, p.h, p.y, {"time": torch.zeros(2)}), "times"),
        (lambda p: Answers(p.graph, p.x, p.h, p.y, {"hour": torch.zeros(9)}), "hour"),
        (lambda p: answers_scaling([p, waves(p.graph, 3, 0, channels=1)]), "same channels"),
        (lambda p: answers_scaling([Answers(p.graph, p.x, p.y, p.y)]), "nothing to refine"),
        (lambda p: AnswersFit(batch_size=0), "batch_size"),
        (lambda p: AnswersFit(spectral_loss="wave"), "wave"),
        (lambda p: fit_corrector(small(), [], [p], "x"), "at least one"),
        (
            lambda p: fit_corrector(ig.IRNO(LeftOut("a"), nn.Identity(), alpha="auto"), [p], [p], "x"),
            "constant",
        ),
        (lambda p: fit_corrector(small(steps=0), [p], [p], "x"), "1 step"),
    ],
)
def test_what_does_not_fit_is_named(sets, change, message):
    with pytest.raises(ValueError, match=message):
        change(sets[0][0])
    assert not Path("x").exists()


def test_errors_do_not_depend_on_how_samples_are_cut(sets, monkeypatch):
    train, valid = sets
    model = small()
    model.scaling = answers_scaling(train)
    for own in model.corrector.parameters():
        nn.init.normal_(own, std=0.3)
    first = errors_left(model, valid)
    monkeypatch.setattr(answers, "AT_ONCE", 2)
    assert errors_left(model, valid) == pytest.approx(first, rel=1e-6)
    assert first[1] != pytest.approx(1.0)
