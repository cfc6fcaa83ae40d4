from types import SimpleNamespace

import pytest
import torch

from irno_graph.bases.rigno import RIGNO, Architecture
from irno_graph.graph import Graph, gradient
from irno_graph.mesh import periodic_box
from irno_graph.training.base_task import pair_batch
from irno_graph.training.fit import PlanEpoch
from irno_graph.training.lead_times import LeadTimes, part_of_the_way
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


def test_the_number_of_batches_does_not_change_with_the_sets():
    """Smaller sets are gone through again, of larger ones a part is taken."""
    plan = BatchPlan([12, 8], 4, seed=3)
    plan.sizes = [4, 4]
    plan.set_epoch(1)
    assert len(plan) == 5
    assert {(task.group, int(i)) for task in plan.tasks for i in task.samples} == {
        (group, i) for group in (0, 1) for i in range(4)
    }
    plan.sizes = [40, 8]
    plan.set_epoch(2)
    assert len(plan) == 5
    assert len({(task.group, int(i)) for task in plan.tasks for i in task.samples}) == 20


def test_pairs_are_neighbouring_snapshots():
    states = torch.arange(3 * 4).reshape(3, 4, 1, 1).float()
    part = TrajectorySet(Graph.from_grid((3, 3)), states)
    assert part.pairs() == 9
    x, y, _, _ = pair_batch(part, torch.arange(9))
    assert (y - x == 1).all()
    assert x.flatten().tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]


def test_all_pairs_up_to_a_lead_time():
    """In snapshots whose value is their time, y - x is the lead; every pair occurs once for each trajectory."""
    states = torch.arange(5.0).view(1, 5, 1, 1).expand(3, 5, 1, 1)
    part = TrajectorySet(Graph.from_grid((3, 3)), states)
    for longest, expected in ((1, 4), (2, 7), (4, 10), (9, 10)):
        assert part.pairs(longest) == 3 * expected
        x, y, first, lead = pair_batch(part, torch.arange(3 * expected), longest)
        torch.testing.assert_close((y - x).flatten(), lead.float())
        torch.testing.assert_close(x.flatten(), first.float())
        assert lead.min() == 1
        assert lead.max() == min(longest, 4)
        assert len({(int(i), int(k)) for i, k in zip(first, lead, strict=True)}) == expected


def test_the_curriculum_lengthens_lead_times():
    """A fifth of the epochs in equal shares of whole epochs to 1 ... 6 snapshots, none where they are fewer than 30."""
    longest = [LeadTimes(7).at(epoch, 70) for epoch in range(70)]
    assert longest == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6] + [7] * 58
    assert {LeadTimes(7).at(epoch, 29) for epoch in range(29)} == {7}
    assert {LeadTimes(1).at(epoch, 50) for epoch in range(50)} == {1}
    late = [LeadTimes(7, fractional=True).is_fractional(epoch, 70) for epoch in range(70)]
    assert late == [False] * 41 + [True] * 29
    odd = [LeadTimes(7, fractional=True).is_fractional(epoch, 71) for epoch in range(71)]
    assert odd == [False] * 42 + [True] * 29
    assert not LeadTimes(7).is_fractional(69, 70)


@pytest.mark.parametrize("stepper", ["derivative", "residual", "output"])
def test_part_of_the_way_is_the_base_s_own_answer_at_that_time(stepper, box):
    """What is left is never so short that the derivative's target blows up."""
    sizes = Architecture(processor_steps=1, node_hidden=8, edge_hidden=8)
    base = RIGNO(3, 2, architecture=sizes, stepper=stepper, lead_time=0.1).eval()
    x, regional = torch.randn(64, box.num_nodes, 3), base.regional_graph(box)
    time, tau = torch.linspace(0.0, 0.3, 64), 0.1 * (1 + torch.arange(64) % 4)
    new, later, left = part_of_the_way(base, x, regional, time, tau, torch.Generator().manual_seed(0))
    torch.testing.assert_close(later + left, time + tau)
    torch.testing.assert_close(new[..., 2:], x[..., 2:])
    stays = later == time
    torch.testing.assert_close(new[stays], x[stays])
    with torch.no_grad():
        expected = base(x[~stays], box, time=time[~stays], lead_time=(later - time)[~stays])
    torch.testing.assert_close(new[~stays][..., :2], expected, rtol=1e-4, atol=1e-5)
    if stepper == "derivative":
        assert 0.3 < stays.float().mean() < 0.9
        assert left.min() > 0.0199
    else:
        assert not stays.any()
        assert left.min() > -1e-6
    assert (later - time)[~stays].min() > 0.0999


def test_training_plans_each_epoch_anew():
    plan, expected = BatchPlan([12], 4, seed=3), BatchPlan([12], 4, seed=3)
    PlanEpoch(plan).on_train_epoch_start(SimpleNamespace(current_epoch=2), None)  # type: ignore[arg-type]
    assert [task.seed for task in plan.tasks] != [task.seed for task in expected.tasks]
    expected.set_epoch(2)
    assert [task.seed for task in plan.tasks] == [task.seed for task in expected.tasks]
