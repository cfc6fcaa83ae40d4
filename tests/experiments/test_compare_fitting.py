"""Training in comparisons: seeds, clocks, plateaus, averages of weights, the loss."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from compare_problems import linear_model, linear_problem
from torch import nn

from irno_graph.correctors import UNet
from irno_graph.experiments.compare import fitting
from irno_graph.experiments.compare.config import BaseFitConfig, CorrectorFitConfig
from irno_graph.experiments.compare.fitting import (
    Averages,
    Clock,
    Plateau,
    fit_base,
    fit_corrector,
    scaling_of,
    standardised,
    validation_error,
)
from irno_graph.experiments.compare.scores import scores
from irno_graph.losses import RefinementLoss


class Pointwise(nn.Module):
    """A linear map at each node that notes in which mode it was called, and on how many samples."""

    def __init__(self):
        super().__init__()
        self.map, self.calls = nn.Linear(1, 1), []

    def forward(self, x, graph):
        self.calls.append((self.training, torch.is_grad_enabled(), len(x)))
        return self.map(x)


def trainer_at(step: int, **parts: Any) -> Any:
    return SimpleNamespace(global_step=step, should_stop=False, **parts)


def test_training_is_the_same_for_a_seed_and_learns():
    settings = CorrectorFitConfig(seconds=1e-9, optimizer_steps=60, batch_size=8, learning_rate=0.02)
    problem, found = linear_problem(), []
    for seed in (3, 3, 4):
        model = linear_model()
        kept, about = fit_corrector(model, problem, settings, seed)
        assert about["steps_at"] == {"steps": 60, "time": 1}
        assert about["optimizer_steps"] == 60
        found.append(kept)
        model.corrector.load_state_dict(kept["steps"])
        pairs = problem.tests["same"]
        with torch.no_grad():
            out = model(pairs.x, pairs.graph).states
        before, after = (scores(state, pairs, problem)["vrmse"] for state in (out[0], out[-1]))
        assert after < 0.6 * before
    for name in found[0]["steps"]:
        torch.testing.assert_close(found[0]["steps"][name], found[1]["steps"][name], rtol=0, atol=0)
    assert any(
        not torch.equal(found[0]["steps"][name], found[2]["steps"][name]) for name in found[0]["steps"]
    )


def test_the_clock_counts_batches_alone(monkeypatch):
    ticks = iter([10.0, 12.0, 50.0, 53.0, 60.0, 61.0])
    monkeypatch.setattr(fitting.time, "process_time", lambda: next(ticks))
    asked: list[tuple[float, int]] = []

    def enough(seconds, steps):
        asked.append((seconds, steps))
        return seconds == 5

    clock = Clock(enough)
    stops = []
    for step in (1, 2, 3):
        trainer = trainer_at(step)
        trainer.should_stop = step == 3  # by another, which stays
        clock.on_train_batch_start(trainer)
        clock.on_train_batch_end(trainer)
        stops.append(trainer.should_stop)
    assert (asked, stops, clock.seconds) == ([(2.0, 1), (5.0, 2)], [False, True, True], 6.0)


def test_averages_are_exponential_and_kept_when_a_mark_is_reached():
    """M_1 = w_1, M_n = a M_{n-1} + (1 - a) w_n; running statistics of a batch norm likewise."""
    torch.manual_seed(0)
    network = UNet(1, 1, base_channels=2, depth=1, norm="batch")
    settings = CorrectorFitConfig(average=0.9, optimizer_steps=3, seconds=4.5)
    clock = Clock(lambda *_: False)
    averages = Averages(network, settings, clock)
    expected: dict[str, torch.Tensor] = {}
    means = []
    for step in range(1, 6):
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.randn_like(value))
                before = expected.get(name, value)
                expected[name] = 0.9 * before + 0.1 * value
        means.append(dict(expected))
        clock.seconds = float(step)
        averages.on_train_batch_end(trainer_at(step))
    assert averages.steps == {"steps": 3, "time": 5}
    assert any("running_var" in name for name in expected)
    for mark, step in averages.steps.items():
        kept = averages.kept[mark]
        assert set(kept) == set(network.state_dict())
        for name, value in means[step - 1].items():
            torch.testing.assert_close(kept[name], value)


def test_a_plateau_halves_the_learning_rate_and_the_best_weights_are_kept():
    """Two validations without a better one, then a halving; the third plateau after two halvings ends it."""
    errors = [1.0, 0.8, *[0.9] * 3, 0.7, *[0.75] * 9]
    weight = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.1)
    given = iter(errors)
    settings = BaseFitConfig(validate_every=5, patience=2, halvings=2, learning_rate=0.1)
    plateau = Plateau(settings, lambda: next(given), Clock(lambda *_: False))
    trainer: Any = trainer_at(0, optimizers=[optimizer])
    rates = []
    plateau.on_train_start(trainer, weight)  # type: ignore[arg-type]
    for step in range(1, 100):
        with torch.no_grad():
            weight.bias.fill_(step)
        trainer.global_step = step
        plateau.on_train_batch_end(trainer, weight)  # type: ignore[arg-type]
        if step % 5 == 0:
            rates.append(optimizer.param_groups[0]["lr"])
        if trainer.should_stop:
            break
    assert rates == [0.1] * 3 + [0.05] * 4 + [0.025] * 3 + [0.0125]
    assert [error for _, error in plateau.curve] == errors[: len(rates) + 1]
    assert (plateau.reached, plateau.best) == (True, 0.7)
    assert plateau.weights["bias"].item() == 25


def test_a_base_is_trained_in_training_mode_and_ends_as_it_was_at_its_best():
    problem = linear_problem()
    valid = replace(problem.valid, x=problem.valid.x[:5], y=problem.valid.y[:5])
    problem = replace(problem, valid=valid)
    network = Pointwise()
    base = standardised(network, problem).eval()
    settings = BaseFitConfig(
        seconds=1e9, batch_size=7, learning_rate=0.1, validate_every=3, patience=1, halvings=1
    )
    before = validation_error(base, problem)
    network.calls.clear()
    about = fit_base(base, problem, settings, 0)
    assert set(network.calls) == {(True, True, 7), (False, False, 5)}
    errors = [error for _, error in about["valid"]]
    assert errors[0] == pytest.approx(before)
    assert validation_error(base, problem) == pytest.approx(min(errors)) != errors[-1]
    assert min(errors) < 0.3 * before
    assert (about["ended"], base.training) == ("plateau", False)
    assert about["optimizer_steps"] == 3 * (len(errors) - 1)


def test_a_base_is_trained_no_longer_than_it_may():
    problem = linear_problem()
    settings = BaseFitConfig(seconds=1e9, batch_size=8, validate_every=50)
    about = fit_base(standardised(Pointwise(), problem), problem, settings, 0, seconds=1e-9)
    assert (about["ended"], about["optimizer_steps"], len(about["valid"])) == ("time", 1, 1)


def test_the_validation_error_is_in_units_of_the_training_truths_deviation():
    problem = linear_problem()
    valid = replace(problem.valid, x=problem.valid.x[:4], y=problem.valid.y[:4] + 1)
    std = float(problem.of_y.std)
    shifted = lambda x, graph: 2 * x + 0.2  # noqa: E731
    base: Any = Pointwise()
    base.forward = shifted
    assert validation_error(base, replace(problem, valid=valid)) == pytest.approx(1.3 / std, rel=1e-5)
    assert base.training


def test_units_of_a_corrector_are_moments_and_the_bases_error():
    problem = linear_problem()
    x, y = problem.train.x, problem.train.y
    scaling = scaling_of(problem, 1.5 * x)
    found = [float(getattr(scaling, name)) for name in ("input_mean", "input_std", "mean", "std", "error")]
    error = (0.5 * x + 0.5).square().mean().sqrt()
    expected = [float(own) for own in (x.mean(), x.std(correction=0), y.mean(), y.std(correction=0), error)]
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("beta_fp", [0.0, 0.3])
def test_the_loss_of_a_refinement_is_that_of_its_states_in_units_of_the_error(beta_fp):
    """States by hand, the fixed point on the first two of five samples."""
    problem, model = linear_problem(), linear_model()
    x, y = problem.train.x[:5], problem.train.y[:5]
    graph, h = problem.train.graph, 1.5 * x
    model.scaling = scaling_of(problem, 1.5 * problem.train.x)
    unit = float(model.scaling.error)
    criterion = RefinementLoss(beta_fp=beta_fp)
    with torch.no_grad():
        found = fitting._refinement_loss(model, criterion, graph, x, h, y)
        first = h + model.alpha * model.phi(x, h, graph)
        second = first + model.alpha * model.phi(x, first, graph)
        spatial = ((torch.stack([first, second]) - y) / unit).square().mean()
        defect = (model.phi(x[:2], y[:2], graph) / unit).square().mean()
    assert float(found) == pytest.approx(float(spatial + beta_fp * defect), rel=1e-5)
    assert float(defect) > 0


def test_a_corrector_learns_from_the_bases_answers_in_units_of_their_error(monkeypatch):
    problem, model = linear_problem(), linear_model()
    asked = []

    def loss(own, criterion, graph, x, h, y):
        torch.testing.assert_close(h, 1.5 * x)
        torch.testing.assert_close(y, 2 * x + 0.5)
        asked.append((len(x), criterion.beta_spectral, criterion.beta_fp))
        return sum(weight.square().sum() for weight in own.corrector.parameters())

    monkeypatch.setattr(fitting, "_refinement_loss", loss)
    settings = CorrectorFitConfig(seconds=1e-9, optimizer_steps=3, batch_size=6, beta_spectral=2, beta_fp=3)
    fit_corrector(model, problem, settings, 0)
    assert asked == 3 * [(6, 2, 3)]
    assert model.scaling is not None
    error = (1.5 * problem.train.x - problem.train.y).square().mean().sqrt()
    assert float(model.scaling.error) == pytest.approx(float(error), rel=1e-5)
