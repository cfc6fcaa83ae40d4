"""Weights by the names that the reference implementation (Flax) gives them.

A Flax kernel is `[in, out]`, a torch weight `[out, in]`. Two things of the reference have no counterpart here, because
they do nothing: the decoder's update of regional nodes, whose result is thrown away, and the rows of the regional
encoder's first kernel that meet zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from irno_graph.bases.rigno.interaction import Interaction
from irno_graph.bases.rigno.network import RIGNONetwork
from irno_graph.nn import Block

DEAD = "decoder/gnn/processor_0_nodes_rnodes/"
PADDED = "encoder/gnn/encoder_nodes_rnodes/layers_0/kernel"


def load_flax(network: RIGNONetwork, params: Mapping[str, Any]) -> None:
    """Copy the reference's parameters, path -> array, into `network`.

    Raises:
        ValueError: naming the paths that are missing, unknown or of another shape.
    """
    wanted, given = flax_parameters(network), params
    missing = sorted(set(wanted) - set(given))
    unknown = sorted(path for path in set(given) - set(wanted) if not path.startswith(DEAD))
    if missing or unknown:
        raise ValueError(
            f"`params` should hold the {len(wanted)} arrays of this network; missing: {_some(missing)}; "
            f"unknown: {_some(unknown)}: compare `config` with the run that wrote them."
        )
    for path, parameter in wanted.items():
        value = torch.from_numpy(np.array(given[path], dtype=np.float32))
        if value.dim() == 2:
            value = value.T
        if path == PADDED and value.dim() == 2 and value.shape[1] == network.features + parameter.shape[1]:
            value = value[:, network.features :]
        if value.shape != parameter.shape:
            raise ValueError(
                f"`params[{path!r}]` should have shape {_flax_shape(parameter)}, got "
                f"{list(np.shape(given[path]))}: compare `config` with the run that wrote it."
            )
        with torch.no_grad():
            parameter.copy_(value)


def flax_parameters(network: RIGNONetwork) -> dict[str, nn.Parameter]:
    """The network's parameters by the reference's paths; two-dimensional ones are the kernels' transposes."""
    found: dict[str, nn.Parameter] = {}
    for path, block in _blocks(network).items():
        for number, layer in enumerate(block.layers):
            assert isinstance(layer, nn.Linear)
            found |= _dense(f"{path}/layers_{number}", layer)
        if block.norm_scale is not None and block.norm_shift is not None:
            found[f"{path}/layernorm/scale"] = block.norm_scale
            found[f"{path}/layernorm/bias"] = block.norm_shift
        if block.correction is not None:
            halves = {"mlp_scale": block.correction.scale, "mlp_bias": block.correction.shift}
            for name, half in halves.items():
                for number in (0, 2):
                    layer = half[number]
                    assert isinstance(layer, nn.Linear)
                    found |= _dense(f"{path}/correction/{name}/layers_{number}", layer)
    return found


def _blocks(network: RIGNONetwork) -> dict[str, Block]:
    encoder, processor, decoder = (f"{name}/gnn" for name in ("encoder", "processor", "decoder"))
    blocks = {
        f"{encoder}/encoder_edges_p2r": network.embed_p2r,
        f"{encoder}/encoder_nodes_pnodes": network.embed_nodes,
        f"{encoder}/encoder_nodes_rnodes": network.embed_regional,
        f"{encoder}/processor_0_edges_p2r": network.encode.message,
        f"{encoder}/processor_0_nodes_rnodes": network.encode.update,
        f"{encoder}/processor_0_nodes_pnodes": network.encode_nodes,
        f"{processor}/encoder_edges_r2r": network.embed_r2r,
        f"{decoder}/encoder_edges_r2p": network.embed_r2p,
        f"{decoder}/processor_0_edges_r2p": network.decode.message,
        f"{decoder}/processor_0_nodes_pnodes": network.decode.update,
        f"{decoder}/decoder_nodes_pnodes": network.head,
    }
    for number, step in enumerate(network.process):
        assert isinstance(step, Interaction)
        blocks[f"{processor}/processor_{number}_edges_r2r"] = step.message
        blocks[f"{processor}/processor_{number}_nodes_rnodes"] = step.update
    return blocks


def _dense(path: str, layer: nn.Linear) -> dict[str, nn.Parameter]:
    assert isinstance(layer.weight, nn.Parameter)
    return {f"{path}/kernel": layer.weight, f"{path}/bias": layer.bias}


def _flax_shape(parameter: nn.Parameter) -> list[int]:
    return list(reversed(parameter.shape))


def _some(paths: list[str]) -> str:
    return (
        ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "") if paths else "none"
    )
