"""RIGNO in JAX, built as its authors' implementation is, to be timed beside ours: `benchmarks/rigno.py --jax` runs it.

    python benchmarks/rigno_jax.py CASE.npz

Inputs of each perceptron are concatenated on the edges, every sample of a batch carries edges of its own, aggregation
is a mean over segments, and everything is one jitted function. Prints seconds (median of 5), the MiB of XLA's
temporary buffers and versions as JSON; writes the output of a forward pass into CASE.npz's folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import median_seconds, versions

EDGE_SETS = ("p2r", "r2r", "r2p")
REPEATS = 5


def block(weights, name, *inputs, tau=None):
    """Perceptron with swish, layer norm and lead-time correction, as far as `weights` has them."""
    value, number = jnp.concatenate(inputs, axis=-1), 0

    def dense(path, at):
        return at @ weights[f"{path}/kernel"] + weights[f"{path}/bias"]

    while f"{name}/layers_{number + 1}/kernel" in weights:
        value = jax.nn.swish(dense(f"{name}/layers_{number}", value))
        number += 1
    value = dense(f"{name}/layers_{number}", value)
    if f"{name}/layernorm/scale" in weights:
        mean = value.mean(axis=-1, keepdims=True)
        variance = jnp.square(value).mean(axis=-1, keepdims=True) - jnp.square(mean)
        scale = jax.lax.rsqrt(jnp.maximum(variance, 0.0) + 1e-6) * weights[f"{name}/layernorm/scale"]
        value = (value - mean) * scale + weights[f"{name}/layernorm/bias"]
    if f"{name}/correction/mlp_scale/layers_0/kernel" in weights:
        halves = []
        for half in ("mlp_scale", "mlp_bias"):
            hidden = jax.nn.sigmoid(dense(f"{name}/correction/{half}/layers_0", tau))
            halves.append(tau * dense(f"{name}/correction/{half}/layers_2", hidden))
        value = value * (1.0 + halves[0])[:, None] + halves[1][:, None]
    return value


def interact(weights, message, update, edge, sender, receiver, edges, tau):
    """Messages, and the receivers after them."""
    take = jax.vmap(lambda field, index: field[index])
    given = (edge, take(sender, edges["senders"]), take(receiver, edges["receivers"]))
    sent = block(weights, message, *given, tau=tau)

    def mean(values, index):
        total = jax.ops.segment_sum(values, index, receiver.shape[1])
        count = jax.ops.segment_sum(jnp.ones_like(values), index, receiver.shape[1])
        return total / jnp.maximum(count, 1.0)

    aggregated = jax.vmap(mean)(sent, edges["receivers"])
    return sent, receiver + block(weights, update, receiver, aggregated, tau=tau)


def network(weights, graph, u, steps, key=None):
    """Output for u `[samples, nodes, channels]` at time 0 and lead time 0.1; `key` masks half of the edges."""
    samples, nodes, _ = u.shape
    tau = jnp.full((samples, 1), 0.1)
    ones = jnp.ones((samples, nodes, 1))
    inputs = jnp.concatenate([u, 0.0 * ones, 0.1 * ones], axis=-1)
    sets = {name: graph[name] for name in EDGE_SETS}
    if key is not None:
        for name in EDGE_SETS:
            key, own = jax.random.split(key)
            count = sets[name]["senders"].shape[1]
            kept = jax.random.permutation(own, count)[: count // 2]
            sets[name] = {part: value[:, kept] for part, value in sets[name].items()}
    encoder, processor, decoder = (f"{part}/gnn" for part in ("encoder", "processor", "decoder"))
    place = graph["regional_features"]
    empty = jnp.zeros((*place.shape[:2], inputs.shape[-1]))
    node = block(weights, f"{encoder}/encoder_nodes_pnodes", inputs, graph["node_features"])
    region = block(weights, f"{encoder}/encoder_nodes_rnodes", empty, place)
    edge = block(weights, f"{encoder}/encoder_edges_p2r", sets["p2r"]["features"])
    names = (f"{encoder}/processor_0_edges_p2r", f"{encoder}/processor_0_nodes_rnodes")
    _, region = interact(weights, *names, edge, node, region, sets["p2r"], tau)
    node = node + block(weights, f"{encoder}/processor_0_nodes_pnodes", node, tau=tau)
    edge = block(weights, f"{processor}/encoder_edges_r2r", sets["r2r"]["features"])
    for step in range(steps):
        names = (f"{processor}/processor_{step}_edges_r2r", f"{processor}/processor_{step}_nodes_rnodes")
        sent, region = interact(weights, *names, edge, region, region, sets["r2r"], tau)
        edge = edge + sent
    edge = block(weights, f"{decoder}/encoder_edges_r2p", sets["r2p"]["features"])
    names = (f"{decoder}/processor_0_edges_r2p", f"{decoder}/processor_0_nodes_pnodes")
    _, node = interact(weights, *names, edge, region, node, sets["r2p"], tau)
    return block(weights, f"{decoder}/decoder_nodes_pnodes", node)


def main() -> None:
    """Time the case in the file."""
    path = Path(sys.argv[1])
    with np.load(path) as file:
        case = {name: file[name] for name in file.files}
    steps, train = int(case["steps"]), bool(case["train"])
    u = jnp.asarray(case["u"])
    weights = {
        n.removeprefix("weights/"): jnp.asarray(v) for n, v in case.items() if n.startswith("weights/")
    }

    def batched(value):
        return jnp.repeat(jnp.asarray(value)[None], len(u), axis=0)

    parts = ("senders", "receivers", "features")
    graph = {name: {part: batched(case[f"{name}/{part}"]) for part in parts} for name in EDGE_SETS}
    graph |= {name: batched(case[name]) for name in ("node_features", "regional_features")}
    optimiser = optax.adamw(1e-4, weight_decay=1e-8)

    def step(weights, state, graph, u, key):
        def loss(weights):
            return jnp.square(network(weights, graph, u, steps, key) - 1.0).mean()

        updates, state = optimiser.update(jax.grad(loss)(weights), state, weights)
        return optax.apply_updates(weights, updates), state

    def forward(weights, graph, u):
        return network(weights, graph, u, steps)

    state = optimiser.init(weights)
    keys = [jax.random.PRNGKey(number) for number in range(REPEATS + 1)]
    given = (weights, state, graph, u, keys[0]) if train else (weights, graph, u)
    compiled = jax.jit(step if train else forward).lower(*given).compile()
    result = None

    def once():
        nonlocal given, result
        result = jax.block_until_ready(compiled(*given))
        if train:
            keys.append(keys.pop(0))
            given = (*result, graph, u, keys[0])

    seconds = median_seconds(once, REPEATS)
    if not train:
        np.save(path.with_suffix(".out.npy"), np.asarray(result))
    mib = compiled.memory_analysis().temp_size_in_bytes / 2**20
    print(json.dumps({"seconds": seconds, "mib": mib, "versions": versions("jax", "jaxlib", "optax")}))


if __name__ == "__main__":
    main()
