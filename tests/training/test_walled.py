"""Training on graphs with walls: batches are turned as the whole problem would be, and not shifted."""

import pytest
import torch

from irno_graph.bases.rigno import RIGNO, Architecture, RegionalSettings
from irno_graph.correctors import MultiscaleMessagePassing, Options
from irno_graph.data.unstructured import Domain
from irno_graph.graph import Graph
from irno_graph.mesh import Mesh
from irno_graph.training.base_task import BaseTask, set_statistics
from irno_graph.training.pairs import Task, TrajectorySet, square_symmetries, turned_fields, turned_graph
from irno_graph.training.schedule import Schedule

SIZES = Architecture(processor_steps=1, node_hidden=8, edge_hidden=8, use_time=False)


@pytest.fixture(scope="module")
def walled() -> Graph:
    return Graph.from_mesh(Domain.drawn(200, holes=1, seed=2).mesh)


def walled_base() -> RIGNO:
    settings = RegionalSettings(walls=True, cover=True)
    return RIGNO(4, 4, architecture=SIZES, regional=settings, periodic=False).eval()


def test_the_base_answers_a_turned_batch_as_it_does_on_the_turned_graph(walled):
    """`RegionalGraph.moved` is the regional graph of the mesh that is turned about the centre of its box."""
    base, x = walled_base(), torch.randn(2, walled.num_nodes, 4)
    regional, tau = base.regional_graph(walled), torch.full((2,), 0.1)
    for matrix in square_symmetries():
        turned = turned_fields(x, matrix, (1, 2))
        moved = base.answer(turned, regional.moved(matrix, torch.zeros(2)), time=0 * tau, lead_time=tau)
        there = base.regional_graph(turned_graph(walled, matrix))
        again = base.answer(turned, there, time=0 * tau, lead_time=tau)
        torch.testing.assert_close(moved, again, atol=2e-5, rtol=1e-4)


def test_batches_are_turned_and_not_shifted(walled):
    base, states = walled_base(), torch.randn(3, 3, walled.num_nodes, 4)
    part = TrajectorySet(walled, states)
    set_statistics(base, [part])
    task = BaseTask(base, [part], [part], schedule=Schedule(1e-3, 4, 0.2, 0.0), draws=1)
    seen = set()
    for seed in range(40):
        x, y, _, _, regional = task.drawn(Task(0, torch.tensor([0]), seed))
        found = [
            number
            for number, matrix in enumerate(square_symmetries())
            if torch.allclose(x[0], turned_fields(states[0, 0], matrix, (1, 2)))
        ]
        assert len(found) == 1
        matrix = square_symmetries()[found[0]]
        torch.testing.assert_close(y[0], turned_fields(states[0, 1], matrix, (1, 2)))
        expected = 2 * turned_graph(walled, matrix).pos.float() - 1  # the frame of the unit box
        torch.testing.assert_close(regional.coordinates, expected, atol=1e-5, rtol=0)
        seen.add(found[0])
    assert len(seen) == 8


def test_base_and_corrector_see_a_wall_where_the_nodes_stay(walled):
    """Taking one triangle out changes the walls and, of what the base is given, nothing else."""
    mesh = Domain.drawn(200, holes=1, seed=2).mesh
    triangles = mesh.cells_of("triangle")
    inside = ~mesh.boundary[triangles].any(axis=1)
    kept = torch.from_numpy(triangles)[torch.arange(len(triangles)) != int(inside.argmax())]
    holed = Graph.from_mesh(Mesh(mesh.points, [("triangle", kept.numpy())]))
    x = torch.randn(1, walled.num_nodes, 4)
    base = walled_base()
    assert not torch.allclose(base(x, walled), base(x, holed), atol=1e-6)
    blind = RIGNO(4, 4, architecture=SIZES, periodic=False).eval()
    torch.testing.assert_close(blind(x, walled), blind(x, holed))
    options = Options(walls=True, small=1.0)
    corrector = MultiscaleMessagePassing(4, 4, hidden=8, levels=2, options=options)
    assert corrector.encode_static is not None
    with torch.no_grad():
        corrector.encode_static.weight.zero_()
        without = corrector(x, x, walled)
        corrector.encode_static.weight.normal_()
        assert not torch.allclose(corrector(x, x, walled), without, atol=1e-6)


def test_only_squares_are_turned():
    oblong = Graph.from_grid((5, 9), extent=(2.0, 1.0))
    with pytest.raises(ValueError, match="fill a square"):
        turned_graph(oblong, square_symmetries()[1])
    half = Graph.from_grid((8, 9), extent=(1.0, 1.0), period=(1.0, None))
    with pytest.raises(ValueError, match="fill a square"):
        turned_graph(half, square_symmetries()[1])


def test_walls_have_a_direction_and_do_not_go_with_invariance():
    with pytest.raises(ValueError, match="`walls` should be False with `invariant`"):
        Options(walls=True, invariant=True)
