"""Rollouts around obstacles: several files measured together, what goes through walls, the demonstration."""

import json

import numpy as np
import pytest
import torch
from domains import disk, square_of_triangles
from meshio.xdmf import TimeSeriesReader

pytest.importorskip("numba")

import irno_graph as ig
from irno_graph.bases.rigno import RIGNO, Architecture, RegionalSettings
from irno_graph.cli import run
from irno_graph.correctors import MultiscaleMessagePassing, Options
from irno_graph.data.unstructured import Flow, generate_obstacles
from irno_graph.experiments.demo import quiet_stage, run_obstacle_demo
from irno_graph.experiments.evaluation import GROUPS, open_flows
from irno_graph.experiments.file_evaluation import evaluate_files
from irno_graph.experiments.wall_flow import WallFlow
from irno_graph.graph import Graph
from irno_graph.graph.walls import wall_features


def states_of(velocity):
    """`[1, 1, nodes, 4]` of `[nodes, 2]`."""
    states = torch.zeros(1, 1, len(velocity), 4, dtype=torch.float64)
    states[0, 0, :, 1:3] = velocity
    return states


def test_a_rotating_disk_lets_nothing_through_and_a_source_all_of_it():
    graph = Graph.from_mesh(disk(8))
    turning, outward = graph.pos.flip(1) * torch.tensor([-1.0, 1.0]), graph.pos
    found = WallFlow()
    found.use(graph)
    found("base", states_of(0.25 * outward), states_of(turning))
    found("refined", states_of(turning), states_of(turning))
    shares = found.to_json()
    assert shares["truth"] < 1e-12
    assert shares["refined"] < 1e-12
    assert shares["base"] == pytest.approx(0.25)


def test_corners_are_left_out_and_graphs_add_up():
    """The wind along x goes through the two sides x = 0 and x = 1, which have half of the nodes that are no corners."""
    found = WallFlow()
    for count in (4, 6):
        graph = Graph.from_mesh(square_of_triangles(count))
        found.use(graph)
        wind = states_of(torch.tensor([1.0, 0.0]).double().expand(graph.num_nodes, 2))
        found("base", 3 * wind, wind)
    assert found.to_json()["truth"] == pytest.approx(0.5**0.5)
    assert found.to_json()["base"] == pytest.approx(3 * 0.5**0.5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walled")
    for number, nodes in enumerate((120, 140)):
        generate_obstacles(
            folder / f"{number}.nc",
            trajectories=2,
            nodes=nodes,
            holes=1,
            flow=Flow(narrowest=0.05),
            seed=number,
            final_time=0.2,
        )
    torch.manual_seed(0)
    sizes = Architecture(processor_steps=1, node_hidden=8, edge_hidden=8, use_time=False)
    base = RIGNO(4, 4, architecture=sizes, regional=RegionalSettings(walls=True), periodic=False)
    corrector = MultiscaleMessagePassing(4, 4, hidden=8, levels=2, options=Options(walls=True))
    scaling = ig.Scaling.identity(4, 4)
    model = ig.IRNO(base, corrector, steps=2, scaling=scaling)
    ig.save(model, folder / "model.safetensors", about={"trajectory_base_seeds": [5]})
    return folder


def test_files_are_measured_together_as_one_after_the_other(place):
    model = ig.load(place / "model.safetensors")
    paths = [place / "0.nc", place / "1.nc"]
    both = evaluate_files(model, paths, stage=quiet_stage)
    parts = [evaluate_files(model, [path], stage=quiet_stage) for path in paths]
    assert both["samples"] == 4
    assert both["data"] == [str(path) for path in paths]
    for group in GROUPS:
        rows = [np.hstack([part["per_sample"][group]["refined"] for part in parts])]
        np.testing.assert_allclose(both["per_sample"][group]["refined"], rows[0])
    shares = [part["through_walls"]["truth"] for part in parts]
    assert min(shares) <= both["through_walls"]["truth"] <= max(shares) < 0.5


def test_the_truth_of_a_walled_file_is_an_answer_without_error(place):
    """A model whose answer is the next snapshot of the file has no error and lets through what the truth does."""
    source = open_flows(place / "0.nc")
    states = source.read()[..., :4]

    class Known(torch.nn.Module):
        lead_time = 0.1

        def forward(self, x, graph):
            rows = [(states - one).abs().amax(dim=(2, 3)).argmin() for one in x]
            return torch.stack([states.flatten(0, 1)[row + 1] for row in rows])

    corrector = ig.correctors.MessagePassing(4, 4, hidden=4, layers=1)
    model = ig.IRNO(Known(), corrector, scaling=ig.Scaling.identity(4, 4))
    found = evaluate_files(model, [place / "0.nc"], steps=0, stage=quiet_stage)
    assert max(found["groups"]["vorticity"]["base"]) < 1e-6
    assert found["through_walls"]["base"] == pytest.approx(found["through_walls"]["truth"], rel=1e-6)


def test_evaluate_takes_several_files_and_bands_of_one_alone(place, capsys):
    arguments = ["evaluate", str(place / "model.safetensors"), str(place / "0.nc"), str(place / "1.nc")]
    assert run([*arguments, "--out", str(place / "out.json")]) == 0
    assert "Through walls, truth:" in capsys.readouterr().out
    assert json.loads((place / "out.json").read_text())["samples"] == 4
    assert run([*arguments, "--flow"]) == 2
    assert "--flow should come with one file, got 2" in capsys.readouterr().err.replace("\n", " ")


def test_the_demonstration_around_obstacles(place, tmp_path):
    model = str(place / "model.safetensors")
    found = run_obstacle_demo(tmp_path, model=model, trajectories=1, nodes=160, holes=1)
    on_hole = wall_features(Graph.from_mesh(found.mesh))[:, 0] == 1
    assert on_hole.sum() > (np.minimum(found.mesh.points, 1 - found.mesh.points) < 1e-9).any(axis=1).sum()
    assert len(found.times) == 8
    assert found.evaluation.to_json()["samples"] == 1
    with TimeSeriesReader(tmp_path / "rollout.xdmf") as reader:
        reader.read_points_cells()
        assert reader.num_steps == 8
    with pytest.raises(ValueError, match="which is among"):
        run_obstacle_demo(tmp_path, model=model, seed=5)
