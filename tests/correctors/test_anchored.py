"""A corrector that is zero where its residual is: the truth is a fixed point whatever the weights are."""

import domains
import pytest
import torch
from corrector_kinds import CORRECTORS, fields, graph_of, product, ragged
from torch import nn

import irno_graph as ig
from irno_graph.correctors import (
    Anchored,
    EdgeMessagePassing,
    MessagePassing,
    MultiscaleMessagePassing,
    Options,
)
from irno_graph.graph import Graph
from irno_graph.testing import assert_converges

INNER = {
    "flat": lambda: MessagePassing(3, 4, hidden=12, layers=2, options=Options(small=1.0)),
    "multiscale": lambda: MultiscaleMessagePassing(3, 4, hidden=12, options=Options(small=1.0)),
    "spectral": lambda: MultiscaleMessagePassing(3, 4, hidden=12, modes=8, options=Options(small=1.0)),
    "edges": lambda: EdgeMessagePassing(3, 4, hidden=12, layers=2, options=Options(small=1.0)),
}
by_inner = pytest.mark.parametrize("inner", INNER)


def to_truth(y):
    """The residual y - h."""
    return lambda x, h, graph: y - h


def anchored(inner, residual, dtype=torch.float64):
    """With random weights everywhere, the biases too."""
    corrector = Anchored(INNER[inner](), residual, channels=2).to(dtype)
    with torch.no_grad():
        for weight in corrector.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3)
    return corrector


@by_inner
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("leading", [(), (3,)], ids=str)
def test_phi_is_zero_to_the_last_bit_where_the_residual_is(inner, dtype, leading, featured_box):
    for graph in (featured_box, ragged()):
        x, y = (field.to(dtype) for field in fields(graph, *leading))
        corrector = anchored(inner, to_truth(y), dtype)
        assert torch.equal(corrector(x, y, graph), torch.zeros_like(y))
        assert corrector(x, y + 0.1, graph).abs().max() > 1e-2


@by_inner
def test_samples_and_graphs_at_their_truth_rest_while_others_move(inner):
    graph = ragged()
    x, y = fields(graph, 2)
    h = y + torch.randn_like(y)
    h[0] = y[0]
    sizes = [member.num_nodes for member in graph.to_data_list()]
    h.split(sizes, dim=-2)[2].copy_(y.split(sizes, dim=-2)[2])
    rest, (_, *moving) = anchored(inner, to_truth(y))(x, h, graph), range(2)
    assert not rest[0].any()
    for number, part in enumerate(rest[moving].split(sizes, dim=-2)):
        assert bool(part.any()) == (number != 2)


@by_inner
def test_the_truth_is_a_fixed_point_of_the_refinement(inner, featured_box):
    x, y = fields(featured_box, 2)
    model = ig.IRNO(lambda x, graph: y, anchored(inner, to_truth(y)), alpha=0.5, steps=4)
    out = model(x, featured_box)
    assert not out.residuals.any()
    assert torch.equal(out.states, y.expand(5, *y.shape))


@by_inner
def test_without_the_subtraction_the_truth_is_none(inner, featured_box):
    """The bias that is taken away is there: C(x, [y, 0]) alone is not small."""
    x, y = fields(featured_box)
    corrector = anchored(inner, to_truth(y))
    assert corrector.corrector(x, torch.cat([y, torch.zeros_like(y)], dim=-1), featured_box).abs().max() > 0.1


