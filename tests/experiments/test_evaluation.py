"""Errors of rollouts: exact values for scaled truths and for linear models."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from irno_graph import IRNO, Graph, Scaling, save
from irno_graph.bases import RIGNO
from irno_graph.bases.rigno import Architecture
from irno_graph.correctors import MessagePassing
from irno_graph.data import TrajectoryFile
from irno_graph.experiments.demo import run_demo
from irno_graph.experiments.evaluation import (
    GROUPS,
    compare_rollouts,
    flow_errors,
    load_model,
    snapshots,
    usable_device,
)
from irno_graph.mesh import periodic_box

MESH = periodic_box(48, seed=3)
GRAPH = Graph.from_mesh(MESH)
TRUE, BASE = 1.1, 0.9  # factors of one time step


class Scale(nn.Module):
    """u -> factor u."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def forward(self, x: Tensor, graph: Graph, **_: object) -> Tensor:
        return self.factor * x


class ToTruth(nn.Module):
    """Phi = y - h for the truth y = TRUE x."""

    def forward(self, x: Tensor, h: Tensor, graph: Graph) -> Tensor:
        return TRUE * x - h


def flows(samples: int, times: int) -> Tensor:
    """Exact trajectories u_n = TRUE^n u_0, `[samples, times, nodes, 4]`."""
    start = torch.randn(samples, 1, 48, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return start * TRUE ** torch.arange(times, dtype=torch.float64).reshape(-1, 1, 1)


@pytest.mark.parametrize("eps", [0.25, -0.5])
def test_scaling_the_fluctuations_by_one_plus_eps_gives_an_error_of_eps(eps: float) -> None:
    mean = torch.tensor([0.5, 0.0, 0.0, 2.0], dtype=torch.float64)
    truth = flows(3, 2) + mean
    errors = flow_errors(mean + (1 + eps) * (truth - mean), truth, GRAPH, mean)
    assert set(errors) == set(GROUPS)
    for error in errors.values():
        torch.testing.assert_close(error, torch.full((3, 2), abs(eps), dtype=torch.float64))


def test_pressure_is_measured_against_its_fluctuation() -> None:
    mean = torch.tensor([0.0, 0.0, 0.0, 2.0], dtype=torch.float64)
    truth = flows(1, 1)[0, 0] + mean
    p = truth[:, 3]
    expected = 0.1 * ((GRAPH.mass * p**2).sum() / (GRAPH.mass * (p - 2.0) ** 2).sum()).sqrt()
    torch.testing.assert_close(flow_errors(1.1 * truth, truth, GRAPH, mean)["pressure"], expected)


def test_velocity_error_is_weighted_by_mass_over_both_components() -> None:
    truth = flows(1, 1)[0, 0]
    state = truth.clone()
    state[5, 2] += 3.0
    size = (GRAPH.mass[:, None] * truth[:, 1:3] ** 2).sum()
    expected = (GRAPH.mass[5] * 9.0 / size).sqrt()
    torch.testing.assert_close(flow_errors(state, truth, GRAPH, torch.zeros(4))["velocity"], expected)


@pytest.mark.parametrize(("alpha", "steps"), [(1.0, 1), (0.5, 2), (0.25, 3)])
def test_errors_and_gains_of_a_linear_model_are_those_of_its_powers(alpha: float, steps: int) -> None:
    model = IRNO(Scale(BASE), ToTruth(), alpha=alpha, steps=steps)
    found = compare_rollouts(model, flows(3, 5), GRAPH, mean=torch.zeros(4), chunk=2)
    refined = TRUE - (1 - alpha) ** steps * (TRUE - BASE)
    n = torch.arange(1, 5, dtype=torch.float64)
    base_error, error = 1 - (BASE / TRUE) ** n, 1 - (refined / TRUE) ** n
    for group in GROUPS:
        torch.testing.assert_close(found.error("base", group), base_error)
        torch.testing.assert_close(found.error("refined", group), error, atol=1e-12, rtol=1e-9)
        torch.testing.assert_close(found.gain(group), 100 * (1 - error / base_error))
        assert found.errors["base"][group].shape == (4, 3)
    if steps == 1:
        assert found.gain("velocity").tolist() == pytest.approx([100.0] * 4)


def test_chunks_and_progress_do_not_change_the_errors() -> None:
    model, seen = IRNO(Scale(BASE), ToTruth(), alpha=0.5, steps=2), []
    one, many = (
        compare_rollouts(
            model,
            flows(5, 3),
            GRAPH,
            mean=torch.zeros(4),
            chunk=chunk,
            progress=lambda *now: seen.append(now),
        )
        for chunk in (2, 16)
    )
    torch.testing.assert_close(one.errors, many.errors)
    assert seen == [*[(i, 6) for i in range(1, 7)], (1, 2), (2, 2)]


def test_zero_steps_are_the_base_and_a_control_is_measured_beside_it() -> None:
    model = IRNO(Scale(BASE), ToTruth(), alpha=0.5, steps=2)
    found = compare_rollouts(model, flows(2, 3), GRAPH, steps=0, control=Scale(1.0), mean=torch.zeros(4))
    torch.testing.assert_close(found.errors["refined"], found.errors["base"])
    assert found.gain("velocity", "control")[0] == pytest.approx(50.0)
    assert found.to_json()["groups"]["velocity"]["control_gain"][0] == pytest.approx(50.0)


def test_a_rollout_that_ends_has_an_infinite_error_and_null_in_json() -> None:
    model = IRNO(Scale(1e200), ToTruth(), alpha=0.5, steps=2)
    found = compare_rollouts(model, flows(2, 4), GRAPH, mean=torch.zeros(4))
    assert found.ended == {"base": 2, "refined": 2}
    assert found.error("base", "velocity")[-1] == torch.inf
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["groups"]["velocity"]["base"][-1] is None
    assert written["groups"]["vorticity"]["gain"][-1] is None


def test_json_has_a_number_for_each_time_step() -> None:
    model = IRNO(Scale(BASE), ToTruth(), alpha=0.5, steps=2)
    written = compare_rollouts(model, flows(2, 4), GRAPH, mean=torch.zeros(4)).to_json()
    assert (written["time_steps"], written["samples"], written["steps"]) == (3, 2, 2)
    assert set(written["groups"]) == set(GROUPS)
    assert {len(row) for entry in written["groups"].values() for row in entry.values()} == {3}
    assert np.shape(written["per_sample"]["pressure"]["refined"]) == (3, 2)


def test_the_mean_state_is_that_of_the_training_data() -> None:
    scaling = Scaling.identity(4, 4).double()
    scaling.mean.copy_(torch.tensor([0.5, 0.0, 0.0, 2.0]))
    model = IRNO(Scale(BASE), ToTruth(), alpha=0.5, steps=2, scaling=scaling)
    found, expected = (
        compare_rollouts(model, flows(2, 3), GRAPH, mean=mean) for mean in (None, scaling.mean)
    )
    torch.testing.assert_close(found.errors, expected.errors)
    model.scaling = None
    with pytest.raises(ValueError, match="`mean`"):
        compare_rollouts(model, flows(2, 3), GRAPH)


@pytest.mark.parametrize(
    ("model", "shape", "said"),
    [
        (Scale(1.0), (1, 2, 48, 4), "refined"),
        (IRNO(Scale(1.0), ToTruth()), (1, 1, 48, 4), "times >= 2"),
        (IRNO(Scale(1.0), ToTruth()), (1, 2, 48, 3), "channels=4"),
    ],
)
def test_what_does_not_fit_is_refused(model: nn.Module, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compare_rollouts(model, torch.zeros(shape), GRAPH, mean=torch.zeros(4))  # type: ignore[arg-type]


def write_file(path: Path, spacing: float, times: int = 5) -> TrajectoryFile:
    with h5py.File(path, "w") as file:
        file["u"] = flows(2, times).float().numpy()
        file["x"], file["t"] = MESH.points[None, None], np.arange(times) * spacing
    return TrajectoryFile(path)


def test_snapshots_are_a_models_time_step_apart(tmp_path: Path) -> None:
    source = write_file(tmp_path / "flows.nc", 0.05)
    torch.testing.assert_close(snapshots(source, 0.1), source.read()[:, ::2])
    torch.testing.assert_close(snapshots(source, 0.05), source.read())
    for lead_time in (0.07, 0.02):
        with pytest.raises(ValueError, match="--save-every"):
            snapshots(source, lead_time)


def small_model() -> IRNO:
    sizes = Architecture(processor_steps=1, node_hidden=4, edge_hidden=4, use_time=False)
    base = RIGNO(4, 4, architecture=sizes, lead_time=0.1)
    return IRNO(base, MessagePassing(4, 4, hidden=4, layers=1), steps=1, scaling=Scaling.identity(4, 4))


def test_a_base_alone_is_refused_where_a_refined_model_is_needed(tmp_path: Path) -> None:
    model = small_model()
    path = save(model.base, tmp_path / "base.safetensors")
    assert isinstance(load_model(path, kinds=(IRNO, RIGNO)), RIGNO)
    with pytest.raises(ValueError, match="IRNO"):
        load_model(path)


def test_the_demo_refuses_seeds_that_the_model_has_seen(tmp_path: Path) -> None:
    path = save(small_model(), tmp_path / "m.safetensors", about={"trajectory_base_seeds": [4, 11]})
    with pytest.raises(ValueError, match="11"):
        run_demo(tmp_path / "out", model=str(path), seed=11)
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_refused() -> None:
    assert usable_device("cpu").type == "cpu"
    for name in (f"cuda:{torch.cuda.device_count()}", "abacus", "meta"):
        with pytest.raises(ValueError, match="device"):
            usable_device(name)
