import pytest
import torch
from domains import interval
from known_correctors import Jacobi, Plain, Relax
from torch import nn
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.mesh import periodic_box


@pytest.fixture
def mask(box):
    return torch.rand(box.num_nodes) < 0.3


@pytest.fixture
def x(box):
    return torch.randn(2, box.num_nodes, 3, dtype=torch.float64)


def refined(corrector, steps=4, alpha=0.4):
    return ig.IRNO(lambda x, graph: 0.5 * x, corrector, alpha=alpha, steps=steps)


def test_values_at_the_ends_make_the_fixed_point_harmonic():
    """Jacobi's iteration on a path ends at the linear function between the end values; channels apart."""
    mesh = interval(9)
    graph = ig.Graph.from_mesh(mesh)
    ends = torch.from_numpy(mesh.boundary)
    assert ends.sum() == 2
    position = torch.arange(graph.num_nodes, dtype=torch.float64)[:, None]
    linear = torch.cat([2 - position, 0.5 * position], dim=-1)
    values = torch.where(ends[:, None], linear, torch.nan)  # only what lies in the mask is read
    fixed = ig.Dirichlet(ends, values)
    out = refined(Jacobi(), alpha=1.0)(torch.randn(3, 10, 2).double(), graph, steps=900, fixed=fixed)
    torch.testing.assert_close(out.value, linear.expand(3, -1, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrap", [lambda corrector: corrector, Plain])
@pytest.mark.parametrize("shape", [(), (3,), (150, 1), (150, 3), (2, 150, 3), (2, 1, 1)])
def test_every_state_has_the_values_bit_for_bit(box, x, mask, shape, wrap):
    values = torch.randn(shape, dtype=torch.float64) if shape else -0.1
    fixed = ig.Dirichlet(mask, values)
    out = refined(wrap(Relax(3)))(x, box, fixed=fixed)
    expected = torch.as_tensor(values, dtype=torch.float64).expand(x.shape)[:, mask]
    for state in out.states:
        assert torch.equal(state[:, mask], expected)
    assert torch.equal(out.states[0][:, ~mask], 0.5 * x[:, ~mask])


def test_float64_values_are_rounded_to_the_field_and_kept(box, x, mask):
    values = torch.randn(150, 3, dtype=torch.float64)
    out = refined(ig.correctors.MessagePassing(3, 3, hidden=8))(
        x.float(), box, fixed=ig.Dirichlet(mask, values)
    )
    assert out.states.dtype == torch.float32
    assert torch.equal(out.states[-1, 1, mask], values[mask].float())


def test_a_mask_of_channels_leaves_the_others_alone(box, x, mask):
    """Relaxation acts on each node and channel alone where its mixing is zero."""
    of_channels = mask[:, None] & torch.tensor([True, False, True])
    model = refined(Relax(3, small=0.0))
    free, held = model(x, box), model(x, box, fixed=ig.Dirichlet(of_channels, 7.0))
    assert torch.equal(held.states, torch.where(of_channels, 7.0, free.states))


def test_residuals_are_those_of_the_free_part(box, x, mask):
    model = refined(Relax(3), steps=3)
    out = model(x, box, fixed=ig.Dirichlet(mask, 1.0))
    share = (box.mass / box.mass.sum())[~mask, None]
    for k in range(3):
        phi = model.phi(x, out.states[k], box)[:, ~mask]
        torch.testing.assert_close(out.residuals[k], (share * phi.square()).sum(-2).sqrt())
    everywhere = model(x, box, fixed=ig.Dirichlet(torch.ones(150, dtype=torch.bool), 1.0))
    assert (everywhere.residuals == 0).all()


def test_gradients_flow_to_the_rest_and_to_the_values(box, x, mask):
    """One step of Phi = c(x) - h: the free values depend on x alone, the fixed ones on the values alone."""
    x.requires_grad_()
    values = torch.randn(150, 3, dtype=torch.float64, requires_grad=True)
    for recompute in (False, True):
        out = refined(Relax(3, small=0.0))(x, box, fixed=ig.Dirichlet(mask, values), recompute=recompute)
        from_x, from_values = torch.autograd.grad(out.value.sum(), [x, values])
        assert (from_x[:, mask] == 0).all()
        assert (from_x[:, ~mask] != 0).all()
        assert torch.equal(from_values, 2.0 * mask[:, None].expand(150, 3))


def test_a_correction_that_is_nan_under_the_mask_does_no_harm(box, x, mask):
    class Hole(nn.Module):
        def forward(self, x, h, graph):
            return torch.where(mask[:, None], torch.nan, x - h)

    out = refined(Hole(), alpha=1.0)(x, box, fixed=ig.Dirichlet(mask, 2.0))
    assert torch.equal(out.value, torch.where(mask[:, None], 2.0, 0.5 * x + (x - 0.5 * x)))
    assert (out.status == ig.Status.DONE).all()


def test_in_a_batch_each_graph_has_its_own_values(box):
    other = ig.Graph.from_mesh(periodic_box(60, seed=4))
    masks = [torch.rand(150) < 0.3, torch.rand(60) < 0.5]
    values = [torch.randn(150, 3).double(), torch.randn(60, 3).double()]
    x = [torch.randn(2, 150, 3).double(), torch.randn(2, 60, 3).double()]
    model = refined(Jacobi())
    together = model(
        torch.cat(x, dim=1),
        Batch.from_data_list([box, other]),
        fixed=ig.Dirichlet(torch.cat(masks), torch.cat(values)),
    ).value
    alone = [
        model(own, graph, fixed=ig.Dirichlet(mask, value)).value
        for own, graph, mask, value in zip(x, [box, other], masks, values, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))


def test_conditions_that_do_not_fit_are_refused(box, x, mask):
    model = refined(Relax(3))
    with pytest.raises(ValueError, match=r"bool tensor, got torch.int64"):
        ig.Dirichlet(mask.long(), 0.0)
    with pytest.raises(ValueError, match=r"bool tensor, got ndarray.*from_numpy"):
        ig.Dirichlet(mask.numpy(), 0.0)
    with pytest.raises(ValueError, match=r"\[nodes, channels\], got \[2, 150, 3\]"):
        ig.Dirichlet(mask[:, None].expand(2, 150, 3), 0.0)
    for wrong in (mask[1:], mask[:, None].expand(150, 2)):
        with pytest.raises(ValueError, match=r"nodes=150, channels=3\], got"):
            model(x, box, fixed=ig.Dirichlet(wrong, 0.0))
    for shape in ((150,), (3, 150, 3), (2, 2, 150, 3)):
        with pytest.raises(ValueError, match=r"broadcast to \[2, 150, 3\].*got \["):
            model(x, box, fixed=ig.Dirichlet(mask, torch.zeros(shape)))
    with pytest.raises(ValueError, match="got a function of time"):
        model(x, box, fixed=ig.Dirichlet(mask, lambda time: time))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused_in_the_mask_only(box, x, mask, bad):
    values = torch.where(mask[:, None], 1.0, bad)
    assert torch.isfinite(refined(Relax(3))(x, box, fixed=ig.Dirichlet(mask, values)).states).all()
    values[mask.nonzero()[0]] = bad
    with pytest.raises(ValueError, match="in the mask, got 6 values"):  # a channel each of two samples
        refined(Relax(3))(x, box, fixed=ig.Dirichlet(mask, values))
