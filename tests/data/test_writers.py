"""Sources of other layouts in RIGNO's: the cells of grids, what has a `domain`, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from flow_sources import MESH, MemorySource

from irno_graph.data.readers import open_data
from irno_graph.data.writers import convert, mesh_of, write_rigno
from irno_graph.graph import Graph


class OnGraph(MemorySource):
    """A formula of the positions on a graph."""

    mesh: Any = None
    moving = False

    def __init__(self, graph: Graph) -> None:
        self.known = graph
        values = graph.pos.sum(dim=1, keepdim=True).numpy() + np.arange(2)[:, None, None]
        super().__init__(values[None], channels=("f",))
        self.mesh, self.period = None, graph.period

    def graph(self) -> Graph:
        return self.known


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 5)])
def test_a_grid_comes_back_with_its_masses(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A periodic grid of quads or hexahedra, whose cells go on across the seam."""
    graph = Graph.from_grid(shape, period=(1.0, 2.0, 3.0)[: len(shape)])
    found = open_data(convert(OnGraph(graph), tmp_path / "a.nc"))
    torch.testing.assert_close(found.graph().mass, graph.mass)
    torch.testing.assert_close(found.read()[0, 1, :, 0], graph.pos.sum(dim=1).float() + 1)
    assert found.period == graph.period


def test_of_a_grid_of_centres_the_whole_cells_are_kept() -> None:
    mesh = mesh_of(OnGraph(Graph.from_grid((4, 6), extent=(6.0, 4.0), centred=True)))
    assert [(kind, len(corners)) for kind, corners in mesh.cells] == [("quad", 3 * 5)]
    assert float(Graph.from_mesh(mesh).mass.sum()) == pytest.approx(3 * 5)


@pytest.mark.parametrize(
    ("period", "domain"), [((1.0, 1.0), None), ((1.0, None), "mesh"), ((None, 1.0), "mesh"), (None, "mesh")]
)
def test_triangles_have_a_domain_unless_both_axes_are_periodic(
    tmp_path: Path, period: Any, domain: str | None
) -> None:
    states = np.zeros((1, 1, len(MESH.points), 1))
    path = write_rigno(tmp_path / "a.nc", states, MESH.points, MESH.cells, [0.0], ["f"], period)
    with h5py.File(path) as file:
        assert file.attrs.get("domain") == domain
        assert file.attrs["period"].tolist() == [length or 0 for length in period or (0, 0)]


def test_what_is_no_mesh_is_refused(tmp_path: Path) -> None:
    points = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cloud = Graph.from_points(points.numpy(), "knn", manifold_dim=2)
    for graph, said in (
        (Graph.from_sphere(5, 8), "on a grid of the sphere"),
        (cloud, "points without cells"),
    ):
        with pytest.raises(ValueError, match=said):
            convert(OnGraph(graph), tmp_path / "a.nc")
    moving = OnGraph(Graph.from_mesh(MESH))
    moving.moving = True
    with pytest.raises(ValueError, match="has points that change"):
        convert(moving, tmp_path / "a.nc")
    states = np.zeros((1, 1, 3, 1))
    with pytest.raises(ValueError, match=r"cells should be of the types .*, got hexagon"):
        write_rigno(
            tmp_path / "a.nc",
            states,
            np.eye(3)[:, :2],
            [("hexagon", np.zeros((1, 6), dtype=int))],
            [0.0],
            ["f"],
        )
    bad: tuple[Any, ...] = ([np.nan], [[0.0]], [])
    for times in bad:
        with pytest.raises(ValueError, match=r"`times` should be finite numbers \[times\]"):
            write_rigno(tmp_path / "a.nc", states, np.eye(3)[:, :2], np.array([[0, 1, 2]]), times, ["f"])
    assert not any(tmp_path.iterdir())
