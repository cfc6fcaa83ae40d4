"""Scores of comparisons: errors, bands of frequency, seconds, memory."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from compare_problems import linear_model, linear_problem
from sphere_flows import needs_harmonics

from irno_graph.data import Moments
from irno_graph.experiments.compare import scores as measuring
from irno_graph.experiments.compare.problem import Pairs, Problem
from irno_graph.experiments.compare.scores import (
    band_energies,
    base_scores,
    costs,
    kept_bytes,
    refined_scores,
    scores,
    seconds_per_sample,
)
from irno_graph.graph import Graph
from irno_graph.metrics import vrmse
from irno_graph.spectral.sphere import exact_degrees


@pytest.mark.parametrize("period", [(2.0, 1.0), None, (2.0, None)])
def test_bands_hold_all_energy_and_a_mode_has_its_own(period):
    grid = Graph.from_grid((12, 16), extent=(2.0, 1.0), period=period)
    field = torch.randn(3, 192, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = (grid.mass[:, None] * field**2).sum(dim=(1, 2))
    torch.testing.assert_close(band_energies(field, grid).sum(dim=-1), total)
    constant = torch.ones(1, 192, 1, dtype=torch.float64)
    checkered = 1 - 2 * ((torch.arange(192) + torch.arange(192) // 16) % 2).double().view(1, -1, 1)
    share = band_energies(torch.cat([constant, checkered]), grid)
    share = share / share.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(share[0], torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    assert float(share[1, 2]) > 0.9


def test_bands_of_a_periodic_grid_are_thirds_of_the_highest_frequency():
    """cos(2 pi m x) has the share sin(pi m / n) / sqrt 2 of the highest frequency, which is the checkerboard's."""
    grid = Graph.from_grid((12, 12), period=(1.0, 1.0))
    expected = []
    found = []
    for mode in range(1, 7):
        field = torch.cos(2 * torch.pi * mode * grid.pos[:, 0])[None, :, None]
        found.append(int(band_energies(field, grid).argmax()))
        share = torch.tensor(torch.pi * mode / 12).sin() / 2**0.5
        expected.append(int(3 * share))
    assert found == expected
    assert set(found) == {0, 1, 2}


@needs_harmonics
def test_bands_on_the_sphere_are_thirds_of_the_degrees():
    """z (x + i y)^(l - 1) has degree l; 16 latitudes integrate the squares of degrees 0 ... 15."""
    grid = Graph.from_sphere(16, 32, grid="legendre-gauss")
    assert exact_degrees(16, 32, "legendre-gauss") == 16
    x, y, z = grid.pos.T
    for degree in range(1, 16):
        field = (z * torch.complex(x, y) ** (degree - 1)).real[None, :, None].repeat(2, 1, 2)
        energy = band_energies(field, grid)
        total = float((grid.mass * field[0, :, 0] ** 2).sum())
        expected = torch.zeros(2, 3, dtype=torch.float64)
        expected[:, (degree >= 5) + (degree >= 10)] = 2 * total  # two channels
        torch.testing.assert_close(energy, expected, rtol=1e-6, atol=1e-8 * total)


def test_what_a_backward_pass_keeps_is_counted_once():
    x, weight = torch.randn(1000), torch.randn(1000, requires_grad=True)
    assert kept_bytes(lambda: (x * weight).sum()) == 4000  # x alone: d(x w)/dw
    assert kept_bytes(lambda: ((x * weight).sigmoid() + weight * x).sum()) == 8000  # x once, and the sigmoid


def test_seconds_are_the_least_of_five_runs_after_a_first_one(monkeypatch):
    lasts, now = [100.0, 7.0, 6.0, 9.0, 3.0, 8.0], [0.0]
    runs: list[bool] = []

    def run():
        now[0] += lasts[len(runs)]
        runs.append(torch.is_grad_enabled())

    monkeypatch.setattr(measuring.time, "process_time", lambda: now[0])
    assert seconds_per_sample(run, 4) == 0.75
    assert runs == 6 * [False]


def test_a_steps_cost_is_what_the_whole_has_beyond_the_base_over_the_steps(monkeypatch):
    problem, model = linear_problem(), linear_model()
    pairs, called = problem.tests["same"], []

    def measured(run: Any, samples: int) -> float:
        out = run()
        called.append((samples, len(out) if isinstance(out, torch.Tensor) else len(out.states)))
        return 1.0 if isinstance(out, torch.Tensor) else 1.5

    monkeypatch.setattr(measuring, "seconds_per_sample", measured)
    monkeypatch.setattr(measuring, "kept_bytes", lambda run: 10 * len(run()))
    found = costs(model, pairs, 8)
    assert found == {"base_seconds": 1.0, "step_seconds": 0.25, "kept_bytes": 10.0}
    assert sorted(called) == [(8, 3), (8, 8)]


