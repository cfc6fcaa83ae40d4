"""RIGNO against numbers that the reference implementation (JAX) computed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import irno_graph as ig
from irno_graph.bases.rigno import RIGNO, RegionalGraph, Stepper
from irno_graph.bases.rigno.edges import Edges
from irno_graph.bases.rigno.unions import union
from irno_graph.bases.rigno.weights import DEAD, PADDED, flax_parameters
from irno_graph.metrics import channel_errors, chunk_errors
from irno_graph.training.schedule import reference_rate

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
STEPPERS = {"der": Stepper.DERIVATIVE, "res": Stepper.RESIDUAL, "out": Stepper.OUTPUT}


@pytest.fixture(scope="module", params=["periodic", "walls"])
def oracle(request):
    path = REFERENCE / f"rigno_oracle_{request.param}.npz"
    if not path.is_file():
        pytest.skip(f"the oracle data {path} is not on this machine")
    with np.load(path) as file:
        data = {name: file[name] for name in file.files if not name.startswith("params_init")}
    data["config"] = json.loads(str(data["config"]))
    return data


def under(oracle, prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in oracle.items() if name.startswith(prefix)}


def regional_graphs(oracle) -> list[RegionalGraph]:
    builder = oracle["config"]["builder"]
    return [
        RegionalGraph.build(
            points,
            domain=oracle["config"]["domain"],
            periodic=builder["periodic"],
            region_index=index,
            subsample_factor=builder["subsample_factor"],
            overlap_p2r=builder["overlap_factor_p2r"],
            overlap_r2p=builder["overlap_factor_r2p"],
            levels=builder["rmesh_levels"],
            coordinate_frequencies=builder["node_coordinate_freqs"],
        )
        for points, index in zip(oracle["points"], oracle["rmesh_index"], strict=True)
    ]


def operator(oracle, stepper: str = "der") -> RIGNO:
    return RIGNO.from_flax(
        oracle["config"], under(oracle, "params/"), statistics=under(oracle, "stats/"), stepper=stepper
    )


def tensor(oracle, name: str) -> Tensor:
    return torch.from_numpy(np.array(oracle[name]))


def times(oracle, kind: str) -> tuple[Tensor, Tensor]:
    """Time and lead time `[samples]`, normalised ("nrm") or not ("in")."""
    return tensor(oracle, f"{kind}/t").reshape(-1), tensor(oracle, f"{kind}/tau").reshape(-1)


def fields(oracle, kind: str) -> Tensor:
    """State and coefficients `[samples, nodes, channels]`."""
    parts = [tensor(oracle, f"{kind}/{name}")[:, 0] for name in ("u", "c") if f"{kind}/{name}" in oracle]
    return torch.cat(parts, dim=-1)


def per_sample(oracle, function) -> Tensor:
    """Results of `function(sample as a slice, its regional graph)`, one after the other."""
    return torch.cat([function(slice(b, b + 1), graph) for b, graph in enumerate(regional_graphs(oracle))])


def far(got, expected) -> float:
    """Relative difference in the 2-norm."""
    got, expected = (torch.as_tensor(np.asarray(value), dtype=torch.float64) for value in (got, expected))
    return float((got - expected).norm() / expected.norm())


def answers(oracle, model: RIGNO) -> Tensor:
    (t, tau), x = times(oracle, "in"), fields(oracle, "in")
    return per_sample(oracle, lambda b, graph: model.answer(x[b], graph, time=t[b], lead_time=tau[b]))


def test_edges_equal_the_reference_exactly(oracle):
    for sample, graph in enumerate(regional_graphs(oracle)):
        counts = {"p": len(graph.coordinates), "r": len(graph.region_index)}
        for name in ("p2r", "r2r", "r2p"):
            edges: Edges = getattr(graph, name)
            senders, receivers = (oracle[f"graph/{name}/{end}"][sample] for end in ("senders", "receivers"))
            real = (senders < counts[name[0]]) & (receivers < counts[name[2]])  # without the dummy edge
            np.testing.assert_array_equal(edges.senders, senders[real])
            np.testing.assert_array_equal(edges.receivers, receivers[real])
            features = oracle[f"graph/{name}/edge_features"][sample][real]
            np.testing.assert_allclose(edges.features, features, atol=1e-6)
        for ours, theirs in (
            (graph.node_features, "graph/p2r/pnodes_features"),
            (graph.regional_features, "graph/p2r/rnodes_features"),
            (graph.coordinates, "md/x_pnodes_inp"),
            (graph.radius, "md/r_rnodes"),
        ):
            np.testing.assert_allclose(ours, oracle[theirs][sample][:-1], atol=5e-6)


@torch.no_grad()
def test_network_and_its_intermediates_equal_the_reference(oracle):
    network, u, (t, tau) = operator(oracle).network, fields(oracle, "nrm"), times(oracle, "nrm")
    output = per_sample(oracle, lambda b, graph: network(u[b], graph, time=t[b], lead_time=tau[b]))
    assert far(output, tensor(oracle, "out/network")[:, 0]) < 1e-5
    for b, graph in enumerate(regional_graphs(oracle)):
        one = slice(b, b + 1)
        affines, static = network.affines(tau[one]), network.static(graph)
        latents = network.node_latents(u[one], graph.node_features, None, t[one], tau[one])
        nodes, regions = network.encoded(latents, graph, affines, static)
        processed = network.processed(regions, graph, affines, static)
        decoded = network.decoded(nodes, processed, graph, affines, static)
        assert far(nodes[:, 0], oracle["inter/pnodes_encoded"][b, 0]) < 1e-5
        assert far(regions[:, 0], oracle["inter/rnodes_encoded"][b, 0]) < 1e-5
        assert far(processed[:, 0], oracle["inter/rnodes_processed"][b, 0]) < 1e-5
        assert far(decoded[0], oracle["inter/pnodes_decoded"][b, 0]) < 1e-5


@torch.no_grad()
def test_masked_network_equals_the_reference(oracle):
    network, u, (t, tau) = operator(oracle).network, fields(oracle, "nrm"), times(oracle, "nrm")
    kept = {name: tensor(oracle, f"mask/kept_{name}") for name in ("p2r", "r2r", "r2p")}
    output = per_sample(
        oracle, lambda b, graph: network(u[b], graph.kept(**kept), time=t[b], lead_time=tau[b])
    )
    assert far(output, tensor(oracle, "mask/network")[:, 0]) < 1e-5
    assert far(output, tensor(oracle, "out/network")[:, 0]) > 1e-3


@torch.no_grad()
def test_union_of_graphs_equals_one_by_one(oracle):
    network = operator(oracle).network
    graphs = regional_graphs(oracle)[:2]
    u, (t, tau) = fields(oracle, "nrm")[:1], (value[:1] for value in times(oracle, "nrm"))
    single = [network(u, graph, time=t, lead_time=tau) for graph in graphs]
    both = network(torch.cat([u, u], dim=1), union(graphs), time=t, lead_time=tau)
    torch.testing.assert_close(both, torch.cat(single, dim=1), rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", STEPPERS)
def test_steppers_and_losses_equal_the_reference(oracle, name):
    model, x, (_, tau) = operator(oracle, name), fields(oracle, "in"), times(oracle, "in")
    assert model.stepper is STEPPERS[name]
    y = answers(oracle, model)
    new = model.stepper.apply(x[..., : model.channels], y * model.target_std + model.target_mean, tau)
    assert far(new, tensor(oracle, f"out/{name}")[:, 0]) < 1e-5
    loss = model.loss(y, x, tensor(oracle, "tgt/u")[:, 0], tau)
    assert float(loss) == pytest.approx(float(oracle[f"loss/{name}"]), rel=1e-5)


def first_loss(oracle, model: RIGNO) -> Tensor:
    x, (_, tau) = fields(oracle, "in"), times(oracle, "in")
    return model.loss(answers(oracle, model), x, tensor(oracle, "tgt/u")[:, 0], tau)


def in_flax_layout(path: str, value: Tensor) -> np.ndarray:
    return value.detach().numpy().T if value.dim() == 2 else value.detach().numpy()


def cut(path: str, expected: np.ndarray, rows: int) -> np.ndarray:
    return expected[-rows:] if path == PADDED else expected


def test_gradients_equal_the_reference(oracle):
    """Those that this network has no weights for are 0 in the reference, too."""
    model = operator(oracle, oracle["config"]["first_stepper"])
    first_loss(oracle, model).backward()
    expected = under(oracle, "grad/")
    ours = flax_parameters(model.network)
    for path, parameter in ours.items():
        assert parameter.grad is not None
        got = in_flax_layout(path, parameter.grad)
        if path == PADDED:
            assert not expected[path][: -len(got)].any()
        assert far(got, cut(path, expected[path], len(got))) < 1e-4, path
    assert not any(value.any() for path, value in expected.items() if path not in ours)
    assert all(path.startswith(DEAD) for path in set(expected) - set(ours))


def test_three_steps_of_adamw_equal_the_reference(oracle):
    model = operator(oracle, oracle["config"]["first_stepper"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=1e-8)
    for rate in oracle["adamw/lr"]:
        optimiser.param_groups[0]["lr"] = float(rate)
        optimiser.zero_grad()
        first_loss(oracle, model).backward()
        optimiser.step()
    expected = under(oracle, "adamw/params3/")
    for path, parameter in flax_parameters(model.network).items():
        got = in_flax_layout(path, parameter)
        assert far(got, cut(path, expected[path], len(got))) < 1e-5, path


@pytest.mark.parametrize("name", ["tau1", "tau2", "tauhalf", "jump2_tau2"])
def test_rollouts_equal_the_reference(oracle, name, monkeypatch):
    """Lead times of dt, up to 2 dt from one state, dt / 2, and two jumps of 2 dt."""
    model, dt = operator(oracle), float(oracle["rollout/dt"])
    options: dict[str, Any] = {
        "tau1": {"time_steps": 5, "lead_time": dt},
        "tau2": {"time_steps": 5, "lead_time": dt, "tau_max": 2 * dt},
        "tauhalf": {"time_steps": 5, "lead_time": dt, "tau_max": dt / 2},
        "jump2_tau2": {"time_steps": 2, "lead_time": 2 * dt},
    }[name]
    for b, regional in enumerate(regional_graphs(oracle)):
        graph = ig.Graph.from_points(oracle["points"][b], period=(1.0, 1.0) if model.periodic else None)
        monkeypatch.setattr(model, "regional_graph", lambda _, own=regional: own)
        out = ig.rollout(
            model,
            tensor(oracle, "in/u")[b, 0],
            graph,
            time=0.0,
            coefficients=tensor(oracle, "in/c")[b, 0] if "in/c" in oracle else None,
            **options,
        )
        if name.startswith("jump"):
            assert far(out.states[-1], oracle[f"rollout/{name}"][b, 0]) < 1e-5
        else:
            assert far(out.states[:-1], oracle[f"rollout/{name}"][b]) < 1e-5
            assert far(out.states[-1], oracle[f"rollout/{name}_next"][b, 0]) < 1e-5


def test_errors_equal_the_reference(oracle):
    config, x = oracle["config"], tensor(oracle, "in/u")
    estimate, truth = tensor(oracle, "out/der"), tensor(oracle, "tgt/u")
    mean, std = torch.tensor(config["gmean"]), torch.tensor(config["gstd"])
    for p in (1, 2):
        plain = chunk_errors(estimate, truth, config["chunks"], p=p)
        scaled = chunk_errors(estimate, truth, config["chunks"], p=p, mean=mean, std=std)
        assert far(plain, oracle[f"metric/rel_l{p}"]) < 1e-5
        assert far(scaled.mean(dim=-1), oracle[f"metric/normalized_rel_l{p}_mean"]) < 1e-5
        per_channel = channel_errors(estimate, truth, p=p)
        assert far(per_channel.pow(p).sum(dim=-1).pow(1 / p), oracle[f"metric/rel_l{p}_norm"]) < 1e-5
    assert x.shape == truth.shape


def test_learning_rates_equal_the_reference(oracle):
    total = oracle["config"]["transition_steps"]
    got = [reference_rate(int(step), total) for step in oracle["sched/steps"]]
    np.testing.assert_allclose(got, oracle["sched/lr"], rtol=2e-6)
