import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from irno_graph import metrics
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box

RELATIVE = [metrics.relative_l1, metrics.relative_l2]


@pytest.mark.parametrize("metric", RELATIVE)
def test_relative_errors_of_a_scaled_truth(metric, box):
    truth = torch.randn(4, box.num_nodes, 3, dtype=torch.float64)
    error = metric(truth * torch.tensor([1.1, 0.7, 1.0]).double(), truth, box)
    torch.testing.assert_close(
        error, torch.tensor([0.1, 0.3, 0.0]).double().expand(4, 3), atol=1e-7, rtol=1e-6
    )


def test_masses_weigh_the_nodes():
    """An error on the part x < 1/2 only, of a truth of one, is sqrt(area of that part's nodes)."""
    graph = Graph.from_mesh(periodic_box(200, seed=2))
    left = (graph.pos[:, :1] < 0.5).double()
    truth = torch.ones(200, 1, dtype=torch.float64)
    expected = graph.mass[left[:, 0] > 0].sum().sqrt()
    torch.testing.assert_close(metrics.relative_l2(truth + left, truth, graph)[0], expected)
    torch.testing.assert_close(metrics.relative_l1(truth + left, truth, graph)[0], expected.square())


def test_joint_error_takes_the_channels_as_one_vector(box):
    truth = torch.randn(box.num_nodes, 2, dtype=torch.float64)
    angle = torch.tensor(0.4, dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    prediction = truth + 0.2 * torch.randn_like(truth)
    for metric in RELATIVE[1:]:
        before = metric(prediction, truth, box, joint=True)
        torch.testing.assert_close(metric(prediction @ turn.T, truth @ turn.T, box, joint=True), before)


def test_vrmse_of_the_mean_is_one(box):
    truth = torch.randn(box.num_nodes, 1, dtype=torch.float64)
    mean = (box.mass @ truth / box.mass.sum()).expand_as(truth)
    torch.testing.assert_close(metrics.vrmse(mean, truth, box), torch.ones(1).double())


def test_official_vrmse_averages_over_channels_and_y():
    """Entry by entry: per sample and x, over the 3 * 5 values of all channels and y."""
    graph = Graph.from_grid((5, 4), extent=(1.0, 2.0))
    truth, prediction = np.random.default_rng(4).standard_normal((2, 6, 3, 5, 4))  # [samples, channels, y, x]
    expected = np.zeros((6, 4))
    for sample, column in np.ndindex(6, 4):
        values, exact = (
            [field[sample, c, y, column] for c in range(3) for y in range(5)] for field in (prediction, truth)
        )
        mean = sum(exact) / 15
        variance = sum((value - mean) ** 2 for value in exact) / 14
        squares = sum((value - other) ** 2 for value, other in zip(values, exact, strict=True)) / 15
        expected[sample, column] = (squares / (variance + 1e-7)) ** 0.5
    estimate, target = (
        torch.from_numpy(field.reshape(6, 3, 20).swapaxes(1, 2)) for field in (prediction, truth)
    )
    torch.testing.assert_close(metrics.official_vrmse(estimate, target, graph), torch.from_numpy(expected))
    batch = Batch.from_data_list([graph, graph])
    twice = metrics.official_vrmse(
        torch.cat([estimate, estimate], dim=-2), torch.cat([target, target], dim=-2), batch
    )
    torch.testing.assert_close(twice, torch.from_numpy(expected)[:, None].expand(6, 2, 4))


def test_official_vrmse_in_space_leaves_x():
    """The average is over channels, z and y: of a truth of equal channels, over 24 values of which 12 differ."""
    graph = Graph.from_grid((3, 4, 5))
    truth = torch.randn(60, 1, dtype=torch.float64)
    error = metrics.official_vrmse(1.5 * truth.expand(60, 2), truth.expand(60, 2), graph)
    columns = truth.view(12, 5)
    expected = 0.25 * columns.square().sum(dim=0) / (columns.var(dim=0, correction=0) * 24 / 23 + 1e-7) / 12
    torch.testing.assert_close(error.square(), expected)


def test_official_vrmse_is_for_grids(box):
    field = torch.randn(box.num_nodes, 1)
    with pytest.raises(ValueError, match="should be a grid"):
        metrics.official_vrmse(field, field, box)


@pytest.mark.parametrize("metric", [*RELATIVE, metrics.vrmse])
def test_a_batch_has_one_result_per_graph(metric, box):
    other = Graph.from_mesh(periodic_box(70, seed=5))
    pairs = [(torch.randn(g.num_nodes, 2), torch.randn(g.num_nodes, 2), g) for g in (box, other)]
    together = metric(
        *(torch.cat([p[i] for p in pairs]) for i in range(2)), Batch.from_data_list([box, other])
    )
    torch.testing.assert_close(together, torch.stack([metric(*pair) for pair in pairs]))


SPHERES = [Graph.from_sphere(33, 64), Graph.from_sphere(20, 42, grid="legendre-gauss")]


def harmonics(graph):
    """x, z, x y and 3 z^2 - 1 `[nodes, 4]`: orthogonal over the sphere, the last two of degree 2."""
    x, y, z = graph.pos.T
    return torch.stack([x, z, x * y, 3 * z * z - 1], dim=-1)


@pytest.mark.parametrize("graph", SPHERES, ids=["equiangular", "legendre-gauss"])
def test_anomaly_correlation_of_known_anomalies(graph):
    """1 of the truth whatever the factor, -1 of the opposite, 0 of orthogonal harmonics, 0 of the climatology."""
    fields = harmonics(graph)
    usual = 3.0 + fields[:, [1, 0, 0, 2]]
    factors = torch.tensor([1.0, 0.2, 1e4, -1.0, -3.0], dtype=torch.float64)[:, None, None]
    found = metrics.anomaly_correlation(usual + factors * fields, usual + fields, usual, graph)
    torch.testing.assert_close(found, factors[..., 0].sign().expand(5, 4), rtol=0, atol=1e-12)
    others = metrics.anomaly_correlation(usual + fields.roll(1, dims=-1), usual + fields, usual, graph)
    torch.testing.assert_close(others, torch.zeros(4).double(), rtol=0, atol=1e-12)
    assert metrics.anomaly_correlation(usual, usual + fields, usual, graph).abs().max() == 0


def test_anomaly_correlation_keeps_the_means():
    """Of anomalies z + a and z, 1 / 3 being the mean of z^2: sqrt(1/3) / sqrt(1/3 + a^2), where a centred one is 1."""
    graph = SPHERES[0]
    z = graph.pos[:, 2:]
    found = metrics.anomaly_correlation(z + 0.5, z, torch.zeros_like(z), graph)
    torch.testing.assert_close(found, torch.tensor([(1 / 3) ** 0.5 / (1 / 3 + 0.25) ** 0.5]).double())


def test_metrics_of_the_sphere_do_not_depend_on_its_grid():
    """Both grids integrate the squares of these fields, of degree 4, exactly."""
    mix = torch.tensor([[1.0, 0.3], [-0.5, 2.0], [0.7, 0.1], [0.2, -0.4]], dtype=torch.float64)
    turn = torch.linalg.qr(torch.tensor([[1.0, 2.0, 0.3], [0.0, 1.0, -1.0], [0.5, 0.0, 2.0]]).double())[0]
    values: dict[str, list[torch.Tensor]] = {}
    for graph in SPHERES:
        truth = harmonics(graph) @ mix
        prediction = truth + 0.3 * (graph.pos @ turn)[:, :2]
        usual = 0.5 * graph.pos[:, :1] ** 2 + truth.flip(-1)
        for joint in (False, True):
            values.setdefault(f"l2 {joint}", []).append(
                metrics.relative_l2(prediction, truth, graph, joint=joint)
            )
        values.setdefault("acc", []).append(metrics.anomaly_correlation(prediction, truth, usual, graph))
        values.setdefault("vrmse", []).append(metrics.vrmse(prediction, truth, graph))
    for one, other in values.values():
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_joint_relative_l2_is_the_frobenius_norm_of_weighted_rows(box):
    truth, prediction = torch.randn(2, box.num_nodes, 3, dtype=torch.float64)
    weighted = [torch.diag(box.mass.sqrt()) @ field for field in (prediction - truth, truth)]
    expected = torch.linalg.matrix_norm(weighted[0]) / torch.linalg.matrix_norm(weighted[1])
    torch.testing.assert_close(metrics.relative_l2(prediction, truth, box, joint=True), expected)


def test_anomaly_correlation_is_per_sample_and_graph(box):
    """With a climatology of every sample, in single precision."""
    other = Graph.from_mesh(periodic_box(70, seed=5))
    sizes = [box.num_nodes, 70]
    fields = torch.randn(3, 4, sum(sizes), 2)
    together = metrics.anomaly_correlation(
        fields[0], fields[1], fields[2], Batch.from_data_list([box, other])
    )
    for place, (graph, part) in enumerate(zip((box, other), fields.split(sizes, dim=-2), strict=True)):
        for sample in range(4):
            prediction, truth, usual = (field[sample].double().numpy() for field in part)
            ours, exact, mass = prediction - usual, truth - usual, graph.mass.numpy()
            root = np.sqrt((mass @ ours**2) * (mass @ exact**2))
            expected = torch.from_numpy(mass @ (ours * exact) / root).float()
            torch.testing.assert_close(together[sample, place], expected)


def test_climatologies_that_do_not_fit_are_refused(box):
    truth = torch.ones(box.num_nodes, 2)
    with pytest.raises(ValueError, match=r"`climatology` should be finite of shape.*channels=2.*\[150, 1\]"):
        metrics.anomaly_correlation(truth, truth, truth[:, :1], box)
    with pytest.raises(ValueError, match="`climatology` should be finite"):
        metrics.anomaly_correlation(truth, truth, truth * torch.nan, box)


def test_fields_that_do_not_match_are_refused(box):
    truth = torch.ones(box.num_nodes, 2)
    with pytest.raises(ValueError, match="agree in nodes and channels"):
        metrics.relative_l2(truth[:, :1], truth, box)
    truth[3] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        metrics.vrmse(truth, truth, box)


def test_chunk_errors_are_ratios_of_norms_without_weights():
    truth = torch.randn(3, 2, 50, 4)
    prediction = truth * torch.tensor([1.1, 1.2, 0.8, 1.0])
    for p in (1, 2):
        errors = metrics.chunk_errors(prediction, truth, [0, 1, 1, 2], p=p)
        torch.testing.assert_close(errors, torch.tensor([0.1, 0.2, 0.0]).expand(3, 3), atol=1e-6, rtol=1e-5)
        flat = (prediction - truth)[..., 1:3].flatten(1).norm(p, dim=1) / truth[..., 1:3].flatten(1).norm(
            p, dim=1
        )
        torch.testing.assert_close(errors[:, 1], flat, atol=1e-6, rtol=1e-5)
    shift, scale = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([2.0, 2.0, 2.0, 2.0])
    moved = metrics.chunk_errors(
        prediction * scale + shift, truth * scale + shift, [0, 1, 1, 2], mean=shift, std=scale
    )
    torch.testing.assert_close(
        moved, metrics.chunk_errors(prediction, truth, [0, 1, 1, 2]), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        metrics.channel_errors(prediction, truth),
        torch.tensor([0.1, 0.2, 0.2, 0.0]).expand(3, 4),
        atol=1e-6,
        rtol=1e-5,
    )


def test_chunk_errors_refuse_what_they_cannot_compare():
    field = torch.ones(2, 1, 5, 2)
    with pytest.raises(ValueError, match="both fields should be"):
        metrics.chunk_errors(field, field.expand(2, 3, 5, 2), [0, 1])
    with pytest.raises(ValueError, match="both fields should be"):
        metrics.chunk_errors(field[0], field[0], [0, 1])
    with pytest.raises(ValueError, match="number the chunks"):
        metrics.chunk_errors(field, field, [0, 2])
    with pytest.raises(ValueError, match="both be given"):
        metrics.chunk_errors(field, field, [0, 1], mean=torch.zeros(2))
