"""The guard's rate of false alarms, and what it has to notice."""

import math

import pytest
import torch
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine import Status
from irno_graph.refine.guard import FEATURES, RATIOS, Guard, features
from irno_graph.refine.space import Space


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_false_alarms_come_at_the_stated_rate(rate):
    """Over many calibrations on samples of any law, here a skewed one, the share outside is at most the rate."""
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(60):
        samples = torch.randn(1240, len(FEATURES), generator=generator, dtype=torch.float64).exp()
        guard = Guard.calibrated(samples[:240], rate, steps=3)
        shares.append(float((guard.score(samples[240:]) > guard.threshold).double().mean()))
    mean = sum(shares) / len(shares)
    assert mean < rate * 1.1
    assert mean > rate * 0.7


def test_each_feature_alone_raises_an_alarm_and_sizes_on_either_side():
    samples = torch.randn(400, len(FEATURES), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    guard = Guard.calibrated(samples, 0.05, steps=3)
    for place, name in enumerate(FEATURES):
        for value in (8.0, -8.0, math.inf, math.nan):
            one = torch.zeros(len(FEATURES), dtype=torch.float64)
            one[place] = value
            harmless = name in RATIOS and value == -8.0  # steps that shrink fast
            assert (float(guard.score(one)) > guard.threshold) != harmless


def test_features_of_an_exact_relaxation():
    """Phi = y - h with alpha = 1/2: steps halve; the first is half the base's error."""
    graph = Graph.from_mesh(periodic_box(30, seed=0))
    x = torch.randn(5, 30, 2, dtype=torch.float64)
    model = ig.IRNO(lambda x, graph: 0.2 * x, Towards(), alpha=0.5, steps=5)
    units = torch.tensor([1.0, 2.0])
    found = features(model(x, graph), Space.of(graph, units))
    size = ((x.square() / units.double().square()).sum(-1) * graph.mass / graph.mass.sum()).sum(-1).sqrt()
    torch.testing.assert_close(found[:, 0], (0.4 * size).log())
    torch.testing.assert_close(found[:, 1], torch.full((5,), 4 * math.log(0.5), dtype=torch.float64))
    torch.testing.assert_close(found[:, 2], torch.full((5,), math.log(0.5), dtype=torch.float64))
    torch.testing.assert_close(found[:, 3], (0.2 * size).log())
    share = (graph.mass / graph.mass.sum()).unsqueeze(-1)
    spread = (x.square() * share).sum(1) - (x * share).sum(1).square()
    torch.testing.assert_close(found[:, 4], (0.2 * (spread / units.double().square()).sum(-1).sqrt()).log())


def test_features_of_a_batch_are_those_of_its_graphs():
    graphs = [Graph.from_mesh(periodic_box(nodes, seed=nodes)) for nodes in (30, 50)]
    fields = [torch.randn(3, part.num_nodes, 2, dtype=torch.float64) for part in graphs]
    model = ig.IRNO(lambda x, graph: 0.2 * x, Towards(), alpha=0.5, steps=3)
    alone = [
        features(model(x, part), Space.of(part, torch.ones(2)))
        for x, part in zip(fields, graphs, strict=True)
    ]
    batch = Batch.from_data_list(graphs)
    together = features(model(torch.cat(fields, 1), batch), Space.of(batch, torch.ones(2)))
    torch.testing.assert_close(together, torch.stack(alone, dim=1))


def test_too_few_samples_and_impossible_rates_are_refused():
    samples = torch.randn(30, len(FEATURES), dtype=torch.float64)
    with pytest.raises(ValueError, match="needs 40 validation samples"):
        Guard.calibrated(samples, 0.05, steps=3)
    for rate in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match=r"should be in \(0, 1\)"):
            Guard.calibrated(samples, rate, steps=3)


class Swings(torch.nn.Module):
    """Phi = (x - h) (1 - |x - h|^2 / 9): attracted within |x - h| < 3, driven away beyond."""

    def forward(self, x, h, graph):
        error = x - h
        return error * (1 - error.square() / 9)


