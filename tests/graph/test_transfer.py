"""Maps between graphs: what they reproduce, how fast they converge, what they keep."""

import domains
import numpy as np
import pytest
import torch

from irno_graph.graph import Graph, Transfer, interpolate
from irno_graph.graph.grid_fields import grid_of
from irno_graph.graph.transfer import grid_weights
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.mesh.delaunay import delaunay_mesh

MESHES = {
    "interval": lambda n: domains.interval(n),
    "triangles": lambda n: domains.square_of_triangles(n),
    "quads": lambda n: domains.square_of_quads(n),
    "tetrahedra": lambda n: domains.cube_of_tetrahedra(n),
    "warped boxes": lambda n: domains.cube_of_boxes(n),
    "warped wedges": lambda n: domains.cube_of_wedges(n),
    "pyramids": lambda n: domains.cube_of_pyramids(n),
}
BOX = (1.0, 0.7)


def lattice(dim, count=7, **options):
    """A grid inside of the unit box."""
    graph = Graph.from_grid((count,) * dim, extent=(0.8,) * dim, **options)
    graph.pos = graph.pos + 0.1
    return graph


def linear(at):
    return 1.5 + at @ torch.tensor([[2.0, -1.0], [0.3, 1.0], [-1.0, 0.5]], dtype=torch.float64)[: at.shape[1]]


def wave(at):
    x, y = 2 * torch.pi * at[:, :1] / BOX[0], 2 * torch.pi * at[:, 1:] / BOX[1]
    return torch.cat([torch.sin(x) * torch.cos(y), torch.cos(x + 2 * y)], dim=1)


def deviation(transfer, source, target, function=wave):
    return (transfer(function(source.pos)) - function(target.pos)).square().mean().sqrt().item()


