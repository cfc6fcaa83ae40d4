"""The solver's errors and seconds on coarse grids, and what it costs at the error of a rollout."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from irno_graph.data import TrajectoryFile
from irno_graph.data.flows import FLOWS, Flow
from irno_graph.experiments.ce_gauss import solver_cost
from irno_graph.experiments.ce_gauss.solver_cost import equal_error, grid_states, seconds_at, solver_figures
from irno_graph.experiments.config import DataConfig, ExperimentConfig, SetConfig
from irno_graph.experiments.evaluation import GROUPS
from irno_graph.experiments.sets import generate_set
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.report.ce_gauss_cost import cost_figure, cost_section

SPEED, SHEAR = 0.7, 0.5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataConfig, TrajectoryFile]:
    """Three flows of the generator on 32 x 32 cells, and their config."""
    wanted = SetConfig(nodes=150, trajectories=3, seed=5)
    data = DataConfig(solver_res=32, save_every=0.1, final_time=0.2, test=[wanted])
    path = tmp_path_factory.mktemp("data") / "test-0.nc"
    generate_set(ExperimentConfig(data=data), wanted, path, report=lambda line: None)
    return data, TrajectoryFile(path)


def measured(made: tuple[DataConfig, TrajectoryFile], **options: Any) -> dict[str, Any]:
    data, file = made
    truth = file.read()
    mean = truth.double().mean(dim=(0, 1, 2))
    return solver_figures(truth, file.graph(), mean, data, repeats=1, **options)


def advected(nodes: int, times: np.ndarray) -> tuple[torch.Tensor, Graph]:
    """The exact solution that starts from `shear_wave`: [1, times, nodes, 4]; it moves along x and keeps its form."""
    mesh = periodic_box(nodes, seed=0)
    wave = np.sin(2 * np.pi * (mesh.points[:, 0] - SPEED * times[:, None]))
    fields = [1 + 0.2 * wave, np.full_like(wave, SPEED), SHEAR * wave, np.full_like(wave, 2.0)]
    return torch.from_numpy(np.stack(fields, axis=-1)).unsqueeze(0), Graph.from_mesh(mesh)


def shear_wave(seed: int, resolution: int, modes: int) -> np.ndarray:
    """Cell averages of density and v_y that are waves along x, at constant v_x and pressure."""
    centres = (np.arange(resolution) + 0.5) / resolution
    wave = np.repeat(np.sinc(1 / resolution) * np.sin(2 * np.pi * centres)[:, None], resolution, axis=1)
    return np.stack([1 + 0.2 * wave, np.full_like(wave, SPEED), SHEAR * wave, np.full_like(wave, 2.0)])


def power_law(order: float) -> dict[str, Any]:
    """Errors n^-2 at seconds n^(2 order) on n = 8, 16, 32 of the truth's 64 cells, where it has none."""
    grids = [
        {"cells": n, "seconds": 1e-4 * n ** (2 * order), "groups": {"velocity": [9.0, n**-2.0]}}
        for n in (8, 16, 32)
    ]
    grids.append({"cells": 64, "seconds": 1e9, "groups": {"velocity": [9.0, 0.0]}})
    return {"flows": 2, "solver_res": 64, "time_steps": 2, "grids": grids}


