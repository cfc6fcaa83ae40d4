from types import SimpleNamespace

import torch

from irno_graph.graph import Graph, gradient
from irno_graph.mesh import periodic_box
from irno_graph.training.base_task import pair_batch
from irno_graph.training.fit import PlanEpoch
from irno_graph.training.pairs import (
    BatchPlan,
    TrajectorySet,
    square_symmetries,
    turned_fields,
    turned_graph,
)


def test_symmetries_are_a_group_of_eight():
    matrices = square_symmetries()
    keys = {tuple(matrix.flatten().tolist()) for matrix in matrices}
    assert len(keys) == 8
    products = {tuple((a @ b).flatten().tolist()) for a in matrices for b in matrices}
    assert products == keys


def test_gradients_turn_with_the_graph():
    """grad of (u o Q^-1) is Q grad u: the turned graph is the same flow seen from another side."""
    graph = Graph.from_mesh(periodic_box(100, seed=1))
    field = torch.randn(100, 1, dtype=torch.float64)
    slopes = gradient(field, graph)[:, 0]
    for matrix in square_symmetries():
        turned = turned_graph(graph, matrix)
        torch.testing.assert_close(turned.mass, graph.mass)
        torch.testing.assert_close(gradient(field, turned)[:, 0], slopes @ matrix.double().T)
        velocity = torch.cat([field, slopes, field], dim=-1)
        torch.testing.assert_close(
            turned_fields(velocity, matrix, (1, 2))[:, 1:3], slopes @ matrix.double().T
        )
        torch.testing.assert_close(turned_fields(velocity, matrix, (1, 2))[:, [0, 3]], velocity[:, [0, 3]])


def test_an_epoch_visits_every_pair_once_in_an_order_of_its_own():
    plan = BatchPlan([12, 8], 4, seed=3)
    seen = sorted((task.group, int(i)) for task in plan.tasks for i in task.samples)
    assert seen == [(0, i) for i in range(12)] + [(1, i) for i in range(8)]
    first = [task.samples.tolist() for task in plan.tasks]
    plan.set_epoch(1)
    assert [task.samples.tolist() for task in plan.tasks] != first
    plan.set_epoch(0)
    assert [task.samples.tolist() for task in plan.tasks] == first


def test_pairs_are_neighbouring_snapshots():
    states = torch.arange(3 * 4).reshape(3, 4, 1, 1).float()
    part = TrajectorySet(Graph.from_grid((3, 3)), states)
    assert part.pairs == 9
    x, y = pair_batch(part, torch.arange(9))
    assert (y - x == 1).all()
    assert x.flatten().tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]


def test_training_plans_each_epoch_anew():
    plan, expected = BatchPlan([12], 4, seed=3), BatchPlan([12], 4, seed=3)
    PlanEpoch(plan).on_train_epoch_start(SimpleNamespace(current_epoch=2), None)  # type: ignore[arg-type]
    assert [task.seed for task in plan.tasks] != [task.seed for task in expected.tasks]
    expected.set_epoch(2)
    assert [task.seed for task in plan.tasks] == [task.seed for task in expected.tasks]
