"""Jacobian penalty and implicit gradients, against dense Jacobians and long unrolled refinements."""

import numpy as np
import pytest
import torch
from torch import nn

from irno_graph.correctors import MessagePassing
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine.contraction import implicit_limit, jacobian_penalty
from irno_graph.refine.space import Space


@pytest.fixture
def graph():
    return Graph.from_mesh(periodic_box(24, seed=3))


def test_the_penalty_is_the_frobenius_norm_of_a_dense_jacobian(graph):
    generator = torch.Generator().manual_seed(0)
    count = 48
    matrix = torch.randn(count, count, dtype=torch.float64, generator=generator) / count**0.5
    space = Space.of(graph, torch.tensor([1.0, 3.0]))
    h = torch.randn(400, 24, 2, dtype=torch.float64, generator=generator)
    found = jacobian_penalty(
        lambda h: (h.flatten(-2) @ matrix.T).view(h.shape), h, space, alpha=0.5, probes=8, generator=generator
    )
    root = space.weight.sqrt().flatten()
    own = root[:, None] * (torch.eye(count, dtype=torch.float64) + 0.5 * matrix) / root
    exact = own.square().sum() / count
    spread = found.std() / len(found) ** 0.5
    assert abs(found.mean() - exact) < 4 * spread
    assert spread < 0.01 * exact


def test_the_penalty_has_the_gradient_of_finite_differences(graph):
    corrector = MessagePassing(1, 1, hidden=4, layers=1).double()
    x = torch.randn(24, 1, dtype=torch.float64)
    space = Space.of(graph, torch.ones(1))

    def penalty():
        phi = corrector.prepare(x, graph)
        seeded = torch.Generator().manual_seed(1)
        return jacobian_penalty(phi, 0.5 * x, space, alpha=0.5, probes=2, generator=seeded)

    weight = dict(corrector.named_parameters())["layers.0.message.source.weight"]
    penalty().sum().backward()
    assert weight.grad is not None
    gradient, step = weight.grad[1, 2].clone(), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[1, 2] += sign * step
        values.append(float(penalty().detach()))
        with torch.no_grad():
            weight[1, 2] -= sign * step
    assert np.isclose(float(gradient), (values[0] - values[1]) / (2 * step), rtol=1e-5, atol=1e-10)


class Contraction(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(2, 2).double()

    def forward(self, h, x):
        return 0.3 * h + 0.4 * torch.tanh(self.mix(h) + x)


def test_implicit_gradients_are_those_of_a_long_unrolled_iteration():
    torch.manual_seed(0)
    module = Contraction()
    x = torch.randn(5, 7, 2, dtype=torch.float64, requires_grad=True)
    weights = (*module.parameters(), x)
    h = torch.zeros_like(x)
    for _ in range(200):
        h = module(h, x)
    unrolled = torch.autograd.grad(h.square().sum(), weights)
    limit = implicit_limit(lambda h: module(h, x), torch.zeros_like(x), steps=200)
    torch.testing.assert_close(limit, h, rtol=1e-12, atol=1e-12)
    for found, expected in zip(torch.autograd.grad(limit.square().sum(), weights), unrolled, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_implicit_gradients_of_a_linear_step_solve_the_adjoint_equation():
    """h = B h + c: dL/dc = (I - B^T)^-1 dL/dh."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(6, 6, dtype=torch.float64, generator=generator)
    matrix = 0.8 * matrix / torch.linalg.matrix_norm(matrix, 2)
    c = torch.randn(6, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.randn(6, dtype=torch.float64, generator=generator)
    limit = implicit_limit(lambda h: matrix @ h + c, torch.zeros(6, dtype=torch.float64), steps=300)
    (limit @ target).backward()
    assert c.grad is not None
    exact = torch.linalg.solve(torch.eye(6, dtype=torch.float64) - matrix.T, target)
    torch.testing.assert_close(c.grad, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("steps", [2, 40])
def test_memory_does_not_grow_with_the_steps(steps):
    module, x = Contraction(), torch.randn(50, 2, dtype=torch.float64)
    kept: list[int] = []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        implicit_limit(lambda h: module(h, x), torch.zeros_like(x), steps=steps)
    assert sum(kept) <= 2 * 8 * x.numel()


def test_without_weights_to_train_nothing_is_differentiated():
    x = torch.randn(3, 2, dtype=torch.float64)
    assert not implicit_limit(lambda h: 0.5 * h + x, torch.zeros_like(x), steps=60).requires_grad
