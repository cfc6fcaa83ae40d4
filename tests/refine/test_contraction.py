"""Jacobian penalty and implicit gradients, against dense Jacobians and long unrolled refinements."""

import numpy as np
import pytest
import torch
from torch import nn

from irno_graph.correctors import MessagePassing
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine.contraction import implicit_limit, jacobian_penalty, norm_penalty
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


def test_the_norm_penalty_is_the_square_of_the_largest_singular_value_with_its_gradient(graph):
    generator = torch.Generator().manual_seed(0)
    count = 48
    matrix = torch.randn(count, count, dtype=torch.float64, generator=generator) / count**0.5
    matrix.requires_grad_()
    space = Space.of(graph, torch.tensor([1.0, 3.0]))
    h = torch.zeros(24, 2, dtype=torch.float64)
    found = norm_penalty(
        lambda h: (h.flatten(-2) @ matrix.T).view(h.shape),
        h,
        space,
        alpha=0.5,
        power=400,
        generator=generator,
    )
    root = space.weight.sqrt().flatten()
    own = root[:, None] * (torch.eye(count, dtype=torch.float64) + 0.5 * matrix) / root
    exact = torch.linalg.matrix_norm(own, 2).square()
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=0)
    slopes = [torch.autograd.grad(value, matrix)[0] for value in (found, exact)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-7)


def test_a_few_power_steps_stay_below_the_norm_and_above_the_mean(graph):
    corrector = MessagePassing(1, 1, hidden=4, layers=1).double()
    x = torch.randn(24, 1, dtype=torch.float64)
    space = Space.of(graph, torch.ones(1))
    phi = corrector.prepare(x, graph)
    dense = torch.autograd.functional.jacobian(lambda h: 8 * phi(h).flatten(), 0.5 * x).reshape(24, 24)
    root = space.weight.sqrt().flatten()
    own = root[:, None] * (torch.eye(24, dtype=torch.float64) + 0.5 * dense) / root
    seeded = torch.Generator().manual_seed(1)
    found = [
        norm_penalty(lambda h: 8 * phi(h), 0.5 * x, space, alpha=0.5, power=p, generator=seeded).item()
        for p in (3, 400)
    ]
    norm = float(torch.linalg.matrix_norm(own, 2)) ** 2
    assert float(own.square().sum()) / 24 < found[0] <= norm * (1 + 1e-12)
    assert np.isclose(found[1], norm, rtol=1e-3)


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


def test_torchdeq_finds_the_same_limit_and_the_same_gradients():
    torchdeq = pytest.importorskip("torchdeq", reason="torchdeq is the oracle here: install the extra `dev`")
    torch.manual_seed(0)
    module = Contraction()
    x = torch.randn(5, 7, 2, dtype=torch.float64)
    own = implicit_limit(lambda h: module(h, x), torch.zeros_like(x), steps=200)
    settings = {"f_max_iter": 400, "f_tol": 1e-13, "b_max_iter": 400, "b_tol": 1e-13}
    deq = torchdeq.get_deq(f_solver="fixed_point_iter", b_solver="fixed_point_iter", ift=True, **settings)
    deq.train()
    (theirs,), _ = deq(lambda h: module(h, x), torch.zeros_like(x))
    torch.testing.assert_close(own, theirs, rtol=1e-9, atol=1e-10)
    weights = tuple(module.parameters())
    for found, expected in zip(
        torch.autograd.grad(own.pow(3).sum(), weights),
        torch.autograd.grad(theirs.pow(3).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


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