@pytest.mark.parametrize("kind", MESHES)
def test_from_a_mesh_linear_functions_are_exact(kind):
    source = Graph.from_mesh(MESHES[kind](4))
    target = lattice(source.dim)
    transfer = Transfer.between(source, target)
    torch.testing.assert_close(transfer(linear(source.pos)), linear(target.pos), rtol=0, atol=1e-12)
    assert (transfer.weight.sum(dim=1) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_from_a_grid_polynomials_are_exact_up_to_the_boundary(dim, centred, order):
    """Products of polynomials of degree `order`, on centres in the outermost half cells too."""
    sides = (1.0, 0.5, 2.0)[:dim]
    source = Graph.from_grid((5, 6, 4)[:dim], extent=sides, centred=centred, order="hilbert")
    inside = torch.from_numpy(np.random.default_rng(0).uniform(size=(40, dim)) * sides)
    inside[0], inside[1] = 0.0, torch.tensor(sides)
    target = lattice(dim)
    target.pos, target.grid = inside, ()

    def polynomial(at):
        return ((1 + at - 3 * at**order + 2 * at ** (order - 1)).prod(dim=1, keepdim=True)) ** 1

    got = Transfer.between(source, target, order=order)(polynomial(source.pos))
    torch.testing.assert_close(got, polynomial(inside), rtol=1e-11, atol=1e-11)
    beyond = target.clone()
    beyond.pos = inside + torch.sign(inside - 0.5 * torch.tensor(sides)) * 3.0
    edge = target.clone()
    edge.pos = torch.minimum(torch.clamp(beyond.pos, min=0.0), torch.tensor(sides, dtype=torch.float64))
    out, at_edge = (Transfer.between(source, to, order=order)(source.pos) for to in (beyond, edge))
    torch.testing.assert_close(out, at_edge)


def test_a_mesh_and_a_grid_agree_at_second_order_and_the_cubic_at_fourth():
    errors = []
    for side in (12, 24, 48):
        grid = Graph.from_grid((side, side + 4), period=BOX, order="hilbert")
        mesh = Graph.from_mesh(periodic_box(side**2, seed=3, extent=BOX, relaxation_sweeps=5))
        maps = [
            (mesh, grid, Transfer.between(mesh, grid)),
            (mesh, grid, Transfer.between(mesh, grid, conservative=True)),
            (grid, mesh, Transfer.between(grid, mesh)),
            (grid, mesh, Transfer.between(grid, mesh, order=3)),
            (grid, mesh, Transfer.between(grid, mesh, order=3, conservative=True)),
        ]
        errors.append([deviation(transfer, source, target) for source, target, transfer in maps])
    orders = np.log2(errors[-2]) - np.log2(errors[-1])
    assert (orders[:3] > 1.8).all(), orders
    assert orders[3] > 3.8, orders
    assert orders[4] > 1.8, orders  # the lumped masses of a mesh integrate at second order


def test_the_cubic_converges_at_fourth_order_on_open_and_centred_grids_and_in_space():
    for centred in (False, True):
        errors = []
        for count in (8, 16):
            source = Graph.from_grid(
                (count,) * 3, extent=(1.0,) * 3, period=(None, 1.0, None), centred=centred
            )
            target = lattice(3, 6)
            target.pos = torch.from_numpy(np.random.default_rng(0).uniform(size=(216, 3)))
            errors.append(
                deviation(
                    Transfer.between(source, target, order=3),
                    source,
                    target,
                    lambda at: (
                        torch.exp(at[:, :1]) * torch.sin(2 * torch.pi * at[:, 1:2]) * torch.cos(at[:, 2:])
                    ),
                )
            )
        assert np.log2(errors[0] / errors[1]) > 3.6, errors


def test_points_are_found_in_graded_meshes():
    """Triangles of a thousandfold range of sizes, against the triangulation's own search."""
    generator = np.random.default_rng(5)
    points = np.concatenate([generator.uniform(size=(300, 2)) ** 4, [[0, 0], [1, 0], [0, 1], [1, 1]]])
    source = Graph.from_mesh(delaunay_mesh(Mesh(points, ())))
    target = Graph.from_points(generator.uniform(size=(500, 2)) ** 3)
    field = torch.randn(304, 2, dtype=torch.float64)
    got = Transfer.between(source, target)(field)
    torch.testing.assert_close(got, interpolate(field, source, target.pos), rtol=1e-9, atol=1e-9)


def test_a_hole_and_the_outside_take_the_nearest_node():
    angle = 2 * np.pi * np.arange(48) / 48
    rings = [radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) for radius in (0.5, 0.75, 1.0)]
    number = np.arange(48)
    step = (number + 1) % 48
    quads = [
        np.stack(
            [ring * 48 + number, ring * 48 + step, ring * 48 + 48 + step, ring * 48 + 48 + number], axis=1
        )
        for ring in (0, 1)
    ]
    source = Graph.from_mesh(Mesh(np.concatenate(rings), [("quad", np.concatenate(quads))]))
    target = Graph.from_grid((24, 24), extent=(2.4, 2.4))
    target.pos = target.pos - 1.2
    radius = target.pos.norm(dim=1)
    field = torch.randn(144, 1, dtype=torch.float64)
    got = Transfer.between(source, target)(field)
    outside = (radius < 0.49) | (radius > 1.01)
    nearest = torch.cdist(target.pos, source.pos).argmin(dim=1)
    assert torch.equal(got[outside], field[nearest][outside])
    inside = (radius > 0.51) & (radius < 0.98)
    back = Transfer.between(source, target)(source.pos)
    assert torch.allclose(back[inside], target.pos[inside], atol=1e-12)


