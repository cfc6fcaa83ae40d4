"""One of several ranks that refine a graph in parts: `one_rank.py RANK RANKS STORE OUT`; writes how far it is off."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import irno_graph as ig
from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine import Anderson, PartitionedIRNO

KINDS: dict[str, Any] = {
    "flat": MessagePassing,
    "edges": EdgeMessagePassing,
    "multiscale": MultiscaleMessagePassing,
    "spectral": partial(MultiscaleMessagePassing, modes=9),
}
CASES = [
    ("flat", 5, 3),
    ("edges", 2, 1),
    ("multiscale", 3, 1),
    ("spectral", 3, 1),
]  # corrector, parts, exchange


def gradients(model, x, graph):
    """Of x and of the weights, `sum_gradients` called where it is there."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    out = model(x, graph)
    (out.states * torch.linspace(-1.0, 1.0, graph.num_nodes, dtype=x.dtype).unsqueeze(-1)).sum().backward()
    if isinstance(model, PartitionedIRNO):
        model.sum_gradients()
    return [x.grad, *(weight.grad for weight in model.corrector.parameters())]


def furthest(found, expected):
    return max(
        float((own.double() - other.double()).abs().max()) for own, other in zip(found, expected, strict=True)
    )


def cases(graph, group):
    """Largest differences from the whole by case: of the result, and of gradients."""
    x, found = torch.randn(2, graph.num_nodes, 2, dtype=torch.float64), {}
    for name, parts, exchange in CASES:
        corrector = KINDS[name](2, 2, hidden=4, layers=2, options=Options(small=1.0)).double()
        model = ig.IRNO(lambda x, graph: torch.zeros_like(x), corrector, alpha=0.3, steps=4)
        spread = PartitionedIRNO(model, parts, exchange=exchange, method="bisection", group=group)
        with torch.no_grad():
            apart = [furthest(spread(x, graph), model(x, graph))]
            apart.append(furthest(*(own(x, graph, steps=4, tolerance=0.5) for own in (spread, model))))
            if exchange == 1:
                spread.solver = model.solver = Anderson()
                apart.append(furthest(spread(x, graph), model(x, graph)))
                spread.solver = model.solver = None
        slopes = [[grad.clone() for grad in gradients(own, x, graph)] for own in (spread, model)]
        apart.append(furthest(*slopes))
        found[name, parts, exchange] = apart
        assert all(float(grad.abs().max()) > 1e-3 for grad in slopes[1][:2])  # of x, of a weight
    return {" ".join(map(str, case)): apart for case, apart in found.items()}


def main(rank, ranks, store, out):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = Graph.from_mesh(periodic_box(60, seed=3))
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(ranks))
    group = dist.group.WORLD
    assert group is not None
    found = cases(graph, group)
    model = ig.IRNO(lambda x, graph: x, MessagePassing(2, 2, hidden=8, layers=1))
    try:
        PartitionedIRNO(model, 1, group=group)(torch.ones(graph.num_nodes, 2), graph)
    except ValueError as error:
        found["too few"] = str(error)
    Path(out).write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
