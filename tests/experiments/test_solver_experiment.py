"""What `irno-graph experiment solver` measures, on refinements whose errors are known."""

import json

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import irno_graph as ig
from irno_graph.experiments.calibration import calibrate, met_features
from irno_graph.experiments.config import ConfigError
from irno_graph.experiments.solver import read_solver_config, run_solver
from irno_graph.experiments.solver.one_step import (
    FAR,
    TOLERANCES,
    Samples,
    _Path,
    _steps,
    _tolerance,
    biases,
    certificate_figures,
    errors,
    pearson,
    solver_figures,
    step_figures,
)
from irno_graph.experiments.solver.starts import start_figures
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine import Scaling
from irno_graph.report.solver_report import write_solver_report

NODES = 24


class Pulls(nn.Module):
    """Phi(x, h) = rates (x - h) + offset: x is the truth, up to the offset."""

    def __init__(self, rates, offset=0.0):
        super().__init__()
        self.rates, self.offset = rates, offset

    def forward(self, x, h, graph):
        return self.rates * (x - h) + self.offset


def model_of(rates, offset=0.0, alpha=0.5, steps=3, scaling=None):
    return ig.IRNO(lambda x, graph: 0.5 * x, Pulls(rates, offset), alpha=alpha, steps=steps, scaling=scaling)


@pytest.fixture
def graph():
    return Graph.from_mesh(periodic_box(NODES, seed=3))