def test_a_strip_is_periodic_along_one_axis():
    heights = [0.0, 0.3, 0.5, 1.0]
    points = np.stack(np.meshgrid(np.arange(8) / 8, heights), axis=-1).reshape(-1, 2)
    left = (8 * np.arange(3)[:, None] + np.arange(8)).ravel()
    right = left - left % 8 + (left + 1) % 8
    quads = np.stack([left, right, right + 8, left + 8], axis=1)
    source = Graph.from_mesh(Mesh(points, [("quad", quads)], period=(1.0, None)))
    target = Graph.from_grid((5, 16), extent=(1.0, 1.5), period=(1.0, None))
    target.pos = target.pos - torch.tensor([2.0, 0.25])
    transfer = Transfer.between(source, target)
    got = transfer(source.pos[:, 1:])  # beyond both ends the nearest node
    torch.testing.assert_close(got, target.pos[:, 1:].clamp(0.0, 1.0), rtol=0, atol=1e-12)
    rows = transfer(torch.cos(2 * torch.pi * source.pos[:, :1])).reshape(5, 16)[1:4]
    halfway = (1 + np.cos(np.pi / 4)) / 2  # between two nodes, across the seam too
    assert torch.allclose(rows[:, 0], torch.tensor(1.0, dtype=torch.float64))
    assert torch.allclose(rows[:, [1, -1]], torch.tensor(halfway, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("order", [1, 3])
def test_conservative_maps_keep_the_sum_and_constants(order):
    mesh = Graph.from_mesh(periodic_box(200, seed=1, extent=BOX))
    grid = Graph.from_grid((15, 12), period=BOX)
    for source, target, kind in ((mesh, grid, 1), (grid, mesh, order)):
        transfer = Transfer.between(source, target, order=kind, conservative=True)
        field = torch.randn(3, source.num_nodes, 2, dtype=torch.float64)
        kept = (source.mass[:, None] * field).sum(dim=-2)
        got = (target.mass[:, None] * transfer(field)).sum(dim=-2)
        assert (got - kept).abs().max() < 1e-12
        plain = Transfer.between(source, target, order=kind)(field)
        shift = transfer(field) - plain
        assert (shift - shift[:, :1]).abs().max() < 1e-13  # one constant: the least correction
        assert shift.abs().max() > 1e-6
        ones = torch.ones(source.num_nodes, 1, dtype=torch.float64)
        assert (transfer(ones) - 1).abs().max() < 1e-12


def test_between_the_same_nodes_nothing_changes():
    mesh = Graph.from_mesh(periodic_box(100, seed=1))
    grid = Graph.from_grid((4, 5, 6), extent=(1.0, 2.0, 3.0), centred=True, order="cuthill_mckee")
    plain = Graph.from_grid((4, 5, 6), extent=(1.0, 2.0, 3.0), centred=True)
    field = torch.randn(120, 2, dtype=torch.float64)
    for order in (1, 3):
        got = Transfer.between(grid, plain, order=order)(field)
        torch.testing.assert_close(got, grid.to_original(field), rtol=0, atol=1e-13)
    own = torch.randn(100, 1, dtype=torch.float64)
    torch.testing.assert_close(Transfer.between(mesh, mesh)(own), own, rtol=0, atol=1e-12)


@pytest.mark.parametrize("conservative", [False, True])
def test_gradients_and_types(conservative):
    mesh = Graph.from_mesh(periodic_box(30, seed=0))
    grid = Graph.from_grid((4, 5), period=(1.0, 1.0))
    for source, target, order in ((mesh, grid, 1), (grid, mesh, 3)):
        transfer = Transfer.between(source, target, order=order, conservative=conservative)
        field = torch.randn(2, source.num_nodes, 1, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(transfer, field)
        assert torch.autograd.gradgradcheck(lambda f, t=transfer: t(f) ** 2, field)
        exact = transfer(field.detach())
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.05)):
            got = transfer(field.detach().to(dtype))
            assert got.dtype == dtype
            torch.testing.assert_close(got.double(), exact, rtol=0, atol=tolerance)
        assert torch.equal(
            transfer(torch.ones(source.num_nodes, 1).bfloat16()), torch.ones(len(target.pos), 1).bfloat16()
        )


def test_what_does_not_fit_is_refused():
    mesh, grid = Graph.from_mesh(periodic_box(30, seed=0)), Graph.from_grid((3, 4))
    with pytest.raises(ValueError, match="no grid, got 3"):
        Transfer.between(mesh, grid, order=3)
    with pytest.raises(ValueError, match="needs 4 points along every axis, got 3"):
        Transfer.between(grid, mesh, order=3)
    with pytest.raises(ValueError, match="1 or 3, got 2"):
        Transfer.between(grid, mesh, order=2)
    with pytest.raises(ValueError, match="number of coordinates, got 2 and 3"):
        Transfer.between(mesh, Graph.from_grid((3, 3, 3)))
    with pytest.raises(ValueError, match="the same period"):
        Transfer.between(mesh, Graph.from_grid((4, 4), period=(2.0, 1.0)))
    with pytest.raises(ValueError, match="nodes=30"):
        Transfer.between(mesh, grid)(torch.zeros(12, 1))
    with pytest.raises(ValueError, match="fills its 3 dimensions"):
        Transfer.between(Graph.from_mesh(domains.sphere(50)), Graph.from_grid((3, 3, 3)))


def test_the_cubic_takes_two_points_on_either_side():
    """Lagrange's weights half way: -1/16, 9/16, 9/16, -1/16."""
    grid = Graph.from_grid((8,), period=(1.0,))
    number, weight = grid_weights(grid_of(grid), np.array([[3.5 / 8], [0.5 / 8]]), 3)
    assert number.tolist() == [[2, 3, 4, 5], [7, 0, 1, 2]]
    np.testing.assert_allclose(weight, 2 * [[-1 / 16, 9 / 16, 9 / 16, -1 / 16]], atol=1e-14)
