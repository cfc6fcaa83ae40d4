"""Data of torch_geometric as graphs: its own edges of faces, masses, fields at their nodes, batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from flow_sources import MESH

from irno_graph.data.readers.pyg import from_pyg
from irno_graph.graph import Graph
from irno_graph.graph.pyg import Batch, Data
from irno_graph.metrics import relative_l2

FACE = torch.from_numpy(MESH.cells_of("triangle").T.copy())
POS = torch.from_numpy(MESH.points)


def sample(scale: float = 1.0, **tensors: Any) -> Data:
    """Fields that are formulas of the positions, in float32 as data sets have them."""
    pos = scale * POS
    return Data(pos=pos.float(), x=pos.float(), y=(pos[:, 0] + 10 * pos[:, 1]).float(), **tensors)


def directed(index: torch.Tensor) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in index.T}


def test_faces_give_the_edges_of_torch_geometric_and_our_masses() -> None:
    from torch_geometric.transforms import FaceToEdge

    graph = from_pyg(sample(face=FACE), period=(1.0, 1.0))
    assert directed(graph.edge_index) == directed(FaceToEdge()(sample(face=FACE)).edge_index)
    expected = Graph.from_mesh(MESH)
    torch.testing.assert_close(graph.mass, expected.mass, rtol=1e-5, atol=0)
    torch.testing.assert_close(graph.edge_attr, expected.edge_attr, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        graph.y[:, 0].double(), graph.pos[:, 0] + 10 * graph.pos[:, 1], rtol=1e-6, atol=0
    )


def test_edges_of_the_data_are_kept_both_ways_without_loops() -> None:
    one_way = torch.tensor([[0, 5, 7, 2, 9], [5, 7, 0, 2, 1]])  # a loop at 2
    graph = from_pyg(sample(edge_index=one_way))
    assert directed(graph.edge_index) == {(0, 5), (5, 0), (5, 7), (7, 5), (7, 0), (0, 7), (9, 1), (1, 9)}
    source, target = graph.edge_index
    torch.testing.assert_close(graph.edge_attr[:, :2], graph.pos[source] - graph.pos[target])
    assert (target.diff() >= 0).all()
    assert float(graph.mass.sum()) == pytest.approx(1.0, rel=0.2)  # the unit square; its rim looks thin
    assert len(graph.cell_kind) == 0


def test_few_points_and_edges_across_the_seam() -> None:
    pos = torch.tensor([[0.1, 0.1], [0.9, 0.2], [0.5, 0.6], [0.2, 0.8]])
    graph = from_pyg(Data(pos=pos, edge_index=torch.tensor([[0], [1]])), period=(1.0, 1.0))
    assert directed(graph.edge_index) == {(0, 1), (1, 0)}
    expected = torch.tensor([[-0.2, 0.1], [0.2, -0.1]], dtype=torch.float64)  # source less target
    torch.testing.assert_close(graph.edge_attr[:, :2], expected, rtol=0, atol=1e-6)


def test_points_alone_are_triangulated_and_tetrahedra_are_volumes() -> None:
    assert float(from_pyg(sample()).mass.sum()) == pytest.approx(1.0, rel=0.1)  # their hull
    corners = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 4]])
    solid = from_pyg(Data(pos=corners, face=torch.arange(4)[:, None]))
    torch.testing.assert_close(
        solid.mass, torch.ones(4, dtype=torch.float64)
    )  # 2 * 3 * 4 / 6, a quarter each
    assert "y" not in solid


def test_a_list_becomes_a_batch_whose_fields_are_told_apart() -> None:
    graphs = [from_pyg(one) for one in (sample(face=None), sample(2.0))]
    batch = Batch.from_data_list(graphs)
    assert batch.x.shape == (600, 2)
    np.testing.assert_array_equal(batch.y[300:], 2 * batch.y[:300])
    spoiled = torch.cat([1.1 * graphs[0].y, graphs[1].y])
    torch.testing.assert_close(relative_l2(spoiled, batch.y, batch).flatten(), torch.tensor([0.1, 0.0]))


@pytest.mark.parametrize("name", ["mass", "area"])
def test_masses_of_the_data_are_taken(name: str) -> None:
    """The unit square's own masses, given with points that fill it and with faces that know another number."""
    own = Graph.from_mesh(MESH).mass
    extras: tuple[dict[str, Any], ...] = ({"edge_index": torch.tensor([[0, 1], [1, 2]])}, {"face": FACE}, {})
    for extra in extras:
        for values in (own, own.float(), own[:, None]):
            given: dict[str, Any] = {**extra, name: values}
            graph = from_pyg(sample(**given), period=(1.0, 1.0))
            assert graph.mass.dtype == torch.float64
            torch.testing.assert_close(graph.mass, own, rtol=1e-6, atol=0)
        if "edge_index" in extra:
            assert float(from_pyg(sample(**extra), period=(1.0, 1.0)).mass.sub(own).abs().max()) > 1e-4
    both = from_pyg(sample(face=FACE, mass=2 * own, area=own, period=(1.0, 1.0)), period=(1.0, 1.0))
    torch.testing.assert_close(both.mass, 2 * own)
    batch = Batch.from_data_list([both, from_pyg(sample(face=FACE, mass=None), period=(1.0, 1.0))])
    assert float(batch.mass.sum()) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            sample(face=FACE, mass=torch.ones(299)),
            r"`mass` should have real numbers \[nodes=300\], got \[299\]",
        ),
        (sample(face=FACE, area=torch.ones(300, 2)), r"`area` should have real numbers .*, got \[300, 2\]"),
        (sample(face=FACE, area=3.0), r"`area` should have real numbers .*, got \[\]"),
        (
            sample(face=FACE, mass=POS[:, 0] - POS[7, 0]),
            r"`mass` should be positive and finite .*, got \d+ that are",
        ),
        (sample(face=FACE, mass=POS[:, 0] - POS[:, 0].min()), "got 1 that are not"),
        (
            sample(face=FACE, mass=torch.ones(300).index_fill(0, torch.tensor([3, 4]), torch.inf)),
            "got 2 that are",
        ),
        (
            sample(face=FACE, mass=torch.ones(300).index_fill(0, torch.tensor([3]), torch.nan)),
            "got 1 that are",
        ),
        (Data(x=torch.ones(3, 1)), "finite positions"),
        (Data(pos=POS * torch.nan), "finite positions"),
        (sample(face=FACE + 1), r"should index nodes 0\.\.299, got 1\.\.300"),
        (sample(edge_index=torch.ones(2, 3)), "whole numbers"),
        (sample(face=FACE[:2]), r"`face` should hold whole numbers \[3 or 4, any\]"),
        (
            Data(pos=POS, face=FACE, y=torch.ones(1, 4)),
            r"\[nodes=300, channels\], got \[1, 4\]: numbers of a whole",
        ),
        (Data(pos=POS, face=FACE, x=torch.full((300,), torch.inf)), "`x` should be finite"),
    ],
)
def test_what_does_not_fit_is_refused(data: Data, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_pyg(data, period=(1.0, 1.0))