@pytest.fixture
def still(graph):
    """Trajectories of flows that stand still: the truth of every time step is its input."""
    first = torch.randn(40, 1, NODES, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return first.expand(-1, 3, -1, -1)


def test_errors_fall_as_powers_of_one_minus_alpha(still, graph):
    samples = Samples.of(still[:3], graph, [0, 1])
    found = errors(model_of(1.0), samples, 6)
    expected = found[0] * 0.5 ** torch.arange(7.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="time_steps"):
        Samples.of(still, graph, [2])


def test_a_constant_offset_is_the_bias_and_its_share_the_smallest_error(still, graph):
    """Phi = 2 (y - h) + b ends at y + b / 2, and the bias is |b|."""
    offset = torch.randn(3, 1, 1, dtype=torch.float64)
    samples = Samples.of(still[:3], graph, [0])
    model = model_of(2.0, offset, alpha=0.4)
    bias = biases(model, samples)
    torch.testing.assert_close(bias, 2.0 * offset.abs().flatten())  # four channels in one norm
    last = errors(model, samples, 60)[-1]
    torch.testing.assert_close(last, bias / 2)
    assert np.isclose(pearson(bias, last) or 0.0, 1.0)


def test_certificates_and_their_correlation_are_reported(still, graph):
    found = certificate_figures(model_of(0.5), still[:4], graph, certified=2, time_steps=[0, 1], iterations=5)
    assert found["samples"] == 8
    assert found["pearson"] is None  # a bias of zero everywhere
    assert found["at"]["1"]["verdict"] == ["contracts", "contracts"]
    assert np.allclose(found["at"]["0"]["q"], 0.75)


def test_step_figures_know_by_how_much_errors_rise(still, graph):
    """alpha A = 2.2 diverges: |1 - 2.2| = 1.2 per step."""
    found = step_figures(model_of(4.4, alpha=0.5), Samples.of(still[:2], graph, [0]), [0.1, 0.5])
    assert np.isclose(found["rise_after_K"]["0.5"], 1.2 ** (8 * 3 - 3) - 1)
    assert np.isclose(found["rise_after_K"]["0.1"], 0.0)
    assert np.isclose(found["error"]["0.1"][3], 0.56**3)


def test_settings_are_those_with_the_fewest_applications_that_reach_the_goal():
    errors_ = torch.tensor([[1.0, 1.0], [0.5, 0.7], [0.2, 0.6], [0.1, 0.5], [0.1, 0.1]])
    residuals = torch.tensor([[1.0, 1.0], [0.45, 0.9], [0.2, 0.6], [0.1, 0.45]])
    path = _Path(errors_, residuals)
    assert _steps(path, 0.3) == 3
    assert _steps(path, 0.05) is None
    found = _tolerance(path, 0.5)
    assert found in TOLERANCES
    assert found == 0.5  # both at 0.45: errors 0.5 after one step and 0.5 after three
    assert _tolerance(path, 0.05) is None


def test_anderson_reaches_the_goal_with_fewer_applications_than_the_plain_iteration(still, graph):
    rates = torch.linspace(0.5, 1.5, 4, dtype=torch.float64)
    samples = Samples.of(still[:3], graph, [0])
    own = solver_figures(model_of(rates, steps=2), samples, samples, [0.1])["alpha"]["0.1"]
    limit = errors(model_of(rates, alpha=0.1, steps=2), samples, FAR * 2).mean(dim=1)
    assert own["plain"]["setting"] == own["plain"]["applications"] == 16
    assert np.isclose(own["plain"]["error"], float(limit[-1]))
    for name in ("Anderson", "Anderson, stopped"):
        assert own[name]["error"] <= 1.01 * own["plain"]["error"]
        assert own[name]["applications"] < 10


def scaled():
    ones = torch.ones(4, dtype=torch.float64)
    return Scaling(input_mean=0 * ones, input_std=ones, mean=0 * ones, std=ones, error=0.5 * ones)


def test_starts_that_are_far_off_are_found_and_never_made_worse(still, graph):
    model = model_of(1.0, scaling=scaled())
    found = start_figures(
        model,
        [(still[:32], graph)],
        Samples.of(still[32:], graph, [0]),
        rates=[0.05],
        noises=[20.0],
        seed=0,
    )
    assert found["calibrated_on"] == 64
    starts = found["starts"]
    assert starts["none"]["0.05"]["outside"] <= 0.25
    assert np.isclose(starts["none"]["without"]["mean_ratio"], 0.75**3)  # corrections are scaled by the error
    for name in ("noise of 20 base errors", "zero", "the mean state"):
        assert starts[name]["0.05"]["outside"] == 1.0
        assert starts[name]["0.05"]["largest_ratio"] == 1.0


def test_features_are_those_of_the_states_that_a_rollout_meets(still, graph):
    model = model_of(1.0, scaling=scaled())
    found = met_features(model, still[:4], graph)
    out = ig.rollout(model, still[:4, 0], graph, 2)
    sizes = [model.space(x, graph).norm(0.5 * x).log() for x in out.states[:-1]]
    torch.testing.assert_close(found[:, 3], torch.cat(sizes))


def test_calibration_sets_step_size_and_guard(still, graph):
    model = model_of(1.0, scaling=scaled())
    found = calibrate(model, [(still, graph)], alpha="auto", rate=0.1)
    assert found.choice is not None
    assert found.choice.proven
    assert np.isclose(model.alpha, 1.0)  # m / M_A^2 = 2, corrections being scaled by one half
    assert model.guard is found.guard
    calibrate(model, [(still, graph)], alpha="0.25", rate=None)
    assert model.alpha == 0.25
    with pytest.raises(ValueError, match="alpha"):
        calibrate(model, [(still, graph)], alpha="quick")


def write_flows(path, trajectories, times, seed):
    """A file as the generator writes it, of a travelling wave."""
    mesh = periodic_box(64, seed=seed)
    generator = np.random.default_rng(seed)
    phase = generator.uniform(0, 2 * np.pi, (trajectories, 1, 1))
    wave = np.sin(2 * np.pi * mesh.points[:, 0] - 3 * 0.1 * np.arange(times)[:, None] + phase)
    u = np.stack([0.1 + 0.001 * wave, wave, 0.5 * wave, 2.5 + 0.05 * wave, 6 + wave], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["u"], file["x"], file["t"] = (
            u.astype(np.float32),
            mesh.points[None, None],
            0.1 * np.arange(times),
        )
        file["tri"] = mesh.cells_of("triangle").astype(np.int32)
        file.attrs.update(base_seed=seed, mesh_seed=seed, solver_res=32, points="mesh", period=[1.0, 1.0])


CONFIG = """
folder: {folder}/run
data:
  folder: {folder}/data
  solver_res: 32
  final_time: 0.2
  valid: [{{nodes: 64, trajectories: 4, seed: 3}}]
  test: [{{nodes: 64, trajectories: 2, seed: 4}}]
long: {{folder: {folder}/long, solver_res: 32, final_time: 0.4, test: [{{nodes: 64, trajectories: 1, seed: 4}}]}}
certified: 2
time_steps: [0]
iterations: 2
alphas: [0.5]
solver_alphas: [0.5]
rates: [0.4]
guard_rate: 0.4
noises: [3.0]
"""


def test_the_whole_experiment_is_written_and_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    write_flows(tmp_path / "data" / "valid-0.nc", 4, 3, 3)
    write_flows(tmp_path / "data" / "test-0.nc", 2, 3, 4)
    write_flows(tmp_path / "long" / "test-0.nc", 1, 5, 4)
    file = tmp_path / "solver.yaml"
    file.write_text(CONFIG.format(folder=tmp_path))
    from irno_graph.experiments.demo import quiet_stage

    said = []

    def stage(sentence):
        said.append(sentence)
        return quiet_stage(sentence)

    config = read_solver_config(file)
    result = run_solver(config, stage=stage, report=said.append)
    assert len(said) == 5
    (tmp_path / "run" / "steps-model.json").unlink()
    again = run_solver(config, stage=stage, report=said.append)
    assert len(said) == 6
    assert said[-1].startswith("Errors against")
    assert again == json.loads(json.dumps(result))
    report = tmp_path / "solver.md"
    pictures = write_solver_report(result, report, config=file)
    text = report.read_text()
    assert all(picture.stat().st_size > 5000 and picture.name in text for picture in pictures)
    own = result["model"]
    assert f"Pearson r = {own['certificates']['pearson']:.3f}" in text
    assert f"{100 * own['steps']['error']['0.5'][3]:.1f}" in text
    assert "nan" not in text


@pytest.mark.parametrize(
    ("line", "key"), [("alphas: [0.5, 2]", "alphas"), ("certified: 1", "certified"), ("alpha: 2", "alpha")]
)
def test_settings_that_do_not_fit_are_named(tmp_path, line, key):
    file = tmp_path / "solver.yaml"
    text = CONFIG.format(folder=tmp_path)
    kept = [own for own in text.splitlines() if not own.startswith(line.split(":")[0] + ":")]
    file.write_text("\n".join([*kept, line]))
    with pytest.raises(ConfigError, match=f"`{key}`"):
        read_solver_config(file)