class TestGuardedRefinement:
    @pytest.fixture
    def graph(self):
        return Graph.from_mesh(periodic_box(30, seed=0))

    def model(self, graph, rate=0.05):
        generator = torch.Generator().manual_seed(3)
        valid = torch.randn(200, 30, 1, dtype=torch.float64, generator=generator)
        model = ig.IRNO(Offset(0.5), Swings(), alpha=0.5, steps=4)
        model.guard = model.guarded(valid, graph, rate)
        return model

    def test_starts_outside_the_basin_get_the_base_and_the_others_are_refined(self, graph):
        model = self.model(graph)
        x = torch.randn(6, 30, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        model.base.offset = torch.tensor([0.5, 0.5, 5.0, 0.5, -4.0, 0.5], dtype=torch.float64).view(-1, 1, 1)
        out = model(x, graph)
        wrong = torch.tensor([False, False, True, False, True, False])
        assert ((out.status == Status.OUTSIDE) == wrong).all()
        assert torch.equal(out.value[wrong], out.states[0][wrong])
        assert torch.equal(out.value[~wrong], out.states[-1][~wrong])
        assert ((out.value - x)[~wrong].abs() < 0.1).all()
        assert "base's answer" in Status.OUTSIDE.sentence

    def test_a_guarded_rollout_is_no_worse_than_the_base_where_it_is_thrown_out(self, graph):
        model = self.model(graph)
        model.base.offset = torch.tensor(5.0, dtype=torch.float64)
        start = torch.randn(2, 30, 1, dtype=torch.float64)
        guarded, base = ig.rollout(model, start, graph, 3), ig.rollout(model, start, graph, 3, steps=0)
        assert torch.equal(guarded.states, base.states)
        assert (guarded.status == Status.OUTSIDE).all()
        model.guard = None
        assert (ig.rollout(model, start, graph, 3).states - start).abs().max() > 1e3

    def test_graphs_of_a_batch_are_judged_one_by_one(self, graph):
        model = self.model(graph)
        other = Graph.from_mesh(periodic_box(40, seed=1))
        batch = Batch.from_data_list([graph, other])
        x = torch.randn(70, 1, dtype=torch.float64)
        model.base.offset = torch.where(batch.batch == 1, 6.0, 0.5).double().view(-1, 1)
        out = model(x, batch)
        assert out.status.tolist() == [Status.DONE, Status.OUTSIDE]
        assert torch.equal(out.value[30:], out.states[0][30:])

    def test_samples_that_converge_early_are_inside(self, graph):
        model = self.model(graph)
        x = torch.randn(8, 30, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
        out = model(x, graph, tolerance=0.3)
        assert (out.steps_taken < 4).all()
        assert (out.status == Status.CONVERGED).all()

    def test_a_base_that_is_not_finite_is_not_called_an_answer(self, graph):
        model = self.model(graph)
        x = torch.randn(2, 30, 1, dtype=torch.float64)
        model.base.offset = torch.tensor([0.5, math.nan], dtype=torch.float64).view(-1, 1, 1)
        assert model(x, graph).status.tolist() == [Status.DONE, Status.NOT_FINITE]

    def test_the_base_alone_is_not_judged_and_fewer_steps_are_refused(self, graph):
        model = self.model(graph)
        x = torch.randn(30, 1, dtype=torch.float64)
        assert model(x, graph, steps=0).status == Status.DONE
        with pytest.raises(ValueError, match="calibrated with 4 refinement steps, got 2"):
            model(x, graph, steps=2)
        assert torch.isfinite(model(x, graph, steps=9).value).all()


class Offset(torch.nn.Module):
    def __init__(self, offset):
        super().__init__()
        self.offset = torch.tensor(offset, dtype=torch.float64)

    def forward(self, x, graph):
        return x + self.offset


class Towards(torch.nn.Module):
    def forward(self, x, h, graph):
        return x - h


def test_what_is_inside_stays_within_reach_of_the_base_and_the_bound_is_met():
    """Steps of a relaxation halve: with rates of its own for each sample, the largest first step is the reach."""
    graph = Graph.from_mesh(periodic_box(30, seed=0))
    x = torch.randn(80, 30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = ig.IRNO(lambda x, graph: 0.2 * x, Towards(), alpha=0.5, steps=4)
    model.guard = model.guarded(x, graph, 0.1)
    wild = x * torch.linspace(0.2, 6.0, 80, dtype=torch.float64)[:, None, None]
    out = model(wild, graph)
    moved = model.space(x, graph).norm(out.states[-1] - out.states[0])
    inside = out.status != int(Status.OUTSIDE)
    assert 0 < int(inside.sum()) < 80
    assert moved[inside].max() <= model.guard.reach
    assert moved[inside].max() > 0.5 * model.guard.reach
    assert moved.max() > model.guard.reach
