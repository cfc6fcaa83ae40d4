"""Kinds of correctors and losses, as a config chooses them."""

from dataclasses import replace

import pytest
import tiny_runs
import torch

import irno_graph as ig
from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing
from irno_graph.experiments.config import ConfigError, CorrectorConfig, read_config
from irno_graph.experiments.parts import new_corrector, spectral_loss
from irno_graph.experiments.sets import read_sets
from irno_graph.experiments.train import train
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.training.corrector_task import met_states, true_pairs


@pytest.mark.parametrize(
    ("kind", "made"),
    [("multiscale", MultiscaleMessagePassing), ("flat", MessagePassing), ("edges", EdgeMessagePassing)],
)
def test_each_kind_of_corrector_is_trained(tmp_path, kind, made):
    file = tiny_runs.config(tmp_path, base=1, corrector=6)
    first = new_corrector(replace(read_config(file).corrector, kind=kind))
    assert type(first) is made
    train(file, report=lambda line: None, changes=[f"corrector.kind={kind}"])
    corrector = ig.load(tmp_path / "run" / "model.safetensors").corrector
    assert corrector.config() == first.config()
    assert all(
        float(weight.detach().abs().sum()) > 0 for weight in corrector.parameters() if weight.dim() > 1
    )


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"`corrector.kind`.* multiscale, flat, edges, got 'deep'"):
        read_config(tiny_runs.config(tmp_path), ["corrector.kind=deep"])


def test_true_pairs_alone_are_trained_on_where_no_rollouts_are_asked_for(tmp_path):
    none = ["corrector.rollout_trajectories=0", "corrector.refresh_trajectories=0"]
    file = tiny_runs.config(tmp_path, base=1, corrector=10)
    train(file, report=lambda line: None, changes=none)
    config = read_config(file, none)
    model = ig.load(tmp_path / "run" / "model.safetensors")
    for part in read_sets(config, "train", "cpu", print):
        assert len(met_states(model, part, torch.arange(0), 0).x) == 0
        assert len(true_pairs(model, part).x) == 3 * 3


def wave(graph: Graph, mode: int) -> torch.Tensor:
    """`[1, nodes, 1]`"""
    return torch.cos(2 * torch.pi * mode * graph.pos[:, 0]).float().view(1, -1, 1)


def loss_of(settings: CorrectorConfig, states: torch.Tensor, truth: torch.Tensor, graph: Graph) -> float:
    loss = spectral_loss(settings)
    assert loss is not None
    return float(loss(states, truth, graph))


def test_magnitudes_do_not_see_signs():
    graph = Graph.from_mesh(periodic_box(400, seed=0))
    truth = wave(graph, 2)
    losses = [
        loss_of(CorrectorConfig(spectral_loss=kind, loss_modes=400), -truth[None], truth, graph)
        for kind in ("eigenbasis", "magnitude")
    ]
    assert losses[1] < 1e-6 < losses[0]


@pytest.mark.parametrize("kind", ["eigenbasis", "magnitude", "chebyshev", "bands"])
def test_a_fixed_exponent_weighs_all_steps_alike(kind):
    """The same error in both orders of the steps costs the same, where exponents are the same, and only there."""
    graph = Graph.from_mesh(periodic_box(400, seed=0))
    truth = torch.zeros(1, 400, 1)
    steps = torch.stack([wave(graph, 1), wave(graph, 8)])

    def both(first: float, last: float) -> list[float]:
        settings = CorrectorConfig(spectral_loss=kind, loss_modes=400, p_start=first, p_end=last)
        return [loss_of(settings, own, truth, graph) for own in (steps, steps.flip(0))]

    one, other = both(1.5, 1.5)
    assert one == pytest.approx(other, rel=1e-5)
    one, other = both(0.5, 4.0)
    assert abs(one - other) > 0.01 * one
