"""Operators from a coarse grid to a finer one: what they see, and the wide network, part by part."""

from typing import Any

import numpy as np
import pytest
import torch
from resolution_pairs import BOX, PAIRS, planar
from torch.nn import functional
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.bases import WDSR, SuperResolution
from irno_graph.bases.super_resolution import shuffled
from irno_graph.graph import Graph, Transfer
from irno_graph.graph.resolution import Resolution


@pytest.mark.parametrize("name", ["renumbered", "sphere, two grids"])
def test_the_module_sees_the_coarse_field_itself(name):
    """In rows of the coarse grid, whatever the order of the nodes; so nearest neighbours come out."""
    coarse, fine = PAIRS[name]
    resolution = Resolution(coarse, fine)
    seen = []

    class Nearest(torch.nn.Module):
        def forward(self, values):
            seen.append(values)
            return functional.interpolate(values, size=resolution.shapes[1], mode="nearest")

    base = SuperResolution(Nearest(), coarse, fine)
    field = torch.randn(2, coarse.num_nodes, 3, dtype=torch.float64)
    value = base(base.lift(field), fine)
    rows = coarse.to_original(field).unflatten(-2, resolution.shapes[0]).movedim(-1, 1)
    torch.testing.assert_close(seen[0], rows, rtol=0, atol=1e-12)
    expected = functional.interpolate(rows, size=resolution.shapes[1], mode="nearest")
    expected = fine.from_original(expected.flatten(2).movedim(1, -1))
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)


def network_of(model) -> Any:
    return model.base.base.model.model


def silence(convolution):
    """Weights of length zero; their directions stay."""
    torch.nn.init.zeros_(convolution.parametrizations.weight.original0)
    torch.nn.init.zeros_(convolution.bias)


def model_of(name, **options):
    coarse, fine = PAIRS[name]
    settings = {"hidden": 6, "blocks": 2, "expansion": 3, **options}
    return WDSR(2, 3, coarse, fine, **settings).double(), coarse, fine


@pytest.mark.parametrize("factors", [(2, 2), (3, 3)])
def test_shuffling_is_that_of_torch(factors):
    values = torch.randn(2, 3 * factors[0] * factors[1], 4, 5)
    assert torch.equal(shuffled(values, factors), functional.pixel_shuffle(values, factors[0]))


@pytest.mark.parametrize(
    ("factors", "shape"), [((2, 3), (4, 5)), ((4,), (3,)), ((2, 1, 3), (2, 3, 2))], ids=str
)
def test_shuffling_puts_channels_into_blocks(factors, shape):
    """Entry by entry."""
    count = int(np.prod(factors))
    values = torch.randn(1, 2 * count, *shape)
    found = shuffled(values, factors)
    for channel in range(2):
        for number, offset in enumerate(np.ndindex(*factors)):
            places = [slice(start, None, step) for start, step in zip(offset, factors, strict=True)]
            block: Any = (0, channel, *places)
            assert torch.equal(found[block], values[0, channel * count + number])


@pytest.mark.parametrize("name", ["periodic", "half open", "sphere"])
def test_without_its_residual_branch_it_is_one_convolution(name):
    """By torch's own padding; what overhangs at the ends of an axis is cut."""
    model, coarse, fine = model_of(name)
    network = network_of(model)
    silence(network.last.conv)
    resolution = Resolution(coarse, fine)
    field = torch.randn(2, coarse.num_nodes, 2, dtype=torch.float64)
    values = field.unflatten(-2, resolution.shapes[0]).movedim(-1, 1)
    along_y, along_x = ("circular" if own else "replicate" for own in resolution.periodic)
    values = functional.pad(functional.pad(values, (2, 2, 0, 0), mode=along_x), (0, 0, 2, 2), mode=along_y)
    skip = network.skip.conv
    expected = shuffled(functional.conv2d(values, skip.weight, skip.bias), resolution.factors())
    ny, nx = resolution.shapes[1]
    expected = expected[..., :ny, :nx].flatten(2).movedim(1, -1)
    torch.testing.assert_close(model(model.lift(field), fine), expected, rtol=0, atol=1e-12)


