"""Certificates of affine corrections, whose norms dense linear algebra gives, and steps beyond the largest size."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine.certificate import Verdict, certify
from irno_graph.refine.lanczos import largest_eigenvalue
from irno_graph.refine.space import Space

CHANNELS = 2


class Affine(nn.Module):
    """Phi(x, h) = A (x - h) on the flattened nodes and channels: x is the fixed point."""

    def __init__(self, matrix, offset=0.0):
        super().__init__()
        self.matrix, self.offset = matrix, offset

    def forward(self, x, h, graph):
        return ((x - h).flatten(-2) @ self.matrix.T).view(h.shape) + self.offset


class Constant(nn.Module):
    """Phi = 1."""

    def forward(self, x, h, graph):
        return torch.ones_like(h)


@pytest.fixture
def graph():
    return Graph.from_mesh(periodic_box(24, seed=3))


def weights(graph):
    """Square roots of the shares of the masses, flattened: |u| = |S u|_2."""
    return np.sqrt((graph.mass / graph.mass.sum()).numpy()).repeat(CHANNELS)


def matrices(graph):
    """Random, ill-conditioned, and non-normal ones, as the inner product sees them."""
    generator = np.random.default_rng(0)
    count = 24 * CHANNELS
    root = weights(graph)
    random = np.eye(count) + 0.5 * generator.standard_normal((count, count)) / np.sqrt(count)
    turn = np.linalg.qr(generator.standard_normal((count, count)))[0]
    ill = turn @ np.diag(np.geomspace(1e-4, 1.0, count)) @ turn.T
    shear = np.eye(count) + np.triu(generator.standard_normal((count, count)), 1) / np.sqrt(count)
    return {
        name: (own, torch.from_numpy(own * root[None, :] / root[:, None]))  # S^-1 own S has these norms
        for name, own in {"random": random, "ill": ill, "non-normal": shear}.items()
    }


def model_of(matrix, alpha, offset=0.0, steps=4):
    return ig.IRNO(lambda x, graph: torch.zeros_like(x), Affine(matrix, offset), alpha=alpha, steps=steps)


def test_a_correction_that_does_not_see_h_neither_contracts_nor_grows(graph):
    y = torch.randn(2, 24, CHANNELS, dtype=torch.float64)
    model = ig.IRNO(lambda x, graph: torch.zeros_like(x), Constant(), alpha=0.5, steps=2)
    found = certify(model, y, graph, y)
    assert np.allclose(found.q, 1.0)
    assert np.allclose(found.bound, 0.0)
    assert np.allclose(found.monotonicity, 0.0)
    assert (found.verdict != Verdict.CONTRACTS).all()


@pytest.mark.parametrize("name", ["random", "ill", "non-normal"])
def test_norms_are_those_of_dense_linear_algebra(graph, name):
    own, matrix = matrices(graph)[name]
    y = torch.randn(3, 24, CHANNELS, dtype=torch.float64)
    offset = 0.01 * torch.randn(24, CHANNELS, dtype=torch.float64)
    found = certify(model_of(matrix, 0.3, offset), y, graph, y, iterations=48)
    q = np.linalg.norm(np.eye(len(own)) - 0.3 * own, 2)
    bound = np.linalg.norm(own, 2)
    lowest = np.linalg.eigvalsh((own + own.T) / 2)[0]
    bias = np.linalg.norm(weights(graph) * offset.numpy().ravel())
    assert np.allclose(found.q, q, rtol=1e-3)
    assert np.allclose(found.bound, bound, rtol=1e-3)
    assert np.allclose(found.monotonicity, lowest, rtol=1e-3, atol=1e-9)
    assert np.allclose(found.bias, bias, rtol=1e-9)
    assert np.allclose(found.alpha_max, max(2 * lowest / bound**2, 0), rtol=3e-3)
    floor = 0.3 * bias / (1 - q) if q < 1 else math.inf
    assert np.allclose(found.floor, floor, rtol=1e-2 if name == "ill" else 1e-3)
    assert found.residual.max() < 1e-3


@pytest.mark.parametrize(("share", "grows"), [(0.97, False), (1.03, True)])
def test_steps_grow_exactly_beyond_the_largest_step_size(graph, share, grows):
    """For a multiple of a rotation, |1 - alpha A| = 1 at alpha_max = 2 m / M_A^2, in every direction."""
    cosine, size = math.cos(1.2), 3.0
    turn = size * np.array([[cosine, -math.sin(1.2)], [math.sin(1.2), cosine]])
    own = np.kron(np.eye(24), turn)
    matrix = torch.from_numpy(own)
    exact = 2 * size * cosine / size**2
    y = torch.randn(24, CHANNELS, dtype=torch.float64)
    model = model_of(matrix, share * exact, steps=20)
    found = certify(model, y, graph, y)
    assert math.isclose(float(found.alpha_max), exact, rel_tol=1e-6)
    assert (float(found.q) > 1) == grows
    assert math.isclose(float(found.contraction), float(found.q), rel_tol=1e-6)
    errors = [float((state - y).norm()) for state in model(y, graph, steps=160).states]
    assert (errors[-1] > errors[0]) == grows
    assert found.verdict == (Verdict.SMALLER_STEP if grows else Verdict.CONTRACTS)


def test_the_error_ends_below_the_floor_and_near_it_for_a_scalar(graph):
    """Phi = (y - h) + b ends at |b|, and alpha |b| / (1 - (1 - alpha)) is |b|."""
    y = torch.randn(2, 24, CHANNELS, dtype=torch.float64)
    found = certify(model_of(torch.eye(48, dtype=torch.float64), 0.5, 0.2, steps=8), y, graph, y)
    assert torch.allclose(found.limit_error, found.floor, rtol=1e-6)
    for name, (_, matrix) in matrices(graph).items():
        sample = certify(model_of(matrix, 0.2, 0.1, steps=200), y, graph, y, iterations=48)
        assert (sample.limit_error <= sample.floor * (1 + 1e-6)).all(), name


def test_without_a_truth_the_defect_at_the_limit_is_reported(graph):
    matrix = torch.eye(48, dtype=torch.float64)
    x = torch.randn(24, CHANNELS, dtype=torch.float64)
    found = certify(model_of(matrix, 0.5, steps=2), x, graph)  # 16 steps leave 2^-16
    assert math.isclose(
        float(found.bias), float(Space.of(graph, torch.ones(2)).norm(x)) * 0.5**16, rel_tol=1e-6
    )
    assert bool(found.limit_error.isnan())


def test_growing_steps_and_a_negative_monotonicity_diverge(graph):
    x = torch.randn(24, CHANNELS, dtype=torch.float64)
    found = certify(model_of(-torch.eye(48, dtype=torch.float64), 0.5, 0.1), x, graph, x)
    assert found.verdict == Verdict.DIVERGES
    assert float(found.alpha_max) == 0
    assert float(found.floor) == math.inf
    assert math.isclose(float(found.monotonicity), -1.0, rel_tol=1e-6)


def test_graphs_of_a_batch_are_judged_one_by_one():
    graphs = [Graph.from_mesh(periodic_box(nodes, seed=nodes)) for nodes in (40, 60)]
    corrector = ig.correctors.MessagePassing(2, 2, hidden=8, layers=2).double()
    model = ig.IRNO(lambda x, graph: 0.9 * x, corrector, alpha=0.5, steps=2)
    fields = [torch.randn(3, part.num_nodes, 2, dtype=torch.float64) for part in graphs]
    truths = [0.8 * field for field in fields]
    alone = [certify(model, *group, iterations=30) for group in zip(fields, graphs, truths, strict=True)]
    together = certify(
        model, torch.cat(fields, 1), Batch.from_data_list(graphs), torch.cat(truths, 1), iterations=30
    )
    for name in ("q", "bias", "monotonicity", "bound", "contraction", "limit_error"):
        expected = torch.stack([getattr(part, name) for part in alone], dim=-1)
        torch.testing.assert_close(getattr(together, name), expected, rtol=2e-3, atol=1e-5)


def test_units_of_the_channels_do_not_change_the_norms(graph):
    """Physical units times s, standard deviations times s: the same numbers."""
    matrix = matrices(graph)["random"][1]
    y = torch.randn(24, CHANNELS, dtype=torch.float64)
    unit = torch.tensor([1.0, 1.0], dtype=torch.float64)
    found = []
    for scale in (unit, torch.tensor([1000.0, 0.01], dtype=torch.float64)):
        zero = torch.zeros_like(scale)
        scaling = ig.Scaling(input_mean=zero, input_std=scale, mean=zero, std=scale, error=scale).double()
        model = ig.IRNO(
            lambda x, graph: torch.zeros_like(x), Affine(matrix), alpha=0.3, steps=4, scaling=scaling
        )
        found.append(certify(model, y * scale, graph, y * scale))
    for name in ("q", "monotonicity", "bound", "limit_error"):
        torch.testing.assert_close(
            getattr(found[0], name), getattr(found[1], name), rtol=1e-5, atol=1e-9, msg=name
        )


def test_a_constant_has_its_own_size_on_every_domain_and_operators_their_adjoint():
    """|c| = |c| / units whatever the domain's area, on each graph of a batch; <J u, v> = <u, J* v>."""
    graphs = [Graph.from_grid((5, 7), extent=(3.0, 2.0)), Graph.from_grid((4, 4), extent=(0.1, 0.1))]
    for graph, sizes in ((graphs[0], 1), (Batch.from_data_list(graphs), 2)):
        space = Space.of(graph, torch.tensor([4.0]))
        ones = torch.ones(graph.num_nodes, 1, dtype=torch.float64)
        torch.testing.assert_close(space.norm(3.0 * ones).reshape(-1), torch.full((sizes,), 0.75).double())
    u, v, matrix = torch.randn(35, 1).double(), torch.randn(35, 1).double(), torch.randn(35, 35).double()
    space = Space.of(graphs[0], torch.tensor([4.0]))
    torch.testing.assert_close(
        space.dot(matrix @ u, v), space.dot(u, space.adjoint(matrix.T @ space.weighted(v)))
    )


def test_lanczos_never_exceeds_and_states_how_far_it_is(graph):
    space = Space.of(graph, torch.ones(1))
    values = torch.linspace(0.1, 5.0, 24, dtype=torch.float64)
    start = torch.randn(24, 1, dtype=torch.float64)
    exact = None
    for steps in (2, 4, 8, 24):
        found = largest_eigenvalue(
            lambda u: values[:, None] * u, start, space, steps=steps, size=torch.zeros_like
        )
        assert found.value <= 5.0 + 1e-12
        assert (values - found.value).abs().min() <= found.residual + 1e-12
        exact = found
    assert exact is not None
    assert math.isclose(float(exact.value), 5.0, rel_tol=1e-10)


def test_a_truth_of_another_graph_is_refused(graph):
    x = torch.randn(24, CHANNELS, dtype=torch.float64)
    with pytest.raises(ValueError, match="`truth` should have shape"):
        certify(model_of(torch.eye(48, dtype=torch.float64), 0.5), x, graph, x[1:])
