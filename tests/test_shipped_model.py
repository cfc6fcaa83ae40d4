"""The model in the package does on new flows what it is shipped for."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import irno_graph as ig
from irno_graph.data.ce_gauss import sample_trajectories, trajectory_seeds
from irno_graph.experiments.evaluation import compare_rollouts
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine.storage import SHIPPED, describe

CURVE = Path(__file__).parents[1] / "docs" / "results" / "ce_gauss_small" / "base_metrics.csv"


@pytest.fixture(scope="module")
def model():
    return ig.load("ce-gauss-small")


def test_it_is_small_and_says_where_it_comes_from():
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 10e6
    about = describe("ce-gauss-small")["about"]
    assert about["config"]["name"] == "ce-gauss-small"
    assert len(set(about["trajectory_base_seeds"])) == len(about["trajectory_base_seeds"])


@pytest.mark.parametrize("nodes", [900, 1600])
def test_refinement_gains_on_flows_and_meshes_it_has_not_seen(model, nodes):
    mesh = periodic_box(nodes, seed=77)
    seeds = trajectory_seeds(77, 3)
    assert 77 not in describe("ce-gauss-small")["about"]["trajectory_base_seeds"]
    flows = sample_trajectories(seeds, mesh.points, np.arange(5) * 0.1, solver_res=64)[..., :4]
    found = compare_rollouts(model, torch.from_numpy(flows), Graph.from_mesh(mesh))
    for group in ("velocity", "pressure", "vorticity"):
        assert float(found.gain(group).mean()) > 0, group


def test_a_fluid_at_rest_stays_nearly_at_rest(model):
    graph = Graph.from_mesh(periodic_box(800, seed=5))
    rest = torch.tensor([0.1, 0.0, 0.0, 2.5]).expand(800, 4)
    end = ig.rollout(model, rest, graph, time_steps=3).states[-1]
    assert (end - rest).abs().div(model.scaling.std).max() < 1.0


def test_its_base_was_trained_to_a_plateau():
    """The last fifth of the optimiser steps improves the validation error by less than 2 %."""
    with CURVE.open(newline="") as file:
        rows = [
            (int(r["step"]), float(r["valid_one_step"])) for r in csv.DictReader(file) if r["valid_one_step"]
        ]
    steps, errors = np.array(rows).T
    before = errors[steps <= 0.8 * (steps[-1] + 1)].min()
    assert errors[-1] > 0.98 * before