def test_scores_of_known_errors():
    problem = linear_problem()
    pairs = problem.tests["same"]
    exact = scores(pairs.y, pairs, problem)
    assert exact == {"vrmse": 0, "relative_l2": 0, "bands": [0, 0, 0]}
    mean = pairs.y.mean(dim=1, keepdim=True).expand_as(pairs.y)
    assert scores(mean, pairs, problem)["vrmse"] == pytest.approx(1, rel=1e-5)
    shifted = scores(pairs.y + 0.3, pairs, problem)
    assert shifted["bands"] == pytest.approx([0.3 / float(problem.of_y.std), 0, 0], abs=1e-6)
    doubled = replace(problem, of_y=Moments(problem.of_y.mean, 2 * problem.of_y.std))
    assert scores(pairs.y + 0.3, pairs, doubled)["bands"][0] == pytest.approx(shifted["bands"][0] / 2)


def test_channels_are_in_units_of_their_deviation_in_the_relative_error_and_the_bands():
    """Errors of 1 and 100, deviations of 1 and 100: the second channel counts as the first."""
    grid = Graph.from_grid((6, 6), period=(1.0, 1.0))
    y = torch.randn(4, 36, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 100.0])
    pairs = Pairs(grid, y, y)
    moments = Moments(torch.zeros(2), torch.tensor([1.0, 100.0]))
    problem = Problem(pairs, pairs, {"one": pairs}, ("u", "v"), moments, moments)
    error = torch.tensor([1.0, 100.0]) * torch.randn(4, 36, 2, generator=torch.Generator().manual_seed(2))
    found = scores(y + error, pairs, problem)
    size = (error / moments.std).square()
    squares = size.sum(dim=(1, 2)) / (y / moments.std).square().sum(dim=(1, 2))
    assert found["relative_l2"] == pytest.approx(float(squares.sqrt().mean()), rel=1e-5)
    bands = torch.tensor(found["bands"]).square().sum()
    assert float(bands) == pytest.approx(float(size.sum(dim=2).mean()), rel=1e-5)
    assert found["vrmse"] == pytest.approx(float(vrmse(y + error, y, grid).mean()), rel=1e-6)


def test_a_refined_answer_is_that_after_k_steps_and_its_curve_goes_to_twice_as_many(monkeypatch):
    monkeypatch.setattr("irno_graph.experiments.compare.fitting.ANSWERED", 5)
    monkeypatch.setattr(measuring, "ANSWERED", 5)
    problem, model = linear_problem(), linear_model()
    pairs = problem.tests["same"]
    found = refined_scores(model, pairs, problem)
    with torch.no_grad():
        values = [model(pairs.x, pairs.graph, steps=k).value for k in range(5)]
    curve = [float(vrmse(value, pairs.y, pairs.graph).mean()) for value in values]
    assert found.pop("curve") == pytest.approx(curve, rel=1e-5)
    assert found["bands"] == pytest.approx(scores(values[2], pairs, problem)["bands"], rel=1e-5)
    assert found["vrmse"] == pytest.approx(curve[2], rel=1e-5)
    alone = base_scores(model.base, pairs, problem)
    assert alone["vrmse"] == pytest.approx(curve[0], rel=1e-5)
    assert curve[0] != pytest.approx(curve[2], rel=1e-5)


def test_anomalies_on_the_sphere_are_about_the_training_truths(monkeypatch):
    """Only where the test has the training's nodes; energies are left out here."""
    monkeypatch.setattr(measuring, "band_energies", lambda field, graph: torch.ones(len(field), 3))
    grid = Graph.from_sphere(6, 12)
    y = torch.randn(8, 72, 1, generator=torch.Generator().manual_seed(3)) + 5
    train, test = Pairs(grid, y[:6], y[:6]), Pairs(grid, y[6:], y[6:])
    problem = Problem(train, train, {"one": test}, ("u",), Moments.of([y]), Moments.of([y]))
    usual = y[:6].mean(dim=0)
    mirrored = 2 * usual - y[6:]
    assert scores(mirrored, test, problem)["acc"] == pytest.approx(-1, abs=1e-5)
    assert scores(y[6:], test, problem)["acc"] == pytest.approx(1, abs=1e-5)
    assert scores(y[6:], test, problem)["bands"] == pytest.approx(3 * [(1 / float(grid.mass.sum())) ** 0.5])
    finer = Graph.from_sphere(8, 16)
    other = torch.randn(2, 128, 1)
    assert "acc" not in scores(other, Pairs(finer, other, other), problem)
