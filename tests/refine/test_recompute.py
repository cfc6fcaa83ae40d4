import pytest
import torch
from known_correctors import Plain, Relax
from torch import nn

import irno_graph as ig


class Deep(nn.Module):
    """A prepared affine map of h behind ten layers, whose intermediate values outweigh h."""

    def __init__(self):
        super().__init__()
        self.known = nn.Parameter(torch.eye(3, dtype=torch.float64))
        self.layers = nn.ModuleList(nn.Linear(3, 3).double() for _ in range(10))

    def prepare(self, x, graph, *, time=None, lead_time=None):
        target = torch.tanh(x @ self.known)

        def phi(h):
            latent = h
            for layer in self.layers:
                latent = torch.tanh(layer(latent) * target)
            return latent - h

        return phi

    def forward(self, x, h, graph):
        return self.prepare(x, graph)(h)


@pytest.fixture
def x(box):
    return torch.randn(2, box.num_nodes, 3, dtype=torch.float64)


def refined(corrector):
    return ig.IRNO(lambda x, graph: 0.5 * x, corrector, alpha=0.4)


def loss(out):
    return out.states.square().sum() + out.residuals.sum()


@pytest.mark.parametrize("wrap", [lambda corrector: corrector, Plain])
@pytest.mark.parametrize("kind", [lambda: Relax(3), Deep])
def test_gradients_are_the_plain_ones(box, x, kind, wrap):
    """That of `known`, which all steps share, only where the prepared tensors are inputs of every step."""
    model = refined(wrap(kind()))
    x.requires_grad_()
    wanted = [x, *model.corrector.parameters()]
    kept, again = model(x, box, steps=6), model(x, box, steps=6, recompute=True)
    for found, expected in zip(again, kept, strict=True):
        assert torch.equal(found, expected)
    for found, expected in zip(
        torch.autograd.grad(loss(again), wanted), torch.autograd.grad(loss(kept), wanted), strict=True
    ):
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_message_passing_and_of_dropout_are_the_plain_ones(box, x):
    class Drop(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = ig.correctors.MessagePassing(
                3, 3, hidden=8, layers=2, options=ig.correctors.Options(small=1.0)
            ).double()

        def forward(self, x, h, graph):
            return nn.functional.dropout(self.inner(x, h, graph), 0.3, self.training)

    model = refined(Drop()).train()
    wanted = list(model.parameters())
    found = []
    for recompute in (True, False):
        torch.manual_seed(5)
        out = model(x, box, steps=3, recompute=recompute)
        found.append(torch.autograd.grad(loss(out), wanted))
    for again, kept in zip(*found, strict=True):
        torch.testing.assert_close(again, kept, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"memory": "keep"}, {"invariant": True, "edge_hidden": 0}], ids=str)
def test_gradients_of_a_v_cycle_over_six_steps_are_the_plain_ones(box, x, options):
    corrector = ig.correctors.MultiscaleMessagePassing(
        3, 3, hidden=8, options=ig.correctors.Options(small=1.0, **options)
    )
    model = refined(corrector.double()).train()
    x.requires_grad_()
    wanted = [x, *model.parameters()]
    kept, again = model(x, box, steps=6), model(x, box, steps=6, recompute=True)
    assert torch.equal(again.states, kept.states)
    found, expected = (
        torch.autograd.grad(loss(out), wanted, allow_unused=True, materialize_grads=True)
        for out in (again, kept)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10 * max(1.0, float(other.abs().max())))
    assert sum(bool(slope.any()) for slope in expected) > 0.7 * len(wanted)


def saved_bytes(model, x, graph, **options):
    """Bytes of the distinct tensors that autograd keeps for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(x, graph, **options)
    assert out.value.requires_grad  # its graph holds them until here: no address is used twice
    return sum(kept.values())


@pytest.mark.parametrize("wrap", [lambda corrector: corrector, Plain])
def test_a_recomputed_step_keeps_h_alone(box, x, wrap):
    model = refined(wrap(Deep()))
    few, many = (saved_bytes(model, x, box, steps=steps, recompute=True) for steps in (2, 6))
    flags = 64 * 4  # which samples are alive
    assert 4 * x.nbytes <= many - few <= 4 * x.nbytes + flags
    assert saved_bytes(model, x, box, steps=6) > 6 * many


def test_without_gradients_nothing_is_kept_or_computed_again(box, x):
    corrector = Relax(3)
    with torch.no_grad():
        assert torch.equal(refined(corrector)(x, box, recompute=True).value, refined(corrector)(x, box).value)
    assert corrector.calls == {"prepare": 2, "phi": 8}
