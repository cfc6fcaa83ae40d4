import pytest
import torch
from known_correctors import Clock, Plain, PreparedClock, Relax
from torch import nn

import irno_graph as ig
from irno_graph.refine import Scaling


def refined(corrector, steps, **options):
    return ig.IRNO(lambda x, graph: 0.5 * x, corrector, alpha=0.4, steps=steps, **options)


def slopes(corrector, value):
    return torch.autograd.grad(value.square().sum(), [corrector.known, corrector.mix])


@pytest.fixture
def x(box):
    return torch.randn(2, box.num_nodes, 3, dtype=torch.float64)


def test_what_depends_on_x_alone_is_computed_once(box, x):
    corrector = Relax(3)
    refined(corrector, 5)(x, box)
    assert corrector.calls == {"prepare": 1, "phi": 5}


def test_no_step_asks_the_corrector_nothing(box, x):
    corrector = Relax(3)
    refined(corrector, 0)(x, box)
    assert not corrector.calls


def test_a_prepared_refinement_is_the_plain_one_with_its_gradients(box, x):
    corrector = Relax(3)
    scale = torch.rand(3) + 0.5
    scaling = Scaling(input_mean=scale, input_std=2 * scale, mean=-scale, std=scale, error=3 * scale)
    for units in (None, scaling):
        prepared = refined(corrector, 5, scaling=units)(x, box)
        plain = refined(Plain(corrector), 5, scaling=units)(x, box)
        for found, expected in zip(prepared, plain, strict=True):
            assert torch.equal(found, expected)
        pairs = zip(slopes(corrector, prepared.states), slopes(corrector, plain.states), strict=True)
        for found, expected in pairs:
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_phi_and_step_are_the_pieces_of_the_refinement(box, x):
    model = refined(Relax(3), 1)
    h = 0.5 * x
    assert torch.equal(model(x, box).value, model.step(x, h, box))
    assert torch.equal(model.step(x, h, box), h + 0.4 * model.phi(x, h, box))
    assert torch.equal(model.phi(x, h, box), model.corrector(x, h, box))
    assert torch.equal(model.correction(x, box)(h), model.corrector(x, h, box))


@pytest.mark.parametrize("kind", [Clock, PreparedClock])
def test_times_reach_the_corrector(box, x, kind):
    """Phi = t + 10 dt, so that two steps of 0.4 add 0.8 (t + 10 dt)."""
    found = refined(kind(), 2)(x, box, time=3.0, lead_time=0.5).value
    torch.testing.assert_close(found, 0.5 * x + 0.8 * (3.0 + 5.0))
    model = refined(kind(), 2)
    torch.testing.assert_close(
        model.phi(x, x, box, time=1.0, lead_time=0.1), torch.full_like(x, 2.0), rtol=0, atol=0
    )
    torch.testing.assert_close(model.step(x, x, box, time=1.0, lead_time=0.1), x + 0.8)


def test_a_compiled_corrector_is_called_as_compiled(box, x):
    """Its wrapper takes any keyword and hands out the methods of what it wraps: neither may mislead."""
    seen = []

    def backend(module, inputs):
        seen.append(module)
        return module.forward

    class Affine(nn.Module):
        def forward(self, x, h, graph):
            return x - h

        def prepare(self, x, graph, *, time=None, lead_time=None):
            raise AssertionError("not compiled")

    compiled = torch.compile(Affine(), backend=backend)
    found = refined(compiled, 1)(x, box, time=1.0).value
    torch.testing.assert_close(found, 0.5 * x + 0.4 * 0.5 * x)
    assert seen
