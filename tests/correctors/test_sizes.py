"""A corrector is a map of fields, not of one mesh: what it learns on a mesh holds on a coarser and on a finer one."""

import pytest
import torch

import irno_graph as ig
from irno_graph.correctors import MessagePassing, MultiscaleMessagePassing
from irno_graph.graph import Graph, mass_norm
from irno_graph.mesh import periodic_box

CORRECTORS = {
    "flat": lambda: MessagePassing(1, 1, hidden=16, layers=2),
    "all levels": lambda: MultiscaleMessagePassing(1, 1, hidden=16),
}


def problem(nodes, samples, seed):
    """(1 - Laplacian / 40) y = x in a periodic box, exact: sums of the eight longest waves `[samples, nodes, 1]`."""
    graph = Graph.from_mesh(periodic_box(nodes, seed=1))
    generator = torch.Generator().manual_seed(seed)
    waves = 2 * torch.pi * torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    angle = graph.pos.float() @ waves.T
    basis = torch.cat([angle.sin(), angle.cos()], dim=1)  # [nodes, waves]
    size = torch.randn(samples, 8, generator=generator)
    symbol = 1.0 + waves.square().sum(dim=1).repeat(2) / 40
    return graph, (basis @ size.T).T.unsqueeze(-1), (basis @ (size / symbol).T).T.unsqueeze(-1)


def left(model, nodes):
    """Error after the refinement over that of the base, on fields that were not trained on."""
    graph, x, y = problem(nodes, samples=8, seed=99)
    with torch.no_grad():
        found = model(x, graph)
        error, before = (mass_norm(h - y, graph).square().mean() for h in (found.value, found.states[0]))
    return float((error / before).sqrt())


@pytest.mark.parametrize("kind", CORRECTORS)
def test_what_is_learned_on_one_mesh_holds_on_half_and_on_twice_the_nodes(kind):
    """The base says 0.3 x, as if all waves were damped alike."""
    graph, x, y = problem(120, samples=12, seed=0)
    model = ig.IRNO(lambda x, graph: 0.3 * x, CORRECTORS[kind](), alpha=0.5, steps=3)
    assert left(model, 120) > 0.9
    optimiser = torch.optim.Adam(model.corrector.parameters(), lr=5e-3)
    for _ in range(60):
        optimiser.zero_grad()
        (model(x, graph).states[1:] - y).square().mean().backward()
        optimiser.step()
    found = {nodes: left(model, nodes) for nodes in (60, 120, 240)}
    assert max(found.values()) < 0.8, found
