"""The Fourier neural operator in torch alone, and time steps around bases."""

from typing import Any

import pytest
import torch
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.bases import OnGrid, PlainFNO, Standardised, Stepped
from irno_graph.bases.rigno import Stepper
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine.storage import describe

GRIDS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "periodic": ((8, 10), {"period": (1.0, 0.7)}),
    "a channel": ((8, 9), {"extent": (1.0, 0.7), "period": (1.0, None)}),
    "centres": ((7, 7), {"centred": True}),
    "a line": ((11,), {"period": (1.0,)}),
    "a cube": ((4, 5, 6), {"period": (1.0, 1.0, 1.0)}),
}


def small(dim=2, **settings):
    return PlainFNO(3, 2, **{"hidden": 6, "modes": 3, "layers": 2, "dim": dim, **settings})


@pytest.mark.parametrize("name", GRIDS)
def test_it_is_the_corrector_s_network_of_the_same_weights(name):
    """A corrector's network sees x and h side by side; its own tests say what it is on every kind of grid."""
    shape, options = GRIDS[name]
    graph = Graph.from_grid(shape, **options)
    corrector = ig.correctors.FNO(1, 2, hidden=6, modes=3, layers=2, dim=len(shape))
    base = small(len(shape))
    base.load_state_dict(corrector.state_dict())
    x = torch.randn(2, 3, graph.num_nodes, 3)
    assert torch.equal(base(x, graph), corrector(x[..., :1], x[..., 1:], graph))
    assert base(x.double(), graph).dtype == torch.float64


def test_shifts_of_a_periodic_grid_commute_with_it_and_constants_are_the_same_on_every_grid():
    base = small().double()
    grid = Graph.from_grid((8, 10), period=(1.0, 0.7))
    x = torch.randn(8, 10, 3, dtype=torch.float64)
    moved = base(x.roll((3, -2), dims=(0, 1)).flatten(0, 1), grid).unflatten(0, (8, 10))
    here = base(x.flatten(0, 1), grid).unflatten(0, (8, 10))
    torch.testing.assert_close(moved, here.roll((3, -2), dims=(0, 1)), rtol=0, atol=1e-12)
    constant = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    values = []
    for shape in ((8, 10), (16, 12)):
        found = base(constant.expand(shape[0] * shape[1], 3), Graph.from_grid(shape, period=(1.0, 0.7)))
        torch.testing.assert_close(found, found[:1].expand_as(found), rtol=0, atol=1e-12)
        values.append(found[0])
    torch.testing.assert_close(*values, rtol=0, atol=1e-12)


def test_grids_of_a_batch_and_nodes_in_another_order_are_the_same_grids():
    base = small().double()
    plain, *others = (
        Graph.from_grid((8, 8), period=(1.0, 1.0), order=order)
        for order in (None, "hilbert", "cuthill_mckee")
    )
    x = torch.randn(2, 128, 3, dtype=torch.float64)
    both = base(x, Batch.from_data_list(others))
    for own, value, graph in zip(x.split(64, dim=1), both.split(64, dim=1), others, strict=True):
        torch.testing.assert_close(value, base(own, graph), rtol=0, atol=1e-12)
        in_rows = base(graph.to_original(own), plain)
        torch.testing.assert_close(graph.to_original(value), in_rows, rtol=0, atol=1e-12)


def test_what_it_cannot_be_is_named(box):
    for name in ("hidden", "modes", "layers"):
        with pytest.raises(ValueError, match=f"`{name}` should be positive, got 0"):
            small(**{name: 0})
    with pytest.raises(ValueError, match="`dim` should be 1, 2 or 3, got 4"):
        small(4)
    with pytest.raises(ValueError, match="for grids of 2 axes, got 1"):
        small()(torch.zeros(8, 3), Graph.from_grid((8,)))
    with pytest.raises(ValueError, match="should be a grid"):
        small()(torch.zeros(box.num_nodes, 3), box)


def stepped(grid, **settings):
    """The base of a training config, with a last layer whose answers are not small."""
    one = torch.rand(3) + 0.5
    units = {"input_mean": one, "input_std": one, "mean": one[:2], "std": one[1:]}
    return Stepped(Standardised(OnGrid(small(), grid, order=3), **units), **settings)


