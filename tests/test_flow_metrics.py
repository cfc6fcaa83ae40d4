"""Errors of flows: formulas on hand-made states, exact bands, what the published metric does not see."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from irno_graph.data.sets import ChannelGroups, FieldStatistics
from irno_graph.graph import Graph, vorticity
from irno_graph.graph.pyg import Batch
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.metrics import chunk_errors, flow_report, fluctuation_errors
from irno_graph.spectral import ChebyshevBank, EigenBasis
from irno_graph.spectral.bands import band_energies, eigenbases

CHANNELS = ("rho", "vx", "vy", "p")
MEAN = torch.tensor([0.1, 0.0, 0.0, 2.5], dtype=torch.float64)
STD = torch.tensor([1e-3, 0.6, 0.8, 0.05], dtype=torch.float64)
KNOWN = FieldStatistics.of(CHANNELS, MEAN, STD)
POOLED = 0.5**0.5  # of 0.6 and 0.8


def states(nodes: int, *lead: int, seed: int = 0) -> Tensor:
    noise = torch.randn(*lead, nodes, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return MEAN + STD * noise


def l2(values: Tensor, mass: Tensor) -> Tensor:
    """sqrt(sum_i m_i |u_i|^2) of `[nodes, channels]`."""
    return (mass[:, None] * values**2).sum().sqrt()


def test_each_number_is_its_formula(box: Graph) -> None:
    truth, prediction = states(150), states(150, seed=1)
    report = flow_report(prediction, truth, box, CHANNELS, KNOWN)
    error, mass = prediction - truth, box.mass
    fluctuation = truth - MEAN
    columns = {"density": [0], "velocity": [1, 2], "pressure": [3]}
    sizes = {"density": 1e-3, "velocity": POOLED, "pressure": 0.05}
    for name, own in columns.items():
        expected = l2(error[:, own], mass) / l2(fluctuation[:, own], mass)
        torch.testing.assert_close(report.relative[name], expected)
        root = (l2(error[:, own], mass) ** 2 / mass.sum() / len(own)).sqrt()
        torch.testing.assert_close(report.scaled[name], root / sizes[name])
        ratio = (error / STD)[:, own].abs().sum() / (fluctuation / STD)[:, own].abs().sum()
        torch.testing.assert_close(report.published[name], ratio)
    turns = [vorticity(field[:, 1:3], box)[:, None] for field in (error, truth)]
    torch.testing.assert_close(report.relative["vorticity"], l2(turns[0], mass) / l2(turns[1], mass))
    assert set(report.relative) == {*columns, "vorticity"}
    assert set(report.scaled) == set(report.published) == set(columns)
    assert report.bands == report.kept == report.share == {}


def test_persistence_of_the_density_is_seen_relative_to_its_fluctuation_alone(box: Graph) -> None:
    """A density of 0.1 +- 0.001 that is answered by its mean: 1 % of the density, 100 % of what varies."""
    truth = states(150)
    prediction = truth.clone()
    prediction[:, 0] = 0.1
    report = flow_report(prediction, truth, box, CHANNELS, KNOWN)
    assert float(report.relative["density"]) == pytest.approx(1, abs=1e-12)
    assert float(report.scaled["density"]) == pytest.approx(1, abs=0.15)
    raw = chunk_errors(prediction[None, None], truth[None, None], [0, 1, 1, 2])
    assert float(raw[0, 0]) < 0.01
    foreign = FieldStatistics.of(
        CHANNELS, torch.tensor([0.8, 0, 0, 2.513]), torch.tensor([0.31, 0.391, 0.356, 0.185])
    )
    published = flow_report(prediction, truth, box, CHANNELS, foreign).published["density"]
    assert float(published) < 0.002  # as the published constants have it: -2.258 +- 0.0037
    assert float(report.relative["velocity"]) == float(report.relative["pressure"]) == 0


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_leading_dimensions_are_kept_and_samples_do_not_mix(box: Graph, lead: tuple[int, ...]) -> None:
    truth, prediction = states(150, *lead), states(150, *lead, seed=1)
    energies = ChebyshevBank(box, bands=3, order=16).band_energy
    report = flow_report(prediction, truth, box, CHANNELS, KNOWN, energies=energies)
    last = tuple(count - 1 for count in lead)
    one = flow_report(prediction[last], truth[last], box, CHANNELS, KNOWN, energies=energies)
    for measure in ("relative", "scaled", "published", "bands", "kept", "share"):
        whole, part = getattr(report, measure), getattr(one, measure)
        for name, values in whole.items():
            assert values.shape == (*lead, *part[name].shape)
            torch.testing.assert_close(values[last], part[name])


def test_each_graph_of_a_batch_has_the_errors_it_has_alone(box: Graph) -> None:
    graphs = [box, Graph.from_mesh(periodic_box(70, seed=8))]
    batch = Batch.from_data_list(graphs)
    truth, prediction = states(220, 2), states(220, 2, seed=1)
    edges = [0.0, 10.0, 40.0]
    energies = partial(band_energies, eigenbases(batch, 50), edges=edges)
    report = flow_report(prediction, truth, batch, CHANNELS, KNOWN, energies=energies)
    for place, (graph, nodes) in enumerate(zip(graphs, (slice(0, 150), slice(150, 220)), strict=True)):
        basis = EigenBasis.compute(graph, 50)
        ours, exact = prediction[:, nodes], truth[:, nodes]
        own = partial(basis.band_energy, edges=edges)
        alone = flow_report(ours, exact, graph, CHANNELS, KNOWN, energies=own)
        for measure in ("relative", "scaled", "published", "bands", "kept", "share"):
            for name, values in getattr(report, measure).items():
                torch.testing.assert_close(values[:, place], getattr(alone, measure)[name])


def test_bands_of_a_basis_are_exact() -> None:
    """Modes times factors: the error of band b is |factor_b - 1|, and what is kept is factor_b."""
    graph = Graph.from_mesh(periodic_box(90, seed=4))
    basis = EigenBasis.compute(graph, modes=90)
    limits = [0.0, float(basis.frequencies[30]), float(basis.frequencies[60]), 1e9]
    band = basis.band_of_modes(limits)
    truth = MEAN + basis.inverse(
        torch.randn(90, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    )
    factors = torch.tensor([1.0, 0.5, 1.75], dtype=torch.float64)
    prediction = MEAN + basis.inverse(factors[band][:, None] * basis.transform(truth - MEAN))
    report = flow_report(
        prediction,
        truth,
        graph,
        CHANNELS,
        KNOWN,
        energies=lambda field: basis.band_energy(field, limits)[..., :3, :],
    )
    for name in ("density", "velocity", "pressure"):
        torch.testing.assert_close(report.bands[name], (factors - 1).abs(), atol=1e-6, rtol=1e-9)
        torch.testing.assert_close(report.kept[name], factors)
        assert float(report.share[name].sum()) == pytest.approx(1)
    squares = basis.transform(truth - MEAN)[:, [1, 2]] ** 2
    shares = torch.stack([squares[band == number].sum() for number in range(3)]) / squares.sum()
    torch.testing.assert_close(report.share["velocity"], shares)


def test_a_lost_phase_is_an_error_but_no_loss_of_energy(box: Graph) -> None:
    truth = states(150)
    mirrored = 2 * MEAN - truth
    energies = ChebyshevBank(box, bands=4, order=32).band_energy
    report = flow_report(mirrored, truth, box, CHANNELS, KNOWN, energies=energies)
    for name in report.bands:
        torch.testing.assert_close(report.bands[name], torch.full((4,), 2.0).double())
        torch.testing.assert_close(report.kept[name], torch.ones(4).double())


def test_a_high_frequency_is_seen_in_the_vorticity_and_its_band_before_the_velocity() -> None:
    graph = Graph.from_grid((32, 32), period=(1.0, 1.0))
    x, y = 2 * torch.pi * graph.pos.T
    low = torch.stack([torch.sin(y), torch.sin(x)], dim=-1)
    ripple = 0.05 * torch.stack([torch.sin(6 * y), torch.sin(6 * x)], dim=-1)
    known = FieldStatistics.of(["vx", "vy"], torch.zeros(2), torch.ones(2))
    bank = ChebyshevBank(graph, bands=4, order=128)
    report = flow_report(low, low + ripple, graph, ["vx", "vy"], known, energies=bank.band_energy)
    assert float(report.relative["velocity"]) == pytest.approx(0.05 / 1.0025**0.5, rel=1e-3)
    assert float(report.relative["vorticity"]) > 0.2
    assert float(report.bands["velocity"][0]) < 0.02
    assert float(report.bands["velocity"][1]) == pytest.approx(1, abs=0.02)  # 6 waves: frequency 36 of 91
    assert float(report.kept["velocity"][1]) < 0.05


def test_turning_and_renumbering_change_nothing() -> None:
    mesh = periodic_box(120, seed=3)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0)).numpy()
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)  # the box onto itself
    points = (mesh.points @ turn.numpy().T)[order] % 1.0
    place = order.argsort()
    moved = Graph.from_mesh(
        Mesh(points, [("triangle", place[mesh.cells_of("triangle")])], period=mesh.period)
    )
    graph = Graph.from_mesh(mesh)
    truth, prediction = states(120), states(120, seed=1)

    def turned(state: Tensor) -> Tensor:
        found = state[torch.from_numpy(order)].clone()
        found[:, 1:3] = found[:, 1:3] @ turn.T
        return found

    one = flow_report(prediction, truth, graph, CHANNELS, KNOWN)
    two = flow_report(turned(prediction), turned(truth), moved, CHANNELS, KNOWN)
    for measure in ("relative", "scaled"):
        for name, value in getattr(one, measure).items():
            torch.testing.assert_close(getattr(two, measure)[name], value)


def test_statistics_with_a_vorticity_scale_it_and_other_channels_do_not_matter(box: Graph) -> None:
    wider = FieldStatistics.of(
        ("tracer", *CHANNELS, "vorticity"),
        torch.cat([torch.ones(1), MEAN, torch.zeros(1)]),
        torch.cat([torch.ones(1), STD, torch.full((1,), 7.0)]),
    )
    truth, prediction = states(150), states(150, seed=1)
    report = flow_report(prediction, truth, box, CHANNELS, wider)
    error = vorticity((prediction - truth)[:, 1:3], box)[:, None]
    expected = (l2(error, box.mass) ** 2 / box.mass.sum()).sqrt() / 7
    torch.testing.assert_close(report.scaled["vorticity"], expected)
    plain = flow_report(prediction, truth, box, CHANNELS, KNOWN)
    for name, value in plain.scaled.items():
        torch.testing.assert_close(report.scaled[name], value)


def test_an_exact_prediction_has_no_error_and_an_ended_one_an_infinite_one(box: Graph) -> None:
    truth = states(150, 2)
    prediction = truth.clone()
    prediction[1, 3, 0] = torch.nan
    energies = ChebyshevBank(box, bands=2, order=16).band_energy
    report = flow_report(prediction, truth, box, CHANNELS, KNOWN, energies=energies)
    for errors in (report.relative, report.scaled, report.published):
        assert errors["density"].tolist() == [0, torch.inf]
        assert errors["velocity"].tolist() == [0, 0]
    assert report.bands["density"][1].tolist() == [torch.inf, torch.inf]
    assert report.share["density"].isfinite().all()


def test_points_without_cells_and_flows_in_space_have_no_vorticity() -> None:
    points = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cloud = Graph.from_points(points, "knn", manifold_dim=2)
    assert "vorticity" not in flow_report(states(60), states(60, seed=1), cloud, CHANNELS, KNOWN).relative
    cube = Graph.from_grid((3, 3, 3), period=(1.0, 1.0, 1.0))
    known = FieldStatistics.of(["vx", "vy", "vz"], torch.zeros(3), torch.ones(3))
    field = torch.randn(27, 3)
    assert set(flow_report(field, field, cube, known.channels, known).relative) == {"velocity"}


def test_the_short_form_is_the_same_number(box: Graph) -> None:
    truth, prediction = states(150, 2), states(150, 2, seed=1)
    short = fluctuation_errors(prediction, truth, box, ChannelGroups.of(CHANNELS), MEAN)
    long = flow_report(prediction, truth, box, CHANNELS, KNOWN).relative
    assert list(short) == list(long)
    for name, value in short.items():
        assert torch.equal(value, long[name])


def test_groups_of_ones_own_are_kept(box: Graph) -> None:
    names = ("rho", "p", "vx", "vy")
    groups = ChannelGroups(names, (0, 0, 1, 2), ("state", "first", "second"))
    places = [0, 3, 1, 2]
    known = FieldStatistics(groups, MEAN[places], STD[places])
    truth, prediction = states(150), states(150, seed=1)
    report = flow_report(prediction, truth, box, CHANNELS, known)
    assert list(report.relative) == ["state", "first", "second"]
    both = (prediction - truth)[:, [0, 3]], (truth - MEAN)[:, [0, 3]]
    torch.testing.assert_close(report.relative["state"], l2(both[0], box.mass) / l2(both[1], box.mass))


def test_what_does_not_fit_is_refused(box: Graph) -> None:
    truth = states(150)
    with pytest.raises(
        ValueError, match=r"`prediction` should have shape \[\.\.\., nodes, channels=4\] \(rho"
    ):
        flow_report(truth[:, :3], truth, box, CHANNELS, KNOWN)
    with pytest.raises(ValueError, match="one shape"):
        flow_report(truth[None], truth, box, CHANNELS, KNOWN)
    with pytest.raises(ValueError, match=r"statistics should have the channels \['u', 'v'\], got"):
        flow_report(truth, truth, box, ("rho", "u", "v", "p"), KNOWN)
    spoilt = truth.clone()
    spoilt[4, 2] = torch.inf
    with pytest.raises(ValueError, match="`truth` should be finite"):
        flow_report(truth, spoilt, box, CHANNELS, KNOWN)
