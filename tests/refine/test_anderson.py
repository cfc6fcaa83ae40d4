import numpy as np
import pytest
import torch
from domains import interval
from known_correctors import CHANNELS, NODES, SIZE, Affine, Bend, Relax, affine, refined
from scipy.sparse.linalg import gmres

import irno_graph as ig
from irno_graph.refine import Anderson, Scaling
from irno_graph.refine.space import Space


@pytest.fixture
def path():
    return ig.Graph.from_mesh(interval(NODES - 1))  # the masses at its ends are half of the others


@pytest.fixture
def x(box):
    return torch.randn(3, box.num_nodes, 2, dtype=torch.float64)


@pytest.mark.parametrize("mixing", [None, 0.9])
@pytest.mark.parametrize("units", [None, torch.tensor([0.5, 8.0])])
def test_anderson_is_gmres_and_a_step_of_the_mixing_parameter(path, mixing, units):
    """Walker & Ni: h_{k+1} = g_k + beta Phi(g_k) with GMRES's iterate g_k, here in the norm of mass and units."""
    scaling = Scaling.identity(CHANNELS, CHANNELS)
    scaling.std = torch.ones(CHANNELS) if units is None else units
    scaling.error = scaling.std.clone()
    solver = Anderson(memory=SIZE, regularisation=0.0, mixing=mixing)
    model = refined(affine(0.15), solver, scaling=None if units is None else scaling)
    start = torch.randn(NODES, CHANNELS).double()
    out = model(start, path, steps=SIZE)
    assert out.applications == SIZE + 1  # no proposal was rejected
    root = (path.mass[:, None] / scaling.std.double().square()).flatten().sqrt().numpy()
    right = model.phi(start, torch.zeros_like(start), path)
    images = right - model.phi(start, torch.eye(SIZE).double().reshape(SIZE, NODES, CHANNELS), path)
    matrix = root[:, None] * images.flatten(1).T.numpy() / root
    found = root * start.flatten().numpy()
    for k, state in enumerate(out.states[1:]):
        if k > 0:
            found, _ = gmres(
                matrix,
                root * right.flatten().numpy(),
                root * start.flatten().numpy(),
                rtol=0,
                restart=k,
                maxiter=1,
            )
        step = (0.5 if mixing is None else mixing) * (root * right.flatten().numpy() - matrix @ found)
        np.testing.assert_allclose(state.flatten().numpy(), (found + step) / root, rtol=0, atol=1e-6)


def test_anderson_ends_with_as_many_steps_as_there_are_eigenvalues(path):
    """A minimal polynomial of degree 3 leaves nothing to do after 3 differences; rounding does no harm afterwards."""
    basis = torch.linalg.qr(torch.randn(SIZE, SIZE).double())[0]
    matrix = basis * torch.tensor([0.5, 1.0, 1.7]).double().repeat(4) @ basis.T
    model = refined(Affine(matrix, torch.randn(NODES, CHANNELS).double()), Anderson(regularisation=1e-14))
    out = model(torch.randn(NODES, CHANNELS).double(), path, steps=30)
    assert out.residuals[3].max() > 1e-3
    assert out.residuals[4:].max() < 1e-9
    assert out.status == ig.Status.DONE


def test_older_differences_in_the_span_of_newer_ones_are_left_out(path):
    """In one dimension all differences are parallel: any memory is the secant method, without regularisation too."""
    model = refined(Bend(lambda h: torch.cos(h) - h), Anderson(memory=1, regularisation=0.0))
    start = torch.full((NODES, 1), 3.0, dtype=torch.float64)
    secant = model(start, path, steps=5)
    assert secant.residuals[3:].max() < 1e-3
    for regularisation in (0.0, 1e-10):
        deep = refined(model.corrector, Anderson(regularisation=regularisation))(start, path, steps=5)
        assert torch.equal(deep.applications, secant.applications)
        torch.testing.assert_close(deep.states, secant.states, rtol=0, atol=1e-8)


@pytest.mark.parametrize("memory", [1, 2, 3, 20])
def test_the_mix_is_the_least_squares_solution_over_the_last_differences(box, x, memory):
    """Against a QR solver, from states and residuals that have nothing to do with each other."""
    root = (box.mass[:, None] / torch.tensor([1.0, 9.0]).double()).sqrt()
    run = Anderson(memory=memory, regularisation=0.0, mixing=0.8).start(
        Space.of(box, torch.tensor([1.0, 3.0]))
    )
    states, residuals = torch.randn(2, 9, *x.shape).double() * torch.logspace(0, -4, 9).reshape(9, 1, 1, 1)
    for k in range(9):
        found = run.advance(states[k], residuals[k], 0.5)
        dh, df = (all_[: k + 1].diff(dim=0)[-memory:].flatten(2) for all_ in (states, residuals))
        for sample in range(3):
            expected = states[k, sample] + 0.8 * residuals[k, sample]
            if k > 0:
                tall = (df[:, sample] * root.flatten()).T
                right = (residuals[k, sample] * root).flatten()
                gamma = torch.linalg.lstsq(tall, right.unsqueeze(-1), driver="gelsy").solution.squeeze(-1)
                expected = expected - (gamma @ (dh + 0.8 * df)[:, sample]).reshape(expected.shape)
            torch.testing.assert_close(found[sample], expected, rtol=1e-8, atol=1e-10)


def test_after_a_rejection_only_what_follows_counts(box, x):
    space = Space.of(box, torch.ones(2))
    phi = refined(Relax(2), None).correction(x, box)
    states = [torch.randn_like(x) for _ in range(5)]
    run, fresh = Anderson().start(space), Anderson().start(space)
    for number, h in enumerate(states[:-1]):
        run.advance(h, phi(h), 0.5)
        if number == 2:
            run.forget(torch.tensor([True, False, True]))
        if number >= 2:
            fresh.advance(h, phi(h), 0.5)
    found, expected = (one.advance(states[-1], phi(states[-1]), 0.5) for one in (run, fresh))
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]])
    assert (found[1] - expected[1]).abs().max() > 1e-3