@pytest.mark.parametrize("stepper", Stepper)
def test_what_the_target_is_gives_the_new_state(box, stepper):
    """u are the first channels; `apply` undoes `target`, with and without samples."""
    x, new = torch.randn(2, box.num_nodes, 3), torch.randn(2, box.num_nodes, 2)
    y = stepper.target(x[..., :2], new, torch.full((2,), 0.25))
    base = Stepped(ig.bases.Callable(lambda *_: y), stepper=stepper, lead_time=0.25)
    torch.testing.assert_close(base(x, box), new)
    alone = Stepped(ig.bases.Callable(lambda *_: y[0]), stepper=stepper, lead_time=0.25)
    torch.testing.assert_close(alone(x[0], box), new[0])


def test_an_answer_of_zeros_leaves_the_state_as_it_is(box):
    """To the last bit: what the grid does not resolve stays, since the change alone goes there and back."""
    base = Stepped(ig.bases.Callable(lambda x, graph: torch.zeros_like(x[..., :2])), stepper="residual")
    x = torch.randn(3, box.num_nodes, 3)
    assert torch.equal(base(x, box), x[..., :2])


def test_it_knows_one_lead_time(box):
    base = stepped(Graph.from_grid((8, 8), period=(1.0, 1.0)), lead_time=0.25)
    x = torch.randn(2, box.num_nodes, 3)
    for own in (0.25, torch.tensor([0.25, 0.25])):
        assert torch.equal(base(x, box, lead_time=own), base(x, box))
    for other in (0.5, torch.tensor([0.25, 0.3])):
        with pytest.raises(ValueError, match=r"`lead_time` should be 0\.25"):
            base(x, box, lead_time=other)
    with pytest.raises(ValueError, match="`lead_time` should be positive"):
        Stepped(base, lead_time=0.0)
    with pytest.raises(ValueError, match=r"`stepper` should be one of .*got 'wave'"):
        Stepped(base, stepper="wave")
    seen = []

    class Watched(torch.nn.Module):
        def forward(self, x, graph, *, time=None):
            seen.append(time)
            return x

    Stepped(Watched())(x, box, time=0.7)
    assert seen == [0.7]


def test_a_smooth_change_reaches_the_nodes_at_second_order():
    """There linearly on the mesh, back by cubic polynomials; grid and mesh have the same spacing."""

    def error(nodes: int, side: int) -> float:
        mesh = Graph.from_mesh(periodic_box(nodes, seed=1))
        wave = torch.sin(2 * torch.pi * mesh.pos.sum(dim=1, keepdim=True))
        grid = Graph.from_grid((side, side), period=(1.0, 1.0))
        base = Stepped(OnGrid(ig.bases.Callable(lambda x, graph: x), grid, order=3), stepper="residual")
        return float((base(wave, mesh) - 2 * wave).square().mean().sqrt())

    coarse, fine = error(256, 16), error(1024, 32)
    assert fine < 0.01
    assert 3 < coarse / fine < 5.5  # half the spacing, a quarter of the error


def test_it_comes_back_bit_by_bit_as_the_base_of_a_refinement(tmp_path, box):
    base = stepped(Graph.from_grid((8, 8), period=(1.0, 1.0)), stepper="residual", lead_time=0.25)
    model = ig.IRNO(base, ig.correctors.MessagePassing(3, 2, hidden=8), alpha=0.3, steps=2)
    path = ig.save(model, tmp_path / "model.safetensors")
    again = ig.load(path)
    assert again.lead_time == 0.25
    x = torch.randn(2, box.num_nodes, 3)
    with torch.no_grad():
        assert torch.equal(again.base(x, box), model.base(x, box))
        torch.testing.assert_close(again(x, box).value, model(x, box).value, rtol=1e-5, atol=1e-6)
    said = describe(path)["base"]
    assert (said["kind"], said["config"]) == ("Stepped", {"stepper": "residual", "lead_time": 0.25})
    assert said["base"]["base"]["base"]["kind"] == "PlainFNO"