def test_the_residual_branch_is_that_of_the_paper():
    """Head, v + C relu(C v) twice, tail; weights of unit length times g for each channel out."""
    model, coarse, fine = model_of("periodic")
    network = network_of(model)
    field = torch.randn(1, coarse.num_nodes, 2, dtype=torch.float64)
    values = field.unflatten(-2, (4, 5)).movedim(-1, 1)

    def apply(convolution, values):
        direction = convolution.conv.parametrizations.weight.original1
        length = convolution.conv.parametrizations.weight.original0
        size = direction.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        reach = direction.shape[-1] // 2
        values = functional.pad(values, (reach,) * 4, mode="circular")
        return functional.conv2d(values, length * direction / size, convolution.conv.bias)

    inner = apply(network.first, values)
    for block in network.body:
        inner = inner + apply(block.narrow, functional.relu(apply(block.widen, inner)))
    assert network.body[0].widen.conv.out_channels == 18
    expected = shuffled(apply(network.last, inner) + apply(network.skip, values), (3, 2))
    torch.testing.assert_close(model(model.lift(field), fine), expected.flatten(2).movedim(1, -1))


@pytest.mark.parametrize(
    ("name", "shift"), [("periodic", (1, 2)), ("periodic, centred", (3, 1)), ("half open", (0, 2)), ("sphere", (0, 3))]
)  # fmt: skip
def test_shifts_by_coarse_cells_commute(name, shift):
    """Along axes that close; of the fine grid by as many points as the factor says, through all of x."""
    model, _, fine = model_of(name)
    resolution = Resolution(*PAIRS[name])
    far = tuple(own * factor for own, factor in zip(shift, resolution.factors(), strict=True))

    def moved(field):
        return field.unflatten(-2, resolution.shapes[1]).roll(far, dims=(-3, -2)).flatten(-3, -2)

    x = torch.randn(2, fine.num_nodes, 2, dtype=torch.float64)
    torch.testing.assert_close(model(moved(x), fine), moved(model(x, fine)), rtol=0, atol=1e-12)


def waves(graph):
    """Of two periods at most along each axis."""
    y, x = (2 * torch.pi * graph.pos / torch.tensor(BOX, dtype=torch.float64)).flip(-1).T
    return torch.stack([(2 * x + y).sin(), (x - 2 * y).cos() + 0.3 * y.sin()], dim=-1)


def cubic(factor):
    """Lagrange's weights `[factor, 5]` through the points -1, 0, 1, 2 at the places 0, 1 / factor, ... behind 0."""
    at = np.arange(factor) / factor
    points = np.array([-1, 0, 1, 2])
    weights = np.zeros((factor, 5))
    for place, point in enumerate(points):
        others = points[points != point]
        weights[:, 1 + place] = np.prod([(at - other) / (point - other) for other in others], axis=0)
    return torch.from_numpy(weights)


def test_the_global_skip_can_be_cubic_interpolation():
    """With weights set by hand it equals the transfer of order 3, which is nearer to waves than the linear one."""
    coarse, fine = planar((12, 10), BOX), planar((36, 20), BOX)
    model = WDSR(2, 2, coarse, fine, hidden=4, blocks=1).double()
    network = network_of(model)
    silence(network.last.conv)
    kernel = torch.einsum("ay,bx->abyx", cubic(3), cubic(2)).reshape(6, 5, 5)
    weight = torch.zeros(2, 6, 2, 5, 5, dtype=torch.float64)
    weight[0, :, 0], weight[1, :, 1] = kernel, kernel
    network.skip.conv.weight = weight.flatten(0, 1)
    torch.nn.init.zeros_(network.skip.conv.bias)
    field = waves(coarse)
    found = model(model.lift(field), fine)
    torch.testing.assert_close(found, Transfer.between(coarse, fine, order=3)(field), rtol=0, atol=1e-12)
    errors = [float((value - waves(fine)).norm().detach()) for value in (found, model.lift(field))]
    assert errors[0] < 0.4 * errors[1]


def test_training_beats_the_linear_lift():
    """On waves of other phases than those it was trained on."""
    coarse, fine = planar((8, 10), BOX), planar((16, 20), BOX)
    model = WDSR(1, 1, coarse, fine, hidden=4, blocks=1, expansion=2)

    def sample(count, seed):
        generator = torch.Generator().manual_seed(seed)
        phase, size = torch.rand(2, count, 1, 4, generator=generator)
        fields = []
        for graph in (coarse, fine):
            y, x = (2 * torch.pi * graph.pos / torch.tensor(BOX, dtype=torch.float64)).float().flip(-1).T
            angle = torch.stack([x + y, 2 * x - y, x - 2 * y, 2 * y], dim=-1)
            fields.append((size * (angle + 2 * torch.pi * phase).sin()).sum(dim=-1, keepdim=True))
        return fields

    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    seen, truth = sample(16, 1)
    for _ in range(150):
        optimiser.zero_grad()
        (model(model.lift(seen), fine) - truth).square().mean().backward()
        optimiser.step()
    seen, truth = sample(16, 2)
    lifted = model.lift(seen)
    errors = [float((value - truth).square().mean().detach()) for value in (model(lifted, fine), lifted)]
    assert errors[0] < 0.5 * errors[1], errors


