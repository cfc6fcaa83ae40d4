"""RIGNO against numbers that the reference implementation (JAX) computed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from irno_graph.bases.rigno.network import Architecture, RIGNONetwork
from irno_graph.bases.rigno.regional import Edges, RegionalGraph, union

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


@pytest.fixture(scope="module", params=["periodic", "walls"])
def oracle(request):
    path = REFERENCE / f"rigno_oracle_{request.param}.npz"
    if not path.is_file():
        pytest.skip(f"the oracle data {path} is not on this machine")
    with np.load(path) as file:
        data = {
            name: file[name] for name in file.files if not name.startswith(("grad", "adamw", "params_init"))
        }
    data["config"] = json.loads(str(data["config"]))
    return data


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


def network_with_reference_weights(oracle) -> RIGNONetwork:
    config, model = oracle["config"], oracle["config"]["model"]
    network = RIGNONetwork(
        config["nvar"] + config["ncoef"],
        config["nvar"],
        architecture=Architecture(
            processor_steps=model["processor_steps"],
            node_hidden=model["node_latent_size"],
            edge_hidden=model["edge_latent_size"],
            mlp_hidden_layers=model["mlp_hidden_layers"],
            correction_hidden=model["cond_norm_hidden_size"],
            head_hidden=model["num_outputs"],
        ),
        coordinate_channels=16 if config["builder"]["periodic"] else 2,
    )
    blocks: dict[str, Any] = {
        "encoder/gnn/encoder_edges_p2r": network.embed_p2r,
        "encoder/gnn/encoder_nodes_pnodes": network.embed_nodes,
        "encoder/gnn/encoder_nodes_rnodes": network.embed_regional,
        "encoder/gnn/processor_0_edges_p2r": network.encode.message,
        "encoder/gnn/processor_0_nodes_rnodes": network.encode.update,
        "encoder/gnn/processor_0_nodes_pnodes": network.encode_nodes,
        "processor/gnn/encoder_edges_r2r": network.embed_r2r,
        "decoder/gnn/encoder_edges_r2p": network.embed_r2p,
        "decoder/gnn/processor_0_edges_r2p": network.decode.message,
        "decoder/gnn/processor_0_nodes_pnodes": network.decode.update,
        "decoder/gnn/decoder_nodes_pnodes": network.head,
    }
    for k, step in enumerate(network.process):
        blocks[f"processor/gnn/processor_{k}_edges_r2r"] = step.message
        blocks[f"processor/gnn/processor_{k}_nodes_rnodes"] = step.update

    def put(parameter, path):
        value = torch.from_numpy(oracle[f"params/{path}"])
        value = value.T if path.endswith("kernel") else value
        parameter.data.copy_(value[:, -parameter.shape[1] :] if value.dim() == 2 else value)

    for path, block in blocks.items():
        for k, layer in enumerate(block.layers):
            put(layer.weight, f"{path}/layers_{k}/kernel")
            put(layer.bias, f"{path}/layers_{k}/bias")
        if block.norm_scale is not None:
            put(block.norm_scale, f"{path}/layernorm/scale")
            put(block.norm_shift, f"{path}/layernorm/bias")
        if block.correction is not None:
            for name, half in (("mlp_scale", block.correction.scale), ("mlp_bias", block.correction.shift)):
                for k in (0, 2):
                    put(half[k].weight, f"{path}/correction/{name}/layers_{k}/kernel")
                    put(half[k].bias, f"{path}/correction/{name}/layers_{k}/bias")
    return network


def inputs(oracle, sample: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    u = torch.from_numpy(oracle["nrm/u"])[sample, 0]
    if "nrm/c" in oracle:
        u = torch.cat([u, torch.from_numpy(oracle["nrm/c"])[sample, 0]], dim=-1)
    time, lead = (torch.from_numpy(oracle[f"nrm/{name}"])[sample, 0, 0, 0] for name in ("t", "tau"))
    return u, time, lead


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


def test_network_equals_the_reference(oracle):
    network = network_with_reference_weights(oracle)
    for sample, graph in enumerate(regional_graphs(oracle)):
        u, time, lead = inputs(oracle, slice(sample, sample + 1))
        with torch.no_grad():
            got = network(u, graph, time=time, lead_time=lead)[0]
        expected = torch.from_numpy(oracle["out/network"])[sample, 0]
        assert (got - expected).norm() / expected.norm() < 1e-5


def test_union_of_graphs_equals_one_by_one(oracle):
    network = network_with_reference_weights(oracle)
    graphs = regional_graphs(oracle)[:2]
    u, time, lead = inputs(oracle, slice(0, 1))
    with torch.no_grad():
        single = [network(u, graph, time=time, lead_time=lead) for graph in graphs]
        both = network(torch.cat([u, u], dim=1), union(graphs), time=time, lead_time=lead)
    torch.testing.assert_close(both, torch.cat(single, dim=1), rtol=1e-5, atol=1e-6)
