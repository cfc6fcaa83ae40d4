"""Two resolutions of one grid: exact ways up and down."""

import json

import numpy as np
import pytest
import torch
from resolution_pairs import PAIRS, planar

from irno_graph.graph import Graph, Transfer
from irno_graph.graph.resolution import Resolution, described, rebuilt


@pytest.fixture(params=PAIRS)
def pair(request):
    return PAIRS[request.param]


def test_down_undoes_up(pair):
    resolution = Resolution(*pair)
    field = torch.randn(3, 2, pair[0].num_nodes, 4, dtype=torch.float64)
    lifted = resolution.lift(field)
    assert lifted.shape == (3, 2, pair[1].num_nodes, 4)
    torch.testing.assert_close(resolution.lower(lifted), field, rtol=0, atol=1e-12)
    single = resolution.lower(resolution.lift(field.float()))
    torch.testing.assert_close(single, field.float(), rtol=0, atol=1e-5)


def test_down_is_the_nearest_in_the_masses(pair):
    """What is left of any field is orthogonal to all lifted ones, in the masses of the fine graph."""
    resolution = Resolution(*pair)
    lifted = resolution.lift(torch.eye(pair[0].num_nodes, dtype=torch.float64))  # [fine nodes, coarse nodes]
    field = torch.randn(pair[1].num_nodes, 2, dtype=torch.float64)
    rest = field - resolution.lift(resolution.lower(field))
    inner = lifted.T @ (pair[1].mass[:, None] * rest)
    torch.testing.assert_close(inner, torch.zeros_like(inner), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["periodic", "open", "half open", "centred", "renumbered", "line", "space"])
def test_up_is_the_linear_transfer(name):
    """Which is written apart, for any target."""
    coarse, fine = PAIRS[name]
    field = torch.randn(coarse.num_nodes, 2, dtype=torch.float64)
    lifted = Resolution(coarse, fine).lift(field)
    expected = Transfer.between(coarse, fine)(field)
    if name in ("centred", "space"):  # beyond the last centres the transfer goes on linearly
        inside = ((fine.pos >= coarse.pos.amin(dim=0)) & (fine.pos <= coarse.pos.amax(dim=0))).all(dim=1)
        lifted, expected = lifted[inside], expected[inside]
    torch.testing.assert_close(lifted, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", ["equiangular", "legendre-gauss", "lobatto"])
def test_up_on_the_sphere_is_second_order_and_linear_in_the_colatitude(grid):
    """Between the first and the last latitude."""
    errors = []
    for count in (8, 16, 32):
        coarse = Graph.from_sphere(count, 2 * count, grid=grid)
        fine = Graph.from_sphere(count * 3, count * 6, grid=grid)
        inside = fine.pos[:, 2].abs() <= coarse.pos[:, 2].max()
        resolution = Resolution(coarse, fine)
        x, y, z = coarse.pos.T
        at_x, at_y, at_z = fine.pos.T
        found = resolution.lift((x * z + y)[:, None])[:, 0]
        errors.append(float((found - at_x * at_z - at_y)[inside].abs().max()))
        straight = resolution.lift(z.clamp(-1, 1).arccos()[:, None])[:, 0]
        torch.testing.assert_close(straight[inside], at_z.clamp(-1, 1).arccos()[inside], rtol=0, atol=1e-7)
    assert (-np.diff(np.log2(errors)) > 1.8).all(), errors


def test_grids_are_rebuilt_from_what_describes_them(pair):
    for graph in pair:
        if graph.get("original_index") is None:
            again = rebuilt(json.loads(json.dumps(described(graph))))
            torch.testing.assert_close(again.pos, graph.pos, rtol=0, atol=1e-14)
            torch.testing.assert_close(again.mass, graph.mass)
    away = planar((4, 5)).clone()
    away.pos = away.pos + torch.tensor([3.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(rebuilt(described(away)).pos, away.pos)
