"""Step sizes that certificates choose, for affine corrections with known norms."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import irno_graph as ig
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine import choose_alpha
from irno_graph.refine.choice import CANDIDATES

NODES = 24


class Pulls(nn.Module):
    """Phi(x, h) = A (x - h), A per sample `[samples, nodes, nodes]` or one for all."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix

    def forward(self, x, h, graph):
        return self.matrix @ (x - h)


@pytest.fixture
def graph():
    return Graph.from_grid((4, 6), period=(1.0, 1.0))  # equal masses: norms are those of the matrix


def model_of(matrix, alpha="auto", steps=3):
    return ig.IRNO(lambda x, graph: torch.zeros_like(x), Pulls(matrix), alpha=alpha, steps=steps)


def random_matrices():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, NODES, NODES, dtype=torch.float64, generator=generator) / NODES**0.5
    return torch.eye(NODES, dtype=torch.float64) * torch.tensor([1.0, 1.5, 3.0])[:, None, None] + 0.3 * noise


@pytest.mark.parametrize("with_truth", [True, False])
def test_the_proven_step_is_the_least_of_m_over_the_square_of_the_norm(graph, with_truth):
    matrices = random_matrices()
    truth = torch.randn(3, NODES, 1, dtype=torch.float64)
    model = model_of(matrices)
    found = choose_alpha(model, truth, graph, truth if with_truth else None)
    own = matrices.numpy()
    lowest = np.linalg.eigvalsh((own + own.swapaxes(1, 2)) / 2)[:, 0]
    norms = np.linalg.norm(own, 2, axis=(1, 2))
    assert found.proven
    assert found.candidates == ()
    assert np.isclose(model.alpha, (lowest / norms**2).min(), rtol=1e-3)
    out = model(truth, graph, steps=40)
    errors = (out.states - truth).flatten(-2).norm(dim=-1)
    assert (errors[1:] < errors[:-1])[:10].all()


def test_what_is_not_proven_is_chosen_by_the_error_among_steps_that_shrink(graph):
    """A = [[1, 3], [0, 1]] has m < 0 and contracts in the long run for every alpha < 2."""
    matrix = torch.eye(NODES, dtype=torch.float64)
    matrix[0::2, 1::2] += 3.0 * torch.eye(NODES // 2, dtype=torch.float64)
    truth = torch.randn(3, NODES, 1, dtype=torch.float64)
    model = model_of(matrix)
    found = choose_alpha(model, truth, graph, truth)
    assert not found.proven
    assert found.candidates == CANDIDATES
    assert max(found.contraction) < 1
    brute = [
        float((model_of(matrix, alpha)(truth, graph).value - truth).norm(dim=-2).mean())
        for alpha in CANDIDATES
    ]
    assert model.alpha == found.alpha == CANDIDATES[int(np.argmin(brute))]


def test_steps_that_grow_are_not_chosen_however_good_they_are_early(graph):
    """A = 4: |1 - 4 alpha| < 1 for alpha < 1/2 alone; one channel more has A = -0.01, which m sees."""
    matrix = torch.eye(NODES, dtype=torch.float64) * 4.0
    truth = torch.randn(2, NODES, 1, dtype=torch.float64)
    shear = matrix.clone()
    shear[0, 1] = 60.0
    model = model_of(shear)
    found = choose_alpha(model, truth, graph, truth)
    assert not found.proven
    grown = [alpha for alpha, rate in zip(CANDIDATES, found.contraction, strict=True) if rate >= 1]
    assert set(grown) == {alpha for alpha in CANDIDATES if alpha >= 0.5}
    assert model.alpha < 0.5


def test_where_everything_grows_nothing_is_chosen_and_nothing_changes(graph):
    model = model_of(-torch.eye(NODES, dtype=torch.float64), alpha=0.3)
    truth = torch.randn(2, NODES, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="seen to contract"):
        choose_alpha(model, truth, graph, truth)
    assert model.alpha == 0.3
    waiting = model_of(-torch.eye(NODES, dtype=torch.float64))
    with pytest.raises(ValueError, match="seen to contract"):
        choose_alpha(waiting, truth, graph, truth)
    assert math.isnan(waiting.alpha)


def test_a_model_without_a_step_size_does_not_refine_and_is_not_saved(graph, tmp_path):
    model = model_of(torch.eye(NODES, dtype=torch.float64))
    x = torch.randn(NODES, 1, dtype=torch.float64)
    assert math.isnan(model.alpha)
    assert model(x, graph, steps=0).value.shape == x.shape
    with pytest.raises(ValueError, match="choose_alpha"):
        model(x, graph)
    with pytest.raises(ValueError, match="in \\(0, 1\\]"):
        model_of(torch.eye(NODES), alpha="fast")
    corrector = ig.correctors.MessagePassing(1, 1, hidden=4, layers=1)
    with pytest.raises(ValueError, match="choose_alpha"):
        ig.save(ig.IRNO(ig.bases.RIGNO(1, 1), corrector, alpha="auto"), tmp_path / "model.safetensors")


def test_the_observed_choice_without_a_truth_has_the_least_residual():
    graph = Graph.from_mesh(periodic_box(NODES, seed=3))
    matrix = torch.eye(NODES, dtype=torch.float64)
    matrix[0::2, 1::2] += 5.0 * torch.eye(NODES // 2, dtype=torch.float64)
    x = torch.randn(2, NODES, 1, dtype=torch.float64)
    model = model_of(matrix)
    found = choose_alpha(model, x, graph)
    assert not found.proven
    assert model.alpha == CANDIDATES[int(np.argmin(found.score))]
