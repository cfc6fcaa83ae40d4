"""Bases of the graphs of a batch, and degrees on the sphere."""

import math

import pytest
import torch
from torch_geometric.data import Batch

from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.spectral import band_energies, degree_energy, eigenbases


def test_a_batch_gives_the_bases_and_energies_of_its_graphs():
    graphs = [Graph.from_mesh(periodic_box(n, seed=n)) for n in (20, 70, 40)]
    bases = eigenbases(Batch.from_data_list(graphs), 30)
    assert [len(basis.eigenvalues) for basis in bases] == [20, 30, 30]
    field = torch.randn(2, 130, 3, dtype=torch.float64)
    energy = band_energies(bases, field, [0.0, 8.0, 20.0])
    assert energy.shape == (2, 3, 3, 3)
    for place, (basis, part) in enumerate(zip(bases, field.split([20, 70, 40], dim=-2), strict=True)):
        assert torch.equal(energy[:, place], basis.band_energy(part, [0.0, 8.0, 20.0]))
    with pytest.raises(ValueError, match="nodes=130"):
        band_energies(bases, field[:, 1:], [0.0, 1.0])


def test_degree_energies_of_the_sphere_are_those_of_harmonics():
    pytest.importorskip("torch_harmonics")
    theta = torch.linspace(0, math.pi, 33, dtype=torch.float64)
    cosine = theta.cos()[:, None].expand(33, 64)
    harmonics = torch.stack([math.sqrt(3 / (4 * math.pi)) * cosine, torch.full_like(cosine, 0.5)], dim=-1)
    energy = degree_energy(harmonics)
    expected = torch.zeros_like(energy)
    expected[1, 0], expected[0, 1] = 1.0, math.pi
    assert torch.allclose(energy, expected, atol=1e-6)