@by_inner
def test_the_response_at_the_truth_is_that_of_the_residual(inner, featured_box):
    """Phi(x, y + d) = -(dC/dr) d + O(d^2): the part of C that sees h and not r drops out."""
    x, y = fields(featured_box)
    corrector, direction = anchored(inner, to_truth(y)), torch.randn_like(y)
    flow = torch.func.jvp(lambda h: corrector(x, h, featured_box), (y,), (direction,))[1]
    tiny = 1e-5
    difference = (
        corrector(x, y + tiny * direction, featured_box) - corrector(x, y - tiny * direction, featured_box)
    ) / (2 * tiny)
    torch.testing.assert_close(flow, difference, rtol=1e-6, atol=1e-7)

    def of_residual(r):
        return corrector.corrector(x, torch.cat([y, r], dim=-1), featured_box)[..., :2]

    own = torch.func.jvp(of_residual, (torch.zeros_like(y),), (direction,))[1]
    torch.testing.assert_close(flow, -own, rtol=1e-9, atol=1e-9)
    sizes = [4e-3, 2e-3, 1e-3]
    errors = [
        float((corrector(x, y + s * direction, featured_box) - s * flow).detach().norm()) for s in sizes
    ]
    assert_converges(sizes, errors, order=1.9)


def test_phi_is_the_difference_of_two_corrections(featured_box):
    x, h = fields(featured_box, 2)
    corrector = CORRECTORS["anchored"](2).double()
    r = product(x, h, featured_box)
    with_residual, without = (
        corrector.corrector(x, torch.cat([h, part], dim=-1), featured_box)[..., :2]
        for part in (r, torch.zeros_like(r))
    )
    torch.testing.assert_close(corrector(x, h, featured_box), with_residual - without, rtol=1e-12, atol=1e-12)


def test_a_discrete_equation_anchors_its_solution():
    """Where the Laplacian of h is the right-hand side x, nothing is corrected, to rounding of the residual."""
    graph = Graph.from_mesh(domains.square_of_triangles(6))
    source, target = graph.edge_index

    def residual(x, h, graph):
        around = torch.zeros_like(h).index_add(-2, target, h[..., source, :] - h[..., target, :])
        return x - h + around

    y = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    x = -residual(torch.zeros_like(y), y, graph)
    corrector = Anchored(
        MessagePassing(2, 4, hidden=8, options=Options(small=1.0)), residual, channels=2
    ).double()
    assert corrector(x, y, graph).abs().max() < 1e-12
    assert corrector(x, y + 0.1, graph).abs().max() > 1e-3


def test_a_residual_with_weights_is_trained_along(featured_box):
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(2, dtype=torch.float64))

        def forward(self, x, h, graph):
            return self.factor * (x[..., :2] - h)

    x, h = fields(featured_box)
    corrector = anchored("flat", Weighted())
    corrector(x, h, featured_box).square().sum().backward()
    assert corrector.residual.factor.grad.abs().min() > 0


def test_channels_of_residual_and_corrector_have_to_fit(featured_box):
    with pytest.raises(ValueError, match=r"more channels than h.* got 2 with `channels`=2"):
        Anchored(MessagePassing(3, 2), product, channels=2)
    x, h = fields(featured_box)
    corrector = Anchored(MessagePassing(3, 5), product, channels=2).double()
    with pytest.raises(ValueError, match=r"`residual` should return .*channels=3\], got \[150, 2\]"):
        corrector(x, h, featured_box)


@pytest.mark.parametrize(("of_x", "of_h"), [((), (4,)), ((4,), ()), ((2, 1), (3,))], ids=str)
def test_residuals_broadcast_over_samples(featured_box, of_x, of_h):
    (x, _), (_, h) = fields(featured_box, *of_x), fields(featured_box, *of_h)
    both = torch.broadcast_shapes(of_x, of_h)
    corrector = CORRECTORS["anchored"](2).double()
    whole = corrector(x.expand(*both, -1, -1), h.expand(*both, -1, -1), featured_box)
    torch.testing.assert_close(corrector(x, h, featured_box), whole, rtol=1e-10, atol=1e-12)


def test_numbers_of_the_graph_of_the_surface_too():
    graph = graph_of("surface")
    inner = MultiscaleMessagePassing(3, 4, hidden=8, dim=3, options=Options(small=1.0)).double()
    x, y = fields(graph)
    assert not Anchored(inner, to_truth(y), channels=2)(x, y, graph).any()