@pytest.mark.parametrize(
    "name", ["periodic, centred", "half open", "centred", "line", "space", "sphere, Gauss"]
)
def test_a_saved_base_is_the_same(name, tmp_path):
    model, coarse, fine = model_of(name)
    corrector = ig.correctors.MessagePassing(2, 3, hidden=4, layers=1, dim=fine.dim).double()
    refined = ig.IRNO(model, corrector, alpha=0.5, steps=2)
    loaded = ig.load(ig.save(refined, tmp_path / "finer.safetensors"))
    x = model.lift(torch.randn(2, coarse.num_nodes, 2, dtype=torch.float64))
    expected = refined(x, fine)
    torch.testing.assert_close(expected.states[0], model(x, fine))
    torch.testing.assert_close(loaded(x, fine).value, expected.value, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        loaded.base.lift(x.new_ones(coarse.num_nodes, 1)), x.new_ones(fine.num_nodes, 1)
    )
    torch.testing.assert_close(loaded.base.lower(x), model.lower(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["periodic", "sphere"])
def test_a_batch_of_the_fine_grid_is_each_of_them(name):
    model, _, fine = model_of(name)
    x = torch.randn(4, 3 * fine.num_nodes, 2, dtype=torch.float64)
    expected = torch.cat([model(part, fine) for part in x.split(fine.num_nodes, dim=-2)], dim=-2)
    torch.testing.assert_close(model(x, Batch.from_data_list([fine] * 3)), expected)


@pytest.mark.parametrize(
    ("coarse", "fine", "message"),
    [
        (planar((4, 5), BOX), planar((12, 11), BOX), r"got 11 for 5 along axis 1: a factor 2\.2"),
        (planar((4, 5), BOX), planar((3, 10), BOX), "got 3 points for 4"),
        (planar((4, 5), BOX), planar((8, 10)), "same domain"),
        (planar((4, 5)), Graph.from_grid((8, 10), extent=(1.0, 2.0)), r"same domain.*\[0, 1.5\].*\[0, 2\]"),
        (planar((4, 5)), Graph.from_sphere(8, 10), "grids of one domain"),
        (planar((4, 5)), Graph.from_grid((8,)), "grids of one domain"),
        (planar((4, 5), order="hilbert"), planar((7, 9)), "`coarse` should have its nodes in rows"),
        (planar((4, 5)), Graph.from_icosphere(1), "should be a grid"),
    ],
    ids=["factor", "coarser", "period", "extent", "sphere", "axes", "order", "icosphere"],
)
def test_pairs_that_do_not_fit_are_named(coarse, fine, message):
    with pytest.raises(ValueError, match=message):
        WDSR(2, 3, coarse, fine)


class Averaging(torch.nn.Module):
    def forward(self, values):
        return values.mean(dim=0, keepdim=True)


def test_fields_and_modules_that_do_not_fit_are_named():
    model, coarse, fine = model_of("periodic")
    with pytest.raises(ValueError, match=r"channels=2\], got \[120, 3\]"):
        model(torch.zeros(120, 3), fine)
    with pytest.raises(ValueError, match=r"nodes=20, channels\], got \[19, 2\]"):
        model.lift(torch.zeros(19, 2))
    with pytest.raises(ValueError, match="grid of this base"):
        model(torch.zeros(20, 2, dtype=torch.float64), coarse)
    base = SuperResolution(torch.nn.Upsample(scale_factor=2), coarse, fine)
    with pytest.raises(
        ValueError, match=r"\(4, 5\) points into \[1, channels, 12, 10\], got \[1, 2, 8, 10\]"
    ):
        base(torch.zeros(120, 2), fine)
    averaging = torch.nn.Sequential(torch.nn.Upsample(size=(12, 10)), Averaging())
    with pytest.raises(ValueError, match=r"into \[3, channels, 12, 10\], got \[1, 2, 12, 10\]"):
        SuperResolution(averaging, coarse, fine)(torch.zeros(3, 120, 2), fine)
    with pytest.raises(ValueError, match="should be positive"):
        WDSR(2, 3, coarse, fine, hidden=0)