def test_the_first_snapshots_are_those_of_the_file(made: tuple[DataConfig, TrajectoryFile]) -> None:
    """On the truth's own grid all snapshots are; on a finer one the first, but for what 32 cells do not resolve."""
    data, file = made
    states = grid_states(data, file.graph(), file.times, flows=2, cells=32)
    torch.testing.assert_close(states, file.read()[:2], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(states[0, 0], states[1, 0], atol=0.1)


def test_errors_are_those_of_flow_errors_and_zero_on_the_truths_grid(
    made: tuple[DataConfig, TrajectoryFile],
) -> None:
    found = measured(made, flows=2, cells=(16, 8, 64, 32))
    assert [own["cells"] for own in found["grids"]] == [8, 16, 32]
    assert (found["flows"], found["time_steps"]) == (2, 2)
    for group in GROUPS:
        coarse, fine, own = (grid["groups"][group] for grid in found["grids"])
        assert max(own) < 1e-5 < min(fine)
        assert (np.array(coarse) > np.array(fine)).all()
    data, file = made
    truth = file.read()[:2].double()
    states = grid_states(data, file.graph(), file.times, flows=2, cells=8).double()
    mass = file.graph().mass[:, None]
    square = [(mass * field[..., 1:3].square()).sum(dim=(2, 3)) for field in (states - truth, truth)]
    by_hand = (square[0] / square[1]).sqrt()[:, 1:].mean(dim=0)  # [time steps]
    np.testing.assert_allclose(found["grids"][0]["groups"]["velocity"], by_hand, rtol=1e-6)


def test_everything_but_seconds_is_the_same_again(made: tuple[DataConfig, TrajectoryFile]) -> None:
    first, again = (measured(made, flows=9, cells=(8,)) for _ in range(2))
    assert first["flows"] == 3
    assert all(own.pop("seconds") > 0 for own in first["grids"] + again["grids"])
    assert json.loads(json.dumps(first, allow_nan=False)) == again


def test_errors_of_a_smooth_flow_fall_at_order_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the exact solution: cell averages lie (pi / n)^2 / 6 below the values, transport adds order five."""
    monkeypatch.setitem(FLOWS, "shear-wave", Flow("shear wave", shear_wave, smooth=True))
    data = DataConfig(flow="shear-wave", solver_res=64, save_every=0.05, final_time=0.1, test=[SetConfig()])
    truth, graph = advected(300, np.array([0.0, 0.05, 0.1]))
    mean = torch.tensor([1.0, 0.0, 0.0, 1.8])
    found = solver_figures(truth, graph, mean, data, cells=(16, 32), repeats=1)
    errors = {group: np.array([own["groups"][group] for own in found["grids"]]) for group in GROUPS}  # [3, 2]
    for group in ("velocity", "pressure", "density"):
        assert (np.log2(errors[group][:-1] / errors[group][1:]) > 1.8).all(), group
    np.testing.assert_allclose(
        errors["density"][1:, 0], [1 - np.sinc(1 / 32), 1 - np.sinc(1 / 64)], rtol=0.05
    )


def test_seconds_are_the_least_per_flow_and_time_step(
    made: tuple[DataConfig, TrajectoryFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.cycle([0.0, 30.0, 100.0, 112.0, 200.0, 224.0])  # solutions of 30, 12 and 24 seconds
    monkeypatch.setattr(solver_cost, "process_time", lambda: next(clock))
    asked: list[tuple[tuple[int, ...], list[float], dict[str, Any]]] = []

    def recorded(initial: np.ndarray, times: np.ndarray, **options: Any) -> None:
        asked.append((initial.shape, list(times), options))

    monkeypatch.setattr(solver_cost, "solve", recorded)  # that of the states is another
    data, file = made
    truth = file.read()
    found = solver_figures(truth, file.graph(), truth.mean(dim=(0, 1, 2)), data, flows=3, cells=(8,))
    assert [own["seconds"] for own in found["grids"]] == [2.0, 2.0]  # 3 flows, 2 time steps
    timed = [((3, 4, n, n), [0.0, 0.1, 0.2], {"cfl": 1.4, "threads": 1}) for n in (8, 32)]
    assert asked == [timed[0]] * 3 + [timed[1]] * 3


@pytest.mark.parametrize("order", [1.0, 1.5])
@pytest.mark.parametrize("cells", [8, 11.3, 16, 25, 32])
def test_seconds_at_equal_error_are_exact_for_a_power_law(order: float, cells: float) -> None:
    seconds, reason = seconds_at(power_law(order), "velocity", 1, cells**-2.0)
    assert seconds == pytest.approx(1e-4 * cells ** (2 * order), rel=1e-12)
    assert reason is None


def test_outside_of_what_was_measured_there_are_no_seconds() -> None:
    found = power_law(1.0)
    assert seconds_at(found, "velocity", 1, 0.99 / 32**2) == (
        None,
        "below that of 32 cells a side, which cost 0.1 s",
    )
    assert seconds_at(found, "velocity", 1, 1.01 / 8**2) == (
        None,
        "above that of 8 cells a side, which cost 0.0064 s",
    )
    assert seconds_at(found, "velocity", 1, float("nan")) == (None, "a rollout has ended")


def test_where_errors_rise_the_finest_grids_count() -> None:
    found = power_law(1.0)
    found["grids"][1]["groups"]["velocity"][1] = 0.04  # 8 cells: 0.0156
    seconds, _ = seconds_at(found, "velocity", 1, 0.01)
    assert seconds is not None
    assert 1e-4 * 16**2 < seconds < 1e-4 * 32**2
    assert seconds_at(found, "velocity", 1, 0.04)[0] == pytest.approx(1e-4 * 16**2)


def results(made: tuple[DataConfig, TrajectoryFile]) -> dict[str, Any]:
    """Of an experiment of two seeds, whose refined rollouts have errors of the solver's in velocity."""
    solver = measured(made, flows=2, cells=(8, 16))
    coarse, fine = (own["groups"]["velocity"] for own in solver["grids"][:2])

    def errors(low: float, high: float) -> dict[str, Any]:
        """Base: those of 8 cells, refined: between; a third flow that is not the solver's."""
        return {
            group: {
                "base": [[low * one, high * one, 9.0] for one in coarse],
                "refined": [[0.5 * (one + two)] * 2 + [9.0] for one, two in zip(coarse, fine, strict=True)],
            }
            for group in GROUPS
        }

    main = {"0": {"per_sample": errors(0.9, 1.1)}, "1": {"per_sample": errors(0.8, 1.2)}}
    solver["equal"] = equal_error(solver, main)
    cost = {"base": 0.5, "refined": 2.0, "repeats": 7, "steps": 4, "weights": {"base": 10, "corrector": 20}}
    return {"solver": solver, "main": main, "cost": cost}


def test_errors_of_rollouts_are_means_over_the_solvers_flows(made: tuple[DataConfig, TrajectoryFile]) -> None:
    result = results(made)
    solver = result["solver"]
    for step in range(2):
        base, refined = (solver["equal"][name]["velocity"][step] for name in ("base", "refined"))
        assert base["error"] == pytest.approx(solver["grids"][0]["groups"]["velocity"][step], rel=1e-12)
        assert solver["grids"][0]["seconds"] < refined["seconds"] < solver["grids"][1]["seconds"]
        assert seconds_at(solver, "velocity", step, refined["error"]) == (refined["seconds"], None)
    result["main"]["1"]["per_sample"]["pressure"]["refined"][1][0] = None
    ended = equal_error(solver, result["main"])["refined"]["pressure"]
    assert ended[1] == {"error": None, "seconds": None, "reason": "a rollout has ended"}
    assert ended[0]["error"] is not None


def test_the_report_has_every_grid_and_says_what_is_not_known(
    made: tuple[DataConfig, TrajectoryFile],
) -> None:
    result = results(made)
    equal = result["solver"]["equal"]
    equal["base"]["velocity"][0] = {"error": 0.125, "seconds": None, "reason": "above all"}
    equal["refined"]["velocity"][0] = {"error": 0.0625, "seconds": 0.5, "reason": None}
    equal["refined"]["pressure"][1] = {"error": None, "seconds": None, "reason": "a rollout has ended"}
    text = "".join(cost_section(result, Path("cost.png")))
    assert text.count("| solver, ") == 3
    assert "| solver, 32 x 32 cells, the truth's | 0.00 | 0.00 | 0.00 | 0.00 |" in text
    groups = result["solver"]["grids"][0]["groups"]
    cells = [f"{100 * groups[group][step]:.2f}" for group in ("velocity", "pressure") for step in (0, 1)]
    assert f"| solver, 8 x 8 cells | {' | '.join(cells)} | " in text
    assert "| base | 12.50 |" in text
    assert "and of 7 answers of the model" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| refined | 6.25 |"))
    assert row.endswith("| ended | 2 |")
    assert "velocity at t = 1, refined, 6.25 %, 2 s: the solver needs 0.5 s, 0.25 times as much." in text
    assert "velocity at t = 1, base, 12.50 %, 0.5 s: the solver's seconds were not measured" in text
    assert "pressure at t = 2, refined: a rollout has ended." in text
    seconds = [one["seconds"] for one in equal["refined"]["velocity"] + equal["refined"]["pressure"]]
    known = [one / 2.0 for one in seconds if one is not None]
    assert f"the solver needs {min(known):.2g} to {max(known):.2g} times the seconds of refined" in text
    assert "![errors against seconds](cost.png)" in text
    figure = cost_figure(result)
    assert len(figure.axes) == 2
    drawn = np.array(figure.axes[0].get_lines()[0].get_data(), dtype=float)
    expected = [[own["seconds"], 100 * own["groups"]["velocity"][0]] for own in result["solver"]["grids"][:2]]
    np.testing.assert_allclose(drawn.T, expected)


def test_a_truth_of_other_times_and_grids_that_are_too_fine_are_refused(
    made: tuple[DataConfig, TrajectoryFile],
) -> None:
    data, file = made
    truth, graph, mean = file.read(), file.graph(), torch.zeros(4)
    with pytest.raises(ValueError, match=r"2 ... 3 times, got 4"):
        solver_figures(torch.cat([truth, truth[:, :1]], dim=1), graph, mean, data)
    with pytest.raises(ValueError, match=r"2 ... 3 times, got 1"):
        solver_figures(truth[:, :1], graph, mean, data)
    with pytest.raises(ValueError, match=r"below solver_res = 32, got \[32\]"):
        solver_figures(truth, graph, mean, data, cells=[32])
