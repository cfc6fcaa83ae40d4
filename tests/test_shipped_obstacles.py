"""The model for flows around obstacles in the package: it is what its config makes, and gains on an unseen geometry."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

pytest.importorskip("numba")

import irno_graph as ig
from irno_graph.data.unstructured import Flow, generate_obstacles
from irno_graph.experiments.config import read_config
from irno_graph.experiments.demo import quiet_stage
from irno_graph.experiments.file_evaluation import evaluate_files
from irno_graph.graph import Graph
from irno_graph.refine.limits import difference
from irno_graph.refine.storage import describe

CONFIG = Path(__file__).parents[1] / "configs" / "obstacles.yaml"
SEED = 77


@pytest.fixture(scope="module")
def model():
    return ig.load("obstacles-small")


def test_it_was_trained_as_its_config_says():
    assert difference(describe("obstacles-small")["about"]["config"], asdict(read_config(CONFIG))) == ""


def test_refinement_gains_around_obstacles_it_has_not_seen(model, tmp_path):
    assert SEED not in describe("obstacles-small")["about"]["trajectory_base_seeds"]
    path = tmp_path / "flows.nc"
    generate_obstacles(path, trajectories=3, nodes=900, holes=3, flow=Flow(fine=1), seed=SEED, final_time=0.3)
    found = evaluate_files(model, [path], stage=quiet_stage)
    for group in ("velocity", "pressure"):
        assert sum(found["groups"][group]["gain"]) > 0, group
    assert found["through_walls"]["refined"] < 1


def test_it_needs_a_mesh_alone_and_sees_its_walls(model):
    from irno_graph.data.unstructured import Domain

    graph = Graph.from_mesh(Domain.drawn(700, holes=2, seed=SEED).mesh)
    rest = torch.tensor([0.1, 0.0, 0.0, 2.5]).expand(graph.num_nodes, 4)
    assert ig.rollout(model, rest, graph, time_steps=2).states.isfinite().all()
