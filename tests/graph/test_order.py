"""Orders of nodes: undone exactly, and near in memory."""

import domains
import numpy as np
import pytest
import torch

from irno_graph.graph import Graph
from irno_graph.mesh import Mesh, periodic_box
from irno_graph.mesh.periodic import hilbert_order
from irno_graph.spectral import laplacian


def shuffled(mesh):
    order = np.random.default_rng(0).permutation(len(mesh.points))
    cells = [(kind, np.argsort(order)[corners]) for kind, corners in mesh.cells]
    return Mesh(mesh.points[order], cells, period=mesh.period)


def reach(graph):
    return int((graph.edge_index[0] - graph.edge_index[1]).abs().max())


@pytest.mark.parametrize("order", ["hilbert", "cuthill_mckee"])
@pytest.mark.parametrize(
    "make", [lambda: periodic_box(200), lambda: domains.cube_of_wedges(4), lambda: domains.interval(50)]
)
def test_an_order_is_undone(order, make):
    mesh = shuffled(make())
    plain, ordered = Graph.from_mesh(mesh), Graph.from_mesh(mesh, order=order)
    assert torch.equal(ordered.to_original(ordered.pos), plain.pos)
    field = torch.from_numpy(np.random.default_rng(0).standard_normal((2, plain.num_nodes, 3)))
    assert torch.equal(ordered.to_original(ordered.from_original(field)), field)
    there = ordered.from_original(field)[0].numpy()
    back = ordered.to_original(torch.from_numpy(laplacian(ordered) @ there))
    assert torch.allclose(back, torch.from_numpy(laplacian(plain) @ field[0].numpy()), atol=1e-10)
    assert Graph.from_mesh(mesh, order=order).key() == ordered.key()
    assert torch.equal(plain.to_original(field), field)


def test_cuthill_mckee_makes_the_bandwidth_small():
    mesh = shuffled(domains.square_of_quads(20))
    assert reach(Graph.from_mesh(mesh)) > 400
    assert reach(Graph.from_mesh(mesh, order="cuthill_mckee")) < 50


@pytest.mark.parametrize("dim", [1, 3])
def test_the_hilbert_curve_walks_a_lattice_by_single_steps(dim):
    axes = np.meshgrid(*[np.arange(8)] * dim, indexing="ij")
    points = np.stack([axis.ravel() for axis in axes], axis=1)
    order = hilbert_order(points / 7.0, bits=3)
    assert (np.abs(np.diff(points[order], axis=0)).sum(axis=1) == 1).all()


def test_another_order_is_refused():
    with pytest.raises(ValueError, match="'hilbert', 'cuthill_mckee' or None, got 'morton'"):
        Graph.from_mesh(periodic_box(64), order="morton")  # type: ignore[arg-type]
